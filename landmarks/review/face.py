"""One photograph under review: its marks now, what the model drew, and what was changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from landmarks.find.iris import Irises
from landmarks.points import N_POINTS
from landmarks.review.corrections import Move
from landmarks.review.marks import marks_of
from landmarks.review.uncertainty import uncertainty
from landmarks.tables import SPREAD_COLUMNS, points_of


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
        """Sort key, larger is worse; see `landmarks.review.uncertainty`."""
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
