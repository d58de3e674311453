"""Models that are kept for new clips: a folder with `grader.json` and its numbers, no code.

grader.json            what it is, which classes it knows, and how clips must be turned into maps
weights.safetensors    networks, or the training maps and coefficients of a kernel ridge regression
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from common.errors import UserError
from common.files import atomic_write, write_json
from htnet.micro.clips.results import ClipMaps
from htnet.micro.models.graders import Content, HTNetGrader, KernelRidgeGrader, RoiGrader

CARD, WEIGHTS = "grader.json", "weights.safetensors"


@dataclass(frozen=True, kw_only=True)
class FlowNeeds:
    """How clips must be turned into maps: as those that the model was trained on.

    Attributes
    ----------
    method
        Of the flow: `dis`, `tvl1` or `farneback`.
    scaling
        `physical` or `published`.
    regions
        Names of the regions; empty when the model reads the map of the whole face.
    region_size
        Side of a region's map in px; 0 without regions.
    """

    method: str
    scaling: str
    regions: tuple[str, ...] = ()
    region_size: int = 0


class ClipGrader(Protocol):
    """Anything kept that can answer new clips."""

    @property
    def kind(self) -> str:
        """Which reader understands the folder."""
        ...

    def seen(self, clip: ClipMaps) -> NDArray[np.floating]:
        """Return what it reads of a clip that is ok, `(1, ...)`."""
        ...

    def answers(self, maps: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return class probabilities `(n, k)`."""
        ...

    def importance(self, maps: NDArray[np.floating]) -> dict[str, float]:
        """Return the share of each region in the answers; empty where the model knows none."""
        ...

    def content(self) -> Content:
        """Return settings and numbers to be kept."""
        ...


@dataclass(frozen=True)
class KeptGrader:
    """A grader with its classes and needs.

    Attributes
    ----------
    grader
        What answers.
    classes
        Names, in the order of the probabilities.
    needs
        How clips must be turned into maps.
    notes
        Where it comes from: clips, subjects, recipe, seed.
    """

    grader: ClipGrader
    classes: tuple[str, ...]
    needs: FlowNeeds
    notes: Mapping[str, Any]


_READERS: dict[str, Callable[..., ClipGrader]] = {
    "htnet": HTNetGrader.read,
    "roi": RoiGrader.read,
    "kernel ridge": KernelRidgeGrader.read,
}


def save_grader(kept: KeptGrader, folder: Path) -> None:
    """Write a grader's folder: text and numbers, no code."""
    settings, state = kept.grader.content()
    with atomic_write(folder / WEIGHTS) as temporary:
        save_file(state, temporary)
    write_json(
        folder / CARD,
        {
            "kind": kept.grader.kind,
            "classes": list(kept.classes),
            "needs": dataclasses.asdict(kept.needs),
            "settings": settings,
            "notes": dict(kept.notes),
        },
    )


def load_grader(folder: Path) -> KeptGrader:
    """Read a grader's folder.

    Raises
    ------
    UserError
        When a file is missing or damaged, or the two do not belong together.
    """
    path = folder / CARD
    if not path.is_file():
        raise UserError(f"{folder} holds no {CARD}: give a folder that micro fit wrote.")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        kind, classes = card["kind"], tuple(card["classes"])
        needs = FlowNeeds(**{**card["needs"], "regions": tuple(card["needs"]["regions"])})
        settings, notes = card["settings"], card["notes"]
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(
            f"{folder} cannot be read as a kept grader ({error}): run micro fit again."
        ) from error
    if kind not in _READERS:
        raise UserError(f'{path}: there is no grader of the kind "{kind}".')
    grader = _READERS[kind](settings, state, source=str(folder))
    return KeptGrader(grader, classes, needs, notes)
