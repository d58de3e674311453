"""Miniature datasets: tiny photographs and spreadsheets made by the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from datasets.dataset import Dataset, Problem

WritePhoto = Callable[..., Path]


@pytest.fixture
def write_photo() -> WritePhoto:
    """Write a tiny photograph; two with the same `seed` have the same bytes."""
    made = iter(range(10_000, 1_000_000))

    def write(path: Path, *, seed: int | None = None) -> Path:
        rng = np.random.default_rng(next(made) if seed is None else seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (12, 10, 3), dtype=np.uint8)).save(path)
        return path

    return write


@pytest.fixture
def write_sheet() -> Callable[..., Path]:
    """Write rows (the first is the header) as CSV or Excel, by the file's ending."""

    def write(path: Path, rows: Iterable[Sequence[object]]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        frame = pd.DataFrame(list(rows))
        if path.suffix == ".xlsx":
            frame.to_excel(path, index=False, header=False)
        else:
            frame.to_csv(path, index=False, header=False)
        return path

    return write


@pytest.fixture
def problem_of() -> Callable[..., Problem]:
    """Return the one problem of a kind, so that a defect is found once and named."""

    def find(where: Dataset | Sequence[Problem], kind: str) -> Problem:
        problems = where.problems if isinstance(where, Dataset) else where
        found = [problem for problem in problems if problem.kind == kind]
        said = [(problem.kind, problem.sentence()) for problem in problems]
        assert len(found) == 1, f"{len(found)} problems of kind {kind} among {said}"
        return found[0]

    return find
