"""Simulated films: the truth beside them is that of the face, the frames and the two sides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.films import film_writer, open_film
from common.movements import MOVEMENTS
from common.tables import read_manifest
from datasets.simulated.face import draw_patient
from datasets.simulated.film import BLINK, Film, HeadMotion, film_frames, plan_film
from datasets.simulated.film_folder import (
    EVENTS_TRUTH,
    LANDMARKS_TRUTH,
    events_truth,
    simulate_films,
)
from datasets.simulated.movement import Kind, Side
from datasets.simulated.render import render
from features.movement.tables import EVENTS
from landmarks.tables import points_of, read_landmarks

SMALL = {"width": 200, "height": 160}


def planned(grade: int, side: Side, kind: Kind, **options: object) -> Film:
    patient = draw_patient(seed=5, grade=grade, side=side, kind=kind)
    return plan_film(patient, **options)  # type: ignore[arg-type]


def events(film: Film) -> pd.DataFrame:
    return events_truth("a.mp4", "a", film)


@pytest.fixture(scope="module")
def healthy() -> pd.DataFrame:
    return events(planned(1, "none", "none"))


@pytest.fixture(scope="module")
def synkinetic() -> pd.DataFrame:
    return events(planned(4, "left", "synkinetic"))


def test_folder_holds_films_with_their_truth(tmp_path: Path) -> None:
    films = simulate_films(tmp_path / "a", patients=2, seed=3, seconds=5, fps=6, **SMALL)
    manifest = read_manifest(tmp_path / "a" / "manifest.csv")
    assert [Path(path) for path in manifest["path"]] == [film.resolve() for film in films]
    assert manifest["side"].tolist() == ["none", "left"] and manifest["hb_grade"].tolist() == [1, 2]
    table = read_landmarks(tmp_path / "a" / LANDMARKS_TRUTH)
    assert (table["status"] == "ok").all() and len(table) == 2 * 30
    assert table["image_id"][31] == "P02.mp4#000001"
    assert table["film"][31] == "P02.mp4" and table["frame"].astype(int).tolist() == 2 * list(
        range(30)
    )
    assert np.allclose(table["time_s"].astype(float), table["frame"].astype(int) / 6)
    happened = pd.read_csv(tmp_path / "a" / EVENTS_TRUTH)
    assert list(happened) == [name for name in EVENTS.columns if name in set(happened)]
    for name in ("kind", "movement", "status", "unit", "signal"):
        EVENTS.columns[name].validate(happened)
    assert set(happened["film"]) == {"P01.mp4", "P02.mp4"}
    simulate_films(tmp_path / "b", patients=1, seed=3, seconds=5, fps=6, **SMALL)
    assert films[0].read_bytes() == (tmp_path / "b" / "P01.mp4").read_bytes()
    for name in (LANDMARKS_TRUTH, EVENTS_TRUTH, "manifest.csv"):
        both = (tmp_path / "a" / name).read_text(encoding="utf-8")
        assert both.startswith((tmp_path / "b" / name).read_text(encoding="utf-8"))
    film = open_film(films[0])
    assert len(film) == 30 and np.allclose(film.times_s, np.arange(30) / 6, atol=1e-3)
    grey = film.frame(0).rgb.mean(2)
    for eye in (slice(36, 42), slice(42, 48)):  # what is decoded has pupils where the truth says
        x, y = np.round(points_of(table)[0, eye].mean(0)).astype(int)
        assert grey[y - 2 : y + 3, x - 2 : x + 3].min() < 0.5 * grey[y + 8, x]


def test_a_frame_is_the_photograph_of_the_same_moment() -> None:
    film = planned(5, "right", "flaccid", seconds=3, fps=1, head=HeadMotion.still(3))
    *_, (rgb, points) = film_frames(film, width=320, height=240)
    patient = film.patient
    photo, exact = render(
        patient.shape, patient.look, film.face(2.0), patient.view, width=320, height=240, seed=1
    )
    assert np.abs(points - exact).max() < 1e-9
    assert np.abs(rgb.astype(float) - photo).mean() < 5  # sensor noise of both


def test_head_motion_is_what_was_imposed_and_changes_no_event() -> None:
    still = planned(3, "left", "flaccid", seconds=3, fps=1, head=HeadMotion.still(3))
    moved = HeadMotion.still(3, yaw=[0, 15, 0], roll=[0, 0, 15], nearness=[1, 1, 1.3])
    turned = replace(still, head=moved)
    a, b = (
        np.array([points for _, points in film_frames(film, **SMALL)]) for film in (still, turned)
    )
    assert np.array_equal(a[0], b[0])

    def eyes(p: np.ndarray) -> np.ndarray:
        return np.asarray(p[45] - p[36])

    def nose(p: np.ndarray) -> float:
        return float((p[30] - p[[36, 45]].mean(0))[0] / np.linalg.norm(eyes(p)))

    assert nose(b[1]) > nose(a[1]) + 0.1  # the nose turns to the right of the picture
    assert np.linalg.norm(eyes(b[2])) == pytest.approx(1.3 * np.linalg.norm(eyes(a[2])), rel=0.01)
    lean = np.degrees(np.arctan2(*eyes(b[2])[::-1]) - np.arctan2(*eyes(a[2])[::-1]))
    assert lean == pytest.approx(-15, abs=0.5)
    pd.testing.assert_frame_equal(events(still), events(turned))


def test_healthy_face_moves_all_alike_on_both_sides(healthy: pd.DataFrame) -> None:
    moved = healthy[healthy["kind"] == "movement"]
    assert moved["movement"].tolist() == list(MOVEMENTS[1:])
    assert (healthy["amplitude_ratio"] > 0.85).all() and (healthy["lag_s"] == 0).all()
    assert np.allclose(healthy["onset_s_right"], healthy["onset_s_left"], atol=0.03)
    blinks = healthy[healthy["kind"] == BLINK]
    assert len(blinks) >= 3 and (blinks["complete_right"] == "yes").any()
    times = healthy[["onset_s", "hold_start_s", "peak_s", "hold_end_s", "end_s"]].to_numpy()
    assert (np.diff(times, axis=1) >= 0).all()
    assert (moved["hold_end_s"] - moved["hold_start_s"] > 0.5).all()


def test_weak_side_moves_less_and_later(synkinetic: pd.DataFrame) -> None:
    film = planned(4, "left", "synkinetic")
    assert (synkinetic["amplitude_left"] < synkinetic["amplitude_right"]).all()
    assert (synkinetic["weaker_side"] == "left").all()
    assert film.lag > 0.01 and (synkinetic["lag_s"] == -round(film.lag, 4)).all()
    blinks = synkinetic[synkinetic["kind"] == BLINK]
    later = blinks["onset_s_left"] - blinks["onset_s_right"]
    assert np.allclose(later, film.lag, atol=2 / 240)
    other = events(planned(4, "right", "synkinetic"))
    assert (other["weaker_side"] == "right").all() and (other["lag_s"] > 0).all()


def test_synkinesis_shows_on_the_weak_side_alone(
    synkinetic: pd.DataFrame, healthy: pd.DataFrame
) -> None:
    flaccid = events(planned(4, "left", "flaccid")).set_index("movement")
    table, normal = synkinetic.set_index("movement"), healthy.set_index("movement")
    for task in ("full_smile", "lip_pucker"):
        narrowing = table.loc[task, "eye_synkinesis_percent_left"]
        assert narrowing > table.loc[task, "eye_synkinesis_percent_right"] + 10
        assert narrowing > flaccid.loc[task, "eye_synkinesis_percent_left"] + 10
        assert narrowing > normal.loc[task, "eye_synkinesis_percent_left"] + 10
    pulled = table.loc["gentle_eye_closure", "mouth_synkinesis_left"]
    assert pulled > 1.5 > flaccid.loc["gentle_eye_closure", "mouth_synkinesis_left"]


def test_truth_is_what_the_points_of_the_frames_do() -> None:
    """A blink read off the drawn points, in pixels, closes as far and as late as the truth says."""
    film = planned(5, "left", "flaccid", tasks=(), seconds=4, fps=60, head=HeadMotion.still(240))
    blink = events(film).iloc[0]
    frames = range(int(60 * (blink["onset_s"] - 0.2)), int(60 * (blink["end_s"] + 0.2)))
    short = replace(film, times=film.times[list(frames)])
    p = np.array([points for _, points in film_frames(short, **SMALL)])
    for side, upper, lower in (("right", [37, 38], [41, 40]), ("left", [43, 44], [47, 46])):
        opening = (p[:, lower, 1] - p[:, upper, 1]).mean(1)
        assert 100 * (1 - opening.min() / opening[0]) == pytest.approx(
            blink[f"closing_percent_{side}"], abs=1.5
        )
        shut = short.times[np.flatnonzero(opening <= opening.min() + 0.02)].mean()
        assert shut == pytest.approx(blink[f"peak_s_{side}"], abs=1.5 / 60)


def test_what_cannot_be_filmed_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="seconds is 2, but must be 5 or more"):
        simulate_films(tmp_path / "a", seconds=2)
    with (
        pytest.raises(UserError, match=r"written as \.mp4"),
        film_writer(tmp_path / "a.avi", width=64, height=48, fps=5),
    ):
        pass
    with (
        pytest.raises(ValueError, match="a frame is"),
        film_writer(tmp_path / "a.mp4", width=64, height=48, fps=5) as write,
    ):
        write(np.zeros((10, 10, 3), np.uint8))
    assert not list(tmp_path.iterdir())
