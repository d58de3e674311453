"""The formats of other tools: what each carries, where its first pixel lies, how it is recognised.

Our px have pixel centres at integers, the first at 0. A format that gives the centre of the first
pixel as `first_pixel` is moved by that when it is read and written, here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from common.errors import UserError
from common.photos import upright_size
from common.truth import PTS_FIRST_PIXEL
from landmarks.exchange.lists_of_points import (
    FACES,
    N_MESH,
    read_coco,
    read_mediapipe,
    read_openface,
    write_coco,
)
from landmarks.exchange.marked import MarkedPhoto, photograph_beside, text_of
from landmarks.exchange.text_files import read_emotrics, read_pts, write_emotrics, write_pts
from landmarks.exchange.xml_files import read_cvat, read_imglab, write_cvat, write_imglab
from landmarks.tables import OtherTool

_SUFFIXES = (".pts", ".txt", ".xml", ".json", ".csv")
_HEAD = 20_000  # characters by which a file is recognised: a header of 478 points is shorter


@dataclass(frozen=True)
class Format:
    """One format of another tool."""

    # for options, and for people
    name: OtherTool
    title: str
    carries: str
    first_pixel: float  # x and y that the tool gives to the centre of the first pixel
    why: str  # where that is known from
    read: Callable[[Path], list[MarkedPhoto]]  # file to marks, in the tool's coordinates
    step: float = 0.0  # px to which it is written; 0 when it is not
    # what writes marks to one file, or those of one photograph to a file with `suffix`; a format
    # has at most one of them
    write_all: Callable[[Sequence[MarkedPhoto], Path], None] | None = None
    write_one: Callable[[MarkedPhoto, Path], None] | None = None
    suffix: str = ""
    needs_size: bool = False  # whether the size of every photograph is written

    @property
    def is_written(self) -> bool:
        """Whether points can be given to this tool."""
        return self.write_all is not None or self.write_one is not None


_ALL = (
    Format(
        name="pts",
        title="`.pts` of the 300-W family, one beside each photograph, with header or without",
        carries="68 points", first_pixel=PTS_FIRST_PIXEL,
        why="page of the 300-W annotations: as Matlab counts, the top left pixel is x=1, y=1",
        read=read_pts, step=0.001, write_one=write_pts, suffix=".pts",
    ),
    Format(
        name="imglab", title="dlib's XML, of imglab", carries="68 parts, face box", first_pixel=0.0,
        why="dlib counts rows and columns of its arrays, whole px", read=read_imglab, step=1.0,
        write_all=write_imglab, suffix=".xml",
    ),
    Format(
        name="cvat", title="CVAT for images 1.1, XML", carries="68 points or a skeleton, size",
        first_pixel=0.5,
        why="CVAT measures from the picture's edge: a box around all of it is 0 to its width",
        read=read_cvat, step=0.01, write_all=write_cvat, suffix=".xml", needs_size=True,
    ),
    Format(
        name="coco", title="COCO keypoints, JSON", carries="68 keypoints, which are marked, size",
        first_pixel=0.0,
        why="COCO's description of its data: a keypoint has a 0-indexed location, which is the "
        "index of its pixel",
        read=read_coco, step=0.01, write_all=write_coco, suffix=".json", needs_size=True,
    ),
    Format(
        name="emotrics", title="Emotrics, `.txt` beside each photograph",
        carries="68 points, irises, face box", first_pixel=0.0,
        why="its points are those of dlib, whole px", read=read_emotrics, step=1.0,
        write_one=write_emotrics, suffix=".txt",
    ),
    Format(
        name="openface", title="OpenFace, CSV", carries="68 points, whether they are trusted",
        first_pixel=0.0,
        why="OpenFace draws its points with OpenCV as they are, which has pixel centres at "
        "integers",
        read=read_openface,
    ),
    Format(
        name="mediapipe", title="MediaPipe's face mesh, CSV or JSON of your own",
        carries="478 points, of which 68 are taken, irises", first_pixel=0.5,
        why="MediaPipe's own drawing takes the whole part of share times width for the pixel",
        read=read_mediapipe,
    ),
)  # fmt: skip
FORMATS: dict[OtherTool, Format] = {one.name: one for one in _ALL}
"""Every format by name, in the order in which people are told of them."""


def format_of(path: Path) -> Format | None:
    """Recognise a file by its content; None where it is none of these formats.

    Two numbers a line alone do not say that they count from 1: that the suffix `.pts` says.
    """
    head = text_of(path, limit=_HEAD).lstrip()
    names = set(re.split(r"[\s,;\"]+", head.partition("\n")[0]))
    if head.startswith("<"):
        root = re.search(r"<([A-Za-z]\w*)", head)
        return {"dataset": FORMATS["imglab"], "annotations": FORMATS["cvat"]}.get(
            root[1] if root else ""
        )
    if re.match(r"(version|n_points)\s*:", head) or path.suffix.lower() == ".pts":
        return FORMATS["pts"]
    if head.startswith(("{", "[")):
        keys = set(re.findall(r'"(\w+)"\s*:\s*\[', text_of(path)))
        if "annotations" in keys:
            return FORMATS["coco"]
        return FORMATS["mediapipe"] if keys & set(FACES) else None
    if f"x_{N_MESH - 1}" in names:
        return FORMATS["mediapipe"]
    if {"x_67", "confidence"} <= names and "status" not in names:
        return FORMATS["openface"]
    opens_section = path.suffix.lower() == ".txt" and re.match(r"#[^\n]*\{", head)
    return FORMATS["emotrics"] if opens_section else None


def read_marked(source: Path, tool: OtherTool | None = None) -> tuple[Format, list[MarkedPhoto]]:
    """Read a file, or all files of one format below a folder, in px of the photographs.

    Names are paths from the folder (of the file). A file in a folder that cannot be read, and a
    photograph of another size than the file says, have a problem in place of points.

    `tool`: its format; recognised by its content when not given.

    UserError when there is no such file or folder, it holds no points, or files of several
    formats.
    """
    if source.is_dir():
        chosen, files = _files_of(source, tool)
        folder = source
    else:
        found = FORMATS[tool] if tool else format_of(source)
        if found is None:
            raise UserError(
                f"{source} is no file of points that is known ({', '.join(FORMATS)}): export it "
                "again."
            )
        chosen, files, folder = found, [source], source.parent
    marks = [
        one
        for file in files
        for one in _marks_of(file, chosen, folder=folder, is_all=file == source)
    ]
    if not marks:
        raise UserError(f"{source} holds no photograph: mark points in it first.")
    return chosen, marks


def _files_of(folder: Path, tool: OtherTool | None) -> tuple[Format, list[Path]]:
    files: dict[str, list[Path]] = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".") and file.is_file():
            found = format_of(file)
            if found is not None:
                files.setdefault(found.name, []).append(file)
    if tool is not None:
        files = {tool: files.get(tool, [])}
    if len(files) > 1:
        raise UserError(
            f"{folder} holds points of several tools ({', '.join(sorted(files))}): give a folder "
            "with those of one."
        )
    name, own = next(iter(files.items()), ("", []))
    if not own:
        raise UserError(
            f"{folder} holds no file of points that is known ({', '.join(FORMATS)}): check the "
            "path."
        )
    return FORMATS[cast(OtherTool, name)], own


def _marks_of(file: Path, form: Format, *, folder: Path, is_all: bool) -> list[MarkedPhoto]:
    try:
        found = form.read(file)
    except UserError as error:
        if is_all and form.write_one is None:
            raise
        found = [MarkedPhoto(photograph_beside(file), problem=str(error))]
    else:
        found = [
            replace(one, problem=f"{file.name} {one.problem}.") if one.problem else one
            for one in found
        ]
    below = file.parent.relative_to(folder)
    return [
        _sized(replace(one.shifted(-form.first_pixel), name=(below / name).as_posix()), folder)
        for one in found
        for name in [one.name.replace("\\", "/")]  # also where a tool on Windows wrote it
    ]


def _sized(marks: MarkedPhoto, folder: Path) -> MarkedPhoto:
    """Refuse points of a picture of another size than the photograph that lies there."""
    if marks.size is None or marks.problem:
        return marks
    size = upright_size(folder / marks.name)
    if size is None or size == marks.size:
        return marks
    (width, height), (own_width, own_height) = marks.size, size
    return MarkedPhoto(
        marks.name,
        problem=f"its points are of a picture of {width} x {height} px and the photograph has "
        f"{own_width} x {own_height}: mark the photograph itself.",
    )
