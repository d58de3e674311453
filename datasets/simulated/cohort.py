"""A cohort of simulated patients, written to disk in the layout of a dataset of the field."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeVar

import cv2
import multiprocess
import numpy as np
import pandas as pd

from common.errors import UserError, named
from common.files import LOCK, atomic_write, write_json
from common.tables import write_csv
from datasets.simulated.canvas import FloatArray
from datasets.simulated.face import Patient, draw_patient, pose_face, render_photo
from datasets.simulated.folds import FOLDS_TRUTH, fold_depths, fold_row
from datasets.simulated.layouts import LAYOUTS, Shot, Study
from datasets.simulated.movement import Kind, Side

LayoutName = Literal["meei", "neuroface", "casme"]
SETTINGS_FILE = "simulation.json"
_JPEG_QUALITY = 92
_SECONDS_PER_PHOTO = 180.0
_Task = TypeVar("_Task")
_Made = TypeVar("_Made")


def draw_cohort(patients: int, *, seed: int = 0, folds: bool = False) -> list[Patient]:
    """Draw the patients of a cohort, 1 or more.

    Grades I to VI take turns, so that every six patients hold one of each; within a grade, sides
    and kinds take turns. Grade VI is always flaccid: House and Brackmann describe no synkinesis
    where nothing moves. A smaller cohort of the same seed is the beginning of a larger one.
    `folds` as for `draw_patient`.
    """
    cohort = []
    for number in range(patients):
        grade, turn = number % 6 + 1, number // 6
        side: Side = "none"
        kind: Kind = "none"
        if grade == 6:
            side, kind = ("left" if turn % 2 else "right"), "flaccid"
        elif grade > 1:
            kind = "flaccid" if (turn + grade) % 2 else "synkinetic"
            side = "left" if (turn // 2 + grade // 2) % 2 else "right"
        own_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        cohort.append(draw_patient(seed=own_seed, grade=grade, side=side, kind=kind, folds=folds))
    return cohort


def simulate(
    out: str | os.PathLike[str],
    *,
    patients: int = 24,
    seed: int = 0,
    layout: LayoutName = "meei",
    width: int | None = None,
    height: int | None = None,
    jobs: int = 1,
    visits: int = 1,
    repeats: int = 1,
    raters: int = 0,
    folds: bool = False,
) -> list[Path]:
    """Write a cohort of simulated patients with their true landmarks; return the photographs.

    The photographs are drawn by a parametric face model; they show no real person and are for
    trying, testing and teaching. The same arguments write the same bytes, for any `jobs`.

    `out` is new, empty, or holds the same cohort from an earlier run; from 6 `patients` on every
    House-Brackmann grade is present. `layout`: `meei` (eight movements, graded I to VI),
    `neuroface` (video frames with true points and boxes) or `casme` (micro-expression clips, onset
    to offset). `width` and `height` are px, at least 160 each; by default 600 x 800, 640 x 480 or
    280 x 340. Of the meei layout: how often every patient comes (`visits`, 1 to 12), how many
    photographs of each movement are taken then (`repeats`, 1 to 9), and how many noisy `raters`
    score each visit (to 20). `folds` draws folds that deepen with each side's movement, with their
    depths in `folds_truth.csv`.
    """
    named(layout, LAYOUTS, what="layout")
    chosen = LAYOUTS[layout]
    width, height = width or chosen.width, height or chosen.height
    check_numbers(
        patients=(patients, 1), seed=(seed, 0), jobs=(jobs, 1), width=(width, 160),
        height=(height, 160), visits=(visits, 1), repeats=(repeats, 1), raters=(raters, 0),
    )  # fmt: skip
    asked = _asked_beyond_once(layout, visits=visits, repeats=repeats, raters=raters)
    folder = Path(out)
    settings: dict[str, object] = {
        "simulated": True, "layout": layout, "patients": patients, "seed": seed,
        "width": width, "height": height, **asked, **({"folds": True} if folds else {}),
    }  # fmt: skip
    claim_folder(folder, settings)
    study = Study(visits=visits, repeats=repeats, raters=raters, seed=seed)
    shots = chosen.plan(draw_cohort(patients, seed=seed, folds=folds), study)
    tasks = [(folder, shot, width, height) for shot in shots]
    points = list(in_processes(_take, tasks, jobs=jobs, seconds=_SECONDS_PER_PHOTO))
    if folds:
        write_csv(pd.DataFrame(map(_fold_row, shots)), folder / FOLDS_TRUTH)
    chosen.write_tables(folder, shots, points, study)
    return [folder / shot.path for shot in shots]


def _asked_beyond_once(layout: str, **asked: int) -> dict[str, int]:
    """Return the visits, repeats and raters that differ from what every layout has."""
    most = {"visits": 12, "repeats": 9, "raters": 20}
    usual = {"visits": 1, "repeats": 1, "raters": 0}
    other = {name: value for name, value in asked.items() if value != usual[name]}
    for name, value in other.items():
        if layout != "meei":
            raise UserError(f"--{name} is for the layout meei: leave it out with {layout}.")
        if value > most[name]:
            raise UserError(f"{name} is {value}: give {most[name]} or fewer.")
    return other


def check_numbers(**given: tuple[float, float]) -> None:
    """Refuse what is less than it may be: each name with its value and the least."""
    for name, (value, least) in given.items():
        if value < least:
            raise UserError(
                f"{name} is {value}, but must be {least} or more: give a larger number."
            )


def claim_folder(folder: Path, settings: dict[str, object]) -> None:
    """Refuse to mix two cohorts, or a cohort and other files, in one folder."""
    marker = folder / SETTINGS_FILE
    if folder.is_file():
        raise UserError(f"{folder} is a file: give a folder to write the cohort to.")
    if folder.is_dir() and any(path.name != LOCK for path in folder.iterdir()):
        try:
            earlier = json.loads(marker.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            earlier = None
        if earlier != settings:
            raise UserError(
                f"{folder} already holds other files: give a new folder, or empty this one first."
            )
    write_json(marker, settings)


def in_processes(
    draw: Callable[[_Task], _Made], tasks: list[_Task], *, jobs: int, seconds: float
) -> Iterator[_Made]:
    """Draw all, in order, here or in a pool of fresh processes; `seconds` is the longest wait."""
    if jobs == 1 or len(tasks) < 2:
        yield from map(draw, tasks)
        return
    with multiprocess.get_context("spawn").Pool(
        min(jobs, len(tasks)), cv2.setNumThreads, (1,)
    ) as pool:
        results = pool.imap(draw, tasks)
        for _ in tasks:
            try:
                yield results.next(timeout=seconds)
            except multiprocess.TimeoutError as error:
                raise UserError(
                    "A drawing process stopped answering, perhaps for want of memory: run again "
                    "with fewer jobs."
                ) from error


def _fold_row(shot: Shot) -> dict[str, str | float]:
    face = pose_face(shot.patient, shot.task, amplitude=shot.amplitude)
    return fold_row(shot.path, fold_depths(shot.patient.look, face))


def _take(task: tuple[Path, Shot, int, int]) -> FloatArray:
    """Draw one photograph, write it as JPEG, and return its true points."""
    folder, shot, width, height = task
    rgb, points = render_photo(
        shot.patient, shot.task, width=width, height=height, amplitude=shot.amplitude,
        take=shot.take, steadiness=shot.steadiness,
    )  # fmt: skip
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), quality)
    with atomic_write(folder / shot.path) as temporary:
        temporary.write_bytes(encoded.tobytes())
    return points
