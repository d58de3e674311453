"""YouTube Facial Palsy (YFP): 32 videos of 21 patients, palsy regions boxed by clinicians.

The archive is given out on request and its inner layout is not published, so this reader asks
little of it: videos, or one folder of frames per video, and a table of boxes. There is no
House-Brackmann grade and no side: the boxes say where palsy shows (eyes, mouth) and how strongly
(0.5 low, 1.0 high). Source: Hsu, Kang and Huang 2018, "Deep hierarchical network with line segment
learning for quantitative analysis of facial palsy", IEEE Access.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from common.films import list_films
from common.words import counted
from datasets.dataset import Dataset, PatientPattern, Reading, say_list
from datasets.spreadsheet import Column, Spreadsheet, find_spreadsheet, read_spreadsheet
from datasets.vocabulary import simplify

INTENSITIES = (0.5, 1.0)

_EDGES = ("left", "top", "right", "bottom")
_NUMBERS = (
    Column("left", ("x1", "xmin", "x")), Column("top", ("y1", "ymin", "y")),
    Column("right", ("x2", "xmax")), Column("bottom", ("y2", "ymax")),
    Column("width", ("w",)), Column("height", ("h",)), Column("intensity", ("degree",)),
)  # fmt: skip
_COLUMNS = (
    Column("video", ("video name", "clip", "sequence"), required=True),
    Column("frame", ("frame number", "image")), Column("patient_id", ("patient", "subject")),
    Column("region", ("class", "label")), *_NUMBERS,
)  # fmt: skip
_REGIONS = {"eye": "eyes", "eyes": "eyes", "mouth": "mouth", "lips": "mouth"}
_Boxes = dict[tuple[str, int | None], dict[str, float]]  # by video and frame


def read_yfp(
    root: Path, *, table: Path | None = None, patient_pattern: str | None = None
) -> Dataset:
    """Read the YouTube Facial Palsy videos or their frames.

    `root`: folder of videos, or of folders of frames, one per video. Where both are there, the
    frames are read.
    `table`: spreadsheet of boxes: `video`, `frame`, `patient`, `region` (eyes or mouth),
    `left`, `top`, `right`, `bottom` (or `width`, `height`) in px, `intensity`. None looks below
    `root`.
    `patient_pattern`: finds the patient in a video's name where the table does not tell it.

    Returns one row per frame or video, with `video`, `frame`, and per region `eyes_left` ...
    `mouth_bottom` and `eyes_intensity`, `mouth_intensity`.
    """
    read = Reading("yfp", root)
    root = read.root
    frames = [(image_id, path) for image_id, path in read.photos() if "/" in image_id]
    boxes: _Boxes = {}
    patients: dict[str, str] = {}
    path = table or find_spreadsheet(root, "*box*", "*label*", "*annotation*", "*.csv")
    if path is not None:
        boxes, patients = _read_boxes(read_spreadsheet(path, columns=_COLUMNS), read)
    else:
        advice = "give them with --table (video, frame, region, left, top, right, bottom)"
        read.warning("no_boxes", "no table of boxes was found", advice)
    pattern = PatientPattern(patient_pattern)
    rows: list[dict[str, Any]] = []
    nameless: set[str] = set()
    for image_id, photo in frames or list_films(root):
        parts = PurePosixPath(image_id)
        video = parts.parent.name if frames else parts.stem
        frame = _last_number(parts.stem) if frames else None
        patient = patients.get(simplify(video)) or pattern.patient_in(video)
        row = {"image_id": image_id, "path": str(photo), "patient_id": patient, "video": video}
        if patient is None:
            nameless.add(video)
        else:
            rows.append({**row, "frame": frame, **boxes.get((simplify(video), frame), {})})
    there = {(simplify(row["video"]), row["frame"]) for row in rows}
    absent = [f"{video} {frame}" for video, frame in boxes if (video, frame) not in there]
    if absent and frames:
        what = f"{counted(len(absent), 'frame')} with boxes not there: {say_list(absent)}"
        read.error("frame_without_image", what, "look for them in the archive")
    if nameless:
        what = f"{counted(len(nameless), 'video')} without a patient left out: "
        advice = "add a column patient to the table, or give --patient-pattern"
        read.error("no_patient", what + say_list(sorted(nameless)), advice)
    if rows and not patients:
        number = len({row["patient_id"] for row in rows})
        what = f"the patients ({number}) were read from the videos' names; some have several videos"
        advice = "check them against the dataset's own list, or give a column patient"
        read.warning("doubtful_patients", what, advice)
    return read.dataset(rows)


def _read_boxes(sheet: Spreadsheet, read: Reading) -> tuple[_Boxes, dict[str, str]]:
    """Return the boxes and the patient of each video."""
    boxes: _Boxes = defaultdict(dict)
    patients: dict[str, str] = {}
    read.problems += sheet.problems
    table = sheet.rows.reindex(columns=[column.name for column in _COLUMNS])
    table = table.where(table.notna(), None)
    numbers = table[[column.name for column in _NUMBERS]].apply(pd.to_numeric, errors="coerce")
    numbers["right"] = numbers["right"].fillna(numbers["left"] + numbers["width"])
    numbers["bottom"] = numbers["bottom"].fillna(numbers["top"] + numbers["height"])
    sized = (numbers["left"] < numbers["right"]) & (numbers["top"] < numbers["bottom"])
    for row, cells in zip(table.index, table.to_dict("records"), strict=True):
        at = {"file": sheet.file, "rows": (int(row),)}
        video, patient, region = cells["video"] or "", cells["patient_id"], cells["region"]
        if patient and patients.setdefault(simplify(video), patient) != patient:
            what = f"{video} is given to {patients[simplify(video)]} and to {patient}"
            read.error("two_patients", what, "one video shows one patient", **at)
        if not region:
            continue
        part = _REGIONS.get(simplify(region))
        if part is None:
            what = f'the region "{region}" is neither eyes nor mouth; the box was not used'
            read.error("unknown_region", what, "write eyes or mouth", **at)
            continue
        if not sized[row]:
            what = "the box has no size or a value is missing; it was not used"
            advice = "left < right and top < bottom, in px"
            read.error("unusable_box", what, advice, **at)
            continue
        box = boxes[simplify(video), _last_number(cells["frame"] or "")]
        box |= {f"{part}_{edge}": float(numbers.at[row, edge]) for edge in _EDGES}
        intensity = float(numbers.at[row, "intensity"])
        if intensity in INTENSITIES:
            box[f"{part}_intensity"] = intensity
        elif cells["intensity"]:
            what = f'the intensity "{cells["intensity"]}" is neither 0.5 nor 1; it was left empty'
            read.error("unknown_intensity", what, "write 0.5 or 1", **at)
    return dict(boxes), patients


def _last_number(name: str) -> int | None:
    numbers = re.findall(r"\d+", name)
    return int(numbers[-1]) if numbers else None
