"""Recipes: everything that decides a training, in one YAML file and one set of dataclasses.

The shipped recipes are `small-cpu`, `from-micro`, `paper` and `gpu`; a file of your own has the
same sections.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from common.errors import UserError, did_you_mean
from htnet.network.configuration import ROI_REGIONS, HTNetConfig, config_from
from htnet.network.losses import HEAD_OF, LossName
from htnet.palsy.augmentation import Augmentation

FOLDER = Path(__file__).parent.parent / "recipes"
_T = TypeVar("_T")
SECTIONS = ("network", "augmentation", "training")
_DERIVED = ("num_classes", "head")  # follow from the target and the loss
_EARLIER_NAMES = {"use_diagonal_attn": "use_micro_attention", "use_roi": "use_roi_module"}


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a network is trained.

    Attributes
    ----------
    loss
        `cross_entropy`, `focal`, `corn` or `coral`.
    class_weights
        Weigh classes by the inverse of their frequency, so that rare grades are not overlooked.
    side_weight, region_weight, point_weight
        Weights of the losses of the weak side, of the ROI maps (overlap with the dlib regions)
        and of the landmarks' asymmetry; 0 leaves a loss out.
    epochs, batch_size, accumulate
        Passes over the training faces, faces of a step, and steps gathered before an update.
    learning_rate, weight_decay, layer_decay
        Of AdamW. Each layer further from the heads learns at `layer_decay` times the rate.
    head_rate
        The heads of grade and side learn at this multiple of the rate.
    warmup
        Share of the updates over which the rate rises; then it falls as a cosine.
    clip
        Largest norm of the gradient.
    validation_folds
        The training patients are dealt into this many parts; one of them chooses the epoch.
    patience
        Stop after this many epochs without a better score of the validation patients.
    save_every
        Keep the state from which a stopped training goes on after every so many epochs; more
        spares time where a network is large.
    precision
        Of the arithmetic: `32-true`, `16-mixed` or `bf16-mixed`.
    accelerator, devices
        `auto`, `cpu` or `gpu`, and how many; several GPUs share each step.
    compile
        Compile the network first (`torch.compile`); worth its minutes on a GPU only.
    """

    loss: LossName = "cross_entropy"
    class_weights: bool = True
    side_weight: float = 0.0
    region_weight: float = 0.0
    point_weight: float = 0.0
    epochs: int = 100
    batch_size: int = 32
    accumulate: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    layer_decay: float = 1.0
    head_rate: float = 1.0
    warmup: float = 0.1
    clip: float = 1.0
    validation_folds: int = 5
    patience: int = 20
    save_every: int = 1
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = 1
    compile: bool = False

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        if self.loss not in HEAD_OF:
            raise UserError(
                f'training.loss is "{self.loss}": choose one of {", ".join(HEAD_OF)}.'
                + did_you_mean(str(self.loss), HEAD_OF)
            )
        for name in ("epochs", "batch_size", "accumulate", "patience", "save_every", "devices"):
            if getattr(self, name) < 1:
                raise UserError(f"training.{name} is {getattr(self, name)}: give 1 or more.")
        if self.validation_folds < 2:
            raise UserError(
                f"training.validation_folds is {self.validation_folds}: give 2 or more, since "
                "validation patients choose the epoch."
            )
        if not 0 < self.layer_decay <= 1:
            raise UserError(
                f"training.layer_decay is {self.layer_decay}: give a value above 0, at most 1."
            )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A recipe: settings of the network (without classes), of augmentation and of training."""

    network: Mapping[str, Any]
    augmentation: Augmentation = field(default_factory=Augmentation)
    training: Training = field(default_factory=Training)
    name: str = "own"

    def config(self, *, num_classes: int) -> HTNetConfig:
        """Return the network's configuration for a number of classes."""
        settings = {
            **self.network,
            "num_classes": num_classes,
            "head": HEAD_OF[self.training.loss],
        }
        config = config_from(settings, source=f"recipe {self.name}")
        if (
            config.use_roi_module
            and self.training.region_weight
            and config.num_roi_regions != len(ROI_REGIONS)
        ):
            raise UserError(
                f"network.num_roi_regions is {config.num_roi_regions}, but its maps are taught "
                f"the {len(ROI_REGIONS)} regions {', '.join(ROI_REGIONS)}: give "
                f"{len(ROI_REGIONS)}, or training.region_weight 0 to leave the maps untaught."
            )
        return config

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for checkpoints and run.json."""
        return {
            "network": dict(self.network),
            "augmentation": dataclasses.asdict(self.augmentation),
            "training": dataclasses.asdict(self.training),
        }


def shipped(folder: Path = FOLDER) -> list[str]:
    """Names of the recipes that come with the project."""
    return sorted(file.stem for file in folder.glob("*.yaml"))


def read_recipe(name: str | Path) -> Recipe:
    """Read a shipped recipe by name, or a YAML file with the same sections.

    Raises
    ------
    UserError
        When there is no such recipe, or it holds a section or key that nothing reads.
    """
    path, content = read_sections(name, folder=FOLDER)
    return recipe_from(content, source=path.name, name=path.stem)


def read_sections(name: str | Path, *, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Read the sections of a recipe in `folder` by name, or of a YAML file; return its path too.

    Raises
    ------
    UserError
        When there is no such recipe, or it is no YAML with sections.
    """
    path = folder / f"{name}.yaml" if str(name) in shipped(folder) else Path(name)
    if not path.is_file():
        raise UserError(
            f"There is no recipe {name}: give one of {', '.join(shipped(folder))}, or a YAML file."
            + did_you_mean(str(name), shipped(folder))
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"The recipe {path} cannot be read ({error}).") from error
    if not isinstance(content, dict):
        raise UserError(f"The recipe {path} must hold the section network:.")
    return path, content


def recipe_from(content: Mapping[str, Any], *, source: str, name: str = "own") -> Recipe:
    """Make a recipe of nested settings; an unknown section or key is refused."""
    check_sections(content, source=source, derived=_DERIVED)
    recipe = Recipe(
        network=by_todays_names(content["network"], source=source),
        augmentation=section_from(
            Augmentation, content.get("augmentation", {}), section="augmentation", source=source
        ),
        training=section_from(
            Training, content.get("training", {}), section="training", source=source
        ),
        name=name,
    )
    recipe.config(num_classes=6)  # refuses unknown keys and impossible sizes
    return recipe


def by_todays_names(network: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """Return settings of a network with the names that earlier scripts used replaced by ours.

    Raises
    ------
    UserError
        When a setting is given under both its names with different values.
    """
    named: dict[str, Any] = {}
    for key, value in network.items():
        ours = _EARLIER_NAMES.get(key, key)
        if ours != key:
            print(f"Note: {source}: {key} is called network.{ours} here.", file=sys.stderr)
        if named.setdefault(ours, value) != value:
            raise UserError(f"{source}: {ours} is given twice, as {named[ours]} and as {value}.")
    return named


def check_sections(content: Mapping[str, Any], *, source: str, derived: tuple[str, ...]) -> None:
    """Refuse unknown sections, and network settings that follow from something else.

    Raises
    ------
    UserError
        With the section or setting that is wrong; `source` names the file.
    """
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


def with_changes(recipe: Recipe, changes: list[str]) -> Recipe:
    """Return the recipe with settings replaced, each given as `section.key=value` (YAML value)."""
    content = changed_sections(recipe.as_dict(), changes)
    return recipe_from(content, source="--change", name=recipe.name)


def changed_sections(content: dict[str, Any], changes: list[str]) -> dict[str, Any]:
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


def section_from(kind: type[_T], values: Mapping[str, Any], *, section: str, source: str) -> _T:
    """Make a section's dataclass of loose settings; numbers may be written as text, 1e-3.

    Raises
    ------
    UserError
        When a setting is unknown, or of another type than its default.
    """
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    made = {}
    for key, value in values.items():
        if key not in fields:
            raise UserError(
                f'{source}: {section} has no setting "{key}".{did_you_mean(key, fields)}'
            )
        default = fields[key].default
        if isinstance(default, float) and isinstance(value, int | float | str):
            value = _number(value, f"{source}: {section}.{key}")
        if type(value) is not type(default):
            raise UserError(
                f"{source}: {section}.{key} is {value!r}, but must be a {type(default).__name__}."
            )
        made[key] = value
    return kind(**made)


def _number(value: float | str, name: str) -> float:
    """Read a number; YAML 1.1 takes 1e-3 for text."""
    try:
        return float(value)
    except ValueError as error:
        raise UserError(f"{name} is {value!r}, but must be a number.") from error
