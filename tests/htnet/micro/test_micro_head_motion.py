"""One box crops all frames, the head's motion is taken out, and mirroring swaps the sides."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from htnet.alignment import alignment_map
from htnet.micro.clips.flow import FlowEstimator, HeadMotion, fit_head_motion, skin_to_fit
from htnet.micro.clips.frames import FACE_SIZE, ClipError, FaceFrames, MotionReader, align_frames
from htnet.micro.clips.maps import (
    APART,
    TOGETHER,
    cut_regions,
    face_map,
    map_centres,
    region_boxes,
    small_map,
)
from htnet.micro.clips.reader import peak_motion
from landmarks.find.finder import LandmarkFinder
from landmarks.points import mirror_points
from tests.htnet.drawn_faces import face_points
from tests.htnet.micro.drawn_motion import APEX, ONSET, portrait_face, smiling

DIS = FlowEstimator("dis")


@pytest.fixture(scope="module")
def face(portrait_path: Path) -> NDArray[np.uint8]:
    return portrait_face(portrait_path)


@pytest.fixture(scope="module")
def points(finder: LandmarkFinder, face: NDArray[np.uint8]) -> NDArray[np.float64]:
    found = finder.find(face)
    assert found.status == "ok"
    return found.points


@pytest.fixture(scope="module")
def smile_flow(face: NDArray[np.uint8], points: NDArray[np.float64]) -> NDArray[np.float32]:
    return motion_of(align_frames(smiling(face, points).items(), points))


def motion_of(frames: FaceFrames, *, method: FlowEstimator = DIS) -> NDArray[np.float32]:
    return MotionReader(method, DIS, frames).between(ONSET, APEX).flow


def test_a_known_similarity_is_found_although_a_quarter_of_the_face_does_its_own() -> None:
    head = HeadMotion(dx=2.0, dy=-1.0, stretch=0.01, turn=-0.015)
    flow = head.field(FACE_SIZE)
    points = face_points(FACE_SIZE)
    skin = skin_to_fit(points, size=FACE_SIZE)
    flow[145:, :] += [1.5, -2.5]  # the mouth and chin
    found = fit_head_motion(flow, skin)
    assert skin[145:].sum() > 0.25 * skin.sum()
    assert found.dx == pytest.approx(2.0, abs=0.05)
    assert found.dy == pytest.approx(-1.0, abs=0.05)
    assert found.stretch == pytest.approx(0.01, abs=0.001)
    assert found.turn == pytest.approx(-0.015, abs=0.001)


def test_without_skin_to_look_at_no_head_motion_is_made_up() -> None:
    flow = np.ones((FACE_SIZE, FACE_SIZE, 2), dtype=np.float32)
    nothing = np.zeros((FACE_SIZE, FACE_SIZE), dtype=bool)
    assert fit_head_motion(flow, nothing) == HeadMotion(0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("method", ["dis", "tvl1", "farneback"])
def test_a_drifting_head_changes_the_flow_of_the_face_by_little(
    face: NDArray[np.uint8], points: NDArray[np.float64], method: str
) -> None:
    estimator = FlowEstimator(method)
    still = align_frames(smiling(face, points).items(), points)
    drifting = align_frames(smiling(face, points, head=(1.5, 1.0)).items(), points)
    alone = motion_of(still, method=estimator)
    motion = MotionReader(estimator, DIS, drifting).between(ONSET, APEX)
    drift = alignment_map(points, size=FACE_SIZE)[:, :2] @ [3 * 1.5, 3 * 1.0]
    assert [motion.head.dx, motion.head.dy] == pytest.approx(drift, abs=0.3)
    difference = np.abs(motion.flow - alone)[40:200, 50:174].mean()
    assert difference < 0.2  # px; the drift itself is 6 px


def test_a_smile_is_measured_where_it_is(smile_flow: NDArray[np.float32], points, face) -> None:
    frames = align_frames([(ONSET, face)], points)
    scale = FACE_SIZE / frames.face_px
    for corner, outwards in ((48, -1), (54, 1)):
        x, y = frames.points[corner].round().astype(int)
        u, v = smile_flow[y - 3 : y + 4, x - 3 : x + 4].mean(axis=(0, 1))
        assert v == pytest.approx(-3.2 * scale, rel=0.25)  # up
        assert np.sign(u) == outwards
    assert peak_motion(smile_flow, frames) == pytest.approx(3.2 * 1.12 * scale, rel=0.25)
    above_the_eyes = smile_flow[40:70, 60:160]
    assert np.hypot(*above_the_eyes.mean(axis=(0, 1))) < 0.25


def test_a_mirrored_clip_gives_mirrored_maps_and_swapped_regions(
    face: NDArray[np.uint8], points: NDArray[np.float64]
) -> None:
    # One corner only, so that right and left differ.
    frames = smiling(face, points, corners=(48,))
    mirrored = {n: np.ascontiguousarray(pixels[:, ::-1]) for n, pixels in frames.items()}
    there = mirror_points(points, width=face.shape[1])
    plain, other = align_frames(frames.items(), points), align_frames(mirrored.items(), there)
    whole = face_map(motion_of(plain), plain.points)
    back = face_map(motion_of(other), other.points)[:, ::-1] * np.array([-1, 1, 1])
    small, small_back = small_map(whole), small_map(np.ascontiguousarray(back, dtype=np.float32))
    for channel in range(3):
        assert (
            np.corrcoef(small[..., channel].ravel(), small_back[..., channel].ravel())[0, 1] > 0.9
        )
    right, left = 48, 54
    corners = [frames_of.points[[right, left]].round().astype(int) for frames_of in (plain, other)]
    speed = [np.hypot(*np.moveaxis(motion_of(frames_of), -1, 0)) for frames_of in (plain, other)]
    at = [[s[y, x] for x, y in c] for s, c in zip(speed, corners, strict=True)]
    assert at[0][0] > 3 * at[0][1]  # the subject's right moves
    assert at[1][1] > 3 * at[1][0]  # and the left of the mirrored subject


def test_right_and_left_regions_are_the_subjects_own_and_swap_in_the_mirror() -> None:
    points = face_points(FACE_SIZE)
    points[[36, 37, 41]] += [-6.0, 3.0]  # so that the sides differ
    boxes = dict(zip(APART, region_boxes(points, regions=APART, size=FACE_SIZE), strict=True))
    assert boxes["right_eye"][0] < boxes["left_eye"][0]  # the subject's right is on the left
    mirrored = mirror_points(points, width=FACE_SIZE)
    swapped = dict(zip(APART, region_boxes(mirrored, regions=APART, size=FACE_SIZE), strict=True))
    for one, other in (("right_eye", "left_eye"), ("left_eyebrow", "right_eyebrow")):
        left, top, right, bottom = swapped[other]
        flipped = [FACE_SIZE - 1 - right, top, FACE_SIZE - 1 - left, bottom]
        assert boxes[one] == pytest.approx(flipped)


def test_flow_is_computed_on_a_face_of_170_px_or_more(
    face: NDArray[np.uint8], points: NDArray[np.float64]
) -> None:
    for share in (1.0, 0.5):
        small = cv2.resize(face, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        there = (points + 0.5) * share - 0.5
        frames = align_frames([(1, small)], there)
        assert np.hypot(*(frames.points[16] - frames.points[0])) >= 170
        assert frames.face_px == pytest.approx(share * 203.7, abs=1)  # told in px of the frames


def test_both_eyes_lie_in_the_one_box_of_the_eyes() -> None:
    points = face_points(FACE_SIZE)
    together = region_boxes(points, regions=TOGETHER, size=FACE_SIZE)[0]
    apart = region_boxes(points, regions=APART, size=FACE_SIZE)[:2]
    assert together[:2] == pytest.approx(apart[:, :2].min(axis=0))
    assert together[2:] == pytest.approx(apart[:, 2:].max(axis=0))


def test_a_region_shows_what_lies_in_its_box_and_keeps_its_values() -> None:
    maps = np.zeros((4, 100, 100, 3), dtype=np.float32)
    maps[2, 20:40, 30:70, 1] = 0.7
    box = np.array([[29.5, 19.5, 69.5, 39.5]])  # edges of the pixels 30..69, 20..39
    cut = cut_regions(maps, box, size=50)
    assert cut.shape == (4, 1, 3, 50, 50)
    assert cut[2, 0, 1, 2:-2, 2:-2] == pytest.approx(0.7)
    assert not cut[[0, 1, 3]].any()
    # A ramp comes back at the right places: no shift by half a pixel.
    ramp = np.broadcast_to(np.arange(100, dtype=np.float32)[None, None, :, None], (1, 100, 100, 3))
    along = cut_regions(np.ascontiguousarray(ramp), box, size=20)[0, 0, 0, 10]
    assert along == pytest.approx(29.5 + 2.0 * (np.arange(20) + 0.5), abs=0.1)


def test_centres_are_on_the_grid_of_the_small_map() -> None:
    points = face_points(FACE_SIZE)
    centres = map_centres(points, size=FACE_SIZE)
    picture = np.zeros((FACE_SIZE, FACE_SIZE, 3), dtype=np.float32)
    for channel, (x, y) in enumerate(points[[30, 48, 54]].round().astype(int)):
        picture[y - 8 : y + 9, x - 8 : x + 9, channel] = 1.0
    small = small_map(picture)
    rows, columns = np.mgrid[:28, :28]
    for channel, centre in enumerate(centres[2:]):
        weight = small[..., channel] / small[..., channel].sum()
        found = [(weight * columns).sum(), (weight * rows).sum()]
        assert found == pytest.approx(centre, abs=0.1)
    assert centres[0, 0] < centres[1, 0]  # right eye, left eye


def test_a_frame_of_another_size_is_named(
    face: NDArray[np.uint8], points: NDArray[np.float64]
) -> None:
    with pytest.raises(ClipError, match="Frame 9 has another size") as error:
        align_frames([(8, face), (9, face[:-1])], points)
    assert error.value.status == "failed"
