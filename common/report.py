"""One self-contained HTML report, offline and without scripts: warnings first, then sections.

Pictures are kept inside the file, so that it can be mailed or archived as it is. How a report
looks lives in `report.html.jinja` beside this module; what it says comes from its users.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.errors import UserError
from common.files import atomic_write

if TYPE_CHECKING:
    import jinja2
    from matplotlib.figure import Figure

TEMPLATE = Path(__file__).with_name("report.html.jinja")
RESEARCH_USE = (
    "Research software. It does not diagnose, and nothing in it may decide about the care of a "
    "person."
)
FIGURE_DPI = 150
NARROW = 360  # px that every window has
LEAST_SHARE = 0.75  # of its width that a wide picture keeps in a narrow window
JPEG_QUALITY = 85


@dataclass(frozen=True)
class Link:
    """Words that lead to another place: `#anchor` of this page, or a file beside it."""

    words: str
    target: str


@dataclass(frozen=True)
class Share:
    """A share from 0 to 1: a whole number of percent on a ground that is the darker the larger."""

    value: float


@dataclass(frozen=True)
class Fact:
    """One number of an answer box, with lines on what must be known beside it, as its interval.

    A `quiet` one is set back, as a baseline is.
    """

    label: str
    value: str
    notes: tuple[str, ...] = ()
    quiet: bool = False


@dataclass(frozen=True)
class Cell:
    """One cell of a table: its words, a smaller note below, a link, a ground 0 to 1 dark."""

    words: str
    is_number: bool
    note: str = ""
    target: str = ""
    shade: float = 0.0


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI; `alt` says in words what it shows, its size is in px."""

    source: str
    alt: str
    caption: str
    width: int
    height: int = 0

    @property
    def least_width(self) -> int:
        """Width below which a narrow window scrolls the picture and does not shrink it further.

        Lettering in a wide picture could not be read any more.
        """
        return 0 if self.width <= NARROW else max(NARROW, round(LEAST_SHARE * self.width))


@dataclass(frozen=True)
class Film:
    """A picture with a time axis, and small pictures, one of which is shown for each moment.

    Each belongs to an equal part of the width between the shares `first` and `last`; the pointer
    over a part, or a tap, shows it above. The first is shown before, and print shows none.
    """

    axis: Picture
    moments: tuple[Picture, ...]
    first: float
    last: float

    @property
    def height(self) -> int:
        """Height in px that the small pictures need."""
        return max(picture.height for picture in self.moments)


@dataclass(frozen=True)
class Bar:
    """One of several probabilities (0 to 1) side by side; strong where it is the answer."""

    label: str
    share: float
    strong: bool = False


@dataclass(frozen=True)
class Card:
    """What is said of one person at a glance: the answer leads, lines and bars stand below it.

    `target` is where the title leads to, if anywhere; `picture` is a face.
    """

    title: str
    lead: str
    lines: tuple[str, ...] = ()
    bars: tuple[Bar, ...] = ()
    picture: Picture | None = None
    target: str = ""


@dataclass(frozen=True)
class Block:
    """A part of a section, as the template shows it: its `kind`, and what it holds."""

    kind: Literal["text", "subheading", "links", "facts", "cards", "table", "gallery", "film"]
    words: str = ""
    items: tuple[Any, ...] = ()
    columns: tuple[str, ...] = ()
    quiet: tuple[bool, ...] = ()


@dataclass
class Section:
    """A heading with its contents, shown in the order in which they were added.

    Many alike (a page for each patient) are left out of the contents and begin a sheet in print.
    A folded section shows its heading until the reader opens it, or follows a link to it.
    """

    heading: str
    anchor: str
    one_of_many: bool = False
    folded: bool = False
    blocks: list[Block] = field(default_factory=list)

    def text(self, *sentences: str) -> None:
        """Add a paragraph of plain text; nothing when there is none."""
        words = " ".join(sentence for sentence in sentences if sentence)
        if words:
            self.blocks.append(Block("text", words))

    def subheading(self, words: str) -> None:
        """Begin a part of the section."""
        self.blocks.append(Block("subheading", words))

    def links(self, links: Iterable[Link], *, before: str = "") -> None:
        """Add a line of links, after words that say what they lead to."""
        self.blocks.append(Block("links", before, tuple(links)))

    def facts(self, question: str, facts: Iterable[Fact]) -> None:
        """Add an answer box: a few numbers side by side under one question."""
        self.blocks.append(Block("facts", question, tuple(facts)))

    def cards(self, cards: Iterable[Card]) -> None:
        """Add a card for each person, as many in a row as the window is wide."""
        self.blocks.append(Block("cards", items=tuple(cards)))

    def table(
        self,
        rows: pd.DataFrame | Iterable[Mapping[str, object]],
        *,
        caption: str = "",
        quiet: Iterable[bool] = (),
        digits: int = 2,
    ) -> None:
        """Add a table, with a sentence above it.

        Keys of `rows` are the headings; floats get `digits` decimals, missing values a dash; what
        follows a line break is a note below; a `Link` leads to its target, a `Share` is shaded.
        `quiet` says of each row whether it is set back.
        """
        frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
        cells = tuple(
            [_cell(value, digits=digits) for value in row]
            for row in frame.itertuples(index=False, name=None)
        )
        names = tuple(map(str, frame.columns))
        back = tuple(quiet) or (False,) * len(cells)
        self.blocks.append(Block("table", caption, cells, columns=names, quiet=back))

    def figure(self, figure: Figure, *, alt: str, caption: str = "") -> None:
        """Add a matplotlib figure, shown at its size in inches or the width of the window."""
        self.gallery([figure_picture(figure, alt=alt, caption=caption)])

    def gallery(self, pictures: Iterable[Picture]) -> None:
        """Add pictures side by side as far as the window is wide; nothing when there are none."""
        items = tuple(pictures)
        if items:
            self.blocks.append(Block("gallery", items=items))

    def film(self, film: Film) -> None:
        """Add a picture with a time axis over which the frames of a film can be looked at."""
        self.blocks.append(Block("film", items=(film,)))


@dataclass
class Report:
    """A report in the making; the reader may read nothing but the one sentence of its summary."""

    title: str
    summary: str
    warnings: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)

    def warn(self, sentence: str) -> None:
        """Add a warning; all of them stand together before anything else."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    def section(
        self,
        heading: str,
        *,
        one_of_many: bool = False,
        folded: bool = False,
        anchor: str | None = None,
    ) -> Section:
        """Add a section and return it, to be filled; its anchor is a number when not given."""
        made = Section(
            heading=heading,
            anchor=anchor or f"section-{len(self.sections) + 1}",
            one_of_many=one_of_many,
            folded=folded,
        )
        self.sections.append(made)
        return made

    def html(self) -> str:
        """Return the report as one HTML page."""
        return _template().render(report=self, research_use=RESEARCH_USE)

    def write(self, path: Path) -> None:
        """Write the page, whole or not at all."""
        page = self.html()
        with atomic_write(path) as temporary:
            temporary.write_text(page, encoding="utf-8")


@cache
def _template() -> jinja2.Template:
    """Return the page, compiled once for all reports of a run."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def figure_picture(figure: Figure, *, alt: str, caption: str = "") -> Picture:
    """Return a matplotlib figure as a PNG picture; the same figure gives the same bytes."""
    return Picture(
        source=_data_uri("png", figure_png(figure)),
        alt=alt,
        caption=caption,
        width=round(figure.get_figwidth() * 96),
        height=round(figure.get_figheight() * 96),
    )


def image_picture(
    pixels: NDArray[np.uint8],
    *,
    alt: str,
    caption: str = "",
    width: int | None = None,
    quality: int = JPEG_QUALITY,
) -> Picture:
    """Return `(H, W, 3)` uint8 RGB pixels as JPEG, reduced to `width` px; never enlarged."""
    import cv2

    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise UserError(
            f"A picture of shape {pixels.shape} and type {pixels.dtype} cannot be shown: give "
            "(H, W, 3) uint8 RGB."
        )
    height_now, width_now = pixels.shape[:2]
    shown = min(width or width_now, width_now)
    if shown < width_now:
        size = (shown, max(1, round(height_now * shown / width_now)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    source = _data_uri("jpeg", encoded.tobytes())
    return Picture(source, alt=alt, caption=caption, width=shown, height=pixels.shape[0])


def figure_png(figure: Figure) -> bytes:
    """Return a figure as PNG without date and version, so that it can be compared.

    A figure is rendered once: it may not be changed afterwards.
    """
    if figure not in _RENDERED:
        layout = figure.get_layout_engine()
        if layout is not None:  # here, or `savefig` would draw the whole figure once for it
            figure.dpi = FIGURE_DPI
            layout.execute(figure)
            figure.set_layout_engine("none")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=FIGURE_DPI, metadata={"Software": None})
        _RENDERED[figure] = buffer.getvalue()
    return _RENDERED[figure]


_RENDERED: WeakKeyDictionary[Figure, bytes] = WeakKeyDictionary()


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _cell(value: object, *, digits: int) -> Cell:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return Cell("–", is_number=True)
    if isinstance(value, bool | np.bool_):
        return Cell("yes" if value else "no", is_number=False)
    if isinstance(value, int | np.integer):
        return Cell(f"{value}", is_number=True)
    if isinstance(value, float | np.floating):
        return Cell(f"{value:.{digits}f}".replace("-", "−"), is_number=True)
    if isinstance(value, Link):
        return Cell(value.words, is_number=False, target=value.target)
    if isinstance(value, Share):
        return Cell(f"{100 * value.value:.0f}", is_number=True, shade=round(value.value, 3))
    words, _, note = str(value).partition("\n")
    return Cell(words, is_number=words[:1].isdigit() and bool(note), note=note)
