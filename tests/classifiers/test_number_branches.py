"""Branches that answer with a number: compared and fused, nothing learned from the tested."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from classifiers.branches.alignment import shared_levels
from classifiers.branches.branch import read_branches, target_of, with_baseline
from classifiers.branches.paired_scores import agreement, paired_scores
from classifiers.commands.compare import compare
from classifiers.commands.fuse import fuse
from common.errors import UserError
from common.grading.numeric_target import NUMERIC
from common.grading.predictions import inner_predictions_schema, predictions_schema
from common.tables import write_table

pytestmark = pytest.mark.usefixtures("figures_not_rendered")
SCALE = NUMERIC["sunnybrook"]
PATIENTS, FOLDS = 40, 4


def branch(folder: Path, name: str, *, error: float, seed: int, inner: bool = True) -> Path:
    """Scores with a normal error, of tested patients and inside the training patients."""
    rng = np.random.default_rng(seed)
    true = np.round(np.linspace(20, 95, PATIENTS), 1)
    people = pd.DataFrame({"patient_id": [f"p{at:02d}" for at in range(PATIENTS)]})
    people = people.assign(sunnybrook=true, fold=np.arange(PATIENTS) % FOLDS + 1, repeat=1)

    def answered(rows: pd.DataFrame) -> pd.DataFrame:
        said = np.clip(rows["sunnybrook"] + rng.normal(0, error, len(rows)), 0, 100)
        return rows.assign(predicted=said, low=np.nan, high=np.nan, model=name, branch=name)

    folder = folder / name
    write_table(
        answered(people),
        folder / "predictions.csv",
        schema=predictions_schema(SCALE, unit="patient"),
    )
    inside = []
    for fold in range(1, FOLDS + 1):
        train = people[people["fold"] != fold].reset_index(drop=True)
        inside.append(answered(train.assign(outer_fold=fold, fold=train.index % 3 + 1)))
    if inner:
        schema = inner_predictions_schema(SCALE, unit="patient")
        write_table(pd.concat(inside), folder / "inner_predictions.csv", schema=schema)
    return folder / "predictions.csv"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A good branch and one whose errors are three times as large."""
    folder = tmp_path_factory.mktemp("numbers")
    return [
        branch(folder, "geometric", error=4.0, seed=1),
        branch(folder, "deep", error=12.0, seed=2),
    ]


def errors(path: Path) -> np.ndarray:
    table = pd.read_csv(path)
    return np.abs(table["predicted"] - table["sunnybrook"]).to_numpy()


def test_the_difference_of_two_branches_is_that_of_their_errors(
    tables: list[Path], tmp_path: Path, figures_not_rendered: None
) -> None:
    found = compare(*tables, out=tmp_path / "out", target="sunnybrook").levels[-1]
    row = found.table.query("by == 'all' and score == 'mae'").iloc[0]
    assert row["difference"] == pytest.approx(errors(tables[0]).mean() - errors(tables[1]).mean())
    assert row["high"] < 0 and row["p_permutation"] < 0.01
    icc = found.table.query("by == 'all' and score == 'icc'").iloc[0]
    assert icc["first_value"] > icc["second_value"]
    farthest = found.disagreements.iloc[0]
    said = [pd.read_csv(path).set_index("patient_id")["predicted"] for path in tables]
    assert farthest["patient_id"] == (said[0] - said[1]).abs().idxmax()
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "median of the training patients" in page and "probabilit" not in page


def test_a_branch_compared_with_itself_differs_in_nothing(tables: list[Path]) -> None:
    branches = read_branches([tables[0], tables[0]], target=SCALE)
    (shared,) = shared_levels(branches, target=SCALE)
    first, second = shared.names
    agreed = agreement(shared, first, second)
    assert agreed.scores["icc"].value == pytest.approx(1.0)
    assert agreed.bias.value == agreed.high_limit.value == 0
    scores = paired_scores(SCALE)
    assert list(scores) == ["mae", "rmse", "icc"]


def test_the_baseline_knows_the_training_patients_only(tables: list[Path]) -> None:
    (shared,) = shared_levels(read_branches(tables[:1], target=SCALE), target=SCALE)
    said = with_baseline(shared).said("median")
    rows = shared.rows
    for fold, part in rows.groupby("fold"):
        expected = rows.loc[rows["fold"] != fold, "sunnybrook"].median()
        assert (said[part.index] == expected).all()


def test_weights_come_from_the_training_patients_and_favour_the_better(
    tables: list[Path], tmp_path: Path
) -> None:
    found = fuse(*tables, out=tmp_path / "out", target="sunnybrook").levels[-1]
    assert found.chosen == "fused_weighted"
    weights = found.weights.query("model == 'fused_weighted'").groupby("branch")["weight"]
    assert weights.mean()["geometric"] == pytest.approx(12**2 / (12**2 + 4**2), abs=0.08)
    own = found.predictions.query("model == 'fused_weighted'")
    held = (own["low"] <= own["sunnybrook"]) & (own["sunnybrook"] <= own["high"])
    assert held.mean() > 0.8
    mean = found.predictions.query("model == 'fused_mean'").sort_values("patient_id")
    both = [pd.read_csv(path).sort_values("patient_id")["predicted"].to_numpy() for path in tables]
    assert mean["predicted"].to_numpy() == pytest.approx(np.mean(both, axis=0))


def test_the_truth_of_the_tested_changes_no_fused_answer(
    tables: list[Path], tmp_path: Path
) -> None:
    moved = []
    for path in tables:
        folder = tmp_path / path.parent.name
        table = pd.read_csv(path)
        table["sunnybrook"] = table["sunnybrook"].to_numpy()[::-1]
        write_table(
            table, folder / "predictions.csv", schema=predictions_schema(SCALE, unit="patient")
        )
        moved.append(folder / "predictions.csv")
    inner = tuple(path.with_name("inner_predictions.csv") for path in tables)
    one, two = (
        fuse(*each, inner=inner, out=tmp_path / f"out{at}", target="sunnybrook").levels[-1]
        for at, each in enumerate((tables, moved))
    )
    columns = ["patient_id", "model", "predicted", "low", "high"]
    pd.testing.assert_frame_equal(one.predictions[columns], two.predictions[columns])


def test_what_needs_probabilities_is_refused(tables: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="fuses probabilities, and sunnybrook is a number"):
        fuse(*tables, out=tmp_path / "out", target="sunnybrook", method=("product",))
    with pytest.raises(UserError, match="Early fusion is made for classes"):
        fuse(*tables, out=tmp_path / "out", target="sunnybrook", features=tables[0])


def test_a_column_of_ones_own_has_the_range_of_all_tables(
    tables: list[Path], tmp_path: Path
) -> None:
    for path in tables:
        table = pd.read_csv(path).rename(columns={"sunnybrook": "stiffness"})
        table.to_csv(tmp_path / f"{path.parent.name}.csv", index=False)
    found = target_of("stiffness", [tmp_path / "geometric.csv", tmp_path / "deep.csv"])
    assert (found.low, found.high) == (20.0, 95.0)


def test_visits_of_a_patient_are_answers_of_their_own(tables: list[Path], tmp_path: Path) -> None:
    made = []
    for path in tables:
        table = pd.read_csv(path)
        both = pd.concat([table.assign(visit="1"), table.assign(visit="2")])
        folder = tmp_path / path.parent.name
        schema = predictions_schema(SCALE, unit="patient")
        write_table(both, folder / "predictions.csv", schema=schema)
        made.append(folder / "predictions.csv")
    (shared,) = shared_levels(read_branches(made, target=SCALE), target=SCALE)
    assert len(shared.rows) == 2 * PATIENTS
    short = pd.read_csv(made[1]).query("patient_id != 'p03' or visit != 2")
    short.to_csv(made[1], index=False)
    with pytest.raises(UserError, match=r'lacks 1 patient that another table has ."p03" visit 2'):
        shared_levels(read_branches(made, target=SCALE), target=SCALE)
