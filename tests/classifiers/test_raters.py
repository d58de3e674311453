"""Several raters: by hand where it can be, planted mistakes named, and none seen where none are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from classifiers.commands.raters import RatersResult, raters
from classifiers.raters.agreement import agreement_of, beside_raters, model_beside, raters_of
from classifiers.raters.mistakes import exchanged, mistakes
from classifiers.raters.ratings import Ratings, ratings_of, with_targets
from common.errors import UserError
from common.grading.evaluation import evaluate_numbers
from common.grading.numeric_target import NUMERIC, NumericTarget
from common.grading.target import TARGETS
from common.tables import read_manifest, write_csv

pytestmark = pytest.mark.usefixtures("figures_not_rendered")
SCORES = ("sunnybrook", "hb_grade")
NAMES = ("anna", "berta", "carla", "dora")


def rated(
    n: int = 30, *, names: tuple[str, ...] = NAMES, noise: float = 4.0, seed: int = 0
) -> pd.DataFrame:
    """Ratings of n patients, of whom berta says 6 points more; grades by one step of 20 points."""
    rng = np.random.default_rng(seed)
    true = rng.permutation(np.linspace(20, 95, n))
    rows = []
    for rater in names:
        score = true + rng.normal(0, noise, n) + (6.0 if rater == "berta" else 0.0)
        rows.append(
            pd.DataFrame(
                {
                    "patient_id": [f"p{at}" for at in range(n)],
                    "rater": rater,
                    "hb_grade": np.clip(np.round((110 - score) / 16), 1, 6).astype(int),
                    "sunnybrook": np.clip(score, 0, 100).round(1),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def predictions_of(table: pd.DataFrame, *, off: float = 0.0, model: str = "svm") -> pd.DataFrame:
    """Grades of a model that answers the median of the raters, off by some grades."""
    grades = table.groupby("patient_id")["hb_grade"].median().round()
    said = np.clip(grades + off, 1, 6).astype(int)
    rows = pd.DataFrame(
        {"patient_id": grades.index, "hb_grade": grades.astype(int).to_numpy(), "predicted": said}
    )
    rows[[f"p_{one}" for one in range(1, 7)]] = np.eye(6)[said - 1]
    return rows.assign(repeat=1, fold=1, model=model, branch="geometric")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("raters")
    table = rated()
    write_csv(table, out / "ratings.csv")
    models = [predictions_of(table), predictions_of(table, off=2.0, model="xgboost")]
    write_csv(pd.concat(models), out / "predictions.csv")
    photographs = [
        {"image_id": f"p{at}/{task}.jpg", "path": f"p{at}/{task}.jpg", "patient_id": f"p{at}"}
        for at in range(32)
        for task in ("rest", "smile")
    ]
    write_csv(pd.DataFrame(photographs), out / "manifest.csv")
    return out


@pytest.fixture(scope="module")
def found(folder: Path, figures_not_rendered: None) -> RatersResult:
    return raters(
        folder / "ratings.csv",
        out=folder / "out",
        predictions=folder / "predictions.csv",
        manifest=folder / "manifest.csv",
    )


def of(found: RatersResult, score: str) -> Ratings:
    return next(one.ratings for one in found.scores if one.ratings.score == score)


def test_the_rater_who_says_more_is_off_by_so_much(found: RatersResult) -> None:
    table = found.scores[1].raters.set_index("rater")
    values = pd.DataFrame(of(found, "sunnybrook").values, columns=list(NAMES))
    others = values.drop(columns="berta").mean(axis=1)
    assert table.loc["berta", "bias"] == pytest.approx((values["berta"] - others).mean())
    assert table.loc["berta", "bias_low"] > 3
    assert (table.loc[["anna", "carla", "dora"], "bias"] < 0).all()
    assert found.warnings == []


def test_a_model_of_the_median_is_one_of_the_raters_and_one_two_grades_off_is_not(
    found: RatersResult,
) -> None:
    table = found.scores[0].beside.set_index("model")
    values = of(found, "hb_grade").values
    pairs = [(a, b) for a in range(4) for b in range(a)]
    by_hand = np.mean([np.abs(values[:, a] - values[:, b]) for a, b in pairs])
    assert table["raters_apart"].to_numpy() == pytest.approx(by_hand)
    assert table.loc["svm", "difference"] < 0 < table.loc["xgboost", "difference_low"]
    assert table.loc["xgboost", "model_icc"] < table.loc["xgboost", "raters_icc"]


def test_one_more_rater_of_the_same_kind_is_not_told_from_them() -> None:
    inside = 0
    for seed in range(20):
        table = rated(names=("anna", "carla", "dora", "emma"), seed=seed)
        ratings = ratings_of(table[table["rater"] != "emma"], "sunnybrook")
        emma = ratings_of(table[table["rater"] == "emma"], "sunnybrook")
        row = model_beside(ratings, {"emma": emma.values}).iloc[0]
        inside += row["difference_low"] <= 0 <= row["difference_high"]
    assert inside >= 17  # of 20, at 95 %


def test_a_target_says_how_many_raters_stand_behind_it(folder: Path, found: RatersResult) -> None:
    targets = found.targets.set_index(["score", "patient_id"])
    values = of(found, "hb_grade").values
    grades = targets.loc["hb_grade"]
    assert (grades["raters"] == 4).all()
    assert grades[[f"p_{k}" for k in range(1, 7)]].sum(axis=1).to_numpy() == pytest.approx(1.0)
    assert set(grades["target"]) <= set(range(1, 7))
    assert (grades["target"].to_numpy() == np.sort(values, axis=1)[:, 1]).all()
    made = read_manifest(folder / "out" / "manifest.csv").set_index("image_id")
    assert made.loc["p3/smile.jpg", "hb_grade"] == grades.loc["p3", "target"]
    assert made.loc["p3/smile.jpg", "sunnybrook_raters"] == "4"
    assert pd.isna(made.loc["p31/rest.jpg", "hb_grade"])  # whom nobody rated
    assert made.loc["p3/rest.jpg", "path"] == str(folder.resolve() / "out/../p3/rest.jpg")


def test_ratings_may_be_missing() -> None:
    table = rated()
    table.loc[np.random.default_rng(0).random(len(table)) < 0.4, "sunnybrook"] = np.nan
    whole, some = (
        agreement_of(ratings_of(each, "sunnybrook")).pairs.iloc[0] for each in (rated(), table)
    )
    assert some["icc"] == pytest.approx(whole["icc"], abs=0.03)
    assert ratings_of(table, "sunnybrook").targets()["raters"].min() < 4


@pytest.mark.parametrize("score", SCORES)
def test_two_exchanged_patients_are_named(score: str) -> None:
    table = rated(noise=3.0)
    anna = table.index[table["rater"] == "anna"]
    low, high = (
        table.loc[anna, "sunnybrook"].nsmallest(3).index[2],
        table.loc[anna, "sunnybrook"].nlargest(3).index[2],
    )
    columns = ["hb_grade", "sunnybrook"]
    table.loc[[low, high], columns] = table.loc[[high, low], columns].to_numpy()
    names = {str(table.loc[at, "patient_id"]) for at in (low, high)}
    ratings = ratings_of(table, score)
    ((rater, *cases),) = exchanged(ratings)
    assert rater == "anna"
    assert {ratings.name_of(case).strip('"') for case in cases} == names
    (said,) = mistakes([agreement_of(ratings)])
    assert "Rater anna" in said and all(f'"{name}"' in said for name in names)


def test_nobody_is_accused_where_nothing_was_exchanged() -> None:
    for seed in range(30):
        table = rated(40, noise=7, seed=seed)
        assert all(exchanged(ratings_of(table, name)) == [] for name in SCORES)
    assert mistakes([agreement_of(ratings_of(table, name)) for name in SCORES]) == []


@pytest.mark.parametrize(
    ("change", "words"), [(lambda x: x / 10, "another unit"), (lambda x: 100 - x, "direction")]
)
def test_a_rater_on_another_unit_is_named(change, words: str) -> None:
    table = rated()
    dora = table["rater"] == "dora"
    table.loc[dora, "sunnybrook"] = change(table.loc[dora, "sunnybrook"])
    (said,) = mistakes([agreement_of(ratings_of(table, "sunnybrook"))])
    assert "dora" in said and words in said


def test_visits_are_rated_apart_and_resampled_together() -> None:
    table = pd.concat([rated(6).assign(visit="1"), rated(6, seed=1).assign(visit="2")])
    ratings = ratings_of(table, "sunnybrook")
    assert ratings.values.shape == (12, 4)
    assert ratings.n_patients == 6
    assert raters_of(ratings)["patients"].tolist() == [12] * 4
    manifest = pd.DataFrame({"patient_id": ["p1", "p1"], "visit": ["1", "2"]})
    made = with_targets(manifest, [ratings])
    assert made["sunnybrook"].nunique() == 2
    with pytest.raises(UserError, match="ratings tell visits apart and the manifest not"):
        with_targets(manifest[["patient_id"]], [ratings])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.assign(sunnybrook=t["sunnybrook"] + 40), r'row \d+: column "sunnybrook"'),
        (lambda t: pd.concat([t, t.tail(1)]), 'row 122: "dora" has rated patient "p29" before'),
        (lambda t: t[t["rater"] == "anna"], "one rater only"),
        (lambda t: t[["patient_id", "rater"]], "no column of scores"),
    ],
)
def test_a_table_that_cannot_be_compared_is_refused(change, words: str, tmp_path: Path) -> None:
    write_csv(change(rated()), tmp_path / "ratings.csv")
    with pytest.raises(UserError, match=words):
        raters(tmp_path / "ratings.csv", out=tmp_path / "out")


def test_a_benchmark_can_say_how_many_answers_are_as_near_as_raters(tmp_path: Path) -> None:
    table = rated()
    write_csv(table, tmp_path / "ratings.csv")
    target = beside_raters(NUMERIC["sunnybrook"], tmp_path / "ratings.csv")
    assert isinstance(target, NumericTarget) and target.detectable is not None
    people = ratings_of(table, "sunnybrook").targets()
    near = np.arange(len(people)) % 2 == 0  # every other answer is nearer than raters tell apart
    off = np.where(near, 0.9, 1.1) * target.detectable
    said = people["target"] + np.where(people["target"] > 50, -off, off)
    rows = pd.DataFrame({"patient_id": people["patient_id"], "sunnybrook": people["target"]})
    rows = rows.assign(predicted=said, low=np.nan, high=np.nan, repeat=1, fold=1, model="ridge")
    found = evaluate_numbers(rows, target=target, unit="patient").estimates["ridge"]
    assert found["within_change"].value == pytest.approx(0.5)
    noted = pd.DataFrame({"sunnybrook": [40.0, 60.0], "sunnybrook_raters": ["2", "4"]})
    assert target.truth_source(noted).endswith("the mean of 2 to 4 raters")
    with pytest.raises(UserError, match="six_grades is of classes"):
        beside_raters(TARGETS["six_grades"], tmp_path / "ratings.csv")


def test_a_report_to_show_around_names_nobody(tmp_path: Path) -> None:
    table = rated(12)
    table["sunnybrook"] = np.where(table["rater"] == "dora", 0.1, 1.0) * table["sunnybrook"]
    write_csv(table.assign(patient_id="Mrs " + table["patient_id"]), tmp_path / "ratings.csv")
    raters(tmp_path / "ratings.csv", out=tmp_path / "out", redact=True)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "rater 4" in page
    assert not [name for name in (*NAMES, "Mrs") if name in page]


def test_a_model_of_scores_stands_beside_the_raters_too(tmp_path: Path) -> None:
    table = rated()
    write_csv(table, tmp_path / "ratings.csv")
    ratings = ratings_of(table, "sunnybrook")
    targets = ratings.targets()
    rows = pd.DataFrame(
        {"patient_id": targets["patient_id"], "sunnybrook": targets["target"], "predicted": 50.0}
    )
    rows = rows.assign(low=0.0, high=100.0, repeat=1, fold=1, model="ridge", branch="geometric")
    write_csv(rows, tmp_path / "predictions.csv")
    found = raters(
        tmp_path / "ratings.csv",
        out=tmp_path / "out",
        predictions=tmp_path / "predictions.csv",
        target="sunnybrook",
    )
    beside = next(one.beside for one in found.scores if one.beside is not None).iloc[0]
    assert beside["model_apart"] == pytest.approx(np.abs(ratings.values - 50).mean())
    assert beside["difference_low"] > 0
