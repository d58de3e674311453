"""Tables of every distance and feature, made from the registry, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from features.definitions import DEFINITIONS, STANDARD, DefinitionName, measurement, points_used
from features.measures import MEASURES
from features.registry import DISTANCE_NAMES, FEATURE_NAMES, Measurement


def distance_table() -> str:
    """Return the Markdown table of the 34 distances of `standard`."""
    entries = [measurement(name) for name in DISTANCE_NAMES]
    header = ("Name", "Region", "Side", "Meaning", "Formula", "Points", "Unit", "Mirror partner")
    rows = [
        (
            f"`{entry.name}`",
            entry.region,
            entry.side or "–",
            entry.meaning,
            f"`{entry.formula.text}`",
            _points(points_used(entry.name)),
            entry.unit,
            _partner(entry),
            *_origin(entry),
        )
        for entry in entries
    ]
    return markdown((*header, "Differs in", "Source"), rows)


def feature_table() -> str:
    """Return the Markdown table of the 29 features of `standard`."""
    entries = [measurement(name) for name in FEATURE_NAMES]
    header = ("Name", "Region", "Meaning", "Formula", "Points", "Unit", "Symmetric")
    rows = [
        (
            f"`{entry.name}`",
            entry.region,
            entry.meaning,
            f"`{entry.formula.text}`",
            _points(points_used(entry.name)),
            entry.unit,
            "–" if entry.symmetric is None else f"{entry.symmetric:g}",
            *_origin(entry),
        )
        for entry in entries
    ]
    return markdown((*header, "Differs in", "Source"), rows)


def measure_table() -> str:
    """Return the Markdown table of the clinical measures."""
    kinds = {"rise": "height", "distance": "distance", "angle": "angle"}
    header = ("Name", "Meaning", "Formula", "Points (patient's right)", "Unit", "Source")
    rows = [
        (
            f"`{entry.name}`",
            entry.meaning,
            f"{kinds[entry.kind]}: {entry.formula}",
            ", ".join(map(str, entry.points)),
            "mm or px" if entry.is_length else "degrees",
            entry.source,
        )
        for entry in MEASURES
    ]
    return markdown(header, rows)


def definitions_that_differ(name: str) -> tuple[DefinitionName, ...]:
    """Return the definitions in which a measurement is computed otherwise than in `standard`.

    A feature also differs when one of the distances it is built from does.
    """
    ours = _computed(name, definition=STANDARD)
    return tuple(other for other in DEFINITIONS if _computed(name, definition=other) != ours)


def _computed(name: str, *, definition: str) -> tuple[str, ...]:
    """Every formula text that goes into a measurement."""
    formula = measurement(name, definition=definition).formula
    parts = (_computed(part, definition=definition) for part in formula.distances)
    return (formula.text, *(text for part in parts for text in part))


def difference_table() -> str:
    """Return the Markdown table of the formulas that are not the same in all definitions.

    Features that differ only by a distance they are built from are named with that distance.
    """
    names = [name for name in (*DISTANCE_NAMES, *FEATURE_NAMES) if definitions_that_differ(name)]
    rows = [(f"`{name}`", *(_difference(name, known) for known in DEFINITIONS)) for name in names]
    return markdown(("Name", *(f"`{known}`" for known in DEFINITIONS)), rows)


def _difference(name: str, definition: DefinitionName) -> str:
    formula = measurement(name, definition=definition).formula
    changed = [part for part in formula.distances if definition in definitions_that_differ(part)]
    if definition not in definitions_that_differ(name):
        return f"`{formula.text}`" if definition == STANDARD else "as `standard`"
    if formula.text == measurement(name).formula.text:
        return f"as `standard`, of its own {', '.join(changed)}"
    return f"`{formula.text}`"


def _points(points: Iterable[int]) -> str:
    return ", ".join(f"P{point}" for point in points)


def _partner(entry: Measurement) -> str:
    if entry.partner is None:
        return "none"
    return "itself" if entry.partner == entry.name else f"`{entry.partner}`"


def _origin(entry: Measurement) -> tuple[str, str]:
    differs = ", ".join(f"`{name}`" for name in definitions_that_differ(entry.name))
    return differs or "–", entry.source


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
