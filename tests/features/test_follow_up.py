"""Changes between visits: known errors are found again, and what cannot be told is not judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from common.errors import UserError
from features.commands.follow_up import follow_up
from features.follow_up import follow, healthy_end

NOISE = 3.0


def visits_of(
    patients: int = 40, *, visits: int = 2, repeats: int = 2, seed: int = 0
) -> pd.DataFrame:
    """Photographs of patients of whom every second one gains 20 points at each visit."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"P{p}", str(v + 1), 50.0 + p / 10 + 20 * v * (p % 2) + rng.normal(0, NOISE))
        for p in range(patients)
        for v in range(visits)
        for _ in range(repeats)
    ]
    return pd.DataFrame(rows, columns=["patient_id", "visit", "sunnybrook"])


def verdicts(changes: pd.DataFrame, *, changed: bool) -> pd.Series:
    number = changes["patient_id"].str[1:].astype(int)
    return changes.loc[number % 2 == changed, "verdict"]


def test_true_changes_are_called_and_noise_is_not() -> None:
    found = follow(visits_of(200))
    (error,) = found.errors.to_dict("records")
    assert error["df"] == 400 and error["source"] == "repeated photographs"
    assert error["sd"] == pytest.approx(NOISE, rel=0.1)
    limit = student.ppf(0.975, 400) * error["sd"] * np.sqrt(1 / 2 + 1 / 2)
    np.testing.assert_allclose(found.changes["smallest_detectable"], limit)
    assert (verdicts(found.changes, changed=True) == "better").all()
    false_calls = (verdicts(found.changes, changed=False) != "within error").mean()
    assert 0 < false_calls < 0.11


def test_the_error_can_come_from_a_second_table_and_a_single_repeat_counts_as_one() -> None:
    both = visits_of(50)
    first, second = both.iloc[::2], both.iloc[1::2]
    found = follow(first, again=[second], again_are="copies")
    expected = follow(both)
    np.testing.assert_allclose(found.errors["sd"], expected.errors["sd"])
    assert (found.changes["detectable_from"] == "copies").all()
    lacking = pd.concat([both.drop(index=1), pd.DataFrame()])
    limits = follow(lacking).changes["smallest_detectable"]
    assert limits[0] / limits[1] == pytest.approx(np.sqrt((1 + 1 / 2) / 1))


def test_raters_are_compared_by_the_change_that_each_saw() -> None:
    """A rater's own bias, however large, is in no change; who saw one visit only has no say."""
    rng = np.random.default_rng(2)
    rows = [
        (f"P{p}", str(v), f"R{r}", 40 + 15.0 * r + 20 * v * (p % 2) + rng.normal(0, NOISE))
        for p in range(60) for v in (1, 2) for r in range(3)
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["patient_id", "visit", "rater", "eface"])
    found = follow(table)
    assert found.errors["sd"][0] == pytest.approx(np.sqrt(2) * NOISE, rel=0.15)
    assert (found.changes["detectable_from"] == "raters").all()
    assert (verdicts(found.changes, changed=True) == "better").all()
    once = table.drop(index=[0])  # R0 did not see the first visit of P0
    change = follow(once).changes.iloc[0]
    assert change["from_n"] == change["to_n"] == 2
    seen = table.set_index(["patient_id", "visit", "rater"])["eface"]
    own = [seen["P0", "2", r] - seen["P0", "1", r] for r in ("R1", "R2")]
    assert change["change"] == pytest.approx(np.mean(own))


def test_without_anything_measured_twice_a_change_has_no_verdict() -> None:
    found = follow(visits_of(6, repeats=1))
    assert found.changes["change"].notna().all()
    assert found.changes["smallest_detectable"].isna().all()
    assert (found.changes["verdict"] == "cannot be told").all()
    assert found.changes["reason"].str.contains("nothing was measured twice").all()


def test_one_visit_only_and_a_missing_score_keep_their_rows() -> None:
    table = visits_of(10, visits=3)
    table = table[(table["patient_id"] != "P1") | (table["visit"] == "1")]
    table.loc[(table["patient_id"] == "P2") & (table["visit"] == "2"), "sunnybrook"] = np.nan
    changes = follow(table).changes
    assert set(changes["patient_id"]) == {f"P{p}" for p in range(10)}
    (alone,) = changes[changes["patient_id"] == "P1"].to_dict("records")
    assert alone["verdict"] == "cannot be told" and alone["reason"] == "one visit only"
    assert alone["from_visit"] == "1" and pd.isna(alone["to_visit"])
    second = changes[changes["patient_id"] == "P2"]
    assert second["since"].tolist() == ["first", "first", "previous"]
    without = "no score at visit 2"
    assert second["reason"].fillna("").tolist() == [without, "", without]
    assert second["verdict"].iloc[1] == "within error"


def test_visits_stand_in_the_order_of_their_dates_and_it_is_said_where_names_differ() -> None:
    table = visits_of(4, visits=2)
    dates = {"1": "2024-05-01", "2": "2024-02-01"}
    table["date"] = table["visit"].map(dates)
    table.loc[table["patient_id"] != "P1", "date"] = None
    table.loc[table["patient_id"] == "P3", "date"] = ["2024-02-01", "2024-03-01", "x", "x"]
    found = follow(table)
    first = found.changes.set_index("patient_id")
    assert first.loc["P1", ["from_visit", "to_visit"]].tolist() == ["2", "1"]
    assert first.loc["P1", "verdict"] == "worse"  # their numbers rise from visit 1 to 2
    assert first.loc["P3", ["from_visit", "to_visit"]].tolist() == ["1", "2"]
    said = " ".join(found.warnings)
    assert "P1's visits 1, 2 have dates in another order" in said and "P3 has" in said


def test_visits_are_sorted_naturally() -> None:
    table = visits_of(2, visits=11, repeats=1)
    assert follow(table).values["visit"].tolist()[:11] == [str(v) for v in range(1, 12)]


def test_photographs_of_a_movement_are_repeats_and_other_movements_are_not() -> None:
    table = visits_of(20).rename(columns={"sunnybrook": "f0"})
    two = pd.concat([table.assign(task="rest"), table.assign(task="smile", f0=table["f0"] * 10)])
    found = follow(two.assign(eface="70"))
    assert found.changes.groupby("task", dropna=False).size().to_dict() == {
        "rest": 20, "smile": 20, np.nan: 20,
    }  # fmt: skip
    of_task = found.errors.set_index(["task", "score"])["sd"]
    assert of_task["smile", "f0"] == pytest.approx(10 * of_task["rest", "f0"])
    assert found.errors.set_index("score").loc["eface", "df"] == 0  # eight times one score


def test_answers_of_several_dealings_are_no_repeats() -> None:
    table = visits_of(10).rename(columns={"sunnybrook": "predicted"})
    table = table.assign(
        repeat=[1, 2] * 20, fold=1, model="ridge", branch="classical", sunnybrook=50.0
    )
    found = follow(table)
    assert found.scores == ("predicted",) and found.errors["df"].tolist() == [0]
    assert healthy_end("predicted", columns=table.columns) == "high"


@pytest.mark.parametrize(
    ("score", "end"),
    [("hb_grade", "low"), ("sunnybrook", "high"), ("f3", "low"), ("weakness_eye", "low"),
     ("mrd1_right_minus_left", "zero"), ("blood_pressure", "unknown")],
)  # fmt: skip
def test_which_end_is_healthy(score: str, end: str) -> None:
    assert healthy_end(score) == end


def test_a_score_of_unknown_direction_is_higher_or_lower() -> None:
    table = visits_of(20).rename(columns={"sunnybrook": "tears"})
    assert set(verdicts(follow(table).changes, changed=True)) == {"higher"}
    told = follow(table, healthy={"tears": "low"})
    assert set(verdicts(told.changes, changed=True)) == {"worse"}


def test_what_has_no_visits_or_scores_is_refused() -> None:
    with pytest.raises(UserError, match="neither visit nor date"):
        follow(visits_of(2).drop(columns="visit"))
    with pytest.raises(UserError, match="No row of the table has both patient and visit"):
        follow(visits_of(2).assign(visit=None))  # as with the manifest of other photographs
    with pytest.raises(UserError, match="no column of numbers"):
        follow(visits_of(2).drop(columns="sunnybrook"))
    with pytest.raises(UserError, match='no column "sunnybrok"'):
        follow(visits_of(2), scores=["sunnybrok"])


def test_the_command_writes_changes_and_a_report_and_hides_names(tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    dated = visits_of(4, visits=3)
    dated["date"] = dated["visit"].map({"1": "2024-01-01", "2": "2024-02-01", "3": "2024-06-01"})
    dated = dated[(dated["patient_id"] != "P0") | (dated["visit"] == "1")]
    dated.loc[dated.index[-2:], "sunnybrook"] = np.nan  # the last visit of P3 has no score
    dated.to_csv(table, index=False)
    result = follow_up(table, out=tmp_path / "out", redact=True)
    assert result.exit_code == 3
    changes = pd.read_csv(tmp_path / "out/changes.csv")
    assert len(changes) == 3 * 3 + 1
    page = (tmp_path / "out/report.html").read_text()
    assert "Patient 3" in page and ">P2<" not in page
