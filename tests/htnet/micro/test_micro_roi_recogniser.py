"""Leave-one-subject-out of the ROI models: both rules, resumable, the same for any workers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from htnet.micro.answers import LosoAnswers
from htnet.micro.roi_models import build_roi
from htnet.micro.roi_recogniser import RoiRecogniser, chosen_epochs
from htnet.micro.roi_training import RoiTrained
from tests.htnet.micro.drawn_regions import drawn_regions, tiny_recipe

QUICK = tiny_recipe("training.epochs=3", "training.learning_rate=0.01")


def values(answers: list[LosoAnswers]) -> list[tuple[str, int, list[list[float]]]]:
    return [(one.rule, one.seed, one.probabilities.tolist()) for one in answers]


def test_every_clip_is_answered_by_both_rules_for_every_seed() -> None:
    windows, maps = drawn_regions()
    recogniser = RoiRecogniser(windows, "graph", QUICK)
    answers = recogniser.leave_one_subject_out(maps, seeds=(0, 1))
    assert [(one.seed, one.rule) for one in answers] == [
        (0, "honest"), (0, "published"), (1, "honest"), (1, "published")
    ]  # fmt: skip
    for one in answers:
        assert one.model == recogniser.name == "roi-small graph"
        assert one.probabilities.shape == (16, 2)
        np.testing.assert_allclose(one.probabilities.sum(axis=1), 1)
    assert values(answers)[0] != values(answers)[2]


def test_workers_and_a_restart_change_nothing(tmp_path: Path) -> None:
    windows, maps = drawn_regions()
    alone = RoiRecogniser(windows, "hybrid", QUICK, folder=tmp_path)
    expected = alone.leave_one_subject_out(maps, seeds=(0,))
    folds = sorted(tmp_path.glob("roi-small-hybrid/seed_0/fold_*.json"))
    assert len(folds) == 4
    together = replace(alone, folder=None, jobs=2).leave_one_subject_out(maps, seeds=(0,))
    assert values(together) == values(expected)
    untouched = folds[0].stat().st_mtime_ns
    folds[2].unlink()
    again = alone.leave_one_subject_out(maps, seeds=(0,))
    assert values(again) == values(expected)
    assert folds[0].stat().st_mtime_ns == untouched
    kept = json.loads(folds[2].read_text(encoding="utf-8"))
    assert kept["subject"] == "drawn/s2"
    shares = pd.read_csv(tmp_path / "roi-small-hybrid" / "region_importance.csv")
    assert shares["subject"].tolist() == [f"drawn/s{number}" for number in range(4)]
    np.testing.assert_allclose(shares[["eyes", "eyebrows", "mouth"]].sum(axis=1), 1)


def test_answers_of_other_settings_or_clips_are_refused(tmp_path: Path) -> None:
    windows, maps = drawn_regions()
    first = RoiRecogniser(windows, "graph", QUICK, folder=tmp_path)
    first.leave_one_subject_out(maps, seeds=(0,))
    longer = replace(first, recipe=tiny_recipe("training.epochs=4"))
    with pytest.raises(UserError, match=r"other settings \(training\)"):
        longer.leave_one_subject_out(maps, seeds=(0,))
    moved = windows.values.copy()
    moved[5] *= 2
    other = replace(first, windows=replace(windows, values=moved))
    with pytest.raises(UserError, match=r"other settings \(clips\)"):
        other.leave_one_subject_out(maps, seeds=(0,))


def test_answers_are_learned_from_other_subjects() -> None:
    """A motion that is strong enough is recognised in people who were never seen."""
    windows, maps = drawn_regions(subjects=5, motion=0.02)
    recipe = tiny_recipe("training.epochs=25", "training.learning_rate=0.01")
    honest, _ = RoiRecogniser(windows, "temporal", recipe).leave_one_subject_out(maps, seeds=(0,))
    assert (honest.predicted == maps.label).mean() > 0.8


def test_choosing_the_epoch_on_the_held_out_subject_finds_what_is_not_there() -> None:
    """Clips of pure noise: honest answers are guesses, the published rule makes them look good."""
    windows, maps = drawn_regions(subjects=8, clips=3, classes=3, motion=0.0)
    recipe = tiny_recipe(
        "training.epochs=15", "training.patience=15", "training.learning_rate=0.01"
    )
    honest, published = RoiRecogniser(windows, "graph", recipe).leave_one_subject_out(
        maps, seeds=(0,)
    )
    right = [(one.predicted == maps.label).mean() for one in (honest, published)]
    assert right[0] < 0.33 + 0.2  # 24 guesses of three: two standard errors
    assert right[1] > right[0] + 0.2


def test_the_published_epoch_is_the_first_with_most_clips_right() -> None:
    right, wrong = [0.2, 0.8], [0.7, 0.3]
    epochs = np.array([[right, wrong], [right, right], [right, right], [wrong, wrong]])
    config = QUICK.config(model="graph", num_classes=2, regions=("mouth",), windows=4)
    trained = RoiTrained(build_roi(config), best_epoch=4, losses=(1.0,) * 4, answers=epochs)
    assert chosen_epochs(trained, np.array([1, 1])) == {"honest": 4, "published": 2}
