"""Leave-one-subject-out of the ROI models: both rules, resumable, the same for any workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from common.workers import Outcome, supervised_map
from htnet.micro.clips.maps import RegionWindows
from htnet.micro.loso.folds import LosoAnswers
from htnet.micro.loso.networks import NetworkRecogniser
from htnet.micro.models.recipes import RoiRecipe
from htnet.micro.models.training import RoiModel
from tests.htnet.micro.drawn_regions import drawn_regions, tiny_recipe

QUICK = tiny_recipe("training.epochs=2", "training.learning_rate=0.01")


def recogniser(
    windows: RegionWindows, kind: str, recipe: RoiRecipe = QUICK, folder: Path | None = None
) -> NetworkRecogniser:
    return NetworkRecogniser(RoiModel(kind, recipe, windows), folder=folder, device="cpu")


def values(
    answers: list[LosoAnswers],
) -> list[tuple[str, tuple[int, ...], list[list[list[float]]]]]:
    return [(one.rule, one.seeds, one.probabilities.tolist()) for one in answers]


def one_worker_backwards(*given: Any, jobs: int, **options: Any) -> Iterator[Outcome]:
    """One process, which takes seconds to start, and its answers in another order."""
    yield from reversed(list(supervised_map(*given, jobs=1, **options)))


def test_a_worker_and_a_restart_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows, maps = drawn_regions()
    alone = recogniser(windows, "hybrid", folder=tmp_path)
    expected = alone.leave_one_subject_out(maps, seeds=(0,))
    assert [(one.model, one.seeds, one.rule) for one in expected] == [
        ("roi-small hybrid", (0,), "honest"), ("roi-small hybrid", (0,), "published")
    ]  # fmt: skip
    folds = sorted(tmp_path.glob("roi-small-hybrid/*/seed_0/fold_*.npz"))
    assert len(folds) == 4
    monkeypatch.setattr("htnet.micro.loso.networks.supervised_map", one_worker_backwards)
    together = replace(alone, folder=None, jobs=2).leave_one_subject_out(maps, seeds=(0,))
    assert values(together) == values(expected)
    untouched = folds[0].stat().st_mtime_ns
    folds[2].unlink()
    again = alone.leave_one_subject_out(maps, seeds=(0,))
    assert values(again) == values(expected)
    assert folds[0].stat().st_mtime_ns == untouched
    (table,) = tmp_path.glob("roi-small-hybrid/*/region_importance.csv")
    shares = pd.read_csv(table)
    assert shares["subject"].tolist() == [f"drawn/s{number}" for number in range(4)]
    np.testing.assert_allclose(shares[["eyes", "eyebrows", "mouth"]].sum(axis=1), 1, atol=1e-6)
