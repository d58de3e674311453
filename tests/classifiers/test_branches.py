"""Tables of branches are laid side by side only when they test the same patients the same way."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from classifiers.branches.alignment import shared_inner, shared_levels
from classifiers.branches.branch import SharedAnswers, read_branches, with_baseline, with_twin
from classifiers.commands.compare import compare
from common.errors import UserError
from common.grading.predictions import TWIN, predictions_schema, to_patients, write_predictions
from common.grading.target import MAJORITY, commonest_class
from common.tables import write_table
from tests.classifiers.branch_tables import SIX, made_manifest, made_predictions, write_branch


@pytest.fixture()
def manifest() -> pd.DataFrame:
    return made_manifest(patients=12, photographs=3)


@pytest.fixture()
def tables(manifest, tmp_path: Path) -> list[Path]:
    return [
        write_branch(tmp_path / "one", made_predictions(manifest, error=0.6)),
        write_branch(tmp_path / "two", made_predictions(manifest, error=1.0, branch="deep")),
    ]


def rewritten(path: Path, change) -> None:
    """Change a prediction table on disk."""
    text = {"image_id": str, "patient_id": str}
    frame = change(pd.read_csv(path, dtype=text))
    write_table(frame, path, schema=predictions_schema(SIX))


def levels(tables: list[Path], **options):
    return shared_levels(read_branches(tables, target=SIX), target=SIX, **options)


def test_rows_meet_whatever_order_they_stand_in(tables):
    before = levels(tables)
    rewritten(tables[1], lambda frame: frame.sample(frac=1, random_state=3))
    after = levels(tables)
    for one, two in zip(before, after, strict=True):
        pd.testing.assert_frame_equal(one.rows, two.rows)
        np.testing.assert_allclose(one.chances["deep"], two.chances["deep"], rtol=1e-14)
    assert [level.unit for level in after] == ["photograph", "patient"]


def test_patients_are_the_means_of_their_photographs(tables):
    photographs, patients = levels(tables)
    for name in patients.names:
        means = pd.DataFrame(photographs.chances[name]).groupby(photographs.patients).mean()
        np.testing.assert_allclose(patients.chances[name], means.loc[list(patients.patients)])


def test_a_table_of_patients_leaves_the_level_of_patients_only(tables, tmp_path: Path):
    frame = read_branches(tables[:1], target=SIX)[0].rows
    patients = to_patients(frame, target=SIX)
    path = tmp_path / "patients.csv"
    write_table(patients, path, schema=predictions_schema(SIX, unit="patient"))
    (level,) = levels([path, tables[1]])
    assert level.unit == "patient"
    np.testing.assert_allclose(level.chances["geometric"], levels(tables)[1].chances["geometric"])


def test_a_network_brings_its_twin_and_needs_no_name_beside_it(tables, tmp_path: Path):
    """Whose table holds `hog` beside the network; whoever asked for `hog` has it already."""
    network = to_patients(read_branches(tables[1:], target=SIX)[0].rows, target=SIX)
    twin = network.assign(model=TWIN, predicted=network["predicted"].iloc[0])
    path = tmp_path / "patients.csv"
    write_predictions(pd.concat([network, twin]), path, target=SIX, unit="patient")
    read = read_branches([tables[0], path], target=SIX)
    found = with_twin(read, target=SIX)
    assert [branch.name for branch in found] == ["geometric", "deep", TWIN]
    assert found[2].rows["predicted"].nunique() == 1 < found[1].rows["predicted"].nunique()
    asked = read_branches([tables[0], path], target=SIX, models=["geometric", TWIN])
    assert len(with_twin(asked, target=SIX)) == 2
    assert len(with_twin(read_branches(tables, target=SIX), target=SIX)) == 2
    compare(tables[0], path, out=tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "comparison.csv")
    assert {"geometric", "deep", TWIN} == {*table["first"], *table["second"]}


def one_patient_in_another_fold(frame: pd.DataFrame) -> pd.DataFrame:
    fold = frame.loc[frame["patient_id"] == "p03", "fold"].iat[0]
    moved = frame["fold"].where(frame["patient_id"] != "p03", fold % 5 + 1)
    return frame.assign(fold=moved)


def one_patient_missing(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["patient_id"] != "p03"]


def one_photograph_missing(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["image_id"] != "p03/1.jpg"]


def labels_permuted(frame: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    grades = frame.groupby("patient_id")["hb_grade"].first()
    shuffled = dict(zip(grades.index, rng.permutation(grades.to_numpy()), strict=True))
    return frame.assign(hb_grade=frame["patient_id"].map(shuffled))


def one_patient_renamed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(patient_id=frame["patient_id"].replace("p03", "p04"))


@pytest.mark.parametrize("table", [0, 1])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (one_patient_in_another_fold, r'on the fold of 3 photographs \("p03/0.jpg" in repeat 1: '),
        (one_patient_missing, r'lacks 1 patient that another table has \("p03"\)'),
        (one_photograph_missing, r'lacks 1 photograph that another table has \("p03/1.jpg"\)'),
        (
            labels_permuted,
            r'on the hb_grade of \d+ photographs \("p\d\d/0.jpg": \d and \d, .* more',
        ),
        (one_patient_renamed, r'lacks 1 patient that another table has \("p03"\)'),
    ],
)
def test_a_planted_mismatch_is_refused_by_name(tables, table, change, said):
    rewritten(tables[table], change)
    with pytest.raises(UserError) as error:
        levels(tables)
    assert re.search(said, str(error.value)), str(error.value)
    assert str(tables[table]) in str(error.value)


@pytest.mark.parametrize("change", [one_patient_missing, one_photograph_missing])
def test_what_all_tables_have_can_be_asked_for(tables, change):
    rewritten(tables[1], change)
    photographs, patients = levels(tables, shared_only=True)
    kept = change(read_branches(tables[:1], target=SIX)[0].rows)
    assert set(photographs.rows["image_id"]) == set(kept["image_id"])
    assert len(patients.rows) == kept["patient_id"].nunique()


@pytest.mark.parametrize("change", [one_patient_in_another_fold, labels_permuted])
def test_no_option_lets_folds_or_grades_differ(tables, change):
    rewritten(tables[1], change)
    with pytest.raises(UserError, match="disagree"):
        levels(tables, shared_only=True)


def test_several_models_must_be_told_apart_before_the_scores_are_seen(tables):
    def second_model(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([frame, frame.assign(model="svm"), frame.assign(model="majority")])

    rewritten(tables[0], second_model)
    with pytest.raises(UserError, match=r"holds 2 models \(geometric, svm\).*--models"):
        read_branches(tables, target=SIX)
    found = read_branches(tables, target=SIX, models=["svm", "deep"])
    assert [branch.model for branch in found] == ["svm", "deep"]
    with pytest.raises(UserError, match=r'no model "swm".*Did you mean "svm"'):
        read_branches(tables, target=SIX, models=["swm", "deep"])
    with pytest.raises(UserError, match="1 model named for 2 tables"):
        read_branches(tables, target=SIX, models=["svm"])
    both = read_branches([tables[0], tables[0]], target=SIX, models=["svm", "geometric"])
    assert [branch.name for branch in both] == ["geometric (svm)", "geometric (geometric)"]


def test_a_row_given_twice_is_refused(tables):
    rewritten(tables[1], lambda frame: pd.concat([frame, frame.head(1)]))
    with pytest.raises(UserError, match="twice"):
        levels(tables)


def test_inner_predictions_of_a_tested_patient_are_refused(tables):
    (_, patients) = levels(tables)
    paths = [path.with_name("inner_predictions.csv") for path in tables]
    inner = read_branches(paths, target=SIX, inner=True)
    found = shared_inner(inner, patients)
    fold = patients.rows["fold"].iat[0]
    rows = found.rows.iloc[found.learned_in(1, fold)]
    tested = patients.rows[patients.rows["fold"] == fold]
    assert not set(rows["patient_id"]) & set(tested["patient_id"])
    assert set(rows["patient_id"]) | set(tested["patient_id"]) == set(patients.patients)
    swapped = []
    for branch in inner:
        table = branch.rows.assign(outer_fold=branch.rows["outer_fold"] % 5 + 1)
        swapped.append(type(branch)(**{**vars(branch), "rows": table}))
    with pytest.raises(UserError, match="inside fold 1 of repeat 1, which tests this patient"):
        shared_inner(swapped, patients)


def test_a_fold_without_inner_predictions_is_refused(tables):
    (_, patients) = levels(tables)
    paths = [path.with_name("inner_predictions.csv") for path in tables]
    inner = [
        type(branch)(**{**vars(branch), "rows": branch.rows[branch.rows["outer_fold"] != 4]})
        for branch in read_branches(paths, target=SIX, inner=True)
    ]
    with pytest.raises(UserError, match="no rows of fold 4 of repeat 1"):
        shared_inner(inner, patients)


def majority_rows(shared):
    table = with_baseline(shared).predictions()
    return table[table["model"] == MAJORITY]


def test_the_baseline_knows_the_training_patients_only(tables):
    photographs, _ = levels(tables)
    table = majority_rows(photographs)
    for fold, tested in table.groupby("fold"):
        learned = photographs.rows[photographs.rows["fold"] != fold]
        counts = learned.groupby("hb_grade")["patient_id"].nunique()
        assert tested["predicted"].nunique() == 1
        assert counts[tested["predicted"].iat[0]] >= counts.max() - 1


def test_the_baseline_learns_from_no_patient_whom_the_fold_tests():
    rows = pd.DataFrame(
        {  # as shuffled folds may draw them: p0, p1 and p2 are tested twice
            "patient_id": ["p0", "p1", "p2", "p0", "p1", "p2", "p4"],
            "hb_grade": [5, 5, 5, 5, 5, 5, 2],
            "repeat": 1,
            "fold": [1, 1, 1, 2, 2, 2, 3],
        }
    )
    rows.insert(0, "image_id", rows["patient_id"] + ".jpg")
    shared = SharedAnswers("photograph", SIX, rows, names=(), chances={}, answers={})
    assert majority_rows(shared)["predicted"].tolist() == [2, 2, 2, 2, 2, 2, 5]


def test_classes_within_one_patient_count_as_equally_common():
    patients = np.array(["a", "b", "c", "c", "c", "d", "e"])
    assert commonest_class(np.array([3, 3, 2, 2, 2, 2, 1]), patients) == 1
    assert commonest_class(np.array([3, 3, 3, 3, 3, 3, 1]), patients) == 3
    assert commonest_class(np.array([], dtype=np.int64), np.array([])) == 0
