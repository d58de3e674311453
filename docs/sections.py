"""The parts of pages and README that are made from the code: commands, tables, definitions, ...

Each is a function without arguments that returns Markdown; `docs.build` puts it between the markers
that bear its name.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.tables import STATUSES
from datasets.registry import DATASETS
from docs.columns import TABLES, Table, described, types_of
from docs.drawing import WIDTH, schematic_face
from docs.measurement_tables import (
    difference_table,
    distance_table,
    feature_table,
    markdown,
    measure_table,
)
from features.definitions import DEFINITIONS, definition_named, measure
from features.registry import FEATURE_NAMES
from features.scales.registry import ITEMS, MEASURE_NAMED, SIDE_MEASURES, Item
from features.scales.thresholds import gate_of, table
from landmarks.exchange.formats import FORMATS
from landmarks.points import REGIONS, mirror_points
from landmarks.predictor import PREDICTORS
from run_pipeline import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("common", "landmarks", "features", "datasets", "classifiers", "htnet", "pipeline")
GROUPS = {name: subs for name, (subs, _) in COMMANDS.items() if not isinstance(subs, str)}
_NOTHING = 1e-9


def commands() -> str:
    """Return every command, those of a group in one row."""
    return markdown(
        ("command", "does"), ((_called(name), line) for name, (_, line) in COMMANDS.items())
    )


def _called(name: str) -> str:
    if name not in GROUPS:
        return f"`{name}`"
    return f"`{name} {'`, `'.join(GROUPS[name])}`"


def tables() -> str:
    """Return every table, column by column."""
    return "\n".join(
        f"## `{table.file}`\n\n"
        f"One row per {table.row}; made by `{table.made_by}`.\n\n" + _columns(table)
        for table in TABLES
    )


def formats() -> str:
    """Return every format of another tool: what it carries, and where its first pixel lies."""
    return markdown(
        ("`--points-from`", "format", "carries", "first pixel", "known from", "`exchange export`"),
        (
            (
                f"`{one.name}`",
                one.title,
                one.carries,
                f"{one.first_pixel:g}",
                one.why,
                f"to {one.step:g} px" if one.is_written else "–",
            )
            for one in FORMATS.values()
        ),
    )


def _columns(table: Table) -> str:
    kinds = types_of(table)
    return markdown(
        ("column", "holds", "meaning"),
        (
            (
                " … ".join(f"`{part}`" for part in name.split(" … ")),
                kinds[name.split(" … ")[0]],
                words,
            )
            for name, words in described(table)
        ),
    )


def datasets() -> str:
    """Return every dataset that is read: what must lie there, how it is had, what to cite."""
    return markdown(
        ("`prepare …`", "dataset", "what must lie in the folder", "how to get it", "cite"),
        (
            (f"`{one.name}`", one.title, one.needs, one.obtain, one.cite or "–")
            for one in DATASETS.values()
        ),
    )


def models() -> str:
    """Return the landmark models with their terms."""
    return markdown(
        ("`--predictor`", "what", "terms"),
        (
            *((f"`{one.name}`", one.purpose, one.licence) for one in PREDICTORS.values()),
            ("a path", "any 68-point dlib model, or what `train-landmarks` writes", "yours"),
        ),
    )


def definitions() -> str:
    """Return the three definitions with their purpose and source."""
    known = map(definition_named, DEFINITIONS)
    return markdown(
        ("definition", "for", "source"),
        ((f"`{one.name}`", one.purpose, one.source) for one in known),
    )


def invariances() -> str:
    """Return which features each definition leaves as they are, measured on an uneven drawn face.

    The changes are those that a photograph suffers without the face having changed.
    """
    face = _uneven_face()
    turn = np.radians(10)
    turned = face @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    changes = {
        "moved by 50 px": face + 50,
        "twice as large": 2 * face,
        "turned by 10°": turned,
        "mirrored": mirror_points(face, width=WIDTH),
    }
    rows = []
    for what, changed in changes.items():
        cells = []
        for name in DEFINITIONS:
            before, after = measure(np.stack([face, changed]), definition=name).features.to_numpy()
            moved = np.abs(after - before) > _NOTHING * np.maximum(1, np.abs(before))
            cells.append(_named(np.array(FEATURE_NAMES)[moved]))
        rows.append((what, *cells))
    return markdown(("the same face,", *(f"`{name}`" for name in DEFINITIONS)), rows)


def _uneven_face() -> NDArray[np.float64]:
    """Drawn face with every point moved a little, by the same amounts always."""
    moved: NDArray[np.float64] = schematic_face() + np.random.default_rng(0).normal(0, 3, (68, 2))
    return moved


def _named(names: Iterable[object]) -> str:
    listed = ", ".join(f"`{name}`" for name in names)
    return f"changes {listed}" if listed else "nothing changes"


def points() -> str:
    """Return the parts of the face with the numbers of their points."""
    return markdown(
        ("part", "points of 68"),
        (
            (name.replace("_", " "), f"{numbers.start} to {numbers.stop - 1}")
            for name, numbers in REGIONS.items()
        ),
    )


def statuses() -> str:
    """Return what each status of a photograph means."""
    words = {
        "ok": "it was measured",
        "no_face": "no face was found, in the photograph or in any of its copies",
        "several_faces": "several faces were found and `--faces error` was asked for",
        "unreadable": "the file is missing, broken, or of a kind that is not read",
        "failed": "work on it was given up; the reason says why",
    }
    return markdown(("status", "means"), ((f"`{name}`", words[name]) for name in STATUSES))


def packages() -> str:
    """Return every module of every package with the first sentence that it says of itself."""
    parts = []
    for package in PACKAGES:
        parts.append(f"### `{package}/`\n\n{_about(ROOT / package / '__init__.py')}\n")
        rows = (
            (f"`{path.relative_to(ROOT / package).with_suffix('').as_posix()}`", _about(path))
            for path in sorted((ROOT / package).rglob("*.py"))
            if path.name != "__init__.py"
        )
        parts.append(markdown(("module", "holds"), rows))
    return "\n".join(parts)


def _about(path: Path) -> str:
    """First paragraph of a module's docstring on one line."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("|", r"\|")


def side_measures() -> str:
    """Return every comparison of the two sides that scales are made of."""
    return markdown(
        ("column", "what", "needs", "zone", "of each side", "unit", "points (patient's right)",
         "no comparison below", "source"),
        (
            (
                f"`{one.column}`",
                one.title,
                ", ".join(f"`{task}`" for task in ("rest", *one.needs)),
                one.zone,
                one.formula,
                one.unit,
                ", ".join(map(str, one.points)),
                f"{gate_of(one):g}" if one.kind == "movement" else "–",
                one.source,
            )
            for one in SIDE_MEASURES
        ),
    )  # fmt: skip


def scale_items() -> str:
    """Return every item of the two scales: what it is made of, or why points cannot see it."""
    return markdown(
        ("column", "item", "made of", "range"),
        (
            (
                f"`{one.column}`",
                one.title,
                ", ".join(f"`{MEASURE_NAMED[name].column}`" for name in one.measures)
                or f"**not measured**: {one.why_not}",
                _range_of(one),
            )
            for one in ITEMS
        ),
    )


def _range_of(item: Item) -> str:
    least = 1 if item.part == "voluntary" else 0
    return f"{least} to {item.most}" if item.measures else "–"


def thresholds() -> str:
    """Return the published sets beside each other, with what they come from."""
    sets = table()["sets"]
    rows = {
        "voluntary": "movement: 2, 3, 4, 5 from",
        "fissure": "openings at rest, weak to other, normal within",
        "commissure": "tilt of the mouth at rest, normal up to ± degrees",
        "synkinesis": "excess of the weak side: 1, 2, 3 from",
        "source": "source",
    }
    return markdown(
        ("", *(f"`--bins {name}`" for name in sets)),
        ((words, *(_listed(one[name]) for one in sets.values())) for name, words in rows.items()),
    )


def _listed(value: object) -> str:
    return ", ".join(f"{v:g}" for v in value) if isinstance(value, list) else str(value)


def norms() -> str:
    """Return what is published of healthy people."""
    return markdown(
        ("what", "healthy people", "source"),
        (
            (
                (MEASURE_NAMED[one["measure"]].title if one["measure"] in MEASURE_NAMED
                 else one["measure"].replace("eface", "eFACE").replace("sunny", "Sunny"))
                + {"likeness": ", smaller side in % of the larger"}.get(one["of"], ""),
                f"{one['normal']} {one['unit']}",
                one["source"],
            )
            for one in table()["norms"]
        ),
    )  # fmt: skip


SECTIONS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "tables": tables,
    "datasets": datasets,
    "formats": formats,
    "models": models,
    "definitions": definitions,
    "invariances": invariances,
    "distances": distance_table,
    "features": feature_table,
    "differences": difference_table,
    "measures": measure_table,
    "side measures": side_measures,
    "scale items": scale_items,
    "scale thresholds": thresholds,
    "scale norms": norms,
    "points": points,
    "statuses": statuses,
    "packages": packages,
}
"""What stands between `<!-- made by docs.build: NAME -->` and `<!-- end of NAME -->`."""
