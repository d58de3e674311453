"""Films of known points: events are found where they are, and nothing else is invented."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.movements import MOVEMENTS
from common.photos import read_photo
from common.tables import read_manifest, read_table, write_table
from datasets.simulated.face import Patient, draw_patient
from datasets.simulated.film import Act, Film, HeadMotion, plan_film
from datasets.simulated.film_folder import events_truth
from features.commands.movement import movement
from features.movement.events import Cue
from features.movement.film import MeasuredFilm, measure_film
from features.movement.tables import EVENTS, MOVEMENTS_TABLE, SIGNAL_COLUMNS, SIGNALS_TABLE
from landmarks.points import POINT_COLUMNS, mirror_points
from landmarks.tables import LANDMARKS, points_of
from tests.features.point_films import WIDTH, landmarks_of
from tests.film_files import number_of, numbered_frames, write_film

FRAME_S = 1 / 30
SYNKINETIC = draw_patient(seed=4, grade=4, side="left", kind="synkinetic")
HEALTHY = draw_patient(seed=8, grade=1, side="none", kind="none")
NUMBERS = [name for name, column in EVENTS.columns.items() if "float" in str(column.dtype)]


def measured(table: pd.DataFrame, cues: list[Cue] | None = None) -> MeasuredFilm:
    film = measure_film("film.mp4", table, patient="P1", cues=cues)
    for frame, schema in (
        (film.signals, SIGNALS_TABLE),
        (film.events, EVENTS),
        (film.movements, MOVEMENTS_TABLE),
    ):
        schema.validate(frame)
    assert len(film.signals) == len(table)
    assert film.movements["movement"].tolist() == [*MOVEMENTS, "blink"]
    return film


def with_points(table: pd.DataFrame, points: np.ndarray) -> pd.DataFrame:
    flat = pd.DataFrame(points.reshape(len(points), -1), columns=list(POINT_COLUMNS))
    return pd.concat([table.drop(columns=list(POINT_COLUMNS)), flat], axis="columns")


def short_film(
    patient: Patient, *acts: Act, seconds: float = 5.0, fps: float = 30.0, lag: float = 0.0
) -> Film:
    times = np.arange(round(seconds * fps)) / fps
    return Film(patient, times, acts, lag, HeadMotion.still(len(times)))


SMILE = Act("full_smile", 1.5, 0.5, 1.0, 0.5)


@pytest.fixture(scope="module")
def palsy() -> Film:
    return replace(plan_film(SYNKINETIC), lag=0.08)


@pytest.fixture(scope="module")
def palsy_table(palsy: Film) -> pd.DataFrame:
    return landmarks_of(palsy)


@pytest.fixture(scope="module")
def palsy_film(palsy_table: pd.DataFrame) -> MeasuredFilm:
    return measured(palsy_table)


@pytest.fixture(scope="module")
def truth(palsy: Film) -> pd.DataFrame:
    return events_truth("film.mp4", "P1", palsy).sort_values("onset_s", ignore_index=True)


def test_every_event_is_found_named_and_timed(
    truth: pd.DataFrame, palsy_film: MeasuredFilm
) -> None:
    found = palsy_film.events
    assert found["kind"].tolist() == truth["kind"].tolist()
    assert found["movement"].fillna("").tolist() == truth["movement"].fillna("").tolist()
    assert (found["onset_s"] - truth["onset_s"]).abs().max() < 2 * FRAME_S
    peaks = (found["peak_frame"] - truth["peak_frame"]).abs()
    assert (peaks <= 2).mean() > 0.9
    assert peaks.max() <= 3  # of a closed eye the highest moment is not seen


def test_amplitudes_lag_and_weak_side_are_those_of_the_face(
    palsy: Film, truth: pd.DataFrame, palsy_film: MeasuredFilm
) -> None:
    eyes = float(np.linalg.norm(np.subtract(*palsy.face(0.0, acts=()).points[[36, 45]])))
    moves = truth["kind"] == "movement"
    lids = truth["signal"] == "palpebral_fissure_height"
    found, real = palsy_film.events[moves], truth[moves]
    strong = real[["amplitude_right", "amplitude_left"]].max(axis=1)
    for side in ("right", "left"):
        error = found[f"amplitude_{side}"] * eyes / 100 - real[f"amplitude_{side}"]
        assert (error.abs() / strong)[~lids].max() < 0.10
        error = found[f"closing_percent_{side}"] - real[f"closing_percent_{side}"]
        assert error[lids].abs().max() < 3
    assert (found["weaker_side"] == "left").all()
    lags = found["lag_s"].dropna()
    assert len(lags) >= 5
    assert (lags + palsy.lag).abs().max() < FRAME_S


def test_synkinesis_shows_where_it_is(palsy_film: MeasuredFilm) -> None:
    rows = palsy_film.movements.set_index("movement")
    for name in ("full_smile", "lip_pucker"):
        eye = rows.loc[name, ["eye_synkinesis_percent_right", "eye_synkinesis_percent_left"]]
        assert eye.iloc[1] - eye.iloc[0] > 15
    mouth = rows.loc["gentle_eye_closure", ["mouth_synkinesis_right", "mouth_synkinesis_left"]]
    assert mouth.iloc[1] > mouth.iloc[0] + 1.5
    assert np.isnan(rows.loc["brow_raise", "eye_synkinesis_percent_left"])


def test_a_mirrored_film_changes_sides(palsy_table: pd.DataFrame, palsy_film: MeasuredFilm) -> None:
    other = measured(with_points(palsy_table, mirror_points(points_of(palsy_table), width=WIDTH)))
    for name in (f"{stem}_right" for stem in ("onset_s", "amplitude", "closing_percent")):
        expected = palsy_film.events[name.replace("right", "left")]
        np.testing.assert_allclose(other.events[name], expected, atol=2e-4)
    np.testing.assert_allclose(other.events["lag_s"], -palsy_film.events["lag_s"], atol=2e-4)
    signal = "brow_height_right_minus_left"
    np.testing.assert_allclose(other.signals[signal], -palsy_film.signals[signal], atol=2e-4)


def test_place_size_tilt_and_clock_do_not_matter(
    palsy_table: pd.DataFrame, palsy_film: MeasuredFilm
) -> None:
    turn = 1.7 * np.array([[np.cos(0.3), np.sin(0.3)], [-np.sin(0.3), np.cos(0.3)]])
    moved = with_points(palsy_table, points_of(palsy_table) @ turn + [400.0, -90.0])
    other = measured(moved.assign(time_s=moved["time_s"] + 12.5))
    times = [name for name in NUMBERS if name.endswith("_s") or "_s_" in name]
    lengths = {"lag_s", *(name for name in times if name.startswith(("rise", "hold_s_", "return")))}
    for name in NUMBERS:
        shift = 12.5 if name in times and name not in lengths else 0.0
        np.testing.assert_allclose(other.events[name], palsy_film.events[name] + shift, atol=1e-3)


def test_millimetres_follow_the_scale(palsy_table: pd.DataFrame, palsy_film: MeasuredFilm) -> None:
    points = points_of(palsy_table)
    eyes = np.linalg.norm(points[:, 45] - points[:, 36], axis=1)
    film = measured(palsy_table.assign(mm_per_px=95 / eyes))
    assert set(film.events["unit"]) == {"mm"}
    ratio = film.events["amplitude_right"] / palsy_film.events["amplitude_right"]
    np.testing.assert_allclose(ratio, 0.95, rtol=0.02)
    for name in ("amplitude_ratio", "lag_s", "eye_synkinesis_percent_left"):
        np.testing.assert_allclose(film.events[name], palsy_film.events[name], atol=2e-4)


@pytest.fixture(scope="module")
def smile() -> tuple[Film, MeasuredFilm]:
    blink = Act("blink", 3.9, 0.09, 0.04, 0.16)
    film = short_film(HEALTHY, SMILE, blink)
    return film, measured(landmarks_of(film))


def same_events(first: pd.DataFrame, second: pd.DataFrame, *, within: float) -> None:
    assert first["kind"].tolist() == second["kind"].tolist()
    assert first["movement"].fillna("").tolist() == second["movement"].fillna("").tolist()
    for name in ("onset_s", "end_s"):
        assert (first[name] - second[name]).abs().max() < within
    for name in ("amplitude_right", "amplitude_left"):
        np.testing.assert_allclose(first[name], second[name], rtol=0.05)


def test_a_faster_film_has_the_same_events(smile: tuple[Film, MeasuredFilm]) -> None:
    film, slow = smile
    faster = short_film(HEALTHY, *film.acts, fps=100.0)
    same_events(slow.events, measured(landmarks_of(faster)).events, within=FRAME_S)


def test_uneven_times_have_the_same_events(smile: tuple[Film, MeasuredFilm]) -> None:
    film, even = smile
    rng = np.random.default_rng(3)
    times = np.sort(film.times + rng.uniform(-0.3, 0.3, len(film.times)) * FRAME_S)
    times = np.delete(times, [20, 33, 34, 50, 90, 91, 140])
    uneven = replace(film, times=times, head=HeadMotion.still(len(times)))
    same_events(even.events, measured(landmarks_of(uneven)).events, within=FRAME_S)


def test_a_gap_stays_a_gap(smile: tuple[Film, MeasuredFilm]) -> None:
    film, whole = smile
    table = landmarks_of(film)
    lost = slice(100, 112)  # the end of the smile is not seen
    table.loc[table.index[lost], "status"] = "no_face"
    table.loc[table.index[lost], list(POINT_COLUMNS)] = np.nan
    found = measured(table)
    empty = found.signals[list(SIGNAL_COLUMNS)].isna()
    assert empty.iloc[lost].all(axis=None)
    assert not empty.drop(range(100, 112)).any(axis=None)
    smiled, blinked = found.events.to_dict("records")
    assert np.isnan(smiled["end_s"])
    assert smiled["onset_s"] == pytest.approx(whole.events.loc[0, "onset_s"], abs=0.01)
    assert blinked["peak_s"] == pytest.approx(whole.events.loc[1, "peak_s"], abs=0.01)


def test_a_blink_is_neither_synkinesis_nor_in_the_photograph(
    smile: tuple[Film, MeasuredFilm],
) -> None:
    _, alone = smile
    blink = Act("blink", 2.4, 0.09, 0.04, 0.16)
    film = measured(landmarks_of(short_film(HEALTHY, SMILE, blink)))
    assert film.events["kind"].tolist() == ["movement", "blink"]
    name = "eye_synkinesis_percent_right"
    assert film.events.loc[0, name] == pytest.approx(alone.events.loc[0, name], abs=3)
    frame = int(film.movements.set_index("movement").loc["full_smile", "frame"])
    assert film.signals.loc[frame, "palpebral_fissure_height_right"] > 5


def test_what_is_none_of_the_movements_has_no_name() -> None:
    found = measured(landmarks_of(short_film(HEALTHY, replace(SMILE, task="mouth_open")))).events
    assert found["movement"].tolist() == ["unnamed"]
    assert found.loc[0, "signal"] == "lower_lip_height"
    assert found.loc[0, "amplitude_right"] > 8


def test_an_incomplete_blink_is_told_from_a_complete_one() -> None:
    whole, half = Act("blink", 1.0, 0.09, 0.04, 0.16), Act("blink", 2.5, 0.09, 0.04, 0.16, size=0.6)
    film = measured(landmarks_of(short_film(HEALTHY, whole, half, seconds=4)))
    found = film.events
    assert found["complete_right"].tolist() == ["yes", "no"]
    assert found.loc[1, "closing_percent_left"] == pytest.approx(60, abs=8)
    rates = film.movements
    assert rates.set_index("movement").loc["blink", "per_minute"] == pytest.approx(30, rel=0.02)


@pytest.mark.parametrize("noise_px", [0.0, 0.4])
def test_a_turning_head_invents_nothing(noise_px: float) -> None:
    times = np.arange(180) / 30
    sway = np.sin(2 * np.pi * times / 4)
    head = HeadMotion.still(
        180, yaw=15 * sway, pitch=6 * sway, roll=15 * sway[::-1], nearness=1 + 0.05 * times
    )
    still = replace(short_film(HEALTHY, seconds=6), head=head)
    assert measured(landmarks_of(still, noise_px=noise_px)).events.empty
    smiling = replace(short_film(HEALTHY, SMILE, seconds=6), head=head)
    found = measured(landmarks_of(smiling, noise_px=noise_px))
    assert found.events["movement"].tolist() == ["full_smile"]
    assert found.events.loc[0, "correlation"] > 0.97
    assert found.events.loc[0, "symmetry_index_percent"] > 85
    yaw = found.signals["yaw_deg"]
    assert np.corrcoef(yaw, sway)[0, 1] > 0.99


def test_a_mouth_of_another_depth_does_not_move_with_the_head() -> None:
    sway = np.sin(2 * np.pi * np.arange(150) / 120)
    film = replace(short_film(HEALTHY), head=HeadMotion.still(150, yaw=15 * sway))
    found = measured(landmarks_of(film, mouth_mm=15.0, in_mm=True))
    assert found.events.empty
    assert np.ptp(found.signals["half_mouth_width_right_minus_left"]) < 2


def test_a_head_turned_away_is_not_measured_and_says_so() -> None:
    turned = np.where(np.arange(150) >= 100, 40.0, 0.0)
    film = replace(short_film(HEALTHY), head=HeadMotion.still(150, yaw=turned))
    signals = measured(landmarks_of(film)).signals
    assert (signals["status"].iloc[100:] == "failed").all()
    assert signals["reason"].iloc[120].startswith("The head is turned")
    assert (signals["status"].iloc[:100] == "ok").all()


def test_cues_name_what_was_asked_and_the_gate_refuses_what_was_not_done() -> None:
    table = landmarks_of(short_film(HEALTHY, SMILE))
    cues = [
        Cue(0.0, 1.3, "brow_raise"),
        Cue(1.2, 4.0, "gentle_smile"),
        Cue(4.2, 4.9, "rest"),
        Cue(9.0, 10.0, "lip_pucker"),
    ]
    found = measured(table, cues).events.set_index("movement")
    assert found["status"].to_dict() == {
        "brow_raise": "too_little",
        "gentle_smile": "ok",
        "lip_pucker": "failed",
    }
    refused = found.loc["brow_raise"]
    assert "least that is measured" in refused["reason"]
    assert refused[["amplitude_ratio", "correlation", "lag_s", "onset_s"]].isna().all()
    assert found.loc["gentle_smile", "amplitude_right"] > 8


def test_a_side_that_does_not_move_has_no_lag_and_a_reason() -> None:
    patient = draw_patient(seed=2, grade=6, side="right", kind="flaccid")
    found = measured(landmarks_of(short_film(patient, SMILE))).events
    assert found.loc[0, "movement"] == "full_smile"
    assert found.loc[0, "amplitude_ratio"] < 0.2
    assert np.isnan(found.loc[0, "lag_s"])
    assert found.loc[0, "reason"].startswith("The right side moved by less")


@pytest.mark.parametrize("frames", [1, 2, 12])
def test_a_film_of_few_frames_has_its_rows(frames: int) -> None:
    table = landmarks_of(short_film(HEALTHY)).head(frames)
    film = measured(table)
    assert film.events.empty
    assert film.movements.loc[0, "status"] == "ok"
    assert np.isfinite(film.signals[list(SIGNAL_COLUMNS)]).all(axis=None)


def test_a_film_without_a_face_has_its_rows_and_reasons() -> None:
    table = landmarks_of(short_film(HEALTHY)).head(20).assign(status="no_face", reason="None.")
    table[list(POINT_COLUMNS)] = np.nan
    film = measured(table, [Cue(0.0, 0.5, "full_smile")])
    assert film.movements.loc[0, "status"] == "failed"
    assert film.events["status"].tolist() == ["failed"]
    assert film.signals[list(SIGNAL_COLUMNS)].isna().all(axis=None)


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """A landmark table of two films, one of them without a face, the films, and a manifest."""
    smile, blink = Act("full_smile", 0.8, 0.4, 0.5, 0.4), Act("blink", 0.3, 0.09, 0.04, 0.16)
    seen = landmarks_of(short_film(HEALTHY, smile, blink, seconds=3), name="a/smile.avi")
    empty = landmarks_of(short_film(HEALTHY, seconds=0.2), name="empty.avi")
    empty = empty.assign(status="no_face", reason="No face was found.")
    empty[list(POINT_COLUMNS)] = np.nan
    table = pd.concat([seen, empty], ignore_index=True)
    write_table(table, tmp_path / "landmarks.csv", schema=LANDMARKS)
    (tmp_path / "films/a").mkdir(parents=True)
    write_film(tmp_path / "films/a/smile.avi", numbered_frames(90))
    (tmp_path / "manifest.csv").write_text(
        "image_id,path,patient_id,side,hb_grade\n"
        "a/smile.avi,films/a/smile.avi,007,none,1\nempty.avi,films/empty.avi,8,left,3\n"
    )
    return tmp_path


def test_the_command_writes_tables_and_photographs(clinic: Path) -> None:
    result = movement(
        clinic / "landmarks.csv",
        out=clinic / "out",
        manifest=clinic / "manifest.csv",
        photographs=clinic / "films",
    )
    assert result.exit_code == 3  # a film without a face
    assert len(read_table(clinic / "out/signals.csv", schema=SIGNALS_TABLE)) == 96
    events = read_table(clinic / "out/events.csv", schema=EVENTS)
    assert events["kind"].tolist() == ["blink", "movement"]
    rows = read_table(clinic / "out/movements.csv", schema=MOVEMENTS_TABLE)
    assert rows["patient_id"].tolist() == ["007"] * 9 + ["8"] * 9
    photographs = read_manifest(clinic / "out/photographs/manifest.csv")
    assert photographs["task"].tolist() == ["rest", "full_smile"]
    assert set(photographs["patient_id"]) == {"007"}
    assert photographs["hb_grade"].tolist() == [1, 1]
    for path, frame in zip(photographs["path"], photographs["frame"].astype(int), strict=True):
        assert number_of(read_photo(Path(path)).pixels) == frame % 32
    peak = events.loc[1, "peak_frame"]
    assert photographs["frame"].astype(int).tolist()[1] == peak


def test_a_film_that_cannot_be_read_costs_its_photographs_alone(
    clinic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (clinic / "films/a/smile.avi").write_bytes(b"no film")
    result = movement(clinic / "landmarks.csv", out=clinic / "out", photographs=clinic / "films")
    assert (result.measured, result.photographs, result.exit_code) == (1, 0, 3)
    assert "unreadable: smile.avi" in capsys.readouterr().err
    assert (clinic / "out/movements.csv").is_file()


@pytest.mark.parametrize(
    ("cue", "said"),
    [
        ("b/smile.avi,0,1,full_smile", r'row 2: there is no film "b/smile.avi".*Did you mean'),
        ("a/smile.avi,2,1,full_smile", r"row 2: the cue ends at 1 s and begins at 2 s"),
        ("a/smile.avi,0,1,grin", r'row 2: column "movement" is "grin" but must be one of rest'),
    ],
)
def test_cues_that_make_no_sense_are_refused_with_their_row(
    clinic: Path, cue: str, said: str
) -> None:
    (clinic / "cues.csv").write_text(f"film,start_s,end_s,movement\n{cue}\n")
    with pytest.raises(UserError, match=said):
        movement(clinic / "landmarks.csv", out=clinic / "out", cues=clinic / "cues.csv")


def test_landmarks_of_photographs_are_refused(clinic: Path) -> None:
    table = landmarks_of(short_film(HEALTHY, seconds=0.1)).drop(columns=["film", "frame"])
    write_table(table, clinic / "photos.csv", schema=LANDMARKS)
    with pytest.raises(UserError, match="no frames of films"):
        movement(clinic / "photos.csv", out=clinic / "out")
