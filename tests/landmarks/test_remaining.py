"""What a retraining leaves to correct: the pace, the need, and their projection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.tables import write_table
from datasets.simulated.shape import AVERAGE_POINTS
from landmarks.points import N_POINTS, POINT_COLUMNS
from landmarks.review.corrections import COLUMNS, CORRECTIONS, CORRECTIONS_FILE
from landmarks.review.face import uncertainty
from landmarks.review.remaining import (
    PAUSE_S,
    Reviewed,
    needs_correction,
    read_reviewed,
    remaining_work,
    working_seconds,
)
from landmarks.tables import LANDMARKS

POINTS = AVERAGE_POINTS * 1.6 + (150.0, 150.0)


def journal(changes: list[tuple[str, float, str]], *, action: str = "move") -> pd.DataFrame:
    """Rows of `corrections.csv`: photograph, seconds, rater; each moves two points."""
    rows = []
    for image_id, second, rater in changes:
        at = pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(seconds=second)
        for point in (48, 54):
            place = (*POINTS[point], *(POINTS[point] + 3.0))
            rows.append((image_id, action, point, *place, None, rater, at.isoformat(), None))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"point": "Int64"})


def test_the_pace_leaves_pauses_out_and_keeps_raters_apart() -> None:
    found = working_seconds(
        journal(
            [
                ("a", 0, "anna"), ("a", 10, "anna"), ("a", 25, "anna"),  # 25 s
                ("b", 55, "anna"),  # 30 s with the way there
                ("a", 56, "berta"), ("b", 66, "berta"),  # nothing of anna's; 10 s more for b
                ("c", 55 + PAUSE_S + 1, "anna"),  # after a pause: not known
                ("d", 55 + PAUSE_S + 41, "anna"),  # 40 s
            ]
        )
    )  # fmt: skip
    assert found.to_dict() == pytest.approx({"a": 25.0, "b": 40.0, "d": 40.0})


def test_a_photograph_needs_correction_when_one_point_in_ten_is_off() -> None:
    across = np.hypot(*(POINTS[45] - POINTS[36]))
    drawn = np.stack([POINTS] * 4)
    drawn[0, 48:53, 1] += 0.06 * across  # 5 of 51 points
    drawn[1, 48:54, 1] += 0.06 * across  # 6 of 51
    drawn[2, 0:17, 1] += 0.5 * across  # only the jaw
    drawn[3] = np.nan
    true = np.stack([POINTS] * 4)
    limits = np.full(N_POINTS, 5.0)
    assert needs_correction(drawn, true, limits=limits).tolist() == [False, True, False, True]
    limits[48:54] = 7.0  # where raters differ more, less is off
    assert needs_correction(drawn, true, limits=limits).tolist() == [False, False, False, True]


def test_what_remains_is_projected_along_the_uncertainty() -> None:
    """Those looked at are the most uncertain, and the others need correction less often."""
    rng = np.random.default_rng(0)
    names = [f"p{k // 4}/{k % 4}" for k in range(200)]
    score = pd.Series(rng.uniform(0, 1, 200), index=names)
    score.iloc[:3] = np.inf  # no face was found
    tested = list(score[3:].nlargest(120).index[::2])
    reviewed = Reviewed(
        table=pd.DataFrame(), looked_at=frozenset(tested), given_up=frozenset(names[100:104]),
        uncertainty=score, seconds=pd.Series(30.0, index=tested[:20]),
    )  # fmt: skip
    in_truth = pd.Series(rng.uniform(0, 1, 200) < score**2, index=names)
    needing = in_truth[tested].to_numpy()
    found = remaining_work(
        reviewed, tested, needing, needed=np.ones(60, dtype=bool),
        patients={name: name.split("/")[0] for name in names},
    )  # fmt: skip
    unseen = score.drop([*reviewed.looked_at | reviewed.given_up])
    truth = int(in_truth[unseen.index].sum())
    same_share = needing.mean() * (len(unseen) - 3) + 3  # as if all were like those looked at
    assert abs(found.photographs.value - truth) < abs(same_share - truth) / 2
    assert found.photographs.low <= truth <= found.photographs.high
    assert (found.unseen, found.without_points) == (len(unseen), 3)
    assert found.seconds.value == 30.0
    assert found.minutes.value == pytest.approx(found.photographs.value / 2)
    assert found.surer == int((unseen < score[tested].min()).sum())
    assert "cannot be known" in " ".join(found.sentences())


def test_one_patient_gives_no_interval_and_no_journal_no_minutes() -> None:
    score = pd.Series([0.3, 0.2, 0.1], index=["a", "b", "c"])
    reviewed = Reviewed(
        table=pd.DataFrame(), looked_at=frozenset("a"), given_up=frozenset(),
        uncertainty=score, seconds=pd.Series(dtype=float),
    )  # fmt: skip
    yes = np.array([True])
    found = remaining_work(reviewed, ["a"], yes, needed=yes, patients={})
    assert found.photographs.value == 2.0
    assert np.isnan(found.photographs.low)
    assert np.isnan(found.minutes.value)
    assert "pace is not known" in " ".join(found.sentences())


def test_truth_is_what_a_person_corrected_or_called_right(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d"]
    table = pd.DataFrame(np.tile(POINTS.ravel(), (4, 1)), columns=list(POINT_COLUMNS))
    table.insert(0, "image_id", names)
    table.insert(1, "status", "ok")
    write_table(table, tmp_path / "landmarks.csv", schema=LANDMARKS)
    assert read_reviewed(tmp_path) is None
    moved = journal([("a", 0, "anna"), ("d", 9, "anna")])
    verdicts = journal([("b", 20, "anna")], action="checked").drop_duplicates("at")
    verdicts = pd.concat([verdicts, verdicts.assign(image_id="d", action="unmeasurable")])
    verdicts[["point", "from_x", "from_y", "to_x", "to_y"]] = None
    rows = pd.concat([moved, verdicts.astype({"point": "Int64"})], ignore_index=True)
    for file in (CORRECTIONS_FILE, "corrections-anna.csv"):
        write_table(rows, tmp_path / file, schema=CORRECTIONS)
        given = tmp_path if file == CORRECTIONS_FILE else tmp_path / file
        found = read_reviewed(given)
        assert found is not None
        assert found.truth()["image_id"].tolist() == ["a", "b"]
        assert found.given_up == {"d"}


def test_the_uncertainty_is_relative_to_the_face_and_worst_without_points() -> None:
    spread = np.full((4, N_POINTS, 2), 0.5)
    spread[3] = np.nan
    points = np.stack([POINTS, 2 * POINTS, np.full_like(POINTS, np.nan), POINTS])
    found = uncertainty(points, spread)
    assert found[0] == pytest.approx(2 * found[1])
    assert np.isinf(found[2])
    assert found[3] == 0.0
