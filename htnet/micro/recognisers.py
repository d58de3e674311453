"""The models of `micro loso` by name, and what each of them is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError, did_you_mean
from htnet.micro.answers import Recogniser
from htnet.micro.baselines import KernelRidge, Logistic, Majority, SupportVectors
from htnet.micro.ensemble import PatchEnsemble
from htnet.micro.guessing import Guessing
from htnet.micro.inputs import InputName
from htnet.micro.nested import NestedKernelRidge
from htnet.micro.region_windows import RegionWindows
from htnet.micro.roi_configuration import RoiModel

CLASSICAL = ("majority", "kernel-ridge", "kernel-ridge-nested", "svm", "logistic")
"""Run beside every network, asked for or not: they take seconds."""

GUESSING = "guessing"
NETWORKS = ("htnet", "roi-temporal", "roi-graph", "roi-hybrid")
DEFAULT = ("patch-ensemble", "htnet")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the networks need to know; classical models have no options.

    Attributes
    ----------
    recipe
        Of HTNet: `small`, `paper`, or a YAML file.
    roi_recipe
        Of the ROI models: `roi-small`, `roi`, or a YAML file.
    inputs
        What HTNet sees, a network for each: the whole map, the mosaic of five regions, or both.
    changes, roi_changes
        Settings of the recipes to replace, each `section.key=value`.
    windows
        Region windows of the clips, for the ROI models.
    folder
        Where networks keep finished folds, so that a run that was stopped goes on.
    jobs
        Worker processes of the ROI models.
    device
        `auto`, `cpu` or `cuda`.
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


def _htnet(options: Options) -> list[Recogniser]:
    """One recogniser for each kind of input."""
    from htnet.micro.htnet_recogniser import htnet_recogniser

    return [
        htnet_recogniser(
            options.recipe,
            inputs=inputs,
            folder=options.folder,
            device=options.device,
            changes=options.changes,
        )
        for inputs in options.inputs
    ]


def _roi(model: RoiModel) -> Callable[[Options], list[Recogniser]]:
    def make(options: Options) -> list[Recogniser]:
        from htnet.micro.roi_recipe import read_roi_recipe, with_roi_changes
        from htnet.micro.roi_recogniser import RoiRecogniser

        if options.windows is None:
            raise UserError(
                f"roi-{model} reads flow inside regions, which these clips have not: run micro "
                "flow with --regions and give its folder."
            )
        return [
            RoiRecogniser(
                options.windows,
                model,
                with_roi_changes(read_roi_recipe(options.roi_recipe), list(options.roi_changes)),
                folder=options.folder,
                jobs=options.jobs,
                device=_device(options.device),
            )
        ]

    return make


def _device(asked: str) -> str:
    import torch

    if asked != "auto":
        return asked
    return "cuda" if torch.cuda.is_available() else "cpu"


REGISTRY: Mapping[str, Callable[[Options], list[Recogniser]]] = {
    "majority": lambda _: [Majority()],
    GUESSING: lambda _: [Guessing()],
    "kernel-ridge": lambda _: [KernelRidge()],
    "kernel-ridge-nested": lambda _: [NestedKernelRidge()],
    "svm": lambda _: [SupportVectors()],
    "logistic": lambda _: [Logistic()],
    "patch-ensemble": lambda _: [PatchEnsemble()],
    "htnet": _htnet,
    "roi-temporal": _roi("temporal"),
    "roi-graph": _roi("graph"),
    "roi-hybrid": _roi("hybrid"),
}
