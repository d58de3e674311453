"""Many photographs on one page, in rows with labels: the first thing to look at in a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.words import counted

_INK = (40, 40, 40)
_GAP = 4
_LINE = 16


def contact_sheet(
    photos: Sequence[Sequence[NDArray[np.uint8] | None]],
    *,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    photo_width: int = 150,
) -> NDArray[np.uint8]:
    """Lay photographs out in rows and columns on white paper; returns RGB, ``(H, W, 3)`` uint8.

    `photos`: rows of photographs, each ``(H, W, 3)`` RGB uint8, or None for an empty place.
    They are shrunk to one width and cut or padded to the shape of the first.
    `row_labels`: one text per row, written at its left; long texts break at spaces.
    `column_labels`: one text per column, written above.
    `photo_width`: width of each photograph on the sheet, in pixels, 40 or more.
    """
    first = next((photo for row in photos for photo in row if photo is not None), None)
    columns = max((len(row) for row in photos), default=0)
    if first is None:
        raise UserError(
            "A contact sheet needs a photograph, but none was given: give at least one."
        )
    for labels, count, what in (
        (row_labels, len(photos), "row"),
        (column_labels, columns, "column"),
    ):
        if labels and len(labels) != count:
            raise UserError(
                f"The contact sheet has {counted(count, what)} but "
                f"{counted(len(labels), f'{what} label')}: give one label per {what}, or none."
            )
    photo_width = max(40, photo_width)
    photo_height = round(photo_width * first.shape[0] / first.shape[1])
    left, top = (92 if row_labels else _GAP), (_LINE + 8 if column_labels else _GAP)
    height = top + len(photos) * (photo_height + _GAP)
    sheet = np.full((height, left + columns * (photo_width + _GAP), 3), 255, np.uint8)
    for j, label in enumerate(column_labels):
        _write(sheet, label.replace("_", " "), left + j * (photo_width + _GAP) + 2, _LINE)
    for i, row in enumerate(photos):
        y = top + i * (photo_height + _GAP)
        label = row_labels[i] if row_labels else ""
        lines = wrap(label, 12, break_long_words=False, break_on_hyphens=False)
        for k, line in enumerate(lines, start=1):
            _write(sheet, line, 4, y + _LINE * k)
        for j, photo in enumerate(row):
            if photo is not None:
                x = left + j * (photo_width + _GAP)
                fitted = round(photo.shape[0] * photo_width / photo.shape[1])
                small = cv2.resize(photo, (photo_width, fitted), interpolation=cv2.INTER_AREA)
                rows = min(fitted, photo_height)
                sheet[y : y + rows, x : x + photo_width] = small[:rows]
    return sheet


def _write(sheet: NDArray[np.uint8], text: str, x: int, y: int) -> None:
    cv2.putText(sheet, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, _INK, 1, cv2.LINE_AA)
