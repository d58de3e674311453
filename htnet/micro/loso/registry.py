"""The models of `micro loso` by name, and what each of them is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

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

    Raises
    ------
    UserError
        When there is no such model, or something that it needs is missing.
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


# Torch takes seconds to load: the networks are imported when they are asked for.
def _htnet(options: Options) -> list[Recogniser]:
    """One recogniser for each kind of input."""
    from htnet.micro.models.htnet import flow_model

    return [
        _network(flow_model(options.recipe, inputs=inputs, changes=options.changes), options)
        for inputs in options.inputs
    ]


def _residual(sees: str) -> Callable[[Options], list[Recogniser]]:
    def make(options: Options) -> list[Recogniser]:
        from htnet.micro.models.htnet import residual_model

        return [_network(residual_model("apex" if sees == "apex" else "flow"), options)]

    return make


def _roi(kind: RoiKind) -> Callable[[Options], list[Recogniser]]:
    def make(options: Options) -> list[Recogniser]:
        from htnet.micro.models.recipes import RoiRecipe, read_recipe
        from htnet.micro.models.roi_training import RoiModel

        if options.windows is None:
            raise UserError(
                f"roi-{kind} reads flow inside regions, which these clips have not: run micro "
                "flow with --regions and give its folder."
            )
        recipe = read_recipe(RoiRecipe, options.roi_recipe, changes=options.roi_changes)
        return [_network(RoiModel(kind, recipe, options.windows), options)]

    return make


def _network(model: object, options: Options) -> Recogniser:
    from htnet.micro.loso.networks import NetworkRecogniser

    return NetworkRecogniser(
        model,  # type: ignore[arg-type]
        folder=options.folder,
        jobs=options.jobs,
        device=options.device,
    )


REGISTRY: Mapping[str, Callable[[Options], list[Recogniser]]] = {
    "majority": lambda _: [Majority()],
    GUESSING: lambda _: [Guessing()],
    "kernel-ridge": lambda _: [KernelRidge()],
    "kernel-ridge-nested": lambda _: [NestedKernelRidge()],
    "svm": lambda _: [SupportVectors()],
    "logistic": lambda _: [Logistic()],
    "residual-apex": _residual("apex"),
    "residual-flow": _residual("flow"),
    "htnet": _htnet,
    "roi-temporal": _roi("temporal"),
    "roi-graph": _roi("graph"),
    "roi-hybrid": _roi("hybrid"),
}
