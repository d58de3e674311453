"""Two raters compared: exact where they are equal, by hand where they are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.tables import write_table
from datasets.simulated.shape import AVERAGE_POINTS
from features.commands.agreement import agreement, point_agreement
from landmarks.points import LEFT_EYE_OUTER, POINT_COLUMNS, RIGHT_EYE_OUTER
from landmarks.tables import LANDMARKS


def rated(folder: Path, name: str, *, noise: float, n: int = 12, shift: float = 0.0) -> Path:
    """A landmark table of n faces that differ, seen by a rater with some noise of the hand."""
    faces = np.random.default_rng(1).normal(0, 3.0, (n, 68, 2)) + AVERAGE_POINTS * 2 + 200
    hand = np.random.default_rng(sum(map(ord, name))).normal(0, 1.0, faces.shape)
    points = faces + noise * hand + (0.0, shift)
    table = pd.DataFrame(points.reshape(n, -1), columns=list(POINT_COLUMNS))
    table.insert(0, "image_id", [f"p{k // 2}/{k}.jpg" for k in range(n)])
    table.insert(1, "status", "ok")
    path = folder / name / "landmarks.csv"
    write_table(table, path, schema=LANDMARKS)
    return path


def test_a_rater_agrees_with_themselves(tmp_path: Path) -> None:
    one = rated(tmp_path, "anna", noise=0.0)
    found = agreement(one, one, out=tmp_path / "out")
    assert (found.points[["mean", "p95", "bias_x", "bias_y"]] == 0).all(axis=None)
    assert (found.features["smallest_detectable_change"] == 0).all()
    assert found.features["icc"].to_numpy() == pytest.approx(1.0)
    assert (tmp_path / "out" / "report.html").is_file()


def test_more_noise_of_the_hand_is_less_agreement(tmp_path: Path) -> None:
    one = rated(tmp_path, "anna", noise=0.0)
    little, much = (
        agreement(one, rated(tmp_path, name, noise=noise), out=tmp_path / f"out-{name}")
        for name, noise in (("berta", 0.3), ("carla", 3.0))
    )
    assert little.points["mean"].max() < much.points["mean"].min()
    assert little.features["icc"].median() > 0.9 > much.features["icc"].median()
    changes = [each.features["smallest_detectable_change"] for each in (little, much)]
    assert (changes[0] < changes[1]).all()


def test_a_shift_of_one_rater_is_bias_of_points_and_none_of_features() -> None:
    points = np.random.default_rng(0).normal(0, 2.0, (5, 68, 2)) + AVERAGE_POINTS * 2
    eyes = points[:, LEFT_EYE_OUTER] - points[:, RIGHT_EYE_OUTER]
    found = point_agreement(points, points + np.array([0.0, 2.0]))
    expected = np.mean(200.0 / np.hypot(eyes[:, 0], eyes[:, 1]))
    assert found["bias_y"].to_numpy() == pytest.approx(expected)
    assert found["bias_x"].to_numpy() == pytest.approx(0.0)


def test_tables_without_common_photographs_are_refused(tmp_path: Path) -> None:
    one, two = rated(tmp_path, "anna", noise=0.0), rated(tmp_path, "berta", noise=0.0, n=2)
    with pytest.raises(UserError, match="share 2 photographs"):
        agreement(one, two, out=tmp_path / "out")
