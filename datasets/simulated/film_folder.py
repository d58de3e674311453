"""Films of simulated patients on disk: the films, a manifest, and the truth beside them."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from common.films import FILM_SUFFIX, film_writer
from common.progress import JobProgress
from common.tables import MANIFEST, write_csv, write_table
from common.truth import SIMULATED
from datasets.simulated.canvas import FloatArray
from datasets.simulated.cohort import check_numbers, claim_folder, draw_cohort, in_processes
from datasets.simulated.film import Film, plan_film
from datasets.simulated.film_camera import film_frames
from datasets.simulated.film_truth import (
    EVENTS_TRUTH,
    LANDMARKS_TRUTH,
    events_truth,
    landmarks_truth,
)

WIDTH, HEIGHT = 640, 480
_Task = tuple[Path, Film, float, int, int]


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
    are those of the encoder that OpenCV was built with.

    Parameters
    ----------
    out
        Folder to write to; new, empty, or holding the same films from an earlier run.
    patients, seed, jobs
        As in `cohort.simulate`; they are the same patients.
    seconds
        Length of each film, 5 or more; 22 hold all movements, a shorter film as many as fit.
    fps
        Frames per second, 5 or more.
    width, height
        Size in pixels, at least 160 each; 640 x 480 when not given.

    Returns
    -------
    list of Path
        The films, in the order of the manifest.
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
