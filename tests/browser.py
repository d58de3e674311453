"""Opens a report as a reader would, in a headless browser, and says what is wrong with it.

`static_problems` is the twin for machines without a browser: it reads the page's text instead.
"""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, UnidentifiedImageError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = (
    "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--no-sandbox",
)  # fmt: skip
OWN_SCHEMES = ("file:", "data:", "blob:", "about:")
WIDTHS = (1280, 400)  # px of a desk and of a telephone
LARGEST_BYTES = 15_000_000
SMALLEST_TEXT = 12.0  # px
SMALLEST_PICTURE = 0.65  # of the width it was made for; smaller, its lettering cannot be read
_FETCHING = ("fetch(", "XMLHttpRequest", "WebSocket", "EventSource", "sendBeacon", "import(")

# What the page looks like, measured where it is drawn. Folded parts are opened before.
_MEASURE = """
() => {
  const width = document.documentElement.clientWidth;
  const texts = [], wide = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const words = walk.currentNode.textContent.trim();
    const box = walk.currentNode.parentElement;
    if (!words || !box.checkVisibility()) continue;
    texts.push([parseFloat(getComputedStyle(box).fontSize), words.slice(0, 40)]);
  }
  for (const box of document.querySelectorAll("body *")) {
    const found = box.getBoundingClientRect();
    if (found.right > width + 1 && !box.parentElement.closest(".scroll"))
      wide.push(`${box.tagName.toLowerCase()} ${box.textContent.trim().slice(0, 40)}`);
  }
  return {
    scrolls: document.documentElement.scrollWidth - width,
    wide: wide.slice(0, 3),
    texts: texts,
    pictures: [...document.images].map(one => ({
      alt: one.alt, loaded: one.complete && one.naturalWidth > 0,
      made: Number(one.getAttribute("width")), shown: one.getBoundingClientRect().width,
    })),
    scripts: document.scripts.length,
  };
}
"""


@dataclass
class Opened:
    """What happened while a page was open, at one width."""

    width: int
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    scrolls: float = 0.0
    wide: list[str] = field(default_factory=list)
    texts: list[tuple[float, str]] = field(default_factory=list)
    pictures: list[dict[str, object]] = field(default_factory=list)

    def problems(self) -> list[str]:
        """Return one sentence for each thing that is wrong."""
        left = [one[:80] for one in self.requests if not one.startswith(OWN_SCHEMES)]
        small = sorted({(size, words) for size, words in self.texts if size < SMALLEST_TEXT})
        found = [f"{one} was asked for" for one in left]
        found += [f"the browser complains: {one}" for one in self.errors]
        if self.scrolls > 0:
            found.append(f"the page is {self.scrolls:.0f} px too wide, by {', '.join(self.wide)}")
        found += [f'text of {size:.1f} px: "{words}"' for size, words in small[:5]]
        for picture in self.pictures:
            made, shown = float(str(picture["made"])), float(str(picture["shown"]))
            if not picture["loaded"]:
                found.append(f'the picture "{picture["alt"]}" does not load')
            elif shown < SMALLEST_PICTURE * made:
                found.append(f'the picture "{picture["alt"]}" is {shown:.0f} px of {made:.0f} wide')
        if not self.texts:
            found.append("the page is empty")
        return [f"at {self.width} px: {one}" for one in found]


def find_browser() -> Path | None:
    """Return the installed Chromium or Chrome, if there is one."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    return None if found is None else Path(found)


@contextmanager
def headless(executable: Path) -> Iterator[Browser]:
    """Start the browser with a profile of its own, which is thrown away."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()


def open_page(browser: Browser, path: Path, *, width: int) -> Opened:
    """Open a page with everything unfolded, and measure it."""
    found = Opened(width)
    context = browser.new_context(viewport={"width": width, "height": 800})
    try:
        page = context.new_page()
        page.on("request", lambda request: found.requests.append(request.url))
        page.on("pageerror", lambda error: found.errors.append(str(error)))
        page.on(
            "console", lambda line: found.errors.append(line.text) if line.type == "error" else None
        )
        page.goto(path.resolve().as_uri(), wait_until="load")
        unfold(page)
        measured = page.evaluate(_MEASURE)
        found.scrolls, found.wide = float(measured["scrolls"]), measured["wide"]
        found.texts = [(float(size), str(words)) for size, words in measured["texts"]]
        found.pictures = measured["pictures"]
    finally:
        context.close()
    return found


def unfold(page: Page) -> None:
    """Open every folded part of a page."""
    page.evaluate("() => document.querySelectorAll('details').forEach(one => { one.open = true })")


def static_problems(path: Path) -> list[str]:
    """Return what is wrong with a page as far as its text tells, without a browser."""
    size = path.stat().st_size
    found = [f"{size} bytes, {LARGEST_BYTES} at most"] if size > LARGEST_BYTES else []
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    return found + reader.problems


class _Reader(HTMLParser):
    """Collects whatever in a page could ask for something outside of it, or not be shown."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag if tag in ("script", "style") else self._inside
        for name, value in attrs:
            words = (value or "").strip()
            if name.startswith("on"):
                self._say(f"<{tag}> has a script in {name}")
            elif tag == "img" and name == "src":
                self._look_at(words)
            elif name in ("src", "srcset", "poster", "data", "action", "background") or (
                name in ("href", "xlink:href") and tag != "a"
            ):
                if not words.startswith(("data:", "#")):
                    self._say(f"<{tag}> loads {words[:60]}")
            elif name == "style":
                self._look_at_style(words)
            elif tag == "a" and name == "href" and words.startswith(("javascript:", "//")):
                self._say(f"<a> leads to {words[:60]}")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            for word in _FETCHING:
                if word in data:
                    self._say(f"a script holds {word}")
        elif self._inside == "style":
            self._look_at_style(data)

    def _look_at(self, source: str) -> None:
        head, comma, content = source.partition(",")
        if not (head.startswith("data:image/") and head.endswith(";base64") and comma):
            self._say(f"an image comes from {source[:60]}")
            return
        try:
            with Image.open(io.BytesIO(base64.b64decode(content, validate=True))) as picture:
                picture.load()
        except (ValueError, OSError, UnidentifiedImageError) as error:
            self._say(f"an image cannot be decoded ({error})")

    def _look_at_style(self, style: str) -> None:
        for word in ("@import", "url("):
            place = style.find(word)
            if place >= 0 and not style[place:].startswith(("url(data:", 'url("data:')):
                self._say(f"a style loads {style[place : place + 60]}")

    def _say(self, problem: str) -> None:
        self.problems.append(problem)
