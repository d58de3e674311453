"""What a stored grader is: made from the run that fitted it, for programs and for people.

Comes from `fit`, is kept beside the grader as `card.json` and `CARD.md`
(`classifiers.graders.model_store`) and decides which tables the grader may be given.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.provenance import package_versions
from common.report import RESEARCH_USE
from features.tables import refuse_other_definition

FORMAT_VERSION = 2
_DECIDING = ("scikit-learn", "xgboost", "numpy", "skops")  # versions that can change an answer

LICENCE = (
    "The grader's own code is under the project's licence (MIT); its numbers were learned from the "
    "data above, whose terms go on to hold for them.",
    "The photographs were measured with a landmark model. The one that comes with this project was "
    "trained on iBUG 300-W, which excludes commercial use.",
)
LIMITS = (
    RESEARCH_USE,
    "It answers for photographs like those it learned from: frontal, the movements and grades "
    "counted above, measured with the same feature definition and landmark model.",
    "It always answers one of its classes, also for a face that has none of them.",
    "The scores come from cross-validation on the same cohort; another clinic, camera or "
    "population was not tried.",
)


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Everything that is said about a stored grader; plain values only.

    Attributes
    ----------
    grader, title, target, classes, unit, scaler, seed
        What was fitted: registry name and its title, the question and its answers, whether rows
        are photographs or patients, and how features are scaled.
    definition
        Feature definition of the tables it learned from; None when nobody recorded it.
    columns
        Columns of `features.csv` that it needs.
    inputs
        Columns of its own rows, in its order: the same for photographs; for patients those of
        `classifiers.graders.patients`, made from the landmark table.
    coverage
        Stated coverage of its sets of adjacent classes; None when it makes none.
    data
        Counts, classes, hashes of the tables, and whether the patients are simulated.
    validation
        Folds, and the scores with intervals and baseline, by unit.
    notes
        What the libraries warned of while fitting, and what the benchmark warned of.
    limits, licence
        Sentences.
    versions
        Of Python and the libraries.
    settings
        Options of the run.
    format_version
        Of the folder's files.
    """

    grader: str
    title: str
    target: str
    classes: list[str]
    unit: str
    scaler: str
    seed: int
    definition: str | None
    columns: list[str]
    inputs: list[str]
    coverage: float | None
    data: dict[str, Any]
    validation: dict[str, Any]
    notes: list[str]
    limits: list[str]
    licence: list[str]
    versions: dict[str, str]
    settings: dict[str, Any]
    format_version: int = FORMAT_VERSION

    def json_text(self) -> str:
        """Return the content of `card.json`."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, content: bytes, *, source: Path) -> ModelCard:
        """Read `card.json`; another format version is refused before anything else is looked at."""
        try:
            card = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{source} is no model card: copy the model again.") from error
        found = card.get("format_version") if isinstance(card, dict) else None
        if found != FORMAT_VERSION:
            raise UserError(
                f"{source} has format version {found} and this program reads {FORMAT_VERSION}: fit "
                "the model anew, or use the program version that made it."
            )
        names = {field.name for field in fields(cls)}
        if set(card) != names:
            odd = sorted(names ^ set(card))[0]
            raise UserError(f'{source}: "{odd}" is missing or unknown: copy the model again.')
        return cls(**card)

    def refuse_other_features(
        self, *, definition: str | None, columns: Sequence[str], source: Path
    ) -> None:
        """Refuse a table that this grader cannot be given.

        Parameters
        ----------
        definition
            Feature definition of the table; None when nobody recorded it, which is not refused.
        columns
            Columns of the table.

        Raises
        ------
        UserError
            When the definition is another one or a column is missing.
        """
        refuse_other_definition(source, found=definition, learned=self.definition)
        missing = [name for name in self.columns if name not in set(columns)]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise UserError(
                f'{source} has no column "{missing[0]}"{more}, which the model needs: give the '
                "tables that extract writes."
            )

    def version_warnings(self) -> Iterator[str]:
        """Yield a sentence for each library that differs from the one it was made with."""
        now = library_versions()
        for name in _DECIDING:
            if self.versions.get(name) != now.get(name):
                yield (
                    f"The model was made with {name} {self.versions.get(name)} and this is "
                    f"{now.get(name)}: its answers may differ slightly from those of its card."
                )

    def markdown(self) -> str:
        """Return the content of `CARD.md`."""
        return "\n".join(_markdown(self)) + "\n"


def library_versions() -> dict[str, str]:
    """Return versions of Python and of every library that has a part in an answer."""
    found = package_versions()
    try:
        found["skops"] = version("skops")
    except PackageNotFoundError:
        found["skops"] = "not installed"
    return found


def _markdown(card: ModelCard) -> Iterator[str]:
    data = card.data
    yield f"# {card.title}: {data['question']}"
    yield ""
    yield RESEARCH_USE
    yield ""
    yield "## What it learned from"
    yield ""
    yield f"{data['photographs']} photographs of {data['patients']} patients. {data['origin']}"
    yield ""
    yield from _table(
        ("Class", "Patients", "Photographs"),
        [(row["class"], row["patients"], row["photographs"]) for row in data["classes"]],
    )
    if data["left_out"]:
        yield from _listed(
            [f"{count} photographs left out: {why}" for why, count in data["left_out"]]
        )
    yield from _table(
        ("Table", "SHA-256"), [(role, f"`{digest}`") for role, digest in data["sha256"].items()]
    )
    yield "## How well it does"
    yield ""
    yield f"{card.validation['folds']} {card.validation['how']}"
    yield ""
    for unit, scores in card.validation["scores"].items():
        yield from _table(
            (f"Per {unit}", "Score", "95 % interval", "Always the commonest class"),
            [
                (
                    title,
                    _number(found["value"]),
                    f"{_number(found['low'])} to {_number(found['high'])}",
                    _number(found["majority_baseline"]),
                )
                for title, found in scores.items()
            ],
        )
    if card.notes:
        yield "## Beware"
        yield ""
        yield from _listed(card.notes)
    yield "## Limits"
    yield ""
    yield from _listed(card.limits)
    yield "## Licence"
    yield ""
    yield from _listed(card.licence)
    yield "## What it needs"
    yield ""
    definition = card.definition or "unknown (no run.json lay beside the table)"
    yield from _listed(
        [
            f"Feature definition: {definition}",
            f"Columns of features.csv: {_shortened(card.columns)}",
            "It answers for each photograph, summed up to patients"
            if card.unit == "photograph"
            else "It answers for a patient, from landmarks.csv beside the features and the "
            "movement of each photograph (column task)",
            "No sets of classes"
            if card.coverage is None
            else f"Sets of adjacent classes that are meant to hold the truth in "
            f"{card.coverage:.0%} of patients",
            f"Format version {card.format_version}; " + _pairs(card.versions),
        ]
    )
    yield "## Settings"
    yield ""
    yield from _table(("Setting", "Value"), list(card.settings.items()))


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |"
    yield ""


def _listed(sentences: Sequence[str]) -> Iterator[str]:
    yield from (f"- {sentence}" for sentence in sentences)
    yield ""


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _shortened(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 4 else f"{shown}, …, {names[-1]}"


def _pairs(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())
