"""Which photographs of a simulated cohort are taken, and the folders and tables of each layout."""

from __future__ import annotations

import datetime
import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.files import atomic_write
from common.movements import MOVEMENTS
from common.tables import write_csv
from common.truth import TRUTH_TABLE
from datasets.simulated.canvas import FloatArray
from datasets.simulated.face import Patient, visits_of
from datasets.simulated.movement import MUSCLES, REGIONS, Palsy, Side, Vigour
from datasets.simulated.scales import rated, true_scales

SCALES_TRUTH, RATINGS = "scales_truth.csv", "ratings.csv"
SEVERITY = {2: "NearNormal", 3: "Mild", 4: "Moderate", 5: "Severe", 6: "Complete"}
"""The word of the MEEI standard set for each House-Brackmann grade; grade 1 is ``Normal``."""

_HEALTHY = Palsy(1, "none", "none")
_NEUROFACE_TASKS = {
    "NSM_BIGSMILE": "full_smile", "NSM_BROW": "brow_raise", "NSM_KISS": "lip_pucker",
    "NSM_SPREAD": "lips_spread", "NSM_OPEN": "mouth_open", "NSM_BLOW": "blow",
}  # fmt: skip
_NEUROFACE_GROUPS = {"Healthy controls": "N", "ALS": "A", "Stroke": "S"}
_FRAMES_PER_VIDEO = 3
_CASME_UNITS = {"happiness": "12", "surprise": "1+2", "disgust": "4+9", "repression": "15+24"}
_CASME_COLUMNS = (
    "Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units",
    "Estimated Emotion",
)  # fmt: skip
_CLIPS_PER_SUBJECT = 6
_FRAMES_PER_CLIP = 16
_POINT_COLUMNS = [f"{axis}{point}" for point in range(68) for axis in "xy"]


@dataclass(frozen=True)
class Shot:
    """One photograph to take: its path below the cohort's folder, and what `render_photo` needs.

    `frame` is its number in a video or clip, or among a patient's photographs; `facts` is what the
    tables say beyond this; `visit` and `date` are those of the patient who comes again.
    """

    path: str
    patient: Patient
    task: str
    amplitude: float = 1.0
    take: int = 0
    steadiness: float = 1.0
    frame: int = 0
    facts: tuple[Any, ...] = ()
    visit: int = 1
    date: str = ""


@dataclass(frozen=True)
class Study:
    """How often patients come, how often they repeat each movement then, and who rates them.

    `seed` is that of the raters. Only the MEEI layout has more than one visit, repeat or raters.
    """

    visits: int = 1
    repeats: int = 1
    raters: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Layout:
    """A dataset's layout: the photographs to take, its tables, and its size in pixels."""

    plan: Callable[[list[Patient], Study], list[Shot]]
    write_tables: Callable[[Path, list[Shot], list[FloatArray], Study], None]
    width: int
    height: int


def _plan_meei(cohort: list[Patient], study: Study) -> list[Shot]:
    """Eight photographs of every patient, healthy people first, then flaccid, then synkinetic.

    Who comes again keeps the name of the first visit, and has a folder for each visit.
    """
    groups: dict[tuple[str, str], list[Patient]] = {("Normal", ""): []}
    groups |= {(kind, word): [] for kind in ("Flaccid", "Synkinetic") for word in SEVERITY.values()}
    for patient in cohort:
        word = SEVERITY.get(patient.palsy.grade, "")
        groups[patient.palsy.kind.capitalize() if word else "Normal", word].append(patient)
    shots = []
    for (category, word), members in groups.items():
        for number, patient in enumerate(members, start=1):
            stem = f"{word}{category}{number}"
            folder = f"{category}/{stem}" if not word else f"{category}/{word}{category}/{stem}"
            facts = category, word or None, number
            for visit in visits_of(patient, study.visits):
                place = f"{folder}/visit{visit.number}" if study.visits > 1 else folder
                shots += [
                    Shot(
                        f"{place}/{stem}_{k}{'abcdefghi'[again] if again else ''}.jpg",
                        visit.patient, task, take=100 * (visit.number - 1) + again, frame=k,
                        facts=facts, visit=visit.number, date=visit.date,
                    )
                    for k, task in enumerate(MOVEMENTS, start=1)
                    for again in range(study.repeats)
                ]  # fmt: skip
    return shots


def _write_meei_tables(
    folder: Path, shots: list[Shot], points: list[FloatArray], study: Study
) -> None:
    seen = {(shot.facts, shot.visit): shot for shot in reversed(shots)}  # a visit's first one
    visits = list(reversed(seen.values()))
    truth = _scales_of(visits)
    rows = []
    for shot in visits:
        side, shape = shot.patient.palsy.side, shot.patient.shape
        said = None if side == "none" else side.capitalize()
        rows.append((*shot.facts, said, shape.sex.capitalize(), shape.age))
    columns = ["Category", "Sub-category", "#", "Side", "Gender", "Age"]
    info = pd.DataFrame(rows, columns=columns)
    if study.visits > 1:
        info = info.assign(
            Visit=[shot.visit for shot in visits],
            Date=[shot.date for shot in visits],
            HB=[shot.patient.palsy.grade for shot in visits],
        )
    info = info.assign(Sunnybrook=truth["sunnybrook"].round(1), eFACE=truth["eface"].round(1))
    _write_excel(folder / "pat_info.xlsx", info)
    write_csv(truth, folder / SCALES_TRUTH)
    if study.raters:
        write_csv(rated(truth, raters=study.raters, seed=study.seed), folder / RATINGS)
    table = _point_table(points, image=[shot.path for shot in shots])
    table.insert(1, "task", [shot.task for shot in shots])
    table.insert(2, "grade", [shot.patient.palsy.grade for shot in shots])
    write_csv(table, folder / TRUTH_TABLE)


def _scales_of(visits: list[Shot]) -> pd.DataFrame:
    """The simulator's own truth of each visit: its date, side and severity, and the scales."""
    rows = [
        {
            "patient_id": "".join(str(fact or "") for fact in (word, category, number)),
            "visit": shot.visit,
            "date": shot.date,
            "side": shot.patient.palsy.side,
            "severity": float(np.mean([shot.patient.palsy.level(region) for region in REGIONS])),
            **true_scales(shot.patient.palsy),
        }
        for shot in visits
        for category, word, number in [shot.facts]
    ]
    return pd.DataFrame(rows).round(4)


def _plan_neuroface(cohort: list[Patient], _study: Study) -> list[Shot]:
    """Three frames of each task; healthy people, ALS and stroke take turns.

    Stroke spares brow and lid and weakens one side of the lower face; ALS weakens both sides of
    the mouth. The House-Brackmann grades of the cohort are not used.
    """
    groups = list(_NEUROFACE_GROUPS)
    shots = []
    for number, patient in enumerate(cohort):
        group = groups[number % len(groups)]
        subject = f"{_NEUROFACE_GROUPS[group]}{number // len(groups) + 1:03d}"
        person = _with_disease(patient, group)
        rng = np.random.default_rng([patient.seed, 10])
        for name, task in _NEUROFACE_TASKS.items():
            video = f"{subject}_02_{name}_color"
            frames = np.sort(rng.choice(np.arange(5, 300), _FRAMES_PER_VIDEO, replace=False))
            for take, frame in enumerate(frames):
                shots.append(
                    Shot(
                        f"{group}/Frames/{video}.avi_{frame}.jpg", person, task,
                        amplitude=float(rng.uniform(0.55, 1.0)), take=take, steadiness=0.6,
                        frame=int(frame), facts=(group, video),
                    )
                )  # fmt: skip
    return sorted(shots, key=lambda shot: groups.index(shot.facts[0]))


def _write_neuroface_tables(
    folder: Path, shots: list[Shot], points: list[FloatArray], _study: Study
) -> None:
    """True points and the box around them, one text file each per video."""
    frames = [shot.frame for shot in shots]
    table = _point_table(points, frame=frames)
    edges = [[*p.min(0), *p.max(0)] for p in points]
    boxes = pd.DataFrame(edges, columns=["x1", "y1", "x2", "y2"]).round(2)
    boxes.insert(0, "frame", frames)
    for group, video in dict.fromkeys(shot.facts for shot in shots):
        rows = [shot.facts == (group, video) for shot in shots]
        write_csv(table[rows], folder / group / "Landmarks_gt" / f"{video}.txt")
        write_csv(boxes[rows], folder / group / "Bbox_gt" / f"{video}.txt")


def _plan_casme(cohort: list[Patient], _study: Study) -> list[Shot]:
    """Six clips of 16 frames of every person, healthy and nearly still: onset, apex, offset."""
    shots = []
    for number, patient in enumerate(cohort, start=1):
        person = replace(patient, palsy=_HEALTHY)
        rng = np.random.default_rng([patient.seed, 11])
        for clip in range(_CLIPS_PER_SUBJECT):
            emotion = list(_CASME_UNITS)[(clip + number) % len(_CASME_UNITS)]
            name = f"EP{rng.integers(1, 20):02d}_{clip + 1:02d}"
            onset = int(rng.integers(20, 180))
            apex, offset = onset + int(rng.integers(4, 6)), onset + int(rng.integers(9, 12))
            strength = rng.uniform(0.14, 0.34)
            first = onset - int(rng.integers(2, 4))
            for frame in range(first, first + _FRAMES_PER_CLIP):
                amplitude = strength * np.interp(frame, [onset, apex, offset], [0, 1, 0.1])
                shots.append(
                    Shot(
                        f"CASME2_RAW/sub{number:02d}/{name}/img{frame}.jpg", person, emotion,
                        amplitude=float(amplitude), take=1000 * clip + frame, steadiness=0.05,
                        frame=frame,
                        facts=(number, name, onset, apex, offset, _CASME_UNITS[emotion], emotion),
                    )
                )  # fmt: skip
    return shots


def _write_casme_tables(
    folder: Path, shots: list[Shot], points: list[FloatArray], _study: Study
) -> None:
    """The coding sheet, and the true points of every frame."""
    clips = pd.DataFrame(list(dict.fromkeys(shot.facts for shot in shots)), columns=_CASME_COLUMNS)
    _write_excel(folder / "CASME2-coding-20140508.xlsx", clips)
    table = _point_table(points, image=[shot.path for shot in shots])
    write_csv(table, folder / TRUTH_TABLE)


LAYOUTS: dict[str, Layout] = {
    "meei": Layout(_plan_meei, _write_meei_tables, 600, 800),
    "neuroface": Layout(_plan_neuroface, _write_neuroface_tables, 640, 480),
    "casme": Layout(_plan_casme, _write_casme_tables, 280, 340),
}


def _with_disease(patient: Patient, group: str) -> Patient:
    rng = np.random.default_rng([patient.seed, 12])
    if group == "ALS":
        factors = patient.vigour.factors.copy()
        mouth = [MUSCLES.index(m) for m in ("levator", "zygomatic", "oris", "depressor", "jaw")]
        factors[mouth] *= rng.uniform(0.45, 0.8)
        return replace(patient, palsy=_HEALTHY, vigour=Vigour(factors))
    if group == "Stroke":
        side: Side = "left" if rng.random() < 0.5 else "right"
        spared = (-6.0, -6.0, 0.0, 0.0)
        return replace(patient, palsy=Palsy(int(rng.integers(3, 6)), side, "flaccid", spared))
    return replace(patient, palsy=_HEALTHY)


def _point_table(points: list[FloatArray], **first: list[Any]) -> pd.DataFrame:
    """The 68 points of each photograph, behind one column that names it."""
    table = pd.DataFrame(np.reshape(points, (-1, 136)), columns=_POINT_COLUMNS).round(2)
    return pd.concat([pd.DataFrame(first), table], axis=1)


def _write_excel(path: Path, table: pd.DataFrame) -> None:
    """Write a workbook whose bytes do not depend on the time of writing."""
    written = io.BytesIO()
    table.to_excel(written, index=False, engine="openpyxl")
    long_ago = datetime.datetime(2000, 1, 1)
    stamp = long_ago.isoformat().encode() + b"Z"
    with (
        atomic_write(path) as temporary,
        zipfile.ZipFile(written) as source,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for entry in source.namelist():
            content = source.read(entry)
            if entry == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT[\d:.]+Z", stamp, content)
            target.writestr(zipfile.ZipInfo(entry, long_ago.timetuple()[:6]), content)
