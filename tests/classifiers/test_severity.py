"""The signed severity finds weak sides by itself, and bears missing movements."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from classifiers.graders.severity import (
    REST,
    SignedSeverity,
    _ridge,
    _unseen,
    block_columns,
    blocks_of,
)
from features.frames import N_PARTS, PAIRED

MOVEMENTS = (REST, "brow_raise", "full_smile", "lip_pucker")


def made_patients(n_per_grade: int = 8, *, noise: float = 0.02, seed: int = 0):
    """Patients whose weak side moves less the higher the grade; the side is drawn at random."""
    rng = np.random.default_rng(seed)
    grade = np.repeat(np.arange(1, 7), n_per_grade)
    side = rng.choice([-1.0, 1.0], size=len(grade))  # +1: the left is weak
    movement = np.random.default_rng(99).normal(size=(len(MOVEMENTS) - 1, 2 * len(PAIRED))) * 0.05
    weakness = (grade - 1) / 5
    even = rng.normal(size=(len(grade), len(MOVEMENTS), N_PARTS)) * noise
    odd = rng.normal(size=(len(grade), len(MOVEMENTS), N_PARTS)) * noise
    reach = 1 - weakness / 2
    even[:, 1:, : 2 * len(PAIRED)] += reach[:, None, None] * movement
    odd[:, 1:, : 2 * len(PAIRED)] += (side * weakness / 2)[:, None, None] * movement
    table = pd.DataFrame(
        np.stack([odd, even], axis=1).reshape(len(grade), -1), columns=block_columns(MOVEMENTS)
    )
    return table, grade, side


def mirrored(table: pd.DataFrame) -> pd.DataFrame:
    flipped = table.copy()
    odd = [name for name in table.columns if name.startswith("odd.")]
    flipped[odd] = -flipped[odd]
    return flipped


def test_blocks_come_back_as_they_were_written():
    table, _, _ = made_patients()
    blocks = blocks_of(table)
    assert blocks.movements == MOVEMENTS
    assert blocks.odd[3, 2, 7] == table["odd.full_smile.7"].iat[3]
    assert blocks.even[3, 1, 50] == table["even.brow_raise.50"].iat[3]


def test_sides_are_found_from_grades_alone_and_point_the_right_way():
    table, grade, side = made_patients()
    new, new_grade, new_side = made_patients(seed=1)
    found = SignedSeverity().fit(table, grade).transform(new)
    strong = new_grade >= 3
    assert (np.sign(found["signed_severity"]) == new_side)[strong].mean() > 0.97
    assert np.corrcoef(found["severity"], new_grade)[0, 1] > 0.9
    del side


def test_known_sides_are_believed():
    table, grade, side = made_patients(noise=0.05)
    turned = SignedSeverity().fit(table, grade, sides=-side).transform(table)
    assert (np.sign(turned["signed_severity"]) == -side)[grade >= 4].mean() > 0.9


def test_mirroring_everyone_changes_signs_and_nothing_else():
    table, grade, _ = made_patients()
    here = SignedSeverity().fit(table, grade).transform(table)
    model = SignedSeverity().fit(mirrored(table), grade)
    there = model.transform(mirrored(table))
    np.testing.assert_allclose(there["severity"], here["severity"], atol=1e-9)
    np.testing.assert_allclose(there["signed_severity"], -here["signed_severity"], atol=1e-9)
    lacks = [name for name in here if name.startswith("lack.")]
    np.testing.assert_allclose(there[lacks], here[lacks], atol=1e-9)


def test_training_rows_get_the_numbers_of_unseen_patients():
    """In closed form what leaving each patient out and fitting again gives."""
    table, grade, side = made_patients(n_per_grade=4)
    model = SignedSeverity(ridges=(0.1,))
    unseen = model.fit_transform(table, grade, sides=side)["signed_severity"].to_numpy()
    blocks = blocks_of(table)
    flat = model._parts(blocks).reshape(len(table), -1)
    target = side * (grade - 1.0)
    penalty = 0.1 * np.trace(flat @ flat.T) / len(flat)
    for row in (0, 7, 20):
        others = np.arange(len(table)) != row
        kernel = flat[others] @ flat[others].T + penalty * np.eye(len(table) - 1)
        weights = flat[others].T @ np.linalg.solve(kernel, target[others])
        assert unseen[row] == pytest.approx(flat[row] @ weights, abs=1e-9)


def test_two_rows_of_one_patient_are_left_out_together():
    table, grade, side = made_patients(n_per_grade=4)
    twice = pd.concat([table, table], ignore_index=True)
    who = np.tile(np.arange(len(table)), 2)
    apart = SignedSeverity().fit_transform(twice, np.tile(grade, 2), sides=np.tile(side, 2))
    together = SignedSeverity().fit_transform(
        twice, np.tile(grade, 2), groups=who, sides=np.tile(side, 2)
    )
    error = [np.abs(f["severity"] - np.tile(grade - 1, 2)).mean() for f in (apart, together)]
    assert error[0] < 0.5 * error[1]  # a copy of oneself among the others is a leak


def test_noise_is_not_taken_for_severity():
    """Grades and sides shuffled over patients: nothing is predicted for those left out."""
    table, grade, side = made_patients()
    found = []
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(grade))
        unseen = SignedSeverity().fit_transform(table, grade[order], sides=side[order])
        signed = side[order] * (grade[order] - 1)
        found.append(np.corrcoef(unseen["signed_severity"], signed)[0, 1])
    assert np.mean(found) < 0.1


def test_a_patient_with_missing_movements_is_not_graded_milder():
    table, grade, side = made_patients(n_per_grade=12)
    model = SignedSeverity().fit(table, grade, sides=side)
    whole = model.transform(table)["severity"]
    partly = table.copy()
    partly[[name for name in table.columns if ".full_smile." in name]] = np.nan
    found = model.transform(partly)
    assert found["severity"].notna().all()
    assert found["lack.full_smile"].isna().all()
    assert (found["severity"] / whole)[grade >= 4].mean() == pytest.approx(1.0, abs=0.2)
    ignored = model.shares_[MOVEMENTS.index("full_smile")]
    assert ignored > 0.1  # so without the correction it would have been milder


def test_training_patients_may_have_missing_movements():
    table, grade, _ = made_patients()
    table.loc[::3, [name for name in table.columns if ".lip_pucker." in name]] = np.nan
    found = SignedSeverity().fit_transform(table, grade)
    assert np.isfinite(found["severity"]).all()


def test_no_photograph_at_rest_is_enough_for_a_severity():
    table, grade, side = made_patients()
    moved = table[[name for name in table.columns if f".{REST}." not in name]]
    found = SignedSeverity().fit_transform(moved, grade, sides=side)
    assert np.corrcoef(found["severity"], grade)[0, 1] > 0.8
    assert not [name for name in found if "lack" in name]


@pytest.mark.parametrize("rows_of_each", [1, 2])
def test_leaving_out_needs_no_products_of_all_rows(rows_of_each: int) -> None:
    """More rows than columns take the short way; padding with zeros makes them take the other."""
    rng = np.random.default_rng(0)
    values, target = rng.normal(size=(40, 6)), rng.normal(size=40)
    patients = np.repeat(np.arange(40 // rows_of_each), rows_of_each)
    padded = np.pad(values, ((0, 0), (0, 60)))
    for ridge in (0.01, 1.0):
        assert _unseen(values, target, ridge=ridge, patients=patients) == pytest.approx(
            _unseen(padded, target, ridge=ridge, patients=patients)
        )
        weights = _ridge(padded, target, ridge=ridge)
        assert _ridge(values, target, ridge=ridge) == pytest.approx(weights[:6])
