"""Films of simulated patients on disk: the films, a manifest, and the truth beside them.

The truth is the points of every frame, and what happened when and how much: measured on the face
itself, in mm in its plane, before any head motion and camera, and at a time step far finer than
frames. The columns are those of `landmarks.csv` and, as far as they are known beforehand, of
`events.csv`; the package `features` owns both.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from common.films import FILM_SUFFIX, film_writer
from common.progress import JobProgress
from common.tables import MANIFEST, write_csv, write_table
from common.truth import SIMULATED
from datasets.simulated.canvas import FloatArray
from datasets.simulated.cohort import check_numbers, claim_folder, draw_cohort, in_processes
from datasets.simulated.film import BLINK, EYE_CLOSURES, Act, Film, film_frames, plan_film
from datasets.simulated.render import Projection

WIDTH, HEIGHT = 640, 480
_Task = tuple[Path, Film, float, int, int]

LANDMARKS_TRUTH, EVENTS_TRUTH = "landmarks_truth.csv", "events_truth.csv"
SIDES = ("right", "left")
ONSET_SHARE, HOLD_SHARE = 0.1, 0.9
"""A movement has begun at this share of its amplitude, and is held from the other on."""
TOP_SHARE = 0.99
"""The peak is the middle of the time above this share: a plateau has no highest moment."""
CLOSED_PERCENT = 85.0
"""An eye that closes by so much counts as closed: drawn lids touch at half a millimetre."""
_STEP_S = 1 / 240
_POINTS = [f"{axis}_{point}" for point in range(68) for axis in "xy"]
_MOUTH = ("gentle_smile", "full_smile", "lip_pucker", "lower_teeth")
_EYE_OR_BROW = (*EYE_CLOSURES, "brow_raise")


def simulate_films(
    out: str | os.PathLike[str],
    *,
    patients: int = 6,
    seed: int = 0,
    seconds: float = 22.0,
    fps: float = 30.0,
    width: int | None = None,
    height: int | None = None,
    jobs: int = 1,
) -> list[Path]:
    """Film simulated patients, with the true points of every frame and the true events.

    The same arguments give the same films, points and events, for any `jobs`; the bytes of a film
    are those of the encoder that OpenCV was built with. `out` is new, empty, or holds the same
    films; `patients`, `seed` and `jobs` are as in `cohort.simulate`, and so are the patients. Films
    are 5 `seconds` or longer: 22 hold all movements, shorter ones as many as fit. `fps` is 5 or
    more, `width` and `height` at least 160 px, 640 x 480 when not given. Returns the films, in the
    order of the manifest.
    """
    width, height = width or WIDTH, height or HEIGHT
    check_numbers(patients=(patients, 1), seed=(seed, 0), jobs=(jobs, 1), width=(width, 160))
    check_numbers(height=(height, 160), seconds=(seconds, 5), fps=(fps, 5))
    folder = Path(out)
    claim_folder(folder, {
        "simulated": True, "layout": "film", "patients": patients, "seed": seed,
        "width": width, "height": height, "seconds": seconds, "fps": fps,
    })  # fmt: skip
    digits = max(2, len(str(patients)))
    films = {
        f"P{number:0{digits}d}": plan_film(patient, seconds=seconds, fps=fps)
        for number, patient in enumerate(draw_cohort(patients, seed=seed), start=1)
    }
    paths = [folder / f"{name}{FILM_SUFFIX}" for name in films]
    tasks = [
        (path, film, fps, width, height) for path, film in zip(paths, films.values(), strict=True)
    ]
    points, events = [], []
    with JobProgress("simulate", total=len(films)) as progress:
        drawn = in_processes(shoot, tasks, jobs=jobs, seconds=180 + 3 * seconds * fps)
        for (name, film), seen in zip(films.items(), drawn, strict=True):
            path = f"{name}{FILM_SUFFIX}"
            points.append(landmarks_truth(path, film, seen, width=width, height=height))
            events.append(events_truth(path, name, film))
            progress.advance(ok=True)
    write_csv(pd.concat(points), folder / LANDMARKS_TRUTH)
    write_csv(pd.concat(events), folder / EVENTS_TRUTH)
    write_table(_manifest(films), folder / "manifest.csv", schema=MANIFEST)
    return [path for path, *_ in tasks]


def shoot(task: _Task) -> list[FloatArray]:
    """Draw and write one film; return the points of its frames, ``(68, 2)`` px each."""
    path, film, fps, width, height = task
    seen = []
    with film_writer(path, width=width, height=height, fps=fps) as write:
        for rgb, points in film_frames(film, width=width, height=height):
            write(rgb)
            seen.append(points)
    return seen


def _manifest(films: dict[str, Film]) -> pd.DataFrame:
    rows = [
        {
            "image_id": f"{name}{FILM_SUFFIX}",
            "path": f"{name}{FILM_SUFFIX}",
            "patient_id": name,
            "side": film.patient.palsy.side,
            "hb_grade": film.patient.palsy.grade,
            "dataset": "film",
            SIMULATED: "yes",
            "kind": film.patient.palsy.kind,
        }
        for name, film in films.items()
    ]
    return pd.DataFrame(rows)


def landmarks_truth(
    film_name: str, film: Film, points: Iterable[FloatArray], *, width: int, height: int
) -> pd.DataFrame:
    """Return the points of a film of that size, ``(68, 2)`` px by frame, as a landmark table."""
    flat = np.reshape(list(points), (-1, 136)).round(3)
    frames = np.arange(len(flat))
    scale = Projection.of(film.patient.view, width, height).size * film.head.nearness
    names = {
        "image_id": [f"{film_name}#{frame:06d}" for frame in frames],
        "status": "ok",
        "film": film_name,
        "frame": frames,
        "time_s": film.times.round(6),
        "mm_per_px": (1 / scale).round(6),
    }
    return pd.concat([pd.DataFrame(names), pd.DataFrame(flat, columns=_POINTS)], axis=1)


def events_truth(film_name: str, patient_id: str, film: Film) -> pd.DataFrame:
    """Return what happens in a film: one row for each blink and movement, in order of onset."""
    rows = [
        {"film": film_name, "patient_id": patient_id, "event": number, **_event(film, act)}
        for number, act in enumerate(film.acts, start=1)
    ]
    return pd.DataFrame(rows)


def _event(film: Film, act: Act) -> dict[str, object]:
    """What one act does to the face, without whatever else happens at the same time."""
    name, signal, direction = _SIGNAL[act.task]
    times = np.arange(act.start - 0.05, act.end + film.lag + 0.05, _STEP_S)
    faces = np.array([film.face(float(time), acts=(act,)).points for time in times])
    rest = film.face(0.0, acts=()).points[None]
    moved = direction * (signal(faces, rest) - signal(rest, rest))  # (times, 2), mm
    amplitude = np.maximum(moved.max(0), 0)
    strong = int(np.argmax(amplitude))
    at = [_times(times, moved[:, side]) for side in (0, 1)]
    peak = at[strong]["peak_s"]
    row: dict[str, object] = {
        "kind": BLINK if act.task == BLINK else "movement",
        "movement": None if act.task == BLINK else act.task,
        "status": "ok",
        "unit": "mm",
        "signal": name,
        "peak_frame": int(np.argmin(np.abs(film.times - peak))),
        **at[strong],
    }
    palsy = film.patient.palsy
    opened = _fissure(rest, rest)[0]
    closing = 100 * amplitude / opened
    hold = (times >= at[strong]["hold_start_s"]) & (times <= at[strong]["hold_end_s"])
    held = faces[hold].mean(0)[None]
    narrowed = 100 * (1 - _fissure(held, rest)[0] / opened)
    pulled = _corner(held, rest)[0]
    closes = act.task == BLINK or act.task in EYE_CLOSURES
    complete = np.where(closing >= CLOSED_PERCENT, "yes", "no")
    of_sides = {
        "onset_s": [times["onset_s"] for times in at],
        "peak_s": [times["peak_s"] for times in at],
        "amplitude": amplitude,
        "closing_percent": closing if closes else [np.nan] * 2,
        "eye_synkinesis_percent": narrowed if act.task in _MOUTH else [np.nan] * 2,
        "mouth_synkinesis": pulled if act.task in _EYE_OR_BROW else [np.nan] * 2,
        "complete": complete if closes else [None] * 2,
    }
    row |= {
        f"{what}_{side}": values[at_side]
        for what, values in of_sides.items()
        for at_side, side in enumerate(SIDES)
    }
    row["weaker_side"] = None if palsy.side == "none" else palsy.side
    row["amplitude_ratio"] = amplitude.min() / amplitude.max()
    row["lag_s"] = film.lag * {"right": 1.0, "left": -1.0, "none": 0.0}[palsy.side]
    return {key: round(v, 4) if isinstance(v, float) else v for key, v in row.items()}


def _times(times: FloatArray, moved: FloatArray) -> dict[str, float]:
    """When a movement, mm at each time, begins, peaks, is held and ends; NaN if it never moves."""
    names = ("onset_s", "peak_s", "hold_start_s", "hold_end_s", "end_s")
    if moved.max() < 0.05:
        return dict.fromkeys(names, float("nan"))
    share = moved / moved.max()
    begun, held = np.flatnonzero(share >= ONSET_SHARE), np.flatnonzero(share >= HOLD_SHARE)
    peak = np.flatnonzero(share >= TOP_SHARE)
    found = (begun[0], (peak[0] + peak[-1]) // 2, held[0], held[-1], begun[-1])
    return {name: float(times[place]) for name, place in zip(names, found, strict=True)}


def _brow(p: FloatArray, _rest: FloatArray) -> FloatArray:
    """Height of the brow straight above the middle between the eye's corners."""
    sides = []
    for brow, corners in ((slice(17, 22), [36, 39]), (slice(22, 27), [42, 45])):
        middle = p[:, corners].mean(1)
        line = [np.interp(m[0], *face[brow].T) for m, face in zip(middle, p, strict=True)]
        sides.append(middle[:, 1] - np.array(line))
    return np.stack(sides, 1)


def _fissure(p: FloatArray, _rest: FloatArray) -> FloatArray:
    """Height between the lids, half-way between the lid points."""
    y = p[..., 1]
    right = (y[:, 41] + y[:, 40] - y[:, 37] - y[:, 38]) / 2
    left = (y[:, 47] + y[:, 46] - y[:, 43] - y[:, 44]) / 2
    return np.stack([right, left], 1)


def _corner(p: FloatArray, rest: FloatArray) -> FloatArray:
    """Distance of the mouth corner from where it is at rest."""
    return np.asarray(np.linalg.norm((p - rest)[:, [48, 54]], axis=2), float)


def _half_mouth(p: FloatArray, rest: FloatArray) -> FloatArray:
    """Distance of the mouth corner from the midline of the face."""
    return np.abs(p[:, [48, 54], 0])


def _lower_lip(p: FloatArray, _rest: FloatArray) -> FloatArray:
    """How low the lower lip is half-way between the midline and the mouth corner."""
    lip = [48, 59, 58, 57, 56, 55, 54]
    sides = [[np.interp(face[corner, 0] / 2, *face[lip].T) for face in p] for corner in (48, 54)]
    return np.stack([np.array(side) for side in sides], 1)


_Signal = Callable[[FloatArray, FloatArray], FloatArray]
_SIGNAL: dict[str, tuple[str, _Signal, float]] = {
    BLINK: ("palpebral_fissure_height", _fissure, -1.0),
    "brow_raise": ("brow_height", _brow, 1.0),
    "gentle_eye_closure": ("palpebral_fissure_height", _fissure, -1.0),
    "full_eye_closure": ("palpebral_fissure_height", _fissure, -1.0),
    "gentle_smile": ("commissure_displacement", _corner, 1.0),
    "full_smile": ("commissure_displacement", _corner, 1.0),
    "lip_pucker": ("half_mouth_width", _half_mouth, -1.0),
    "lower_teeth": ("lower_lip_height", _lower_lip, 1.0),
}
"""The signal that shows each movement, how it is measured, and whether it grows or shrinks."""
