"""What is to be measured: the photographs and films of a file, a folder or a manifest."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from common.errors import UserError
from common.files import PARQUET
from common.films import FILM_SUFFIXES, list_films
from common.photos import HEIC_SUFFIXES, PHOTO_SUFFIXES, RAW_SUFFIXES, list_photos
from common.shards import Shard
from common.tables import photos_of, read_manifest
from landmarks.find.films import FilmTask

ONSET_FILE = "onset_file"  # column of a manifest of clips, see datasets.readers.clips
MIRRORED = "mirrored"
"""Column of a manifest: `yes` where a film is stored as a mirror image."""


@dataclass(frozen=True)
class Source:
    """What is to be extracted: (`image_id`, path) pairs, the manifest if any, and complaints.

    `films` are named by their `image_id`; only `extract` has any.
    """

    photos: tuple[tuple[str, Path], ...]
    manifest: pd.DataFrame | None = None
    problems: tuple[str, ...] = ()
    films: tuple[FilmTask, ...] = ()

    def keys(self, shard: Shard) -> dict[str, str]:
        """Return for every `image_id` what it is dealt to shards by."""
        if shard.by == "patient_id" and self.manifest is not None:
            return dict(zip(self.manifest["image_id"], self.manifest["patient_id"], strict=True))
        names = [image_id for image_id, _ in self.photos] + [film.name for film in self.films]
        return {name: name for name in names}

    def only(self, images: Collection[str]) -> Source:
        """Return these photographs alone."""
        manifest = self.manifest
        if manifest is not None:
            manifest = manifest[manifest["image_id"].isin(images)].reset_index(drop=True)
        photos = tuple(photo for photo in self.photos if photo[0] in images)
        films = tuple(film for film in self.films if film.name in images)
        return replace(self, photos=photos, films=films, manifest=manifest)


def find_source(source: Path, *, films: bool = False, mirrored: bool = False) -> Source:
    """Find the photographs of a file, folder or manifest, and the films where they are taken.

    `films`: whether whoever asks can follow films.
    `mirrored`: all films are stored as mirror images.

    UserError when the source does not exist, is of an unknown kind, or holds no photograph.
    """
    suffix = source.suffix.lower()
    try:
        is_folder, is_there = source.is_dir(), source.exists()
    except OSError as error:  # a folder above it is closed, or the name is too long
        raise UserError(
            f"{source} cannot be opened ({error.strerror}): check the path and your right to read."
        ) from error
    if is_folder:
        folder = list_photos(source)
        problems = (*folder.problems, *folder.others)
        found = list_films(source) if films else ()
        if not folder.photos and not found:
            if problems:
                raise UserError(problems[0])
            raise UserError(
                f"{source} holds no photograph ({', '.join(PHOTO_SUFFIXES)}): check the folder."
            )
        tasks = tuple(FilmTask(name, path, mirrored) for name, path in found)
        return Source(photos=folder.photos, problems=problems, films=tasks)
    if not is_there:
        raise UserError(f"{source} does not exist: give a photograph, a folder or a manifest.")
    if suffix in (".csv", PARQUET):
        manifest = read_manifest(source)
        if manifest.empty:
            raise UserError(f"{source} holds no rows: list one photograph per row.")
        every = _photos_of(manifest)
        if not films:
            return Source(photos=every, manifest=manifest)
        return Source(
            photos=tuple(photo for photo in every if not _is_film(photo[1])),
            manifest=manifest,
            films=_films_of(manifest, every, mirrored=mirrored),
        )
    if suffix in (*PHOTO_SUFFIXES, *HEIC_SUFFIXES, *RAW_SUFFIXES):
        return Source(photos=((source.name, source),))
    if suffix in FILM_SUFFIXES:
        if films:
            return Source(photos=(), films=(FilmTask(source.name, source, mirrored),))
        raise UserError(
            f"{source} is a film: extract and movement take films, and movement picks the "
            "photographs of it that other commands take (docs/films.md)."
        )
    raise UserError(
        f"{source} is neither a photograph, a film, a folder nor a manifest (.csv): check the name."
    )


def _photos_of(manifest: pd.DataFrame) -> tuple[tuple[str, Path], ...]:
    """Return `image_id` and file of each row; of a clip, which is a folder, the onset frame."""
    photos = photos_of(manifest)
    if ONSET_FILE not in manifest:
        return photos
    onsets = manifest[ONSET_FILE].fillna("")
    return tuple((name, path / onset) for (name, path), onset in zip(photos, onsets, strict=True))


def _is_film(path: Path) -> bool:
    return path.suffix.lower() in FILM_SUFFIXES


def _films_of(
    manifest: pd.DataFrame, every: Iterable[tuple[str, Path]], *, mirrored: bool
) -> tuple[FilmTask, ...]:
    """Return the films of a manifest; UserError when its `mirrored` is neither yes nor no."""
    said = manifest.get(MIRRORED, pd.Series("", index=manifest.index)).fillna("").str.lower()
    for row, word in enumerate(said):
        if word not in ("", "yes", "no"):
            raise UserError(
                f'The manifest, row {row + 2}: column "{MIRRORED}" is "{word}" but must be yes, no '
                "or empty."
            )
    return tuple(
        FilmTask(name, path, mirrored or word == "yes")
        for (name, path), word in zip(every, said, strict=True)
        if _is_film(path)
    )
