"""Graders behave like scikit-learn's, accept every gap, and keep to the rows they are given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.preprocessing import PowerTransformer
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

from classifiers.graders.cohort import Samples
from classifiers.graders.estimators import (
    CalibratedSVC,
    LogisticGrader,
    MLPGrader,
    XGBoostGrader,
    balanced_weights,
)
from classifiers.graders.registry import GRADERS, USUAL, choose_graders, fit_grader
from classifiers.graders.scaling import SCALERS, ConstantToZero, RankScaler, YeoJohnsonScaler
from common.errors import UserError

from .conftest import MadeCohort, made_cohort

LEARNERS = [entry for entry in GRADERS.values() if not entry.baseline]
PAIRS = [(entry, "standard") for entry in LEARNERS]
PAIRS += [(GRADERS["logistic"], scaler) for scaler in SCALERS if scaler != "standard"]
NAMES = [f"{entry.name}-{scaler}" for entry, scaler in PAIRS]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:n_quantiles .* is greater")
@parametrize_with_checks(
    [
        CalibratedSVC(),
        XGBoostGrader(n_estimators=20),
        MLPGrader(),
        LogisticGrader(),
        ConstantToZero(),
        RankScaler(n_quantiles=10),
    ]
)
def test_scikit_learn_finds_no_fault(estimator, check):
    check(estimator)


def fitted(entry, cohort: MadeCohort, *, keep=slice(None), scaler="standard", n_classes=6):
    samples = Samples(
        rows=cohort.rows[keep],
        features=cohort.features[keep],
        labels=cohort.rows["hb_grade"].to_numpy()[keep],
        patients=cohort.rows["patient_id"].to_numpy(dtype=str)[keep],
    )
    return fit_grader(entry, samples.features, samples, n_classes=n_classes, scaler=scaler)


def test_classes_weigh_as_in_scikit_learn_to_the_last_bit():
    encoded = np.array([0, 0, 0, 2, 2, 5, 0, 5, 2, 2, 2])  # 1, 3 and 4 do not occur
    np.testing.assert_array_equal(
        balanced_weights(encoded), compute_sample_weight("balanced", encoded)
    )


@pytest.mark.parametrize("entry", GRADERS.values(), ids=GRADERS)
def test_a_grade_missing_from_training_gets_no_probability(entry):
    cohort = made_cohort()
    keep = ~cohort.rows["hb_grade"].isin([1, 4]).to_numpy()
    chances = fitted(entry, cohort, keep=keep).answers(cohort.features)
    assert chances.shape == (len(cohort.features), 6)
    assert (chances[:, [0, 3]] == 0).all()
    np.testing.assert_allclose(chances.sum(axis=1), 1.0)


@pytest.mark.parametrize(("entry", "scaler"), PAIRS, ids=NAMES)
def test_graders_learn_a_plain_cohort_with_every_scaler(entry, scaler):
    cohort = made_cohort(patients_per_grade=6)
    new = made_cohort(patients_per_grade=6)  # same seed, so the same meaning of each feature
    found = fitted(entry, cohort, scaler=scaler)
    answers = found.answers(new.features).argmax(axis=1) + 1
    assert np.mean(np.abs(answers - new.rows["hb_grade"]) <= 1) > 0.9
    assert found.notes == () or scaler == "box_cox"


@pytest.mark.parametrize(("entry", "scaler"), PAIRS, ids=NAMES)
def test_missing_and_constant_features_do_no_harm(entry, scaler):
    cohort = made_cohort()
    values = cohort.features.copy()
    values.iloc[::5, 3] = np.nan
    values["f7"] = np.nan
    values["f8"] = 2.5
    found = fitted(entry, MadeCohort(cohort.rows, values), scaler=scaler)
    tested = values.copy()
    tested["f8"] = 2.5 + 1e-3  # constant in training: its change must not count
    chances = found.answers(values)
    assert np.isfinite(chances).all()
    np.testing.assert_allclose(chances, found.answers(tested))


@pytest.mark.parametrize("entry", GRADERS.values(), ids=GRADERS)
def test_one_class_alone_is_answered_with_certainty(entry):
    cohort = made_cohort()
    keep = (cohort.rows["hb_grade"] == 2).to_numpy()
    chances = fitted(entry, cohort, keep=keep).answers(cohort.features)
    assert (chances[:, 1] == 1).all()


def test_a_rare_class_counts_as_much_as_a_frequent_one():
    """Two overlapping classes, one of them 9 times as frequent: both must be answered alike."""
    rng = np.random.default_rng(0)
    labels = np.repeat([1, 2], [400, 3600])
    values = rng.normal(size=(4000, 1)) + labels[:, None]
    for entry in LEARNERS:
        if entry.name == "random_forest":
            continue  # its small leaves follow single rows on one feature
        model = entry.build(0).fit(values[::4], labels[::4])
        recall = [np.mean(model.predict(values[labels == k]) == k) for k in (1, 2)]
        assert abs(recall[0] - recall[1]) < 0.15, entry.name


def test_the_probabilities_of_the_svm_are_learned_on_unseen_patients():
    """Where features name the patient, calibration on split patients would be too sure."""
    cohort = made_cohort(grade_strength=0.0, patient_strength=3.0)
    labels = cohort.rows["hb_grade"].to_numpy()
    patients = cohort.rows["patient_id"].to_numpy(dtype=str)
    new = made_cohort(grade_strength=0.0, patient_strength=3.0, seed=1).features
    honest = CalibratedSVC().fit(cohort.features.to_numpy(), labels, groups=patients)
    split = CalibratedSVC().fit(cohort.features.to_numpy(), labels)
    sureness = [m.predict_proba(new.to_numpy()).max(axis=1).mean() for m in (honest, split)]
    assert sureness[0] < sureness[1] - 0.1


def test_patients_reach_the_grader_that_asks_for_them(monkeypatch):
    seen = []
    fit = CalibratedSVC.fit

    def spy(self, X, y, groups=None):
        seen.append(groups)
        return fit(self, X, y, groups)

    monkeypatch.setattr(CalibratedSVC, "fit", spy)
    cohort = made_cohort()
    fitted(GRADERS["svm"], cohort)
    assert list(seen[0]) == list(cohort.rows["patient_id"])


def test_warnings_of_libraries_become_notes():
    cohort = made_cohort()
    entry = GRADERS["mlp"]
    impatient = type(entry)(
        name="mlp", title="", about="", build=lambda seed: MLPGrader(max_iter=2)
    )
    notes = fitted(impatient, cohort).notes
    assert len(notes) == 1
    assert "converge" in notes[0]


def test_the_preparation_is_learned_with_the_grader_and_not_before():
    cohort = made_cohort()
    found = fitted(GRADERS["mlp"], cohort, keep=slice(0, 40)).pipeline
    assert [name for name, _ in found.steps] == ["fill", "constant", "scale", "grader"]
    np.testing.assert_allclose(
        found.named_steps["scale"].mean_, cohort.features[:40].mean(axis=0), atol=1e-12
    )


def test_box_cox_is_that_of_scipy_where_values_are_positive_and_says_where_not():
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.lognormal(size=80), rng.normal(size=80)])
    labels = np.repeat([1, 2], 40)
    table = pd.DataFrame(values, columns=["positive", "signed"])
    found = fit_grader(
        GRADERS["logistic"], table, Samples(table, table, labels, labels.astype(str)),
        n_classes=2, scaler="box_cox",
    )  # fmt: skip
    assert found.notes == (
        "Yeo-Johnson in place of Box-Cox for some features, which are not positive in all "
        "training rows",
    )
    made = found.pipeline[:-1].transform(table)
    by_scipy, _ = stats.boxcox(values[:, 0])
    np.testing.assert_allclose(made[:, 0], stats.zscore(by_scipy), atol=1e-6)
    np.testing.assert_allclose(
        made[:, 1], stats.zscore(stats.yeojohnson(values[:, 1])[0]), atol=1e-6
    )
    tested = table.assign(positive=0.0)  # no power of it exists: the smallest of training
    smallest = made[values[:, 0].argmin(), 0]
    np.testing.assert_allclose(found.pipeline[:-1].transform(tested)[:, 0], smallest)


@pytest.mark.parametrize("sign", ["any", "positive", "negative", "zero"])
def test_powers_are_scikit_learns_to_the_last_bit(sign):
    rng = np.random.default_rng(3)
    values = rng.normal(size=(18, 8)) * 10.0 ** rng.integers(-4, 4, size=8)
    values *= {"any": 1, "zero": rng.integers(2, size=8)}.get(sign, np.sign(values))
    values = -values if sign == "negative" else values
    ours, theirs = YeoJohnsonScaler(), PowerTransformer()
    np.testing.assert_array_equal(
        ours.fit_transform(values.copy()), theirs.fit_transform(values.copy())
    )
    np.testing.assert_array_equal(ours.lambdas_, theirs.lambdas_)


def test_the_linear_svm_finds_what_is_straight_and_only_by_name():
    assert "linear_svm" not in USUAL
    rng = np.random.default_rng(1)
    values = rng.normal(size=(200, 2))
    straight = (values.sum(axis=1) > 0) + 1
    ring = (np.hypot(*values.T) > 1.18) + 1
    svm = GRADERS["linear_svm"].build(0)
    assert np.mean(svm.fit(values, straight).predict(values) == straight) > 0.95
    assert np.mean(svm.fit(values, ring).predict(values) == ring) < 0.75


def test_choosing_graders():
    assert [entry.name for entry in choose_graders(["xgboost", "svm"])] == [
        "svm",
        "xgboost",
        "majority",
    ]
    with pytest.raises(UserError, match='Did you mean "xgboost"'):
        choose_graders(["xgbost"])
