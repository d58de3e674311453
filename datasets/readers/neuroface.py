"""Toronto NeuroFace: frames of oro-facial tasks with 68 true points and face boxes.

Three groups (ALS, stroke, healthy controls), each with `Frames`, `Landmarks_gt` and `Bbox_gt`.
It has no House-Brackmann grades and says no side: both stay empty or unknown. Source: Bandini et
al. 2021, IEEE J Biomed Health Inform 25:1111-1119, doi 10.1109/JBHI.2020.3019242.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from common.errors import UserError, did_you_mean
from common.files import relative_path
from common.truth import POINT_COLUMNS, FrameTable, read_frame_table
from common.words import counted
from datasets.dataset import Dataset, Reading, folders_below, say_list
from datasets.vocabulary import simplify

TASKS = (
    "BBP_NORMAL", "DDK_PA", "DDK_PATAKA", "NSM_BLOW", "NSM_KISS", "NSM_OPEN", "NSM_SPREAD",
    "NSM_BIGSMILE", "NSM_BROW",
)  # fmt: skip
MOVEMENT_OF_TASK = {
    "NSM_BROW": "brow_raise", "NSM_BIGSMILE": "full_smile", "NSM_KISS": "lip_pucker",
}  # fmt: skip
"""Tasks that are one of the standard movements; the others have no counterpart."""

_GROUPS = {
    "als": "ALS", "stroke": "Stroke", "poststroke": "Stroke", "healthycontrols": "Healthy controls",
    "healthycontrol": "Healthy controls", "healthy": "Healthy controls", "hc": "Healthy controls",
}  # fmt: skip
_PHOTO = re.compile(
    r"(?P<clip>(?P<patient>[A-Z]+\d+)_(?P<visit>\d+)_(?P<task>[A-Z_]+?)_(?:color|rgb))"
    r"(?:\.avi|\.mp4)?_(?P<frame>\d+)",
    re.IGNORECASE,
)
_BOX = ("true_box_left", "true_box_top", "true_box_right", "true_box_bottom")
_Tables = dict[str, tuple[Path, FrameTable]]  # by clip: `a009_02_nsm_open_color`


def read_neuroface(root: Path) -> Dataset:
    """Read Toronto NeuroFace.

    `root`: folder that holds `ALS`, `Stroke` and `Healthy controls`, at most two folders deep.

    Returns one row per frame image, with `group`, `visit`, `clip`, `frame`, `movement` (the
    standard movement that the task is, or empty), `truth_file`, `truth_frame` for
    `common.truth.read_truth`, and the true face box in px.
    """
    read = Reading("neuroface", root)
    rows: list[dict[str, Any]] = []
    for folder in folders_below(read.root, depth=3):
        group = _GROUPS.get(simplify(folder.name))
        inside = {simplify(entry.name): entry for entry in folder.iterdir() if entry.is_dir()}
        if group is None or "frames" not in inside:
            continue
        points = _annotations(inside.get("landmarksgt"), read, n_values=len(POINT_COLUMNS))
        boxes = _annotations(inside.get("bboxgt"), read, n_values=len(_BOX))
        here = _rows_of(inside["frames"], read, group=group, points=points, boxes=boxes)
        rows += here
        _tell_without_image(here, points, read)
    return read.dataset(rows)


def _rows_of(
    frames: Path, read: Reading, *, group: str, points: _Tables, boxes: _Tables
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for _, path in read.photos(frames):
        image_id = read.id_of(path)
        match = _PHOTO.fullmatch(path.stem)
        if match is None:
            advice = "name it as in A009_02_NSM_OPEN_color.avi_431.jpg"
            what = "this is no frame of NeuroFace and was left out"
            read.error("unexpected_photograph", what, advice, file=image_id)
            continue
        task, frame = match["task"].upper(), int(match["frame"])
        if task not in TASKS:
            what = f'the task "{task}" is none of NeuroFace and was kept as it is'
            meant = did_you_mean(task, TASKS).rstrip("?").replace(" D", "; d")
            advice = "check the file name" + meant
            read.warning("unknown_task", what, advice, file=image_id)
        row = {
            "image_id": image_id,
            "path": str(path),
            "patient_id": match["patient"].upper(),
            "task": task,
            "side": "none" if group == "Healthy controls" else "unknown",
            "group": group,
            "visit": match["visit"],
            "clip": match["clip"],
            "frame": frame,
            "movement": MOVEMENT_OF_TASK.get(task),
        }
        file, table = points.get(match["clip"].casefold(), (path, None))
        if table and frame in table.frames:
            row |= {"truth_file": relative_path(file, path.parent), "truth_frame": frame}
        _, table = boxes.get(match["clip"].casefold(), (path, None))
        if table and frame in table.frames:
            box = table.values[table.frames.index(frame)]
            row |= dict(zip(_BOX, box.tolist(), strict=True))
        rows.append(row)
    bare = [row["image_id"] for row in rows if "truth_file" not in row]
    if bare:
        what = f"{counted(len(bare), 'frame')} of {group} without true points: {say_list(bare)}"
        advice = "they serve every command but evaluate-landmarks"
        read.warning("no_true_points", what, advice)
    return rows


def _annotations(folder: Path | None, read: Reading, *, n_values: int) -> _Tables:
    """Read every annotation file of a folder; lines that do not fit are problems."""
    tables: _Tables = {}
    for path in sorted(folder.glob("[!.]*.txt")) if folder else ():
        file = read.id_of(path)
        try:
            table = read_frame_table(path, n_values=n_values)
        except UserError as unreadable:
            read.error("unreadable_annotation", str(unreadable).rstrip("."), file=file)
            continue
        tables[path.stem.casefold()] = path, table
        for line, fault in table.faults:
            advice = "get the file anew; the frame is read as one without truth"
            at = {"file": file, "rows": (line,)}
            read.error("unreadable_annotation", f"this line {fault}", advice, **at)
        lines = list(zip(table.lines, table.frames, strict=True))
        twice = sorted({frame for frame in table.frames if table.frames.count(frame) > 1})
        if twice:
            what = f"the frames {say_list(twice)} are annotated twice; the last was used"
            at = {"file": file, "rows": tuple(line for line, frame in lines if frame in twice)}
            read.warning("frame_twice", what, "keep the right one", **at)
    return tables


def _tell_without_image(rows: list[dict[str, Any]], points: _Tables, read: Reading) -> None:
    """Name the annotated frames that have no image."""
    there = {(row["clip"].casefold(), row["frame"]) for row in rows}
    for clip, (file, table) in points.items():
        lines = zip(table.frames, table.lines, strict=True)
        absent = {line: frame for frame, line in lines if (clip, frame) not in there}
        if absent:
            what = f"annotated frames without an image: {say_list(absent.values(), at_most=12)}"
            advice = "look for them in Frames; they have no row"
            at = {"file": read.id_of(file), "rows": tuple(absent)}
            read.error("frame_without_image", what, advice, **at)
