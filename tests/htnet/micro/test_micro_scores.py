"""UF1 and UAR: by hand, beside scikit-learn, pooled, with classes and subjects that lack."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, f1_score, recall_score

from htnet.micro.loso.driver import counts_by_subject, score, subject_bootstrap_difference, uar, uf1
from tests.htnet.micro.drawn_maps import drawn_maps


def test_uf1_and_uar_by_hand() -> None:
    truth = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    answer = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    counts = confusion_matrix(truth, answer, labels=range(3))
    # TP 3, 1, 2; FP 0, 1, 1; FN 1, 1, 0
    assert uf1(counts) == pytest.approx((6 / 7 + 2 / 4 + 4 / 5) / 3)
    assert uar(counts) == pytest.approx((3 / 4 + 1 / 2 + 2 / 2) / 3)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40))
@settings(max_examples=50, deadline=None)
def test_scores_agree_with_scikit_learn_whichever_occur(pairs: list[tuple[int, int]]) -> None:
    truth, answer = (np.array(side) for side in zip(*pairs, strict=True))
    counts = confusion_matrix(truth, answer, labels=range(3))
    occurring = sorted(set(truth.tolist()) | set(answer.tolist()))
    assert uf1(counts) == pytest.approx(
        f1_score(truth, answer, labels=occurring, average="macro", zero_division=0)
    )
    assert uar(counts) == pytest.approx(
        recall_score(truth, answer, labels=sorted(set(truth.tolist())), average="macro")
    )


def test_an_absent_class_lowers_uf1_only_when_it_is_answered() -> None:
    truth = np.array([0, 0, 1, 1])
    right = confusion_matrix(truth, truth, labels=range(3))
    assert (uf1(right), uar(right)) == (1.0, 1.0)
    once_wrong = confusion_matrix(truth, np.array([0, 0, 1, 2]), labels=range(3))
    assert uf1(once_wrong) == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert uar(once_wrong) == pytest.approx((1 + 1 / 2) / 2)


def test_clips_are_pooled_and_not_averaged_over_subjects() -> None:
    clips = drawn_maps(subjects=3, per_subject=4)
    clips = replace(
        clips, subject=np.array(["a"] * 10 + ["b", "c"]), label=np.array([0] * 5 + [1] * 5 + [2, 2])
    )
    answer = np.array([0] * 5 + [1] * 5 + [2, 0])
    counts = counts_by_subject(clips, answer)
    assert counts.shape == (3, 3, 3)
    assert counts[1].sum() == 1  # a subject with one clip, of one class
    found = score(counts[None], resamples=50)
    assert found.uf1.value == pytest.approx(
        f1_score(clips.label, answer, average="macro"), abs=1e-12
    )
    assert found.uar.value == pytest.approx(2.5 / 3)
    means = [float(uf1(one)) for one in counts]
    assert np.mean(means) != pytest.approx(found.uf1.value)


def test_the_interval_is_that_of_subjects_and_not_of_clips() -> None:
    rng = np.random.default_rng(0)
    # Ten subjects of forty clips: all right, or all wrong.
    right = np.zeros((3, 3))
    right[0, 0] = right[1, 1] = right[2, 2] = 40 / 3
    wrong = np.roll(right, 1, axis=1)
    by_subject = np.stack([right] * 5 + [wrong] * 5)
    wide = score(by_subject[None], resamples=500).uar
    assert wide.value == pytest.approx(0.5)
    assert wide.high - wide.low > 0.5
    # The same clips as four hundred subjects of one clip.
    single = np.zeros((400, 3, 3))
    label = np.repeat(np.arange(3), 134)[:400]
    hits = rng.permutation(400) < 200
    single[np.arange(400), label, np.where(hits, label, (label + 1) % 3)] = 1
    assert (lambda e: e.high - e.low)(score(single[None], resamples=500).uar) < 0.15


def test_seeds_are_scored_apart_and_their_spread_told() -> None:
    right, wrong = np.eye(3)[None] * 4, np.roll(np.eye(3), 1, axis=1)[None] * 4
    found = score(np.stack([right, wrong]), resamples=10)
    assert found.uf1.value == pytest.approx(0.5)
    assert found.spread_uf1 == pytest.approx(np.sqrt(0.5))
    assert np.isnan(score(right[None], resamples=10).spread_uf1)


def test_a_difference_is_resampled_in_pairs() -> None:
    rng = np.random.default_rng(1)
    by_subject = rng.integers(0, 5, (1, 12, 3, 3)).astype(float)
    same = subject_bootstrap_difference(by_subject, by_subject, resamples=100)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    better = by_subject.copy()
    better[..., range(3), range(3)] += 3
    assert subject_bootstrap_difference(better, by_subject, resamples=100).low > 0
