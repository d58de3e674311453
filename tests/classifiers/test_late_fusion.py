"""What fusing must and must not do, on branches whose worth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_sample_weight

from classifiers.branches.fusion_methods import LEARNED, METHODS, even_fusion, learn_fusion
from classifiers.graders.nested import ranked_losses
from tests.classifiers.branch_tables import SIX, chances_of

TRUTH = np.arange(48) % 6 + 1


def stacked(*errors: float, seed: int = 0, truth: np.ndarray = TRUTH) -> np.ndarray:
    return np.stack(
        [chances_of(truth, error=e, seed=seed + 100 * at) for at, e in enumerate(errors)], axis=1
    )


@settings(max_examples=30, deadline=None)
@given(
    error=st.sampled_from([0.0, 0.3, 0.8, 2.0, np.inf]),
    copies=st.integers(2, 4),
    seed=st.integers(0, 10_000),
    zeros=st.booleans(),
)
def test_copies_of_a_branch_fuse_to_that_branch(error, copies, seed, zeros):
    own = chances_of(TRUTH, error=error, seed=seed)
    if zeros:  # a class that the training patients lacked
        own[:, 2] = 0.0
        own /= own.sum(axis=1, keepdims=True)
    same = np.repeat(own[:, None, :], copies, axis=1)
    for method in METHODS:
        fusion = learn_fusion(method, same, TRUTH)
        np.testing.assert_allclose(fusion.weights, 1 / copies, atol=1e-6)
        fused = fusion.of(same)
        if method == "stacking":
            np.testing.assert_array_equal(SIX.answers(fused), SIX.answers(own))
        else:
            np.testing.assert_allclose(fused, own, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", LEARNED)
def test_a_random_branch_counts_next_to_nothing(method, seed):
    truth = np.arange(300) % 6 + 1
    fusion = learn_fusion(method, stacked(0.6, np.inf, seed=seed, truth=truth), truth)
    assert fusion.weights[1] < 0.1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", LEARNED)
def test_a_perfect_branch_counts_nearly_all(method, seed):
    fusion = learn_fusion(method, stacked(np.inf, 0.0, seed=seed), TRUTH)
    assert fusion.weights[1] > 0.9
    chances = stacked(1.0, 0.0, seed=seed)
    fused = learn_fusion(method, chances, TRUTH).of(chances)
    np.testing.assert_array_equal(SIX.answers(fused), TRUTH)


@pytest.mark.parametrize("method", LEARNED)
def test_the_order_of_branches_does_not_matter(method):
    chances = stacked(0.5, 1.0, 1.5)
    turned = learn_fusion(method, chances[:, ::-1], TRUTH)
    np.testing.assert_allclose(
        learn_fusion(method, chances, TRUTH).weights, turned.weights[::-1], atol=1e-4
    )


def test_learned_weights_are_the_best_on_a_grid():
    chances = stacked(0.7, 1.0)
    rows = compute_sample_weight("balanced", TRUTH)

    def loss(weight: float) -> float:
        pooled = weight * chances[:, 0] + (1 - weight) * chances[:, 1]
        return float(np.average(ranked_losses(pooled, TRUTH), weights=rows))

    grid = np.linspace(0, 1, 1001)
    best = grid[np.argmin([loss(weight) for weight in grid])]
    assert learn_fusion("weighted", chances, TRUTH).weights[0] == pytest.approx(best, abs=0.01)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), branches=st.integers(2, 4), method=st.sampled_from(METHODS))
def test_fused_answers_are_probabilities(seed, branches, method):
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.full(6, 0.2), size=(20, branches))
    chances[rng.uniform(size=chances.shape) < 0.3] = 0.0
    chances[..., 0] += 1e-9
    chances /= chances.sum(axis=2, keepdims=True)
    truth = rng.integers(1, 7, size=20)
    fused = learn_fusion(method, chances, truth).of(chances)
    assert (fused >= 0).all()
    np.testing.assert_allclose(fused.sum(axis=1), 1.0)


def test_branches_that_exclude_each_other_are_averaged_by_the_product():
    chances = np.zeros((1, 2, 6))
    chances[0, 0, 0] = chances[0, 1, 5] = 1.0
    fused = even_fusion("product", branches=2).of(chances)
    np.testing.assert_allclose(fused[0], [0.5, 0, 0, 0, 0, 0.5])


def test_the_mean_by_hand():
    chances = stacked(0.5, 1.0)
    fused = even_fusion("mean", branches=2).of(chances)
    np.testing.assert_allclose(fused, (chances[:, 0] + chances[:, 1]) / 2)


def test_two_branches_with_errors_of_their_own_are_better_together():
    """What fusing is for: independent errors of the same size shrink."""
    truth = np.tile(np.arange(1, 7), 300)
    learn, ask = stacked(1.0, 1.0, seed=1, truth=truth), stacked(1.0, 1.0, seed=7, truth=truth)
    alone = np.abs(SIX.answers(ask[:, 0]) - truth).mean()
    for method in METHODS:
        fused = learn_fusion(method, learn, truth).of(ask)
        assert np.abs(SIX.answers(fused) - truth).mean() < 0.9 * alone
