"""The command `draw-measures`: photographs with their clinical measures drawn on them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from common.errors import PhotoError, UserError
from common.exit_codes import exit_code_for
from common.photos import read_photo
from common.progress import JobProgress
from common.words import counted
from features.commands.extract import find_source
from features.measure_overlay import draw_measures
from landmarks.exchange.tables import read_points
from landmarks.overlay import picture_path, write_jpeg
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
