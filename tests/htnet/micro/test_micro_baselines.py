"""Classical models: closed form equals refitting, nothing held out is learned, known symmetries."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.kernel_ridge import KernelRidge as SklearnRidge
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from htnet.micro.clips.maps import FlowMaps
from htnet.micro.clips.sources import class_set_named, read_clips
from htnet.micro.loso.driver import counts_by_subject, score
from htnet.micro.loso.folds import Recogniser, folds_of
from htnet.micro.models.baselines import (
    KernelRidge,
    Logistic,
    Majority,
    SupportVectors,
    coordinates,
    correlations,
    held_out_answers,
    membership,
    rbf,
    standardised,
    training_shares,
)
from tests.htnet.micro.drawn_maps import drawn_maps

MODELS: list[Recogniser] = [Majority(), KernelRidge(), SupportVectors(), Logistic()]
NAMES = [model.name for model in MODELS]


@pytest.fixture(scope="module")
def clips() -> FlowMaps:
    return drawn_maps(signal=1.5)


def uneven(seed: int = 0) -> FlowMaps:
    """Clips of subjects with one to nine clips, not in the subjects' order."""
    drawn = drawn_maps(subjects=6, per_subject=9, seed=seed)
    rng = np.random.default_rng(seed)
    kept = rng.permutation(len(drawn))[:30]
    return rows_of(drawn, kept)


def rows_of(clips: FlowMaps, rows: NDArray[np.int64]) -> FlowMaps:
    names = ("maps", "centres", "clip_id", "dataset", "subject", "label")
    return replace(clips, **{name: getattr(clips, name)[rows] for name in names})


def test_closed_form_equals_refitting_without_each_subject() -> None:
    clips = uneven()
    kernel = rbf(standardised(clips.maps)) + 1.0
    targets = membership(clips)
    found = held_out_answers(kernel, targets, fold=clips.fold, penalty=0.3)
    for held_out, training in folds_of(clips):
        model = SklearnRidge(alpha=0.3, kernel="precomputed")
        model.fit(kernel[np.ix_(training, training)], targets[training])
        again = model.predict(kernel[np.ix_(held_out, training)])
        np.testing.assert_allclose(found[held_out], again, atol=1e-9)


def test_logistic_on_a_kernel_equals_that_on_the_features() -> None:
    clips = uneven(2)
    maps = standardised(clips.maps)
    features = maps.reshape(len(maps), -1) / np.sqrt(maps[0].size)
    found = Logistic(cost=2.0).probabilities(clips)
    held_out, training = next(folds_of(clips))
    model = LogisticRegression(C=2.0, class_weight="balanced", max_iter=1000, tol=1e-8)
    model.fit(features[training], clips.label[training])
    np.testing.assert_allclose(found[held_out], model.predict_proba(features[held_out]), atol=2e-3)


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_labels_and_maps_of_the_held_out_subject_change_nothing(
    model: Recogniser, clips: FlowMaps
) -> None:
    """Swap the labels of a subject among themselves: its own answers must stay."""
    own = clips.fold == 2
    label = clips.label.copy()
    label[own] = (label[own] + 1) % 3
    before = model.leave_one_subject_out(clips, seeds=(0,))[0].probabilities[0]
    after = model.leave_one_subject_out(replace(clips, label=label), seeds=(0,))[0].probabilities[0]
    np.testing.assert_allclose(after[own], before[own], atol=1e-9)
    if model.name != "majority":
        assert np.abs(after[~own] - before[~own]).max() > 1e-6


@pytest.mark.parametrize("model", MODELS[1:], ids=NAMES[1:])
def test_they_find_what_is_there_and_nothing_where_nothing_is(
    model: Recogniser, clips: FlowMaps
) -> None:
    assert uar_of(model, clips) > 0.85
    noise = drawn_maps(subjects=20, signal=0.0, seed=5)
    assert uar_of(model, noise) == pytest.approx(1 / 3, abs=0.15)


def uar_of(model: Recogniser, clips: FlowMaps) -> float:
    answer = model.leave_one_subject_out(clips, seeds=(0,))[0]
    assert answer.rule == "honest"
    np.testing.assert_allclose(answer.probabilities.sum(axis=2), 1.0)
    return score(counts_by_subject(clips, answer.predicted[0])[None], resamples=10).uar.value


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_a_one_clip_subject_and_a_class_of_one_subject_are_answered(model: Recogniser) -> None:
    drawn = drawn_maps(subjects=5, per_subject=4, labels=[0, 1])
    label = drawn.label.copy()
    label[drawn.fold == 1] = 0  # a subject of one class
    label[drawn.fold == 4] = 2  # a class that only one subject shows
    kept = np.flatnonzero((drawn.fold != 0) | (np.arange(len(drawn)) == 0))
    clips = rows_of(replace(drawn, label=label), kept)
    answer = model.leave_one_subject_out(clips, seeds=(0,))[0]
    np.testing.assert_allclose(answer.probabilities.sum(axis=2), 1.0)
    own = clips.fold == 4
    assert not (answer.predicted[0, own] == 2).any()  # nobody else could teach it


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_the_order_of_clips_changes_no_answer(model: Recogniser) -> None:
    clips = uneven(3)
    order = np.random.default_rng(0).permutation(len(clips))
    before = model.leave_one_subject_out(clips, seeds=(0,))[0].probabilities[0]
    after = model.leave_one_subject_out(rows_of(clips, order), seeds=(0,))[0].probabilities[0]
    np.testing.assert_allclose(after, before[order], atol=1e-3)


def test_majority_is_the_most_frequent_class_of_the_others() -> None:
    clips = drawn_maps(subjects=3, per_subject=4)
    label = np.array([0, 0, 0, 0, 1, 1, 1, 2, 1, 1, 2, 2])
    answer = Majority().leave_one_subject_out(replace(clips, label=label), seeds=(0,))[0]
    # Without the first subject 1 leads; without the second 0; without the third 0.
    assert answer.predicted[0].tolist() == [1] * 4 + [0] * 8


def test_shares_are_those_of_the_training_clips() -> None:
    clips = rows_of(drawn_maps(subjects=3, per_subject=2), np.array([0, 2, 3, 4]))
    shares = training_shares(replace(clips, label=np.array([0, 0, 1, 2])))
    np.testing.assert_allclose(shares[0], [1 / 3, 1 / 3, 1 / 3])
    np.testing.assert_allclose(shares[2], [2 / 4, 1 / 4, 1 / 4])  # 2 counts as one clip


def test_a_kernel_of_correlated_maps_is_as_documented() -> None:
    maps = standardised(drawn_maps(subjects=2).maps)
    np.testing.assert_allclose(rbf(maps, width=0.7), np.exp(-0.7 * (1 - correlations(maps))))
    rows = coordinates(correlations(maps))
    np.testing.assert_allclose(rows @ rows.T, correlations(maps), atol=1e-7)


def test_standardised_maps_do_not_know_how_they_were_stretched() -> None:
    clips = drawn_maps(subjects=2)
    rng = np.random.default_rng(0)
    other = clips.maps * rng.uniform(1, 9, (len(clips), 1, 1, 3)) + rng.normal(
        0, 5, (len(clips), 1, 1, 3)
    )
    np.testing.assert_allclose(
        standardised(other.astype(np.float32)), standardised(clips.maps), atol=1e-3
    )
    constant = standardised(np.full((1, 4, 4, 3), 7.0, dtype=np.float32))
    assert not constant.any()


def test_published_maps_give_the_known_figures(shared: Path) -> None:
    clips = read_clips(
        shared / "data" / "megc2019_flow.npz", class_set=class_set_named("composite3")
    ).maps
    assert (len(clips), len(clips.subjects)) == (442, 68)
    assert np.bincount(clips.label).tolist() == [250, 109, 83]
    expected = {
        KernelRidge(): (0.730, 0.738),  # known before this code was written
        SupportVectors(): (0.748, 0.772),
        Logistic(): (0.750, 0.771),
    }
    for model, (uf1, uar) in expected.items():
        answer = model.leave_one_subject_out(clips, seeds=(0,))[0]
        found = score(counts_by_subject(clips, answer.predicted[0])[None], resamples=10)
        assert found.uf1.value == pytest.approx(uf1, abs=0.01)
        assert found.uar.value == pytest.approx(uar, abs=0.01)


def test_the_usual_support_vector_machine_gives_the_known_figure_too(shared: Path) -> None:
    """Each pixel standardised over the training clips; map by map, as here, it is 0.75."""
    clips = read_clips(
        shared / "data" / "megc2019_flow.npz", class_set=class_set_named("composite3")
    ).maps
    pixels = clips.maps.reshape(len(clips), -1).astype(np.float64)
    answer = np.empty(len(clips), dtype=np.int64)
    for held_out, training in folds_of(clips):
        middle, spread = pixels[training].mean(axis=0), pixels[training].std(axis=0)
        scaled = (pixels - middle) / spread
        squares = np.sum(scaled**2, axis=1)
        distances = squares[:, None] + squares[None, :] - 2.0 * scaled @ scaled.T
        kernel = np.exp(-distances / pixels.shape[1])  # gamma 1 / number of features
        machine = SVC(kernel="precomputed", class_weight="balanced")
        machine.fit(kernel[np.ix_(training, training)], clips.label[training])
        answer[held_out] = machine.predict(kernel[np.ix_(held_out, training)])
    found = score(counts_by_subject(clips, answer)[None], resamples=10)
    assert found.uf1.value == pytest.approx(0.72, abs=0.01)
    assert found.uar.value == pytest.approx(0.72, abs=0.01)
