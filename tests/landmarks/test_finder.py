from __future__ import annotations

from pathlib import Path

import cv2
import dlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landmarks.find.detector import SMALL_WIDTH, FaceBox, FaceDetector
from landmarks.find.finder import FaceLandmarks, LandmarkFinder
from landmarks.points import N_POINTS, mirror_points
from landmarks.predictor import find_predictor
from tests.common.photo_files import save

HEAD_CENTRE = (224.0, 120.0)  # of the portrait, px


def turned(portrait: np.ndarray, degrees: float) -> np.ndarray:
    """The portrait turned about the head, counter-clockwise as seen."""
    matrix = cv2.getRotationMatrix2D(HEAD_CENTRE, degrees, 1)
    return cv2.warpAffine(portrait, matrix, portrait.shape[1::-1])


def on_canvas(portrait: np.ndarray, *, width: int, height: int, head: int) -> np.ndarray:
    """The portrait's head, `head` px wide, left of the middle of a grey canvas."""
    small = cv2.resize(portrait[0:300, 80:380], (head, head), interpolation=cv2.INTER_AREA)
    canvas = np.full((height, width, 3), 90, np.uint8)
    y, x = (height - head) // 2, width // 3 - head // 2
    canvas[y : y + head, x : x + head] = small
    return canvas


def eye_distance(found: FaceLandmarks) -> float:
    return float(np.linalg.norm(found.points[45] - found.points[36]))


@pytest.fixture(scope="module")
def of_portrait(finder: LandmarkFinder, portrait: np.ndarray) -> FaceLandmarks:
    return finder.find(portrait)


# --- the portrait ------------------------------------------------------------------------------


def test_the_portrait_has_one_face_where_it_is(of_portrait: FaceLandmarks) -> None:
    assert (of_portrait.status, of_portrait.reason, of_portrait.n_faces) == ("ok", "", 1)
    assert 60 < eye_distance(of_portrait) < 75
    box = of_portrait.box
    assert box is not None
    assert box.left < HEAD_CENTRE[0] < box.right
    assert box.top < HEAD_CENTRE[1] < box.bottom
    assert of_portrait.points.shape == (N_POINTS, 2)
    nose = of_portrait.points[30]
    assert np.linalg.norm(nose - [224, 133]) < 12  # seen in the picture


def test_the_mirrored_portrait_gives_the_mirrored_points(
    finder: LandmarkFinder, portrait: np.ndarray, of_portrait: FaceLandmarks
) -> None:
    mirrored = finder.find(np.ascontiguousarray(portrait[:, ::-1]))
    expected = mirror_points(of_portrait.points, width=portrait.shape[1])
    apart = np.linalg.norm(mirrored.points - expected, axis=1) / eye_distance(of_portrait)
    # Measured here: mean 0.010, largest 0.033 of the outer-eye distance. Exchanged sides would
    # give a mean near 1, a mirror axis wrong by one pixel 0.015 more.
    assert apart.mean() < 0.015
    assert apart.max() < 0.05


@pytest.mark.parametrize("degrees", [-20, -10, -5, 5, 10, 15])
def test_turning_the_photograph_counter_clockwise_raises_the_tilt(
    finder: LandmarkFinder, portrait: np.ndarray, of_portrait: FaceLandmarks, degrees: int
) -> None:
    found = finder.find(turned(portrait, degrees))
    assert found.tilt_deg - of_portrait.tilt_deg == pytest.approx(degrees, abs=1.5)


def test_a_photograph_and_its_array_give_the_same(
    finder: LandmarkFinder, portrait_path: Path, of_portrait: FaceLandmarks
) -> None:
    found = finder.find_file(portrait_path)
    assert np.abs(found.points - of_portrait.points).max() <= 2  # two ways to make luma
    assert len(found.sha256) == 64


def test_a_large_photograph_gives_points_at_its_own_scale(
    finder: LandmarkFinder, portrait: np.ndarray, of_portrait: FaceLandmarks, tmp_path: Path
) -> None:
    large = cv2.resize(portrait, None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC)
    found = finder.find_file(save(tmp_path / "large.jpg", large, quality=95))  # decoded by 1/4
    expected = (of_portrait.points + 0.5) * 5 - 0.5
    apart = np.linalg.norm(found.points - expected, axis=1) / (5 * eye_distance(of_portrait))
    assert apart.mean() < 0.03
    assert found.box is not None
    assert found.box.left < 5 * HEAD_CENTRE[0] < found.box.right
    assert eye_distance(found) == pytest.approx(5 * eye_distance(of_portrait), rel=0.05)


# --- the stages of the cascade -----------------------------------------------------------------


def test_a_large_face_is_found_on_the_small_copy(of_portrait: FaceLandmarks) -> None:
    assert of_portrait.box is not None
    assert of_portrait.box.detector == "hog_200"


def test_a_small_face_is_found_at_full_size(finder: LandmarkFinder, portrait: np.ndarray) -> None:
    found = finder.find(on_canvas(portrait, width=1200, height=900, head=240))
    assert found.box is not None
    assert found.box.detector == "hog_full"
    assert 300 < found.points[30, 0] < 480  # the head's middle is at 400


@pytest.mark.parametrize("trouble", ["turned", "blurred"])
def test_a_face_that_hog_cannot_see_is_found_by_the_cnn(
    finder: LandmarkFinder, portrait: np.ndarray, trouble: str
) -> None:
    photo = turned(portrait, 60) if trouble == "turned" else cv2.GaussianBlur(portrait, (0, 0), 5)
    found = finder.find(photo)
    assert (found.status, found.n_faces) == ("ok", 1)
    box = found.box
    assert box is not None
    assert box.detector == "cnn"
    assert box.left < HEAD_CENTRE[0] < box.right
    assert box.top < HEAD_CENTRE[1] < box.bottom


class BlindHog:
    """A detector that sees nothing, like HOG where a face is turned or blurred."""

    def run(self, *_args: object) -> tuple[list, list, list]:
        return [], [], []


@pytest.mark.parametrize("refined", [True, False])
def test_the_box_of_the_cnn_agrees_with_that_of_hog(
    portrait: np.ndarray, of_portrait: FaceLandmarks, monkeypatch: pytest.MonkeyPatch, refined: bool
) -> None:
    # The predictor was trained on boxes of HOG; a box of another size or place costs accuracy.
    detector = FaceDetector()
    if refined:
        monkeypatch.setattr(detector, "_run_hog", lambda *_: [])
    else:
        monkeypatch.setattr(detector, "_hog", BlindHog())
    grey = cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY)
    (box,) = detector.find(grey, colour=lambda: portrait)
    assert box.detector == "cnn"
    expected = of_portrait.box
    assert expected is not None
    width = expected.right - expected.left
    for name in ("left", "top", "right", "bottom"):
        assert abs(getattr(box, name) - getattr(expected, name)) < 0.2 * width


def test_the_cnn_is_asked_only_when_hog_found_nothing(portrait: np.ndarray) -> None:
    def colour() -> np.ndarray:
        raise AssertionError("a colour decode that nobody needs")

    grey = cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY)
    assert len(FaceDetector().find(grey, colour=colour)) == 1


def test_without_colour_the_cnn_is_left_out(portrait: np.ndarray) -> None:
    grey = cv2.cvtColor(turned(portrait, 60), cv2.COLOR_RGB2GRAY)
    assert FaceDetector().find(grey) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (3, 5), (40, 40)])
def test_a_photograph_of_any_shape_is_survived(
    finder: LandmarkFinder, shape: tuple[int, int]
) -> None:
    assert finder.find(np.full((*shape, 3), 120, np.uint8)).status == "no_face"


@pytest.mark.parametrize("kind", ["black", "noise"])
def test_no_face(finder: LandmarkFinder, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    found = finder.find(noise if kind == "noise" else np.zeros_like(noise))
    assert (found.status, found.n_faces, found.box) == ("no_face", 0, None)
    assert found.reason.startswith("No face was found: ")
    assert np.isnan(found.points).all()
    assert np.isnan(found.tilt_deg)


# --- several faces -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_faces(portrait: np.ndarray) -> np.ndarray:
    """A larger face image-right, a smaller one image-left."""
    head = portrait[0:300, 80:380]
    canvas = np.full((360, 720, 3), 90, np.uint8)
    canvas[30:270, 30:270] = cv2.resize(head, (240, 240), interpolation=cv2.INTER_AREA)
    canvas[30:330, 390:690] = head
    return canvas


def test_the_largest_of_several_faces_is_taken_and_the_count_kept(
    finder: LandmarkFinder, two_faces: np.ndarray
) -> None:
    found = finder.find(two_faces)
    assert (found.status, found.n_faces) == ("ok", 2)
    assert (found.points[:, 0] > 390).all()
    mirrored = finder.find(np.ascontiguousarray(two_faces[:, ::-1]))
    assert (mirrored.points[:, 0] < 330).all()  # it is the size that decides, not the order


def test_several_faces_can_be_an_error(two_faces: np.ndarray, portrait: np.ndarray) -> None:
    strict = LandmarkFinder(find_predictor(), faces="error")
    found = strict.find(two_faces)
    assert (found.status, found.n_faces, found.box) == ("several_faces", 2, None)
    assert found.reason.startswith("2 faces were found: ")
    assert np.isnan(found.points).all()
    assert strict.find(portrait).status == "ok"


# --- boxes -------------------------------------------------------------------------------------

COORDINATE = st.floats(-500, 500)


def box(left: float, top: float, right: float, bottom: float) -> FaceBox:
    return FaceBox(left, top, right, bottom, score=1.0, detector="hog_200")


def test_a_box_keeps_its_outer_edges_when_scaled() -> None:
    # Pixels 10..19 of a copy reduced by 4 are pixels 40..79 of the photograph.
    assert box(10, 10, 19, 14).scaled(4, 4) == box(40, 40, 79, 59)
    assert box(40, 40, 79, 59).area == 40 * 20


@given(COORDINATE, COORDINATE, COORDINATE, COORDINATE, st.floats(0.2, 9), st.floats(0.2, 9))
def test_scaling_a_box_can_be_undone(a: float, b: float, c: float, d: float, sx: float, sy: float):
    there = box(a, b, c, d)
    back = there.scaled(sx, sy).scaled(1 / sx, 1 / sy)
    for name in ("left", "top", "right", "bottom"):
        assert getattr(back, name) == pytest.approx(getattr(there, name), abs=1e-6)
    assert there.shifted(3, -5).shifted(-3, 5).left == pytest.approx(a)


def test_the_rectangle_is_the_nearest_on_whole_pixels() -> None:
    assert box(10.4, 10.6, 20.5001, 19.6).rectangle() == dlib.rectangle(10, 11, 21, 20)


def test_the_box_of_the_small_copy_is_mapped_back_exactly(portrait: np.ndarray) -> None:
    grey = cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SMALL_WIDTH, SMALL_WIDTH), interpolation=cv2.INTER_AREA)
    (rectangle,), _, _ = dlib.get_frontal_face_detector().run(small, 1, 0.0)
    (found,) = FaceDetector().find(grey)
    factor = 512 / SMALL_WIDTH
    assert found.left == pytest.approx(rectangle.left() * factor)
    assert found.bottom == pytest.approx((rectangle.bottom() + 1) * factor - 1)
