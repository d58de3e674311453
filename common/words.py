"""Counts and names as a sentence says them: one home, so that no output says `1 photographs`."""

from __future__ import annotations


def counted(number: float, noun: str, plural: str | None = None) -> str:
    """Return a count with its noun in singular or plural, `1 photograph` or `3 photographs`.

    The plural is the noun, adjectives included, with an s when not given.
    """
    return f"{number:.0f} {noun if number == 1 else plural or f'{noun}s'}"


def in_sentence(title: str) -> str:
    """Return a title as it stands inside a sentence: `weighted kappa`, but `ICC` as it is."""
    return title if title[:2].isupper() else f"{title[:1].lower()}{title[1:]}"


def spoken(name: object) -> str:
    """Return a name of a table, such as a movement's or a status's, as words: `full smile`."""
    return str(name).replace("_", " ")


def unbroken(line: str) -> str:
    """Return a line whose parts between dots stay whole where it is wrapped: `I 0/10 · II 6/10`."""
    return " · ".join(part.replace(" ", "\u00a0") for part in line.split(" · "))


def decimals(value: float, digits: int = 0) -> str:
    """Return a number as a page shows it: rounded, with a true minus; a dash for NaN."""
    return "–" if value != value else f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")
