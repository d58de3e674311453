"""Make the pages and pictures again: `python -m docs.build`.

In the pages and in the README, whatever stands between `<!-- made by docs.build: NAME -->` and
`<!-- end of NAME -->` is made from the code; the rest is written by hand and left alone.
"""

from __future__ import annotations

import re
from pathlib import Path

from common.errors import UserError, did_you_mean
from common.files import atomic_write
from docs.figures import FIGURES
from docs.sections import SECTIONS

FOLDER = Path(__file__).resolve().parent
README = FOLDER.parent / "README.md"
_PART = re.compile(
    r"(?P<begin><!-- made by docs\.build: (?P<name>[\w ]+) -->\n)"
    r".*?"
    r"(?P<end><!-- end of (?P=name) -->)",
    re.DOTALL,
)


def main() -> None:
    """Write every page and picture."""
    for page in pages():
        write(page, filled(page.read_text(encoding="utf-8")).encode("utf-8"))
    for name, draw in FIGURES.items():
        write(FOLDER / name, draw())


def pages() -> list[Path]:
    """Return the README and every page."""
    return [README, *sorted(FOLDER.glob("*.md"))]


def filled(text: str) -> str:
    """Return a page with its made parts made anew; UserError for a part that nothing makes."""

    def part(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in SECTIONS:
            raise UserError(f'There is no part "{name}".{did_you_mean(name, SECTIONS)}')
        return f"{found['begin']}\n{SECTIONS[name]()}\n{found['end']}"

    return _PART.sub(part, text)


def write(path: Path, content: bytes) -> None:
    """Replace a file as a whole."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


if __name__ == "__main__":
    main()
