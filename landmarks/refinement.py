"""What a clinic's corrections taught about a model's points: numbers in a file, and their source.

`landmarks.find.refinement` moves points by them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from common.errors import UserError
from common.files import atomic_write
from landmarks.points import REGIONS

SUFFIX = ".safetensors"
SHOWN = {name: tuple(own) for name, own in REGIONS.items() if not name.startswith("left_")}
"""Regions of the face as shown; those of its left side are seen in the mirrored face."""

_ABOUT = "refinement"
_NUMBERS = ("basis", "mean", "weights")


@dataclass(frozen=True)
class Regression:
    """How the points of one region move, in one round.

    `basis`: `(200, k)` directions in which patches differ most, and their `mean`, `(200,)`.
    `weights`: `(k * points + 1, 2 * points)`, px of the levelled face; the last row is constant.
    """

    basis: NDArray[np.float32]
    mean: NDArray[np.float32]
    weights: NDArray[np.float32]

    def shift(self, patches: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the shift `(n, points, 2)` that patches `(n, points, 200)` ask for."""
        n, points = patches.shape[:2]
        known = ((patches - self.mean) @ self.basis).reshape(n, -1)
        said = known @ self.weights[:-1] + self.weights[-1]
        return np.asarray(said.reshape(n, points, 2), dtype=np.float64)


Round = Mapping[str, Regression]
"""By region of `SHOWN`; regions that nothing was learned for are missing."""


@dataclass(frozen=True)
class Refinement:
    """What corrections taught, and of which model's points.

    `rounds`: one after the other; none leaves points where they are. `about`: plain values: `base`
    and `base_sha256` of the model whose points are moved, and what the card says.
    """

    rounds: tuple[Round, ...]
    about: Mapping[str, Any]

    def save(self, path: Path) -> None:
        """Write numbers and plain text, none of which can run anything."""
        numbers = {
            f"{k}.{region}.{name}": np.ascontiguousarray(getattr(one, name))
            for k, regressions in enumerate(self.rounds)
            for region, one in regressions.items()
            for name in _NUMBERS
        }
        with atomic_write(path) as temporary:
            save_file(numbers, temporary, metadata={_ABOUT: json.dumps(self.about, sort_keys=True)})

    @classmethod
    def load(cls, path: Path) -> Refinement:
        """Read a file of `save`. UserError when it is none, or not whole."""
        rounds: list[dict[str, Regression]] = []
        try:
            with safe_open(path, "numpy") as file:
                about = json.loads((file.metadata() or {})[_ABOUT])
                keys = file.keys()
                for k, region in sorted({tuple(key.split(".")[:2]) for key in keys}):
                    rounds += [{}] if int(k) == len(rounds) else []
                    rounds[int(k)][region] = Regression(
                        **{name: file.get_tensor(f"{k}.{region}.{name}") for name in _NUMBERS}
                    )
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            raise UserError(
                f"{path} is not a whole landmark refinement of train-landmarks: train it again, or "
                "give another model with --predictor."
            ) from error
        return cls(tuple(rounds), about)
