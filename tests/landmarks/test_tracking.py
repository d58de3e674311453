"""A face followed through frames: as near as detected, without drift, lost and found again."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from landmarks.find.finder import FaceLandmarks, LandmarkFinder
from landmarks.find.tracking import DETECT_EVERY, TRACKED, FaceTracker

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def face(portrait: Picture) -> Picture:
    """The face alone, 240 px."""
    return np.ascontiguousarray(portrait[0:240, 100:340])


def follow(finder: LandmarkFinder, frames: list[Picture], **options: object) -> list[FaceLandmarks]:
    tracker = FaceTracker(finder, **options)
    return [tracker.follow(frame) for frame in frames]


def apart(found: FaceLandmarks, points: NDArray[np.float64]) -> float:
    """Mean distance in % of the outer-eye distance."""
    eyes = float(np.hypot(*(points[36] - points[45])))
    return 100 * float(np.hypot(*(found.points - points).T).mean()) / eyes


def test_a_long_still_film_does_not_drift(finder: LandmarkFinder, face: Picture) -> None:
    detected = finder.find(face)
    found = follow(finder, [face] * 100)
    assert {one.status for one in found} == {"ok"}
    assert max(apart(one, detected.points) for one in found) < 2.5
    np.testing.assert_array_equal(found[20].points, found[-1].points)
    counted = [at for at, one in enumerate(found) if one.n_faces is not None]
    assert counted == [0, DETECT_EVERY, 2 * DETECT_EVERY, 3 * DETECT_EVERY]
    assert found[1].box is not None and found[1].box.detector == TRACKED


def test_points_go_with_a_moving_face_and_with_changing_light(
    finder: LandmarkFinder, face: Picture
) -> None:
    frames, shifts = [], []
    for number in range(40):
        shift = 1.5 * number
        moved = cv2.warpAffine(
            face, np.array([[1, 0, shift], [0, 1, shift / 2]]), (320, 280),
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        frames.append(cv2.convertScaleAbs(moved, alpha=1.0 - 0.015 * number, beta=number))
        shifts.append((shift, shift / 2))
    found = follow(finder, frames)
    assert {one.status for one in found} == {"ok"}
    assert sum(one.n_faces is not None for one in found) < 6
    moved_by = np.array([one.points.mean(axis=0) for one in found]) - found[0].points.mean(axis=0)
    assert np.abs(moved_by - shifts).max() < 2.5


def test_a_lost_face_has_no_points_until_it_is_seen_again(
    finder: LandmarkFinder, face: Picture
) -> None:
    nobody = np.full_like(face, 120)
    found = follow(finder, [face] * 5 + [nobody] * 8 + [face] * 3)
    assert [one.status for one in found] == ["ok"] * 5 + ["no_face"] * 8 + ["ok"] * 3
    for lost in found[5:13]:
        assert np.isnan(lost.points).all() and lost.n_faces == 0
        assert lost.reason.startswith("No face was found in this frame")


def test_with_two_people_the_one_that_is_followed_stays(
    finder: LandmarkFinder, face: Picture
) -> None:
    small = np.full_like(face, 120)
    small[40:220, 30:210] = cv2.resize(face, (180, 180), interpolation=cv2.INTER_AREA)
    nobody = np.full_like(face, 120)
    both, other_way = np.hstack([face, small]), np.hstack([small, face])
    gone = np.hstack([nobody, face])
    frames = [both] * 2 + [other_way] * (DETECT_EVERY + 2) + [gone] * (DETECT_EVERY + 3)
    found = follow(finder, frames)
    width = face.shape[1]
    there = found[: DETECT_EVERY + 4]
    assert all(one.points[:, 0].max() < width for one in there), "on the left all the time"
    assert {one.n_faces for one in there} == {None, 2}
    waiting = found[DETECT_EVERY + 4 : -3]
    assert {one.status for one in waiting} == {"no_face"}
    assert "1 face elsewhere in the frame" in waiting[0].reason
    assert found[-1].status == "ok" and found[-1].points[:, 0].min() > width, "given up"
    refused = follow(finder, [both], faces="error")[0]
    assert (refused.status, refused.n_faces) == ("several_faces", 2)


def test_a_mirrored_film_gives_mirrored_boxes_and_points(
    finder: LandmarkFinder, face: Picture
) -> None:
    plain = follow(finder, [face] * 6)[-1]
    mirrored = follow(finder, [np.ascontiguousarray(face[:, ::-1])] * 6)[-1]
    ends = face.shape[1] - 1 - mirrored.points[[45, 36, 54, 48], 0]
    np.testing.assert_allclose(ends, plain.points[[36, 45, 48, 54], 0], atol=4)
