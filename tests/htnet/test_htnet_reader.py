"""The ridge that reads patients: whole, and by a part of their photographs."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import Ridge

from htnet.palsy.frozen import parts_of
from htnet.palsy.reader import learn_grades, learn_reader, weights_of_views

RNG = np.random.default_rng(0)
GRADES = np.tile(np.arange(1, 7), 8)
NAMES = np.array([f"P{number:02d}" for number in range(48)])
VALUES = GRADES[:, None] * RNG.normal(size=8) + RNG.normal(size=(48, 8))


def test_it_is_a_ridge_regression_of_some_strength() -> None:
    found = learn_reader(VALUES, GRADES, NAMES)
    apart = [
        np.abs(Ridge(strength).fit(VALUES, GRADES).predict(VALUES) - found.sums(VALUES)).max()
        for strength in np.logspace(-4, 6, 40)
    ]
    assert min(apart) < 1e-8 < sorted(apart)[1]


def test_parts_that_are_the_whole_teach_nothing_else() -> None:
    parts = np.repeat(VALUES[None], 5, axis=0)
    alone, beside = (learn_reader(VALUES, GRADES, NAMES, parts=one) for one in (None, parts))
    np.testing.assert_allclose(beside.weights, alone.weights, atol=1e-9)
    np.testing.assert_allclose(beside.unseen, np.repeat(alone.unseen, 6, axis=0), atol=1e-9)
    grades = [learn_grades(one.unseen, GRADES, classes=6) for one in (alone, beside)]
    np.testing.assert_allclose(grades[0].slopes, grades[1].slopes, atol=1e-3)
    np.testing.assert_allclose([weights_of_views(views).sum() for views in (1, 6)], 1.0)


def test_what_a_part_lacks_is_relied_on_less() -> None:
    """Of two columns that tell the grade, the plainer one is 0 without a face at rest."""
    whole = GRADES[:, None] + RNG.normal(size=(48, 2)) * [0.1, 0.8]
    part = whole * [0.0, 1.0]
    without, with_parts = (
        learn_reader(whole, GRADES, NAMES, parts=one) for one in (None, part[None])
    )
    error = [np.abs(one.sums(part) - GRADES).mean() for one in (without, with_parts)]
    assert error[1] < 0.7 * error[0]
    assert np.abs(with_parts.unseen[1] - GRADES).mean() < 0.7 * error[0]


def test_a_tested_patient_is_unseen_in_every_part() -> None:
    """Grades that only the patient's own other parts could tell cannot be read."""
    own = np.eye(48)
    found = learn_reader(own, GRADES, NAMES, parts=np.repeat(own[None], 3, axis=0))
    assert np.corrcoef(found.unseen.mean(axis=0), GRADES)[0, 1] < 0.1


def test_parts_hold_photographs_that_are_there() -> None:
    present = torch.arange(4) < torch.tensor([[4], [2], [1]])
    parts = parts_of(present)
    assert not (parts & ~present).any()
    assert torch.equal(parts, parts_of(present))
    alone = parts[: len(parts) // 2]
    assert (alone.sum(dim=2) == 1).all()
    assert torch.equal(alone.any(dim=0), present)  # every photograph is alone in its turn
    assert (parts.sum(dim=2) >= 1).all() and (parts[len(alone) :].sum(dim=2) > 1).any()
    assert parts_of(present[:, :1]).shape == (0, 3, 1)
