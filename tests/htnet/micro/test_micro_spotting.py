"""The apex is where the hill of motion peaks; scores stand beside the middle frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htnet.micro.clips.flow import FlowEstimator
from htnet.micro.clips.frames import ClipError, MotionReader, align_frames
from htnet.micro.clips.spots import SPOTS, curves_figure, errors_of, spotting_scores
from htnet.micro.clips.spotting import Spot, smoothed, spot_apex, spot_expression
from landmarks.find.finder import LandmarkFinder
from tests.htnet.micro.drawn_motion import ONSET, portrait_face, smiling

# Still for a while, then a smile with its apex at the seventh frame, 14, and its offset at 17.
LONG = (0.0, 0.0, 0.0, 0.5, 1.6, 2.6, 3.2, 2.4, 1.2, 0.0, 0.0)


@pytest.fixture(scope="module")
def motions(finder: LandmarkFinder, portrait_path: Path) -> MotionReader:
    face = portrait_face(portrait_path)
    points = finder.find(face).points
    frames = align_frames(smiling(face, points, amounts=LONG, head=(0.2, -0.1)).items(), points)
    dis = FlowEstimator("dis")
    return MotionReader(dis, dis, frames)


def test_the_apex_of_a_known_smile_is_found(motions: MotionReader) -> None:
    spot = spot_apex(motions, range(ONSET + 2, ONSET + 10))
    assert spot.apex == ONSET + 6
    assert (spot.onset, spot.offset) == (ONSET + 2, ONSET + 9)


def test_onset_and_offset_are_found_where_nothing_is_known(motions: MotionReader) -> None:
    spot = spot_expression(motions)
    assert spot.apex == ONSET + 6
    assert abs(spot.onset - (ONSET + 2)) <= 1
    assert abs(spot.offset - (ONSET + 9)) <= 1
    assert spot.numbers == tuple(range(ONSET, ONSET + len(LONG)))


def test_two_frames_hold_no_apex_between_them(motions: MotionReader) -> None:
    with pytest.raises(ClipError, match="Only 2 frames from onset to offset") as error:
        spot_apex(motions, (ONSET, ONSET + 1))
    assert error.value.status == "missing_frames"


@given(st.integers(6, 90), st.floats(0.25, 0.75))
@settings(max_examples=40, deadline=None)
def test_smoothing_leaves_the_peak_of_a_hill_where_it_is(length: int, place: float) -> None:
    peak = round(place * (length - 1))
    hill = np.exp(-(((np.arange(length) - peak) / (0.2 * length)) ** 2))
    assert abs(int(np.argmax(smoothed(hill))) - peak) <= 1
    assert smoothed(hill).max() <= hill.max() + 1e-12


def test_smoothing_takes_away_a_single_wild_frame() -> None:
    hill = np.exp(-(((np.arange(60) - 25) / 10) ** 2))
    hill[55] = 1.3
    assert int(np.argmax(hill)) == 55
    assert abs(int(np.argmax(smoothed(hill))) - 25) <= 1


def spots(found: list[int], annotated: list[int | None], subjects: list[str]) -> pd.DataFrame:
    rows = []
    for number, (apex, true, subject) in enumerate(zip(found, annotated, subjects, strict=True)):
        row = {"image_id": f"c{number}", "patient_id": subject, "dataset": "d", "status": "ok"}
        row |= {"apex": apex, "annotated_apex": true}
        row |= errors_of(apex, true, range(11)) | errors_of(5, true, range(11), prefix="middle_")
        rows.append(row)
    return pd.DataFrame(rows).reindex(columns=list(SPOTS.columns))


def test_scores_are_those_of_the_errors_and_the_middle_frame_stands_beside() -> None:
    table = spots([3, 6, 9, 4], [3, 5, 5, None], ["a", "a", "b", "b"])
    spotted, middle = spotting_scores(table)
    assert spotted.error_frames.value == pytest.approx((0 + 1 + 4) / 3)
    assert spotted.error_share.value == pytest.approx((0 + 1 + 4) / 30)
    assert spotted.within_1.value == pytest.approx(2 / 3)
    assert spotted.within_3.value == pytest.approx(2 / 3)
    assert middle.error_frames.value == pytest.approx(2 / 3)
    assert middle.name == "middle frame"


def test_intervals_resample_subjects_and_not_clips() -> None:
    """Forty clips of two subjects are two pieces of evidence."""
    few = spotting_scores(spots([0] * 20 + [4] * 20, [0] * 40, ["a"] * 20 + ["b"] * 20))[0]
    assert (few.error_frames.low, few.error_frames.high) == (0.0, 4.0)
    many = spotting_scores(spots([0, 4] * 20, [0] * 40, [f"s{n}" for n in range(40)]))[0]
    assert many.error_frames.high - many.error_frames.low < 2.0


def test_a_perfect_share_has_no_interval_of_width_zero() -> None:
    perfect = spotting_scores(spots([3] * 6, [3] * 6, list("abcdef")))[0]
    assert perfect.within_1.value == 1.0
    assert perfect.within_1.low < 0.7


def test_without_annotated_apex_there_are_no_scores() -> None:
    assert spotting_scores(spots([3, 4], [None, None], ["a", "b"])) == []


def test_the_picture_shows_every_clip_and_both_apexes() -> None:
    table = spots([3, 6], [3, None], ["a", "a"])
    motion = np.linspace(0, 0.01, 11)
    spot = Spot(tuple(range(11)), motion, smoothed(motion), 0, 3, 10)
    figure = curves_figure("a", [(row, spot) for _, row in table.iterrows()])
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[:2] == ["c0: as annotated", "c1: apex 6"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["apex found", "apex annotated", "motion, smoothed", "motion"]
