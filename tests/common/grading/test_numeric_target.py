"""Scores are read from their column, checked against their scale, and mistakes are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.grading.numeric_target import NUMERIC, NumericTarget, any_target
from common.grading.predictions import answer_rows, read_either_unit, to_patients, write_predictions
from common.grading.target import TARGETS, refuse_two_grades

SOURCE = Path("manifest.csv")
SUNNYBROOK = NUMERIC["sunnybrook"]


def manifest(**columns: list[object]) -> pd.DataFrame:
    """Return a manifest whose own columns are text, as it is read."""
    n = len(next(iter(columns.values())))
    return pd.DataFrame(
        {
            "image_id": [f"{at}.jpg" for at in range(n)],
            "patient_id": [f"p{at}" for at in range(n)],
            **{name: pd.Series(values, dtype="str") for name, values in columns.items()},
        }
    )


def asked(name: str, **columns: list[object]) -> NumericTarget:
    found = any_target(name, table=manifest(**columns), source=SOURCE)
    assert isinstance(found, NumericTarget)
    return found


def test_a_known_scale_is_read_with_its_gaps() -> None:
    table = manifest(sunnybrook=["87", None, "12.5"])
    assert any_target("sunnybrook", table=table, source=SOURCE) is SUNNYBROOK
    np.testing.assert_array_equal(SUNNYBROOK.values(table), [87.0, np.nan, 12.5])
    assert SUNNYBROOK.severities(np.array([100.0, 20.0])).tolist() == [0.0, 80.0]
    assert any_target("six_grades", table=table, source=SOURCE) is TARGETS["six_grades"]


def test_another_numeric_column_is_a_target_with_its_observed_range() -> None:
    found = asked("lip_score", lip_score=["3", "7.5", None, "4"])
    assert (found.low, found.high, found.observed, found.healthy) == (3.0, 7.5, True, None)
    assert "as observed" in found.range_in_words
    assert NumericTarget.from_plain(found.plain()) == found


@pytest.mark.parametrize(
    ("name", "columns", "said"),
    [
        ("sunybrook", {"sunnybrook": ["3", "4"]}, 'Did you mean "sunnybrook"'),
        ("lip_scor", {"lip_score": ["3", "4"]}, 'Did you mean "lip_score"'),
        ("hb_grade", {"hb_grade": ["3", "4"]}, "graded by six_grades"),
        ("eface", {"sunnybrook": ["3", "4"]}, 'manifest.csv has no column "eface"'),
        ("sunnybrook", {"sunnybrook": ["30", "104", "-3"]},
         "row 3: column \"sunnybrook\" is 104 but the scale goes from 0 to 100 (1 more such row)"),
        ("sunnybrook", {"sunnybrook": ["30", "45,5"]}, 'row 3: column "sunnybrook" is "45,5"'),
        ("lip", {"lip": ["5", "5", None]}, "nothing to tell apart"),
        ("note", {"note": ["a", "b"]}, 'row 2: column "note" is "a" but must be a number'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_row(
    name: str, columns: dict[str, list[object]], said: str
) -> None:
    with pytest.raises(UserError) as error:
        asked(name, **columns)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (["87", "0.64", "30"], "two units: 0.64 in row 3, 87 in row 2"),
        (["26.8", "1.6", "0.268", "98.1"], "two units: 0.268 in row 4, 26.8 in row 2"),
        (["0.87", "0.64", "1"], "share of 1"),
    ],
)
def test_two_units_of_a_known_scale_are_refused(column: list[object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        asked("sunnybrook", sunnybrook=column)


def test_a_score_near_zero_among_fractions_is_one_unit() -> None:
    """As in simulated patients, whose items are continuous."""
    scores = ["0.4", "12.2", "55.5", "98"]
    assert any_target("sunnybrook", table=manifest(sunnybrook=scores), source=SOURCE) is SUNNYBROOK


def test_two_units_of_another_column_are_told_and_codes_are_not_mistaken_for_them() -> None:
    cm_and_mm = [str(value) for value in (0.8, 0.9, 1.1, 1.2, 8.5, 9.0, 11.0, 12.5)]
    assert "two units" in asked("smile", smile=cm_and_mm).notes[0]
    assert not asked("code", code=["1", "1", "10", "10", "100"]).notes
    spread = np.random.default_rng(0).lognormal(0, 1.2, size=60)
    assert not asked("lab", lab=list(map(str, spread))).notes


def test_one_score_for_a_patient_or_for_each_visit() -> None:
    rows = pd.DataFrame(
        {"patient_id": ["a", "a", "b"], "sunnybrook": [40.0, 60.0, 90.0], "visit": ["1", "2", "1"]}
    )
    with pytest.raises(UserError, match=r'"a".*different scores \(sunnybrook 40.0 and 60.0\)'):
        refuse_two_grades(rows, column="sunnybrook")
    refuse_two_grades(rows, column="sunnybrook", by=["patient_id", "visit"])
    with pytest.raises(UserError, match='"a" has photographs of visit 1 of different scores'):
        refuse_two_grades(rows.assign(visit="1"), column="sunnybrook", by=["patient_id", "visit"])


def test_answers_round_trip_and_visits_stay_apart(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {
            "image_id": ["1", "2", "3", "4"],
            "patient_id": ["a", "a", "a", "b"],
            "visit": ["1", "1", "2", None],
            "sunnybrook": [40.0, 40.0, 60.0, 90.0],
        }
    )
    made = answer_rows(
        rows, target=SUNNYBROOK, unit="photograph", answers=np.array([30.0, 50.0, 55.0, 120.0]),
        repeat=1, fold=1, model="ridge", bounds=np.array([[20.0, 40.0]] * 3 + [[80.0, 140.0]]),
    )  # fmt: skip
    assert made["predicted"].max() == 100.0  # cut off at the end of the scale
    path = tmp_path / "predictions.csv"
    write_predictions(made, path, target=SUNNYBROOK)
    back, unit = read_either_unit(path, target=SUNNYBROOK)
    assert unit == "photograph"
    patients = to_patients(back, target=SUNNYBROOK)
    assert patients["predicted"].tolist() == [40.0, 55.0, 100.0]
    assert patients[["low", "high"]].isna().all(axis=None)
    write_predictions(patients, path, target=SUNNYBROOK, unit="patient")
    assert read_either_unit(path, target=SUNNYBROOK)[1] == "patient"
