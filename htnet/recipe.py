"""Recipes: everything that decides a training, in one YAML file of three sections."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml

from common.errors import UserError, did_you_mean
from common.settings import Settings, settings_from

R = TypeVar("R", bound="Recipe")
SECTIONS = ("network", "augmentation", "training")
_EARLIER_NAMES = {"use_diagonal_attn": "use_micro_attention", "use_roi": "use_roi_module"}


class Recipe(Settings):
    """Settings of the network (without what follows from the data), and of the training.

    A kind of recipe gives the classes of `augmentation` and `training`, the folder of the recipes
    that ship, and which settings of the network follow from something else.
    """

    network: dict[str, Any]
    augmentation: Any
    training: Any
    name: str = "own"
    folder: ClassVar[Path]
    derived: ClassVar[tuple[str, ...]] = ()

    def check(self) -> None:
        """Refuse unknown settings of the network and impossible sizes."""
        raise NotImplementedError

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for run.json and to know a finished training."""
        return self.model_dump(mode="json", exclude={"name"})


def shipped(folder: Path) -> list[str]:
    """Names of the recipes in a folder."""
    return sorted(file.stem for file in folder.glob("*.yaml"))


def read_recipe(kind: type[R], name: str | Path, *, changes: Sequence[str] = ()) -> R:
    """Read a shipped recipe by name, or a YAML file with the same sections.

    `changes` are settings to replace, each given as `section.key=value` (YAML value). UserError
    when there is no such recipe, or it holds a section or setting that nothing reads.
    """
    path, content = read_sections(name, folder=kind.folder)
    recipe = recipe_from(kind, content, source=path.name, name=path.stem)
    return with_changes(recipe, changes) if changes else recipe


def recipe_from(kind: type[R], content: Mapping[str, Any], *, source: str, name: str = "own") -> R:
    """Make a recipe of nested settings; an unknown section or setting is refused."""
    check_sections(content, source=source, derived=kind.derived)
    sections = {
        section: settings_from(
            kind.model_fields[section].annotation,  # type: ignore[arg-type]
            content.get(section, {}),
            source=source,
            section=section,
        )
        for section in ("augmentation", "training")
    }
    network = _by_todays_names(content["network"], source=source)
    recipe = kind(network=network, name=name, **sections)
    recipe.check()
    return recipe


def with_changes(recipe: R, changes: Sequence[str]) -> R:
    """Return the recipe with settings replaced, each given as `section.key=value` (YAML value)."""
    content = changed_sections(recipe.as_dict(), changes)
    return recipe_from(type(recipe), content, source="--change", name=recipe.name)


def read_sections(name: str | Path, *, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Read the sections of a recipe in `folder` by name, or of a YAML file; return its path too."""
    known = shipped(folder)
    path = folder / f"{name}.yaml" if str(name) in known else Path(name)
    if not path.is_file():
        raise UserError(
            f"There is no recipe {name}: give one of {', '.join(known)}, or a YAML file."
            + did_you_mean(str(name), known)
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"The recipe {path} cannot be read ({error}).") from error
    if not isinstance(content, dict):
        raise UserError(f"The recipe {path} must hold the section network:.")
    return path, content


def check_sections(content: Mapping[str, Any], *, source: str, derived: tuple[str, ...]) -> None:
    """Refuse unknown sections, and network settings that follow from something else."""
    for section, values in content.items():
        if section not in SECTIONS:
            raise UserError(
                f'{source}: there is no section "{section}".{did_you_mean(section, SECTIONS)}'
            )
        if not isinstance(values, Mapping):
            raise UserError(f"{source}: the section {section} must hold settings such as dim: 32.")
    if "network" not in content:
        raise UserError(f"{source} has no section network:, which a recipe needs.")
    for key in derived:
        if key in content["network"]:
            raise UserError(
                f"{source}: network.{key} follows from the target and the loss; leave it out."
            )


def changed_sections(content: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Return sections with settings replaced, each given as `section.key=value` (YAML value)."""
    for change in changes:
        key, equals, value = change.partition("=")
        section, dot, setting = key.partition(".")
        if not equals or not dot:
            raise UserError(f'"{change}" is no change: write for instance training.epochs=10.')
        values = content.setdefault(section, {})
        if section == "network" and setting in _EARLIER_NAMES:
            values.pop(_EARLIER_NAMES[setting], None)
        values[setting] = yaml.safe_load(value)
    return content


def _by_todays_names(network: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """Replace the names that earlier scripts used by ours."""
    named: dict[str, Any] = {}
    for key, value in network.items():
        ours = _EARLIER_NAMES.get(key, key)
        if ours != key:
            print(f"Note: {source}: {key} is called network.{ours} here.", file=sys.stderr)
        if named.setdefault(ours, value) != value:
            raise UserError(f"{source}: {ours} is given twice, as {named[ours]} and as {value}.")
    return named
