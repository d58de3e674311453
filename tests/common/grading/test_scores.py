"""Scores agree with scikit-learn on any answers, and intervals mean what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from classifiers.reports.sections import scores_table
from common.bootstrap import Estimate, exact_limits, resampling_weights
from common.grading.evaluation import RECALL, confusion_of, evaluate, recall_json, recall_line
from common.grading.scores import MORE_SCORES, SCORES, recalls, scores_for
from common.grading.target import TARGETS
from common.words import unbroken

GRADES = list(range(1, 7))
answers = st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(0, 5)), min_size=2, max_size=60
)
REFERENCES = {
    "accuracy": metrics.accuracy_score,
    "macro_f1": lambda truth, answer: metrics.f1_score(
        truth, answer, labels=sorted({*truth, *answer}), average="macro", zero_division=0
    ),
    "mae": metrics.mean_absolute_error,
    "within_one": lambda truth, answer: float(np.mean(np.abs(truth - answer) <= 1)),
}


def table_of(rows: list[tuple[int, int, int]], *, repeat: int = 1) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient_id": [f"p{patient}" for _, _, patient in rows],
            "hb_grade": [truth for truth, _, _ in rows],
            "predicted": [answer for _, answer, _ in rows],
            "repeat": repeat,
        }
    )


@given(answers)
def test_scores_equal_those_of_scikit_learn(rows):
    table = table_of(rows)
    total = confusion_of(table, target=TARGETS["six_grades"]).total
    truth, answer = table["hb_grade"].to_numpy(), table["predicted"].to_numpy()
    for name, reference in REFERENCES.items():
        assert SCORES[name].of(total) == pytest.approx(reference(truth, answer)), name
    per_grade = [np.mean(answer[truth == grade] == grade) for grade in sorted(set(truth))]
    assert SCORES["balanced_accuracy"].of(total) == pytest.approx(np.mean(per_grade))
    weighted = metrics.f1_score(truth, answer, average="weighted", zero_division=0)
    assert MORE_SCORES["weighted_f1"].of(total) == pytest.approx(weighted)
    if len(set(truth) | set(answer)) > 1:
        reference = metrics.cohen_kappa_score(truth, answer, labels=GRADES, weights="quadratic")
        assert SCORES["weighted_kappa"].of(total) == pytest.approx(reference)


def test_perfect_and_constant_answers():
    perfect = np.diag([3.0, 2, 4, 1, 5, 2])
    for score in SCORES.values():
        assert score.of(perfect) == (1.0 if score.higher_is_better else 0.0)
    constant = np.zeros((6, 6))
    constant[:, 2] = [3, 2, 4, 1, 5, 2]
    assert SCORES["weighted_kappa"].of(constant) == 0.0
    assert SCORES["balanced_accuracy"].of(constant) == pytest.approx(1 / 6)


def test_absent_grades_are_left_out_of_means_and_undefined_alone():
    only_two = np.zeros((6, 6))
    only_two[1, 1], only_two[4, 3] = 3, 1
    assert SCORES["balanced_accuracy"].of(only_two) == 0.5
    assert np.isnan(recalls(only_two)).tolist() == [True, False, True, True, False, True]
    assert np.isnan(SCORES["accuracy"].of(np.zeros((6, 6))))


@given(answers)
def test_scores_of_many_resamples_equal_one_at_a_time(rows):
    counts = confusion_of(table_of(rows), target=TARGETS["six_grades"]).counts
    weights = resampling_weights(len(counts), resamples=5)
    for score in SCORES.values():
        together = score.of(np.einsum("bp,pij->bij", weights, counts))
        alone = [score.of(sum(w * c for w, c in zip(row, counts, strict=True))) for row in weights]
        np.testing.assert_allclose(together, alone, atol=1e-12)


def test_repeats_are_averaged_so_that_a_patient_is_not_counted_twice():
    rows = [(1, 1, 0), (2, 3, 1)]
    once = confusion_of(table_of(rows), target=TARGETS["six_grades"])
    both = pd.concat([table_of(rows, repeat=1), table_of(rows, repeat=2)])
    np.testing.assert_allclose(confusion_of(both, target=TARGETS["six_grades"]).counts, once.counts)


def test_patients_whom_random_draws_test_more_often_count_once():
    rows = pd.concat(
        [
            table_of([(1, 1, 0)] * 2, repeat=1).assign(fold=1),  # two photographs of a patient
            table_of([(1, 1, 0), (1, 2, 0)], repeat=1).assign(fold=2),
            table_of([(2, 2, 1)], repeat=1).assign(fold=2),
        ]
    )
    counts = confusion_of(rows, target=TARGETS["six_grades"]).counts
    assert counts.sum(axis=(1, 2)).tolist() == [2.0, 1.0]
    assert counts[0, 0, :2].tolist() == [1.5, 0.5]


def test_interval_is_that_of_the_plain_bootstrap_over_patients():
    rng = np.random.default_rng(4)
    rows = [(int(g), int(np.clip(g + rng.integers(-1, 2), 1, 6)), p)
            for p in range(30) for g in [rng.integers(1, 7)] for _ in range(4)]  # fmt: skip
    table = table_of(rows)
    confusion = confusion_of(table, target=TARGETS["six_grades"])
    weights = resampling_weights(30, resamples=400, seed=2)
    found = SCORES["mae"].estimate(confusion.counts, weights=weights)
    errors = (table["hb_grade"] - table["predicted"]).abs().groupby(table["patient_id"]).mean()
    errors = errors.loc[confusion.patients].to_numpy()
    plain = [np.average(errors, weights=row) for row in weights]
    assert found.value == pytest.approx(errors.mean())
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(plain, [0.025, 0.975])))


def test_eight_photographs_of_a_face_count_as_one_face():
    """If a patient's photographs stand or fall together, more of them narrow nothing."""
    right = np.arange(20) % 2
    one = [(1, 1 if right[p] else 2, p) for p in range(20)]
    weights = resampling_weights(20)
    target = TARGETS["six_grades"]
    few, many = (
        SCORES["accuracy"].estimate(
            confusion_of(table_of(rows), target=target).counts, weights=weights
        )
        for rows in (one, one * 8)
    )
    assert (few.low, few.high) == pytest.approx((many.low, many.high))


def test_a_perfect_proportion_still_has_an_interval():
    counts = np.zeros((60, 6, 6))
    counts[:, 0, 0] = 1.0
    found = SCORES["accuracy"].estimate(counts, weights=resampling_weights(60))
    assert found == Estimate(1.0, pytest.approx(0.025 ** (1 / 60)), 1.0)
    assert exact_limits(0.0, n=60) == (0.0, pytest.approx(1 - 0.025 ** (1 / 60)))


def test_limits_of_a_proportion_are_those_of_wilson_for_independent_patients():
    counts = np.zeros((60, 6, 6))
    counts[:55, 0, 0] = counts[55:, 0, 1] = 1.0
    found = SCORES["accuracy"].estimate(counts, weights=resampling_weights(60, resamples=20000))
    limits = stats.binomtest(55, 60).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((limits.low, limits.high), abs=0.005)


def test_interval_covers_the_truth_as_often_as_it_says():
    """200 cohorts of 60 patients, four photographs each, patients of differing difficulty."""
    rng = np.random.default_rng(11)
    weights = resampling_weights(60, resamples=1000)
    hits = 0
    for _ in range(200):
        ease = rng.beta(2, 1, size=60)  # mean 2/3: the true accuracy
        right = rng.binomial(4, ease)
        counts = np.zeros((60, 2, 2))
        counts[:, 0, 0], counts[:, 0, 1] = right, 4 - right
        found = SCORES["accuracy"].estimate(counts, weights=weights)
        hits += found.low <= 2 / 3 <= found.high
    assert 0.91 <= hits / 200 <= 0.98


def test_an_answer_is_given_as_the_report_says():
    chances = np.array([[0.3, 0.05, 0.05, 0.2, 0.2, 0.2]])
    six = TARGETS["six_grades"]
    assert "going up from the lowest, at which half of the probability is reached" in six.rule
    first = next(at for at, sum_ in enumerate(np.cumsum(chances), start=1) if sum_ >= 0.5)
    assert six.answers(chances).tolist() == [first] == [4]
    unordered = replace(six, ordered=False)
    assert unordered.rule == "the class with the highest probability"
    assert unordered.answers(chances).tolist() == [chances.argmax() + 1] == [1]


def test_recall_stands_beside_a_kappa_that_hides_it():
    """Nobody of grade I is answered I, and the kappa is 0.8 all the same."""
    rows = [(1, 2, at) for at in range(3)] + [(g, g, 3 * g + at) for g in range(2, 7)
                                              for at in range(3)]  # fmt: skip
    table = table_of(rows).assign(model="svm", image_id=[f"{at}.jpg" for at in range(len(rows))])
    chances = [f"p_{grade}" for grade in GRADES]
    table[chances] = np.eye(6)[table["predicted"] - 1]
    found = evaluate(table, target=TARGETS["six_grades"])
    assert found.estimates["svm"]["weighted_kappa"].value > 0.8
    assert found.recall_of("svm") == "I 0/3 · II 3/3 · III 3/3 · IV 3/3 · V 3/3 · VI 3/3"
    assert scores_table(found)[RECALL].tolist() == [unbroken(found.recall_of("svm"))]
    assert found.as_json()["models"]["svm"]["recall"]["1"] == {"right": 0.0, "of": 3.0}


def test_recall_of_repeats_and_absent_classes():
    total = np.array([[1.5, 0.5, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    assert recall_line(total, ("a", "b", "c")) == "a 1.5/2 · c 1/2"
    assert recall_json(total, ("a", "b", "c")) == {
        "a": {"right": 1.5, "of": 2.0}, "c": {"right": 1.0, "of": 2.0}
    }  # fmt: skip


def test_questions_without_order_have_no_distance_scores():
    names = {score.name for score in scores_for(TARGETS["affected_side"])}
    assert not names & {"mae", "within_one"}
    assert names < {score.name for score in scores_for(TARGETS["six_grades"])}


def test_scores_speak_of_grades_or_of_classes():
    in_grades, in_classes = (
        " ".join(f"{score.title} {score.meaning}" for score in scores_for(TARGETS[name]))
        for name in ("six_grades", "three_classes")
    )
    assert "Error in grades" in in_grades
    assert "Error in classes" in in_classes
    assert "Within one class" in in_classes
    assert "grade" not in in_classes


@pytest.mark.parametrize(
    "name", ["weighted_kappa", "mae", "balanced_accuracy", "within_one", "icc"]
)
def test_intervals_of_grade_scores_cover_the_truth(name):
    """200 cohorts of 60 patients, ten of each grade, answers one or two grades off now and then."""
    rng = np.random.default_rng(12)
    score = {**SCORES, **MORE_SCORES}[name]
    chance = np.array([[0.04, 0.2, 0.5, 0.2, 0.06]])  # two below to two above
    answer_of = np.zeros((6, 6))
    for grade in range(6):
        for step, share in zip(range(-2, 3), chance[0], strict=True):
            answer_of[grade, np.clip(grade + step, 0, 5)] += share
    truth = float(score.of(10 * answer_of))
    weights = resampling_weights(60, resamples=1000)
    grades = np.repeat(np.arange(6), 10)
    hits = 0
    for _ in range(200):
        answers = [rng.choice(6, p=answer_of[grade]) for grade in grades]
        counts = np.zeros((60, 6, 6))
        counts[np.arange(60), grades, answers] = 1.0
        found = score.estimate(counts, weights=weights)
        hits += found.low <= truth <= found.high
    assert 0.91 <= hits / 200 <= 0.98


@given(answers)
def test_intraclass_correlation_equals_its_definition_by_mean_squares(rows):
    table = table_of(rows)
    x = table[["hb_grade", "predicted"]].to_numpy(dtype=float)
    n, k = x.shape
    total = x.mean()
    of_rows, of_columns = x.mean(axis=1), x.mean(axis=0)
    between = k * ((of_rows - total) ** 2).sum() / (n - 1)
    raters = n * ((of_columns - total) ** 2).sum() / (k - 1)
    residual = x - of_rows[:, None] - of_columns[None, :] + total
    error = (residual**2).sum() / ((n - 1) * (k - 1))
    below = between + (k - 1) * error + k * (raters - error) / n
    counts = confusion_of(table, target=TARGETS["six_grades"]).total
    found = float(MORE_SCORES["icc"].of(counts))
    if below > 1e-9:
        assert found == pytest.approx((between - error) / below, abs=1e-9)


@given(answers)
def test_plain_kappa_equals_that_of_scikit_learn(rows):
    table = table_of(rows)
    truth, answer = table["hb_grade"].to_numpy(), table["predicted"].to_numpy()
    if len(set(truth) | set(answer)) > 1:
        found = MORE_SCORES["plain_kappa"].of(
            confusion_of(table, target=TARGETS["six_grades"]).total
        )
        assert found == pytest.approx(metrics.cohen_kappa_score(truth, answer, labels=GRADES))
