"""One photograph under review: its marks now, what the model drew, and what was changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.files import found_table
from common.tables import read_table
from landmarks.find.extraction import SPREADS_FILE
from landmarks.find.iris import Irises
from landmarks.points import INNER, LEFT_EYE_OUTER, N_POINTS, RIGHT_EYE_OUTER
from landmarks.review.corrections import Move
from landmarks.review.marks import marks_of
from landmarks.tables import SPREAD_COLUMNS, SPREADS, points_of


@dataclass
class Face:
    """One photograph under review."""

    # the photograph; the patient is empty where nobody is named
    image_id: str
    path: Path
    patient: str
    # of the landmark table
    status: str
    reason: str
    # `(72, 2)` px now, and as the model drew them; see `landmarks.review.marks`
    marks: NDArray[np.float64]
    machine: NDArray[np.float64]
    spread: NDArray[np.float64] | None  # `(68, 2)` px over the altered copies, or None
    has_irises: bool = False  # whether irises were looked for
    # changes that can be taken back, and those that can be made again
    undo: list[Sequence[Move]] = field(default_factory=list)
    redo: list[Sequence[Move]] = field(default_factory=list)
    judged: str = ""  # `checked`, `unmeasurable` or empty

    @property
    def points(self) -> NDArray[np.float64]:
        """The 68 points now."""
        return self.marks[:N_POINTS]

    @property
    def is_corrected(self) -> bool:
        """Whether a mark lies elsewhere than the model put it."""
        return bool(self.undo) and not np.array_equal(self.marks, self.machine, equal_nan=True)

    @cached_property
    def uncertainty(self) -> float:
        """Sort key, larger is worse; see `landmarks.review.face`."""
        spread = np.full((N_POINTS, 2), np.nan) if self.spread is None else self.spread
        return float(uncertainty(self.machine[None, :N_POINTS], spread[None])[0])

    def moves_to(self, targets: Mapping[int, tuple[float, float]]) -> list[Move]:
        """Return what moves when marks come to lie at `targets` (by mark, px; NaN takes away)."""
        moves = [
            Move(mark, (float(x), float(y)), end)
            for mark, end in sorted(targets.items())
            for x, y in [self.marks[mark]]
        ]
        return [one for one in moves if not np.array_equal(one.start, one.end, equal_nan=True)]

    def step(self, action: str) -> Sequence[Move]:
        """Return what `undo` or `redo` moves; nothing when there is nothing to take back."""
        if action == "redo":
            return self.redo[-1] if self.redo else ()
        return [Move(m.point, m.end, m.start) for m in self.undo[-1]] if self.undo else ()

    def take(self, action: str, moves: Sequence[Move]) -> None:
        """Make a change that the journal holds: a `move`, or `undo` or `redo` of the last one."""
        for move in moves:
            self.marks[move.point] = move.end
        if action == "move":
            self.undo.append(moves)
            self.redo.clear()
            return
        source, target = (self.undo, self.redo) if action == "undo" else (self.redo, self.undo)
        if source:
            target.append(source.pop())


def faces_of(
    table: pd.DataFrame,
    *,
    paths: Mapping[str, Path],
    spreads: pd.DataFrame | None = None,
    irises: Mapping[str, Irises] | None = None,
    patients: Mapping[str, str] | None = None,
) -> list[Face]:
    """Return the photographs of a landmark table, in its order; see `Session` for the rest."""
    of_copies: dict[str, NDArray[np.float64]] = {}
    if spreads is not None:
        values = spreads[list(SPREAD_COLUMNS)].to_numpy(dtype=np.float64).reshape(-1, N_POINTS, 2)
        of_copies = dict(zip(spreads["image_id"], values, strict=True))
    reasons = table["reason"] if "reason" in table else pd.Series(None, index=table.index)
    faces = []
    for image_id, status, reason, points in zip(
        table["image_id"], table["status"], reasons, points_of(table), strict=True
    ):
        machine = marks_of(points, (irises or {}).get(image_id))
        faces.append(
            Face(
                image_id=image_id,
                path=paths[image_id],
                patient=(patients or {}).get(image_id, ""),
                status=status,
                reason="" if pd.isna(reason) else str(reason),
                marks=machine.copy(),
                machine=machine,
                spread=of_copies.get(image_id),
                has_irises=bool(irises),
            )
        )
    return faces


def uncertainty(points: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `(n,)`, larger is worse: infinite without points, 0 where nothing is known.

    The mean length of the spreads of the 51 inner points, in outer-eye distances: of the orders
    that `benchmarks/review_order.py` compares, the one that was best on simulated patients.

    `points`: `(n, 68, 2)` px as the model drew them; NaN where it found no face.
    `spread`: `(n, 68, 2)` px over the altered copies, of which half are mirrored, so that a
    model that treats the sides differently shows too; NaN without copies.
    """
    across = points[:, LEFT_EYE_OUTER] - points[:, RIGHT_EYE_OUTER]
    lengths = np.hypot(spread[..., 0], spread[..., 1])[:, list(INNER)].mean(axis=1)
    found = np.nan_to_num(lengths / np.hypot(across[:, 0], across[:, 1]), nan=0.0)
    return np.where(np.isfinite(points).all(axis=(1, 2)), found, np.inf)


def spreads_beside(landmarks: Path) -> pd.DataFrame | None:
    """Read the spreads that lie beside a landmark table; None where no copies were made."""
    path = landmarks.with_name(SPREADS_FILE)
    return read_table(path, schema=SPREADS) if found_table(path).is_file() else None


def uncertainty_of(table: pd.DataFrame, spreads: pd.DataFrame | None) -> pd.Series:
    """Return the uncertainty of each photograph of a landmark table, by `image_id`."""
    ids = table["image_id"]
    values = np.full((len(table), N_POINTS, 2), np.nan)
    if spreads is not None:
        known = spreads.set_index("image_id")[list(SPREAD_COLUMNS)].reindex(ids)
        values = known.to_numpy(dtype=np.float64).reshape(values.shape)
    return pd.Series(uncertainty(points_of(table), values), index=pd.Index(ids))
