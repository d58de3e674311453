"""The models of `micro loso` by name, and what each of them is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from common.errors import UserError, did_you_mean
from htnet.micro.clips.maps import InputName, RegionWindows, RoiKind
from htnet.micro.loso.folds import Recogniser
from htnet.micro.models.baselines import (
    Guessing,
    KernelRidge,
    Logistic,
    Majority,
    NestedKernelRidge,
    SupportVectors,
)

CLASSICAL = ("majority", "kernel-ridge", "kernel-ridge-nested", "svm", "logistic")
"""Run beside every network, asked for or not: they take seconds."""

GUESSING = "guessing"
DEFAULT = ("htnet",)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the networks need to know, as in `micro loso`; classical models have no options.

    `windows` are the region windows of the clips, for the ROI models; in `folder` networks keep
    finished folds, so that a run that was stopped goes on.
    """

    recipe: str = "small"
    roi_recipe: str = "roi-small"
    inputs: tuple[InputName, ...] = ("whole",)
    changes: tuple[str, ...] = ()
    roi_changes: tuple[str, ...] = ()
    windows: RegionWindows | None = None
    folder: Path | None = None
    jobs: int = 1
    device: str = "auto"


def recognisers_named(names: tuple[str, ...], *, options: Options) -> list[Recogniser]:
    """Return the models of these names, and the classical ones beside them, in a fixed order.

    UserError when there is no such model, or something that it needs is missing.
    """
    for name in names:
        if name not in REGISTRY:
            raise UserError(
                f'There is no model "{name}": choose from {", ".join(REGISTRY)}.'
                + did_you_mean(name, REGISTRY)
            )
    made: list[Recogniser] = []
    for name, make in REGISTRY.items():
        if name in names or name in CLASSICAL:
            made += make(options)
    return made


def _networks(
    models: Callable[[Options], Iterable[Any]],
) -> Callable[[Options], list[Recogniser]]:
    """Return what makes a recogniser of each model; torch takes seconds to load, so not earlier."""

    def recognisers(options: Options) -> list[Recogniser]:
        from htnet.micro.loso.networks import NetworkRecogniser

        return [
            NetworkRecogniser(
                model, folder=options.folder, jobs=options.jobs, device=options.device
            )
            for model in models(options)
        ]

    return recognisers


def _htnet(options: Options) -> Iterable[Any]:
    """One network for each kind of input."""
    from htnet.micro.models.htnet import flow_model

    for inputs in options.inputs:
        yield flow_model(options.recipe, inputs=inputs, changes=options.changes)


def _residual(sees: Literal["flow", "apex"]) -> Iterable[Any]:
    from htnet.micro.models.htnet import residual_model

    yield residual_model(sees)


def _roi(kind: RoiKind, options: Options) -> Iterable[Any]:
    from htnet.micro.models.recipes import RoiRecipe
    from htnet.micro.models.roi_training import RoiModel
    from htnet.recipe import read_recipe

    if options.windows is None:
        raise UserError(
            f"roi-{kind} reads flow inside regions, which these clips have not: run micro flow "
            "with --regions and give its folder."
        )
    recipe = read_recipe(RoiRecipe, options.roi_recipe, changes=options.roi_changes)
    yield RoiModel(kind, recipe, options.windows)


REGISTRY: Mapping[str, Callable[[Options], list[Recogniser]]] = {
    "majority": lambda _: [Majority()],
    GUESSING: lambda _: [Guessing()],
    "kernel-ridge": lambda _: [KernelRidge()],
    "kernel-ridge-nested": lambda _: [NestedKernelRidge()],
    "svm": lambda _: [SupportVectors()],
    "logistic": lambda _: [Logistic()],
    "residual-apex": _networks(lambda _: _residual("apex")),
    "residual-flow": _networks(lambda _: _residual("flow")),
    "htnet": _networks(_htnet),
    "roi-temporal": _networks(partial(_roi, "temporal")),
    "roi-graph": _networks(partial(_roi, "graph")),
    "roi-hybrid": _networks(partial(_roi, "hybrid")),
}
