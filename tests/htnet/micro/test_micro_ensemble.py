"""Models that answer together: the plain mean, honest answers only."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import UserError
from htnet.micro.answers import LosoAnswers, Rule
from htnet.micro.ensemble import ENSEMBLE, PatchEnsemble, joined, mean_answer
from htnet.micro.loso import ModelAnswers

A = np.array([[0.9, 0.1], [0.5, 0.5]])
B = np.array([[0.3, 0.7], [0.1, 0.9]])
C = np.array([[0.2, 0.8], [0.2, 0.8]])


def answers(
    name: str, *probabilities: np.ndarray, rule: Rule = "honest"
) -> tuple[LosoAnswers, ...]:
    return tuple(LosoAnswers(name, seed, rule, p) for seed, p in enumerate(probabilities))


def test_each_model_has_one_voice_however_many_seeds_it_has() -> None:
    found = mean_answer("both", [answers("a", A), answers("b", B, C)])[0]
    np.testing.assert_allclose(found.probabilities, (A + (B + C) / 2) / 2)
    assert (found.model, found.seed, found.rule) == ("both", 0, "honest")


def test_a_model_joined_with_itself_stays_what_it_is() -> None:
    found = mean_answer("same", [answers("a", A), answers("a", A)])[0]
    np.testing.assert_allclose(found.probabilities, A)


def test_optimistic_answers_are_not_joined() -> None:
    with pytest.raises(UserError, match="published answers of b: only honest"):
        mean_answer("both", [answers("a", A), answers("b", B, rule="published")])
    with pytest.raises(UserError, match="without answers"):
        mean_answer("both", [answers("a", A), ()])


def test_networks_share_one_half_of_the_ensemble() -> None:
    patches = ModelAnswers(PatchEnsemble().name, "honest", answers("p", A))
    whole = ModelAnswers("htnet-small whole", "honest", answers("w", B))
    mosaic = ModelAnswers("htnet-small mosaic", "honest", answers("m", C))
    leaked = ModelAnswers("htnet-small whole", "published", answers("w", A, rule="published"))
    svm = ModelAnswers("svm", "honest", answers("svm", C))
    (found,) = joined([svm, patches, whole, leaked, mosaic])
    assert found.model == ENSEMBLE
    np.testing.assert_allclose(found.by_seed[0].probabilities, A / 2 + (B + C) / 4)
    assert joined([svm, patches, leaked]) == []
    assert joined([whole]) == []
