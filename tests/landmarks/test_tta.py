"""The median over copies: robust, the same for any number of threads, and honest about failures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from landmarks.check.altered import turn_picture
from landmarks.find.detector import FaceBox, FaceDetector
from landmarks.find.method import KINDS, parse_augmentation
from landmarks.find.tta import Copies, CopyPredictor, centre_of, spread_of
from landmarks.points import (
    LEFT_EYE_OUTER,
    RIGHT_EYE_OUTER,
    map_points,
    mirror_points,
    tilt_degrees,
)
from landmarks.predictor import find_predictor

CONTENT = "7" * 64


@pytest.fixture(scope="module")
def predictor() -> CopyPredictor:
    return CopyPredictor(find_predictor().load())


@pytest.fixture(scope="module")
def grey(portrait: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


@pytest.fixture(scope="module")
def box(grey: NDArray[np.uint8]) -> FaceBox:
    return FaceDetector().find(grey)[0]


def eye_distance(points: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(points[LEFT_EYE_OUTER] - points[RIGHT_EYE_OUTER]))


def off(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Mean distance of two sets of points as a fraction of the eye distance."""
    return float(np.linalg.norm(a - b, axis=1).mean() / eye_distance(b))


@pytest.mark.parametrize("average", ["median", "trimmed_mean"])
def test_one_bad_copy_does_not_move_the_points(average: str) -> None:
    rng = np.random.default_rng(1)
    face = rng.uniform(100, 200, (68, 2))
    sound = face + rng.normal(scale=0.5, size=(9, 68, 2))
    planted = Copies(points=np.concatenate([sound, face[None] + 1e4]), n_copies=10)

    found = centre_of(planted, average=average)  # type: ignore[arg-type]
    assert np.abs(found - face).max() < 1.5
    assert np.abs(planted.points.mean(axis=0) - face).min() > 900  # what a mean would have done
    assert np.hypot(*spread_of(planted).T).mean() < 1.5


def test_spread_is_the_deviation_of_normal_copies_in_x_and_in_y() -> None:
    noise = np.random.default_rng(2).normal(size=(2001, 68, 2)) * [3.0, 0.5]
    spread = spread_of(Copies(points=noise + 50, n_copies=2001))

    np.testing.assert_allclose(spread, np.tile([3.0, 0.5], (68, 1)), rtol=0.1)
    assert np.hypot(*spread.T).mean() == pytest.approx(np.hypot(3.0, 0.5), rel=0.02)


def test_nothing_is_made_up_from_too_few_copies() -> None:
    none = Copies(points=np.empty((0, 68, 2)), n_copies=5)
    two = Copies(points=np.ones((2, 68, 2)), n_copies=5)

    assert (none.n_failed, two.n_failed) == (5, 3)
    assert np.isnan(centre_of(none)).all()
    assert np.isnan(spread_of(two)).all()
    assert np.isnan(spread_of(none)).all()


def test_trimmed_mean_leaves_out_a_fifth_at_either_end() -> None:
    values = np.array([0.0, 10.0, 11.0, 12.0, 500.0])
    points = np.broadcast_to(values[:, None, None], (5, 68, 2))
    assert (centre_of(Copies(points=points, n_copies=5), average="trimmed_mean") == 11.0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_finds_the_same_face(
    predictor: CopyPredictor, grey: NDArray[np.uint8], box: FaceBox, kind: str
) -> None:
    plain = predictor.predict_level(grey, box, angle_deg=0.0)
    copies = predictor.predict(
        grey, box, augmentation=parse_augmentation(kind, copies=6), content=CONTENT
    )

    assert copies.n_failed == 0
    assert off(centre_of(copies), plain) < 0.03
    # Mirrored copies with sides left unswapped would lie an eye distance away.
    assert max(off(points, plain) for points in copies.points) < 0.08
    if kind not in ("intensity",):
        assert len(np.unique(copies.points.reshape(6, -1), axis=0)) > 1


def test_copies_without_a_face_are_counted_and_left_out(
    predictor: CopyPredictor, grey: NDArray[np.uint8], box: FaceBox
) -> None:
    drowned = parse_augmentation("noise_normal:250", copies=4)
    copies = predictor.predict(grey, box, augmentation=drowned, content=CONTENT)

    assert copies.n_copies == 4
    assert copies.n_failed == 3
    assert len(copies.points) == 1  # the untouched copy


def test_no_copy_shows_a_face_where_there_is_none(predictor: CopyPredictor, box: FaceBox) -> None:
    blank = np.full((512, 512), 120, dtype=np.uint8)
    augmentation = parse_augmentation("rotation_normal", copies=3)
    assert predictor.predict(blank, box, augmentation=augmentation, content=CONTENT).n_failed == 3


def test_threads_change_nothing(
    predictor: CopyPredictor, grey: NDArray[np.uint8], box: FaceBox
) -> None:
    augmentation = parse_augmentation("rotation_uniform:60+noise_normal:60", copies=11)
    threaded = CopyPredictor(find_predictor().load(), threads=3)
    one, three = (
        each.predict(grey, box, augmentation=augmentation, content=CONTENT)
        for each in (predictor, threaded)
    )

    np.testing.assert_array_equal(one.points, three.points)
    assert 0 < one.n_failed < 11  # failures keep their place among the threads


def test_a_larger_photograph_gives_the_same_points_at_its_scale(
    predictor: CopyPredictor, grey: NDArray[np.uint8], box: FaceBox
) -> None:
    large = np.asarray(cv2.resize(grey, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC))
    augmentation = parse_augmentation("rotation_normal+box+mirror", copies=9)
    small_points = centre_of(
        predictor.predict(grey, box, augmentation=augmentation, content=CONTENT)
    )
    large_points = centre_of(
        predictor.predict(large, box.scaled(4, 4), augmentation=augmentation, content=CONTENT)
    )

    assert off((large_points + 0.5) / 4 - 0.5, small_points) < 0.01


def test_a_face_cut_by_the_border_is_still_followed(
    predictor: CopyPredictor, grey: NDArray[np.uint8], box: FaceBox
) -> None:
    left = round(box.left)
    cut = np.ascontiguousarray(grey[:, left:])
    augmentation = parse_augmentation("box", copies=5)
    whole = centre_of(predictor.predict(grey, box, augmentation=augmentation, content=CONTENT))
    found = predictor.predict(
        cut, box.shifted(-left, 0), augmentation=augmentation, content=CONTENT
    )

    assert off(centre_of(found) + np.array([left, 0.0]), whole) < 0.05


@pytest.mark.parametrize("angle", [-12.0, 15.0])
def test_levelling_undoes_a_tilt(
    predictor: CopyPredictor, grey: NDArray[np.uint8], box: FaceBox, angle: float
) -> None:
    upright = predictor.predict_level(grey, box, angle_deg=0.0)
    turned, turn = turn_picture(grey, angle)
    # The largest of the faces found here is a badge on the suit.
    face = max(FaceDetector().find(turned), key=lambda found: found.score)
    first = predictor.predict_level(turned, face, angle_deg=0.0)
    levelled = predictor.predict_level(turned, face, angle_deg=-float(tilt_degrees(first)))

    change = float(tilt_degrees(levelled) - tilt_degrees(upright))
    assert change == pytest.approx(angle, abs=2.0)
    assert off(map_points(levelled, turn, inverse=True), upright) < 0.04


def test_the_mirrored_photograph_gives_mirrored_points_when_mirrors_are_averaged(
    predictor: CopyPredictor, grey: NDArray[np.uint8], box: FaceBox
) -> None:
    """With one copy of each kind, both photographs are seen both ways."""
    augmentation = parse_augmentation("box:0.0000001+mirror", copies=2)
    width = grey.shape[1]
    mirrored_box = FaceBox(
        width - 1 - box.right, box.top, width - 1 - box.left, box.bottom, box.score, box.detector
    )
    plain = predictor.predict(grey, box, augmentation=augmentation, content=CONTENT)
    mirrored = predictor.predict(
        np.ascontiguousarray(grey[:, ::-1]), mirrored_box, augmentation=augmentation,
        content=CONTENT,
    )  # fmt: skip

    back = mirror_points(centre_of(mirrored), width=width)
    assert off(back, centre_of(plain)) < 0.01
    assert off(mirror_points(mirrored.points[0], width=width), plain.points[0]) > 0
