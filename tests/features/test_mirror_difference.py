"""The two parts of a face behave under mirroring, moving, turning and scaling as they must."""

from __future__ import annotations

import numpy as np
import pytest

from features.frames import MIDLINE, N_PARTS, PAIRED, STEADY, mirror_parts
from landmarks.points import MIRROR_PARTNER, mirror_points


@pytest.fixture()
def faces():
    rng = np.random.default_rng(0)
    half = rng.uniform([10, 20], [190, 260], size=(68, 2))
    base = (half + mirror_points(half, width=400)) / 2
    base[[36, 45]] = [[100, 120], [299, 120]]
    base[[39, 42]] = [[160, 121], [239, 121]]
    return base + rng.normal(size=(20, 68, 2)) * 3.0


def test_fifty_one_inner_points_give_fifty_one_numbers_each():
    assert N_PARTS == 51
    assert 2 * len(PAIRED) + len(MIDLINE) == 51
    assert {MIRROR_PARTNER[i] for i in STEADY} == set(STEADY)


def test_mirroring_changes_the_sign_of_the_odd_part_only(faces):
    here, there = mirror_parts(faces), mirror_parts(mirror_points(faces, width=400))
    np.testing.assert_allclose(there.odd, -here.odd, atol=1e-12)
    np.testing.assert_allclose(there.even, here.even, atol=1e-12)
    assert np.abs(here.odd).max() > 0.005


def test_place_size_and_tilt_do_not_matter(faces):
    turn = np.deg2rad(17)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    moved = 2.5 * faces @ rotation.T + [310, -40]
    here, there = mirror_parts(faces), mirror_parts(moved)
    np.testing.assert_allclose(there.odd, here.odd, atol=1e-12)
    np.testing.assert_allclose(there.even, here.even, atol=1e-12)


def test_a_symmetric_face_has_no_odd_part(faces):
    symmetric = (faces + mirror_points(faces, width=400)) / 2
    np.testing.assert_allclose(mirror_parts(symmetric).odd, 0.0, atol=1e-12)


def test_a_lowered_mouth_corner_shows_where_it_is(faces):
    symmetric = (faces[:1] + mirror_points(faces[:1], width=400)) / 2
    lowered = symmetric.copy()
    lowered[:, 48, 1] += 10.0  # the patient's right corner of the mouth, 10 px down
    odd = mirror_parts(lowered).odd[0]
    found = odd[len(PAIRED) + PAIRED.index(48)]
    assert found == pytest.approx(10 / 2 / (299 - 100), rel=0.05)
    odd[len(PAIRED) + PAIRED.index(48)] = 0.0
    np.testing.assert_allclose(odd, 0.0, atol=1e-12)


def test_missing_points_stay_missing(faces):
    faces[3] = np.nan
    parts = mirror_parts(faces)
    assert np.isnan(parts.odd[3]).all()
    assert np.isfinite(np.delete(parts.odd, 3, axis=0)).all()
