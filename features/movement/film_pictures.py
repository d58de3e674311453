"""What `movement` draws of films: pages, films with their points, and two films compared."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from common.errors import FilmError, UserError, did_you_mean
from common.films import FILM_SUFFIX, open_film
from features.movement.film import MeasuredFilm
from features.movement.overlay_film import write_overlay_film
from features.movement.page import SIMULATED_FILM, film_page
from features.movement.page_compare import ComparedFilm, compare_page
from landmarks.overlay import OVERLAY_FOLDER, picture_path

if TYPE_CHECKING:
    from landmarks.find.films import FilmTask

PAGES_FOLDER, COMPARISON_FILE = "pages", "comparison.html"


@dataclass
class FilmPictures:
    """Draws each film once it is measured."""

    out: Path  # folder of the tables
    files: Mapping[str, FilmTask]  # where the films lie, by name; pages of others show points alone
    # whether to write a page, and the film with its points
    pages: bool = False
    overlay: bool = False
    # names of two films to lay beside each other, before and after
    compare: tuple[str, str] | None = None
    simulated: Collection[str] = ()  # names of films that nobody is in
    # films that could not be written with points, and why
    problems: list[str] = field(default_factory=list)
    _kept: dict[str, ComparedFilm] = field(default_factory=dict)

    def check(self, films: Collection[str]) -> None:
        """Refuse what cannot be drawn of these films, before the long work."""
        for name in self.compare or ():
            if name not in films:
                raise UserError(
                    f'--compare names "{name}", which is no film of the landmark table.'
                    + did_you_mean(name, list(films))
                )
        if self.overlay and not self.files:
            raise UserError("--overlay needs the films themselves: give them with --photographs.")

    def draw(self, name: str, measured: MeasuredFilm, landmarks: pd.DataFrame) -> None:
        """Draw one film."""
        film = self.files.get(name)
        if self.pages:
            page = film_page(name, measured, landmarks, film=film, simulated=name in self.simulated)
            page.write(picture_path(self.out / PAGES_FOLDER, name).with_suffix(".html"))
        if self.overlay and film is not None:
            path = picture_path(self.out / OVERLAY_FOLDER, name).with_suffix("")
            if path.suffix != FILM_SUFFIX:
                path = path.with_name(path.name + FILM_SUFFIX)
            try:
                write_overlay_film(path, open_film(film.path, mirrored=film.mirrored), landmarks)
            except FilmError as error:
                self.problems.append(str(error))
        if name in (self.compare or ()):
            self._kept[name] = ComparedFilm(name, measured, landmarks, film)

    def finish(self) -> None:
        """Write the comparison, when both films were drawn."""
        if self.compare is not None:
            before, after = (self._kept[name] for name in self.compare)
            page = compare_page(before, after)
            if set(self.compare) & set(self.simulated):
                page.warn(SIMULATED_FILM)
            page.write(self.out / COMPARISON_FILE)
