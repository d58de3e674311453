"""The documentation table of every distance and feature, made from the registry as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from features.definitions import (
    DEFINITIONS,
    STANDARD,
    DefinitionName,
    definition_named,
    definitions_that_differ,
    measurement,
    points_used,
)
from features.registry import DISTANCE_NAMES, FEATURE_NAMES, Measurement

_HOW_TO_READ = """\
Points P0 to P50 are the 51-point selection, levelled by turning the face about P48 until the line
P48-P49 is horizontal. Left and right are the patient's. `dx` and `dy` are absolute horizontal and
vertical distances, `d` is the straight-line distance, `angle` is counter-clockwise in degrees.
"Symmetric" is the value on a perfectly symmetric face; a dash means that symmetry does not fix it.
"Differs in" names the definitions that compute the value otherwise.
"""


def reference_page(*, definition: str = STANDARD) -> str:
    """Return the whole page as Markdown: definitions, distances, features, and their differences.

    Parameters
    ----------
    definition
        Whose formulas the tables show.
    """
    about = definition_named(definition)
    return "\n".join(
        [
            f"# Distances and features (`{about.name}`)",
            "",
            _HOW_TO_READ,
            "## Definitions",
            "",
            _definitions(),
            "## Distances",
            "",
            distance_table(definition=definition),
            "## Features",
            "",
            feature_table(definition=definition),
            "## What the older definitions compute otherwise",
            "",
            difference_table(),
        ]
    )


def distance_table(*, definition: str = STANDARD) -> str:
    """Return the Markdown table of the 34 distances."""
    entries = [measurement(name, definition=definition) for name in DISTANCE_NAMES]
    header = ("Name", "Region", "Side", "Meaning", "Formula", "Points", "Unit", "Mirror partner")
    rows = [
        (
            f"`{entry.name}`",
            entry.region,
            entry.side or "–",
            entry.meaning,
            f"`{entry.formula.text}`",
            _points(points_used(entry.name, definition=definition)),
            entry.unit,
            _partner(entry),
            *_origin(entry),
        )
        for entry in entries
    ]
    return _markdown((*header, "Differs in", "Source"), rows)


def feature_table(*, definition: str = STANDARD) -> str:
    """Return the Markdown table of the 29 features."""
    entries = [measurement(name, definition=definition) for name in FEATURE_NAMES]
    header = ("Name", "Region", "Meaning", "Formula", "Points", "Unit", "Symmetric")
    rows = [
        (
            f"`{entry.name}`",
            entry.region,
            entry.meaning,
            f"`{entry.formula.text}`",
            _points(points_used(entry.name, definition=definition)),
            entry.unit,
            "–" if entry.symmetric is None else f"{entry.symmetric:g}",
            *_origin(entry),
        )
        for entry in entries
    ]
    return _markdown((*header, "Differs in", "Source"), rows)


def difference_table() -> str:
    """Return the Markdown table of the formulas that are not the same in all definitions.

    Features that differ only by a distance they are built from are named with that distance.
    """
    names = [name for name in (*DISTANCE_NAMES, *FEATURE_NAMES) if definitions_that_differ(name)]
    rows = [(f"`{name}`", *(_difference(name, known) for known in DEFINITIONS)) for name in names]
    return _markdown(("Name", *(f"`{known}`" for known in DEFINITIONS)), rows)


def _difference(name: str, definition: DefinitionName) -> str:
    formula = measurement(name, definition=definition).formula
    changed = [part for part in formula.distances if definition in definitions_that_differ(part)]
    if definition not in definitions_that_differ(name):
        return f"`{formula.text}`" if definition == STANDARD else "as `standard`"
    if formula.text == measurement(name).formula.text:
        return f"as `standard`, of its own {', '.join(changed)}"
    return f"`{formula.text}`"


def _definitions() -> str:
    rows = [
        (f"`{known.name}`", known.purpose, known.source)
        for known in map(definition_named, DEFINITIONS)
    ]
    return _markdown(("Definition", "For", "Source"), rows)


def _points(points: Iterable[int]) -> str:
    return ", ".join(f"P{point}" for point in points)


def _partner(entry: Measurement) -> str:
    if entry.partner is None:
        return "none"
    return "itself" if entry.partner == entry.name else f"`{entry.partner}`"


def _origin(entry: Measurement) -> tuple[str, str]:
    differs = ", ".join(f"`{name}`" for name in definitions_that_differ(entry.name))
    return differs or "–", entry.source


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
