"""Paired statistics of branches against written-out calculations, and what `compare` writes."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score, log_loss

from classifiers.branches.alignment import shared_levels
from classifiers.branches.branch import SharedAnswers, read_branches
from classifiers.branches.comparison import (
    COMPARISON_COLUMNS,
    DISAGREEMENT_COLUMNS,
    compare_branches,
)
from classifiers.branches.paired_scores import (
    agreement,
    bland_altman,
    by_patient,
    difference,
    exchange_patients,
    needed,
    paired_scores,
    permutation_p,
)
from classifiers.commands.compare import compare
from common.bootstrap import resampling_weights
from common.errors import UserError
from common.grading.plots import bland_altman_figure
from tests.classifiers.branch_tables import (
    SIX,
    chances_of,
    made_manifest,
    made_predictions,
    write_branch,
)

SCORES = paired_scores(SIX)


def answers(
    *errors: float, patients: int = 12, photographs: int = 2, seed: int = 0
) -> SharedAnswers:
    """Branches with these errors on made-up patients, without going through files."""
    rows = made_manifest(patients=patients, photographs=photographs)
    rows = rows[["image_id", "patient_id", "hb_grade"]].assign(repeat=1, fold=1)
    truth = rows["hb_grade"].to_numpy(dtype=np.int64)
    names = tuple("abcd"[: len(errors)])
    chances = {
        name: chances_of(truth, error=error, seed=seed + 100 * at)
        for at, (name, error) in enumerate(zip(names, errors, strict=True))
    }
    said = {name: SIX.answers(found) for name, found in chances.items()}
    return SharedAnswers("photograph", SIX, rows, names, chances, said)


def test_scores_equal_those_of_scikit_learn():
    shared = answers(0.8)
    total = {
        name: float(score.of(by_patient(score, shared, "a").sum(axis=0)))
        for name, score in SCORES.items()
    }
    truth, said = shared.truth, shared.answers["a"]
    assert total["accuracy"] == pytest.approx((truth == said).mean())
    assert total["mae"] == pytest.approx(np.abs(truth - said).mean())
    assert total["weighted_kappa"] == pytest.approx(
        cohen_kappa_score(truth, said, weights="quadratic", labels=list(range(1, 7)))
    )
    floored = np.maximum(shared.chances["a"], 1e-4)
    own = floored[np.arange(len(truth)), truth - 1]
    assert total["log_loss"] == pytest.approx(-np.log(own).mean())
    plain = np.clip(shared.chances["a"], 1e-4, None)
    assert total["log_loss"] == pytest.approx(
        log_loss(truth, plain / plain.sum(axis=1, keepdims=True), labels=range(1, 7)), abs=2e-3
    )
    hit = np.eye(6)[truth - 1]
    assert total["brier"] == pytest.approx(((shared.chances["a"] - hit) ** 2).sum(axis=1).mean())


def taken(shared: SharedAnswers, rows: np.ndarray) -> SharedAnswers:
    return replace(
        shared,
        rows=shared.rows.iloc[rows].reset_index(drop=True),
        chances={name: found[rows] for name, found in shared.chances.items()},
        answers={name: found[rows] for name, found in shared.answers.items()},
    )


def value(score, shared: SharedAnswers, name: str) -> float:
    return float(score.of(needed(score, shared, name).sum(axis=0)))


@pytest.mark.parametrize("name", SCORES)
def test_the_interval_comes_from_written_out_resamples_of_patients(name):
    shared, score = answers(0.6, 1.2), SCORES[name]
    weights = resampling_weights(12, resamples=40, seed=3)
    found = difference(
        score, by_patient(score, shared, "a"), by_patient(score, shared, "b"), weights=weights
    )
    patients = np.unique(shared.patients)
    drawn = []
    for row in weights:
        often = dict(zip(patients, row.astype(int), strict=True))
        rows = np.repeat(np.arange(len(shared.rows)), [often[p] for p in shared.patients])
        part = taken(shared, rows)
        drawn.append(value(score, part, "a") - value(score, part, "b"))
    assert found.estimate.low == pytest.approx(np.quantile(drawn, 0.025))
    assert found.estimate.high == pytest.approx(np.quantile(drawn, 0.975))
    assert found.estimate.value == pytest.approx(
        value(score, shared, "a") - value(score, shared, "b")
    )
    assert np.isnan(found.p_permutation)


@pytest.mark.parametrize("name", ["weighted_kappa", "mae", "log_loss"])
def test_the_permutation_test_exchanges_whole_patients(name):
    """All 64 exchanges of 6 patients, each written out, give the same p."""
    shared, score = answers(0.5, 1.5, patients=6, seed=4), SCORES[name]
    exchanges = np.array(list(itertools.product([0.0, 1.0], repeat=6)))
    patients = np.unique(shared.patients)
    made = []
    for row in exchanges:
        turned = np.array([row[np.flatnonzero(patients == p)[0]] > 0 for p in shared.patients])
        first = {
            "chances": np.where(turned[:, None], shared.chances["b"], shared.chances["a"]),
            "answers": np.where(turned, shared.answers["b"], shared.answers["a"]),
        }
        second = {
            "chances": np.where(turned[:, None], shared.chances["a"], shared.chances["b"]),
            "answers": np.where(turned, shared.answers["a"], shared.answers["b"]),
        }
        both = replace(
            shared,
            chances={"a": first["chances"], "b": second["chances"]},
            answers={"a": first["answers"], "b": second["answers"]},
        )
        made.append(value(score, both, "a") - value(score, both, "b"))
    seen = abs(value(score, shared, "a") - value(score, shared, "b"))
    expected = ((np.abs(made) >= seen - 1e-12).sum() + 1) / 65
    sums = [by_patient(score, shared, name) for name in "ab"]
    assert permutation_p(score, *sums, exchanges=exchanges) == pytest.approx(expected)


def test_equal_branches_are_rarely_called_different():
    alarms = []
    for seed in range(100):
        shared = answers(1.0, 1.0, patients=30, seed=1000 * seed)
        sums = [by_patient(SCORES["mae"], shared, name) for name in "ab"]
        exchanges = exchange_patients(30, permutations=200, seed=seed)
        alarms.append(permutation_p(SCORES["mae"], *sums, exchanges=exchanges) <= 0.05)
    assert np.mean(alarms) <= 0.12


def test_a_branch_agrees_with_itself_and_does_not_differ():
    shared = answers(0.8)
    twin = replace(
        shared,
        names=("a", "b"),
        chances={"a": shared.chances["a"], "b": shared.chances["a"]},
        answers={"a": shared.answers["a"], "b": shared.answers["a"]},
    )
    found = compare_branches(twin)
    assert (found.table["difference"] == 0).all()
    assert found.disagreements.empty
    tested = found.table["p_permutation"].dropna()
    assert len(tested) == len(SCORES) and (tested == 1.0).all()
    (same,) = found.agreements
    assert (same.scores["weighted_kappa"].value, same.scores["exact"].value) == (1.0, 1.0)
    assert (same.bias.value, same.low_limit.value, same.high_limit.value) == (0.0, 0.0, 0.0)


def test_exchanging_the_branches_turns_every_sign():
    shared = answers(0.5, 1.5)
    turned = replace(shared, names=("b", "a"))
    one, two = compare_branches(shared).table, compare_branches(turned).table
    np.testing.assert_allclose(one["difference"], -two["difference"], atol=1e-12)
    np.testing.assert_allclose(one["low"], -two["high"], atol=1e-12)
    np.testing.assert_allclose(one["p_permutation"], two["p_permutation"])


def test_bland_altman_by_hand():
    values = np.array([0.5, -0.5, 1.0, 1.5])
    bias, low, high = bland_altman(
        values, np.array(["a", "b", "c", "d"]), weights=resampling_weights(4)
    )
    spread = values.std(ddof=1)
    assert bias.value == pytest.approx(values.mean())
    assert low.value == pytest.approx(values.mean() - 1.96 * spread)
    assert high.value == pytest.approx(values.mean() + 1.96 * spread)
    assert low.low <= low.value <= low.high
    shared = answers(0.5, 0.5)
    moved = replace(
        shared, answers={"a": shared.answers["a"], "b": np.minimum(shared.answers["a"] + 1, 6)}
    )
    assert agreement(moved, "a", "b").answer_limits[0].value == pytest.approx(
        -(shared.answers["a"] < 6).mean()
    )


def test_the_plot_shows_the_worst_mistake_within_the_same_limits():
    answered = np.array([1, 2, 3, 4, 5, 6, 1, 6])
    truth = np.array([1, 2, 3, 4, 5, 6, 6, 1])  # a VI answered I, and a I answered VI
    counts = np.zeros((6, 6))
    np.add.at(counts, (truth - 1, answered - 1), 1)
    axes = bland_altman_figure(counts, title="").axes[0]
    low, high = axes.get_ylim()
    assert low < -5 and high > 5
    assert axes.get_xlim()[0] < 1 and axes.get_xlim()[1] > 6
    shown = [line.get_ydata()[0] for line in axes.lines]
    names = np.array([f"p{at}" for at in range(8)])
    told = bland_altman((answered - truth).astype(float), names, weights=resampling_weights(8))
    assert shown == pytest.approx([one.value for one in told])
    three = bland_altman_figure(np.eye(3), title="").axes[0]
    assert three.get_ylim()[1] < 3.0


def test_three_branches_give_three_pairs_adjusted_together():
    found = compare_branches(answers(0.5, 1.0, 2.0))
    everyone = found.table[found.table["by"] == "all"]
    assert len(everyone) == 3 * (len(SCORES) + len(SIX.classes))
    recalls = everyone[everyone["score"].str.startswith("recall_")]
    by_grade = found.table[(found.table["by"] == "grade") & (found.table["score"] == "accuracy")]
    assert sorted(recalls["first_value"]) == pytest.approx(sorted(by_grade["first_value"]))
    assert recalls["p_permutation"].isna().all()  # told, and not tested
    assert len(found.agreements) == 3
    smallest = everyone["p_permutation"].min()
    assert everyone["p_permutation_holm"].min() == pytest.approx(
        smallest * (len(everyone) - len(recalls))
    )
    assert everyone["p_mcnemar_holm"].notna().sum() == 3


@pytest.fixture()
def cohort(tmp_path: Path) -> tuple[list[Path], Path]:
    """Two tables, and a manifest whose photographs lie beside it."""
    manifest = made_manifest(patients=18, photographs=3)
    for image_id in manifest["image_id"]:
        path = tmp_path / "photos" / image_id
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((40, 30, 3), 128, np.uint8))
    written = manifest.assign(path="photos/" + manifest["image_id"])
    written.to_csv(tmp_path / "manifest.csv", index=False)
    tables = [
        write_branch(tmp_path / "one", made_predictions(manifest, error=0.4)),
        write_branch(tmp_path / "two", made_predictions(manifest, error=1.4, branch="deep")),
    ]
    return tables, tmp_path / "manifest.csv"


def test_compare_writes_what_it_found(cohort, tmp_path: Path):
    tables, manifest = cohort
    result = compare(*tables, out=tmp_path / "out", manifest=manifest)
    table = pd.read_csv(tmp_path / "out" / "comparison.csv")
    assert tuple(table.columns) == COMPARISON_COLUMNS
    assert set(table["level"]) == {"photograph", "patient"}
    groups = table[["by", "group"]].drop_duplicates()
    assert set(groups.loc[groups["by"] == "movement", "group"]) == {
        "rest", "brow_raise", "full_smile",
    }  # fmt: skip
    assert set(groups.loc[groups["by"] == "side", "group"]) == {"none", "left", "right"}
    clear = table[(table["by"] == "all") & (table["score"] == "mae")]
    assert (clear["high"] < 0).all() and (clear["p_permutation_holm"] < 0.05).all()

    told = pd.read_csv(tmp_path / "out" / "disagreements.csv")
    assert list(told.columns[: len(DISAGREEMENT_COLUMNS)]) == list(DISAGREEMENT_COLUMNS)
    photographs = result.levels[0].shared
    said = photographs.answers["geometric"] != photographs.answers["deep"]
    own = told[told["level"] == "photograph"]
    assert set(own["image_id"]) == set(photographs.rows.loc[said, "image_id"])
    assert own["apart"].is_monotonic_decreasing
    right = own["right"].map(lambda words: "geometric" in words)
    np.testing.assert_array_equal(right, own["predicted_geometric"] == own["hb_grade"])
    whole = result.levels[0].who_was_right
    everyone = whole[whole["by"] == "all"].iloc[0]
    assert everyone[["both", "only_first", "only_second", "neither"]].sum() == 54
    assert (
        everyone[["both", "only_first"]].sum()
        == (photographs.answers["geometric"] == photographs.truth).sum()
    )

    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    scores = metrics["per_patient"]["models"]
    assert set(scores) == {"geometric", "deep", "majority"}
    assert scores["deep"]["mae"]["majority_baseline"] == pytest.approx(
        scores["majority"]["mae"]["value"]
    )
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/jpeg") >= 10
    assert "p07" in page


def test_a_redacted_report_names_and_shows_nobody(cohort, tmp_path: Path):
    tables, manifest = cohort
    compare(*tables, out=tmp_path / "out", manifest=manifest, redact=True)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "data:image/jpeg" not in page
    page = re.sub(r"data:image/png;base64,[^\"]+", "", page)
    assert not any(f"p{at:02d}" in page for at in range(18))
    assert "Where they disagree" in page


def test_the_same_tables_give_the_same_bytes(tmp_path: Path):
    manifest = made_manifest(patients=6, photographs=1)
    tables = [
        write_branch(
            tmp_path / branch, made_predictions(manifest, error=1.0, branch=branch, n_folds=3)
        )
        for branch in ("geometric", "deep")
    ]
    for name in ("one_run", "other_run"):
        compare(*tables, out=tmp_path / name)
    for file in ("comparison.csv", "disagreements.csv", "metrics.json", "report.html"):
        assert (tmp_path / "one_run" / file).read_bytes() == (
            tmp_path / "other_run" / file
        ).read_bytes()


def test_a_manifest_with_other_grades_is_refused(cohort, tmp_path: Path):
    tables, manifest = cohort
    table = pd.read_csv(manifest)
    table["hb_grade"] = table["hb_grade"] % 6 + 1
    table.to_csv(manifest, index=False)
    with pytest.raises(UserError, match="another hb_grade than the manifest for 54 photographs"):
        compare(*tables, out=tmp_path / "out", manifest=manifest)
    assert not (tmp_path / "out").exists()


def test_one_table_alone_is_refused(cohort, tmp_path: Path):
    with pytest.raises(UserError, match="give two or more"):
        compare(cohort[0][0], out=tmp_path / "out")


def test_leave_one_patient_out_can_be_compared(tmp_path: Path):
    manifest = made_manifest(patients=12, photographs=2)
    tables = [
        write_branch(
            tmp_path / branch,
            made_predictions(manifest, error=error, branch=branch, method="leave_one_patient_out"),
        )
        for branch, error in (("geometric", 0.4), ("deep", 1.0))
    ]
    result = compare(*tables, out=tmp_path / "out")
    assert len(result.levels[1].shared.rows) == 12
    (levels,) = {level.shared.rows["fold"].nunique() for level in result.levels}
    assert levels == 12


def test_a_shared_level_needs_no_manifest(cohort):
    branches = read_branches(cohort[0], target=SIX)
    found = compare_branches(shared_levels(branches, target=SIX)[0])
    assert set(found.table["by"]) == {"all", "grade"}
