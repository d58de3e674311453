"""Which photographs of a simulated cohort are taken, and the folders and tables of each layout."""

from __future__ import annotations

import datetime
import io
import re
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from common.files import atomic_write
from common.movements import MOVEMENTS
from common.tables import write_csv
from datasets.simulated.face import Patient
from datasets.simulated.movement import Palsy, Side, Vigour
from datasets.simulated.muscles import MUSCLES
from datasets.simulated.shape import FloatArray

SEVERITY = {2: "NearNormal", 3: "Mild", 4: "Moderate", 5: "Severe", 6: "Complete"}
"""The word of the MEEI standard set for each House-Brackmann grade; grade 1 is ``Normal``."""

_NEUROFACE_TASKS = {
    "NSM_BIGSMILE": "full_smile", "NSM_BROW": "brow_raise", "NSM_KISS": "lip_pucker",
    "NSM_SPREAD": "lips_spread", "NSM_OPEN": "mouth_open", "NSM_BLOW": "blow",
}  # fmt: skip
_NEUROFACE_GROUPS = (("Healthy controls", "N"), ("ALS", "A"), ("Stroke", "S"))
_FRAMES_PER_VIDEO = 3

_CASME_UNITS = {"happiness": "12", "surprise": "1+2", "disgust": "4+9", "repression": "15+24"}
_CLIPS_PER_SUBJECT = 6
_FRAMES_PER_CLIP = 16

_POINT_COLUMNS = [f"{axis}{point}" for point in range(68) for axis in "xy"]


@dataclass(frozen=True)
class Shot:
    """One photograph to take.

    Attributes
    ----------
    path
        Relative to the cohort's folder, with ``/``.
    patient, task, amplitude, take, steadiness
        As ``render_photo`` takes them.
    subject
        The person's name in the layout.
    frame
        Frame number in a video or clip; 0 for a single photograph.
    facts
        What the tables say about it beyond this.
    """

    path: str
    patient: Patient
    task: str
    amplitude: float = 1.0
    take: int = 0
    steadiness: float = 1.0
    subject: str = ""
    frame: int = 0
    facts: tuple[object, ...] = ()


def plan_meei(cohort: list[Patient]) -> list[Shot]:
    """Eight photographs of every patient, healthy people first, then flaccid, then synkinetic."""
    groups: dict[tuple[str, str], list[Patient]] = {("Normal", ""): []}
    for category in ("Flaccid", "Synkinetic"):
        for word in SEVERITY.values():
            groups[category, word] = []
    for patient in cohort:
        groups[_meei_group(patient)].append(patient)
    shots = []
    for (category, word), members in groups.items():
        for number, patient in enumerate(members, start=1):
            stem = f"{word}{category}{number}"
            folder = f"{category}/{stem}" if not word else f"{category}/{word}{category}/{stem}"
            shots += [
                Shot(
                    f"{folder}/{stem}_{k}.jpg",
                    patient,
                    task,
                    subject=stem,
                    frame=k,
                    facts=(category, word, number),
                )
                for k, task in enumerate(MOVEMENTS, start=1)
            ]
    return shots


def write_meei_tables(folder: Path, shots: list[Shot], points: list[FloatArray]) -> None:
    """``pat_info.xlsx`` and ``true_landmarks.csv``."""
    patients = []
    for shot in shots:
        if shot.frame == 1:
            category, word, number = shot.facts
            side = shot.patient.palsy.side
            patients.append(
                {
                    "Category": category,
                    "Sub-category": word or None,
                    "#": number,
                    "Side": None if side == "none" else side.capitalize(),
                    "Gender": shot.patient.shape.sex.capitalize(),
                    "Age": shot.patient.shape.age,
                }
            )
    _write_excel(folder / "pat_info.xlsx", pd.DataFrame(patients))
    table = _point_table(points)
    table.insert(0, "image", [shot.path for shot in shots])
    table.insert(1, "task", [shot.task for shot in shots])
    table.insert(2, "grade", [shot.patient.palsy.grade for shot in shots])
    write_csv(table, folder / "true_landmarks.csv")


def plan_neuroface(cohort: list[Patient]) -> list[Shot]:
    """Three frames of each task; healthy people, ALS and stroke take turns.

    Stroke spares brow and lid and weakens one side of the lower face; ALS weakens both sides of
    the mouth. The House-Brackmann grades of the cohort are not used.
    """
    shots = []
    for number, patient in enumerate(cohort):
        group, letter = _NEUROFACE_GROUPS[number % len(_NEUROFACE_GROUPS)]
        subject = f"{letter}{number // len(_NEUROFACE_GROUPS) + 1:03d}"
        person = _with_disease(patient, group)
        rng = np.random.default_rng([patient.seed, 10])
        for name, task in _NEUROFACE_TASKS.items():
            video = f"{subject}_02_{name}_color"
            frames = np.sort(rng.choice(np.arange(5, 300), _FRAMES_PER_VIDEO, replace=False))
            for take, frame in enumerate(frames):
                shots.append(
                    Shot(
                        f"{group}/Frames/{video}.avi_{frame}.jpg", person, task, subject=subject,
                        amplitude=float(rng.uniform(0.55, 1.0)), take=take, steadiness=0.6,
                        frame=int(frame), facts=(group, video),
                    )
                )  # fmt: skip
    order = [group for group, _ in _NEUROFACE_GROUPS]
    return sorted(shots, key=lambda shot: order.index(str(shot.facts[0])))


def write_neuroface_tables(folder: Path, shots: list[Shot], points: list[FloatArray]) -> None:
    """True points and the box around them, one text file each per video."""
    table = _point_table(points)
    table.insert(0, "frame", [shot.frame for shot in shots])
    boxes = pd.DataFrame(
        [[*p.min(0), *p.max(0)] for p in points], columns=["x1", "y1", "x2", "y2"]
    ).round(2)
    boxes.insert(0, "frame", table["frame"])
    for group, video in dict.fromkeys((str(shot.facts[0]), str(shot.facts[1])) for shot in shots):
        rows = [shot.facts == (group, video) for shot in shots]
        write_csv(table[rows], folder / group / "Landmarks_gt" / f"{video}.txt")
        write_csv(boxes[rows], folder / group / "Bbox_gt" / f"{video}.txt")


def plan_casme(cohort: list[Patient]) -> list[Shot]:
    """Six clips of 16 frames of every person, healthy and nearly still: onset, apex, offset."""
    shots = []
    for number, patient in enumerate(cohort, start=1):
        person = replace(patient, palsy=Palsy(1, "none", "none"))
        rng = np.random.default_rng([patient.seed, 11])
        names: set[str] = set()
        for clip in range(_CLIPS_PER_SUBJECT):
            emotion = list(_CASME_UNITS)[(clip + number) % len(_CASME_UNITS)]
            name = f"EP{rng.integers(1, 20):02d}_{clip + 1:02d}"
            names.add(name)
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
                        subject=f"sub{number:02d}", frame=frame,
                        facts=(number, name, onset, apex, offset, _CASME_UNITS[emotion], emotion),
                    )
                )  # fmt: skip
    return shots


def write_casme_tables(folder: Path, shots: list[Shot], points: list[FloatArray]) -> None:
    """The coding sheet, and the true points of every frame."""
    columns = [
        "Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units",
        "Estimated Emotion",
    ]  # fmt: skip
    clips = pd.DataFrame(list(dict.fromkeys(shot.facts for shot in shots)), columns=columns)
    _write_excel(folder / "CASME2-coding-20140508.xlsx", clips)
    table = _point_table(points)
    table.insert(0, "image", [shot.path for shot in shots])
    write_csv(table, folder / "true_landmarks.csv")


def _meei_group(patient: Patient) -> tuple[str, str]:
    if patient.palsy.grade == 1:
        return "Normal", ""
    return patient.palsy.kind.capitalize(), SEVERITY[patient.palsy.grade]


def _with_disease(patient: Patient, group: str) -> Patient:
    healthy = replace(patient, palsy=Palsy(1, "none", "none"))
    if group == "ALS":
        factors = patient.vigour.factors.copy()
        mouth = [MUSCLES.index(m) for m in ("levator", "zygomatic", "oris", "depressor", "jaw")]
        factors[mouth] *= np.random.default_rng([patient.seed, 12]).uniform(0.45, 0.8)
        return replace(healthy, vigour=Vigour(factors))
    if group == "Stroke":
        rng = np.random.default_rng([patient.seed, 12])
        side: Side = "left" if rng.random() < 0.5 else "right"
        spared = (-6.0, -6.0, 0.0, 0.0)
        return replace(patient, palsy=Palsy(int(rng.integers(3, 6)), side, "flaccid", spared))
    return healthy


def _point_table(points: list[FloatArray]) -> pd.DataFrame:
    return pd.DataFrame(np.reshape(points, (-1, 136)), columns=_POINT_COLUMNS).round(2)


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
