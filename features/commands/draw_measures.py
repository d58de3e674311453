"""The command `draw-measures`: photographs with their clinical measures drawn on them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import PhotoError, UserError, exit_code_for
from common.photos import read_photo
from common.progress import JobProgress
from common.words import counted
from features.frames import FROM_CORNERS, FacesInFrame, FloatArray
from features.measures import MEASURES, SIDES, Measure, Side, measure_faces
from landmarks.exchange.tables import read_points
from landmarks.find.iris import Irises
from landmarks.find.source import find_source
from landmarks.overlay import LEFT_RGB, MIDLINE_RGB, RIGHT_RGB, picture_path, subpixel, write_jpeg
from landmarks.scale import Unit, length_factors
from landmarks.tables import points_of, with_slips_failed

PICTURES_FOLDER = "measure_pictures"


@dataclass(frozen=True)
class MeasurePictures:
    """Where the pictures are, and how many could not be drawn."""

    folder: Path
    drawn: int
    failed: int

    @property
    def exit_code(self) -> int:
        """0 all were drawn, 3 some were not, 4 none was."""
        return exit_code_for(ok=self.drawn, failed=self.failed)


def draw_measures_on(
    source: Path, *, landmarks: Path, out: Path, only: str | None = None
) -> MeasurePictures:
    """Draw the clinical measures on photographs, with their numbers.

    Lengths are in mm where the landmark table knows mm per px, otherwise in px.

    Parameters
    ----------
    source
        The photographs: a file, a folder or a manifest, as for extract.
    landmarks
        landmarks.csv of extract (irises.csv beside it is used), or points of another tool, as for
        features.
    out
        Pictures go to OUT/measure_pictures.
    only
        Draw only photographs whose image_id holds this text.
    """
    given, irises = read_points(landmarks)
    table = with_slips_failed(given)
    table = table[table["status"] == "ok"].set_index("image_id", drop=False)
    unit: Unit = "mm" if "mm_per_px" in table and table["mm_per_px"].notna().any() else "px"
    factors = dict(zip(table["image_id"], length_factors(table, unit=unit), strict=True))
    points = dict(zip(table["image_id"], points_of(table), strict=True))
    photos = [
        (image_id, path)
        for image_id, path in find_source(source).photos
        if image_id in points and (only is None or only in image_id)
    ]
    if not photos:
        raise UserError(
            f"{landmarks} has points of none of the photographs of {source}: give the source that "
            "the landmarks were extracted from."
        )
    folder, drawn = out / PICTURES_FOLDER, 0
    with JobProgress("draw", total=len(photos)) as progress:
        for image_id, path in photos:
            try:
                rgb = read_photo(path).pixels
            except PhotoError as error:
                print(f"unreadable: {image_id}: {error}", file=sys.stderr)
                progress.advance(ok=False)
                continue
            picture = draw_measures(
                rgb,
                points[image_id],
                irises=irises.get(image_id),
                unit=unit,
                factor=float(factors[image_id]),
            )
            write_jpeg(picture_path(folder, image_id), picture)
            drawn += 1
            progress.advance(ok=True)
    print(f"{counted(drawn, 'picture')} in {folder}")
    return MeasurePictures(folder=folder, drawn=drawn, failed=len(photos) - drawn)


Placing = Callable[[FloatArray], FloatArray]
_COLOURS: dict[str, tuple[int, int, int]] = {"right": RIGHT_RGB, "left": LEFT_RGB}
_WIDTH = 1000  # px of the finished picture
_ROW = 26  # px of a table row
_COLUMNS = (20, 60, 430, 620, 810)  # x of letter, title, right, left, difference
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_DECIMALS: dict[str, int] = {"px": 1, "mm": 1, "box diagonal": 3}
# Where the letters stand: from the line's start, middle or end, so many hundredths of the eye
# distance outwards and down; lines lie close together around the eyes and the mouth.
_LABEL_PLACE: dict[str, tuple[float, float, float]] = {
    "brow_height": (0.5, 7, 0), "mrd1": (1.0, 10, 1), "mrd2": (0.0, 10, 0),
    "palpebral_fissure_height": (0.5, 33, 3), "commissure_excursion": (1.0, 8, 5),
    "smile_angle": (0.0, 12, 16), "commissure_height": (0.5, 6, 0), "dental_show": (0.5, -7, 0),
    "upper_lip_height": (0.0, 7, -6), "lower_lip_height": (0.0, 3, 8),
}  # fmt: skip


def draw_measures(
    rgb: NDArray[np.uint8],
    points: FloatArray,
    *,
    irises: Irises | None = None,
    unit: Unit = "px",
    factor: float = 1.0,
) -> NDArray[np.uint8]:
    """Draw all measures of one face and their table.

    `rgb`: `(h, w, 3)` uint8.
    `points`: `(68, 2)` px of `rgb`.
    `irises`: where they were looked for, px of `rgb`.
    `unit`, `factor`: of the lengths: one px of `rgb` is `factor` units. NaN shows px.

    Returns `(h2, 1000, 3)` RGB uint8: the face, cut out and enlarged, above the table.
    """
    if not np.isfinite(factor):
        unit, factor = "px", 1.0
    measured = measure_faces(points[np.newaxis], [irises])
    canvas, zoom, corner = _cut_out(rgb, points)
    faces = measured.faces

    def to_canvas(place: FloatArray) -> FloatArray:
        return np.asarray((faces.to_photo(place[np.newaxis])[0] - corner + 0.5) * zoom - 0.5)

    _draw_frame(canvas, faces, to_canvas)
    if irises is not None:
        for side, iris in zip(SIDES, (irises.right, irises.left), strict=True):
            if np.isfinite(iris.centre).all() and np.isfinite(iris.radius):
                centre = (iris.centre - corner + 0.5) * zoom - 0.5
                _circle(canvas, centre, iris.radius * zoom, _COLOURS[side])
    for letter, entry in zip(_letters(), MEASURES, strict=True):
        for side in SIDES:
            _draw_measure(canvas, entry, faces, side, letter=letter, to_canvas=to_canvas)
    values = {
        entry.name: [
            float(measured.values[entry.name][side][0]) * (factor if entry.is_length else 1.0)
            for side in SIDES
        ]
        for entry in MEASURES
    }
    table = _table(values, unit=unit, from_corners=faces.source[0] == FROM_CORNERS)
    return np.concatenate([canvas, table])


def _letters() -> str:
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(MEASURES)]


def _cut_out(
    rgb: NDArray[np.uint8], points: FloatArray
) -> tuple[NDArray[np.uint8], float, FloatArray]:
    """Cut out the face and bring it to the picture's width; also the zoom and the cut's corner."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.12 * (high - low).max()
    left, top = np.maximum(np.floor(low - margin), 0).astype(int)
    right, bottom = np.minimum(np.ceil(high + margin), np.array(rgb.shape[1::-1]) - 1).astype(int)
    crop = rgb[top : bottom + 1, left : right + 1]
    zoom = _WIDTH / crop.shape[1]
    size = (_WIDTH, max(1, round(crop.shape[0] * zoom)))
    method = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    dimmed = cv2.resize(crop, size, interpolation=method).astype(np.float32) * 0.8
    return dimmed.astype(np.uint8), zoom, np.array([left, top], dtype=np.float64)


def _draw_frame(canvas: NDArray[np.uint8], faces: FacesInFrame, to_canvas: Placing) -> None:
    apart = float(faces.apart[0])
    if not np.isfinite(apart):
        return
    for a, b in (((-0.95, 0), (0.95, 0)), ((0, -0.4), (0, 2.1))):
        ends = [to_canvas(np.array(end, dtype=np.float64) * apart) for end in (a, b)]
        _line(canvas, *ends, colour=MIDLINE_RGB, width=1)


def _draw_measure(
    canvas: NDArray[np.uint8],
    entry: Measure,
    faces: FacesInFrame,
    side: Side,
    *,
    letter: str,
    to_canvas: Placing,
) -> None:
    start, end = (place[0] for place in entry.ends(faces, side))
    if not np.isfinite([start, end]).all():
        return
    colour = _COLOURS[side]
    apart = float(faces.apart[0])
    outwards = 1.0 if side == "left" else -1.0
    if entry.kind == "angle":
        _arc(canvas, start, end, radius=0.16 * apart, colour=colour, to_canvas=to_canvas)
    else:
        width = 1 if np.hypot(*(end - start)) > 0.6 * apart else 2
        _line(canvas, to_canvas(start), to_canvas(end), colour=colour, width=width)
        for place in (start, end):
            _circle(canvas, to_canvas(place), 3.0, colour, filled=True)
    along, dx, dy = _LABEL_PLACE.get(entry.name, (0.5, 6.0, 0.0))
    place = start + along * (end - start) + np.array([outwards * dx, dy]) * apart / 100
    _label(canvas, to_canvas(place), letter, colour)


def _arc(
    canvas: NDArray[np.uint8],
    corner: FloatArray,
    end: FloatArray,
    *,
    radius: float,
    colour: tuple[int, int, int],
    to_canvas: Placing,
) -> None:
    """Draw the angle from straight down to the line's direction."""
    target = np.arctan2((end - corner)[0], (end - corner)[1])
    angles = np.linspace(0.0, target, 24)
    places = corner + radius * np.column_stack([np.sin(angles), np.cos(angles)])
    line = np.array([to_canvas(place) for place in places])
    cv2.polylines(canvas, [np.round(line * 16).astype(np.int32)], False, colour, 2, cv2.LINE_AA, 4)


def _table(values: dict[str, list[float]], *, unit: Unit, from_corners: bool) -> NDArray[np.uint8]:
    """Draw the numbers: one row per measure, both sides and right minus left."""
    table = np.zeros(((len(MEASURES) + 2) * _ROW + 20, _WIDTH, 3), dtype=np.uint8)
    axes = "eye corners" if from_corners else "irises"
    head = ("", f"{unit}; axes: {axes}", "patient's right", "patient's left", "R - L")
    colours = (MIDLINE_RGB, MIDLINE_RGB, RIGHT_RGB, LEFT_RGB, MIDLINE_RGB)
    rows: list[tuple[str, ...]] = [head]
    for letter, entry in zip(_letters(), MEASURES, strict=True):
        right, left = values[entry.name]
        decimals = _DECIMALS[unit] if entry.is_length else 1
        shown = [_number(v, decimals) for v in (right, left, right - left)]
        rows.append((letter, f"{entry.title}{'' if entry.is_length else ' (deg)'}", *shown))
    for row, cells in enumerate(rows, start=1):
        for x, cell, colour in zip(_COLUMNS, cells, colours, strict=True):
            cv2.putText(table, cell, (x, row * _ROW + 4), _FONT, 0.62, colour, 1, cv2.LINE_AA)
    return table


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if np.isfinite(value) else "-"


def _line(
    canvas: NDArray[np.uint8],
    a: FloatArray,
    b: FloatArray,
    *,
    colour: tuple[int, int, int],
    width: int,
) -> None:
    cv2.line(canvas, subpixel(a), subpixel(b), (0, 0, 0), width + 2, cv2.LINE_AA, 4)
    cv2.line(canvas, subpixel(a), subpixel(b), colour, width, cv2.LINE_AA, 4)


def _circle(
    canvas: NDArray[np.uint8],
    centre: FloatArray,
    radius: float,
    colour: tuple[int, int, int],
    *,
    filled: bool = False,
) -> None:
    width = -1 if filled else 1
    cv2.circle(canvas, subpixel(centre), round(radius * 16), colour, width, cv2.LINE_AA, 4)


def _label(
    canvas: NDArray[np.uint8], place: FloatArray, letter: str, colour: tuple[int, int, int]
) -> None:
    cv2.circle(canvas, subpixel(place), 12 * 16, (0, 0, 0), -1, cv2.LINE_AA, 4)
    (width, height), _ = cv2.getTextSize(letter, _FONT, 0.55, 1)
    corner = (round(place[0] - width / 2), round(place[1] + height / 2))
    cv2.putText(canvas, letter, corner, _FONT, 0.55, colour, 1, cv2.LINE_AA)
