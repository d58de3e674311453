"""Grade patients with a stored grader, from the tables of `extract`.

Comes from `classifiers.model_store` and `features.csv` with its neighbours; gives one row per
patient: grade, probabilities, side and reasons. Whoever cannot be graded keeps a row with the
reason why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from classifiers.explain import (
    Spread,
    most_uneven,
    region_effects,
    tree_values,
    weaker_side,
)
from classifiers.graders import GRADERS
from classifiers.model_store import SUMS_FILE, StoredModel
from classifiers.patient_pages import Answer, Material, add_patient_pages, read_material
from classifiers.plots import roman
from classifiers.tasks import Target, target_named
from common.errors import UserError
from common.exit_codes import exit_code_for
from common.files import natural_key
from common.report import RESEARCH_USE, Report
from common.tables import choice, join_manifest, read_manifest, text
from features.registry import DISTANCES, FEATURES
from features.tables import definition_of, read_features

STATUSES = ("ok", "failed")
SIDES_ANSWERED = ("right", "left", "none", "unknown")
WORTH_SAYING = 0.15  # of a class: smaller effects of a region are not told
_MEANING = {entry.name: entry.meaning for entry in (*DISTANCES, *FEATURES)}


def grades_schema(target: Target) -> pa.DataFrameSchema:
    """Return the schema of `grades.csv`: one row per patient, in natural order.

    `predicted` is the grade or the name of the class, empty unless `ok`; `photographs` were given,
    `used` of them could be measured; `side` is the side that moves less in the measurements
    (`none` when the answer is healthy, `unknown` when no difference is larger than healthy people
    have); `why` says in words what was measured.
    """
    chance = pa.Check.in_range(0, 1, error="be a probability, 0 to 1")
    return pa.DataFrameSchema(
        {
            "patient_id": text(unique=True),
            "status": choice(STATUSES),
            "reason": text(nullable=True),
            "photographs": pa.Column("int64"),
            "used": pa.Column("int64"),
            "predicted": text(nullable=True),
            **{
                name: pa.Column(float, chance, coerce=True, nullable=True)
                for name in target.probability_columns
            },
            "side": choice(SIDES_ANSWERED),
            "why": text(nullable=True),
        },
        name="grades",
    )


@dataclass(frozen=True)
class Grades:
    """Answers for every patient.

    Attributes
    ----------
    table
        By `grades_schema`.
    answers
        The same for the pages of a report, by patient.
    material
        What the pages show; None without distances.
    reference
        Spread of right minus left in the healthy patients that the grader learned from.
    warnings
        Sentences for the top of a report.
    """

    table: pd.DataFrame
    target: Target
    answers: dict[str, Answer]
    material: Material | None
    reference: Mapping[tuple[str, str], Spread]
    warnings: list[str]

    @property
    def exit_code(self) -> int:
        """0 everybody was graded, 3 some were not, 4 nobody was."""
        graded = int((self.table["status"] == "ok").sum())
        return exit_code_for(ok=graded, failed=len(self.table) - graded)


def model_folder(path: Path) -> Path:
    """Return the model's own folder, also for the folder that `fit` wrote it into."""
    inside = path / "model"
    return inside if not (path / SUMS_FILE).is_file() and inside.is_dir() else path


def grade_tables(model: StoredModel, *, features: Path, manifest: Path | None = None) -> Grades:
    """Grade every patient of a feature table.

    Parameters
    ----------
    model
        From `load_model`.
    features
        `features.csv`; `dists.csv` and `landmarks.csv` beside it give sides and reasons.
    manifest
        Patients of the photographs, when the table does not name them.

    Raises
    ------
    UserError
        When the table has another feature definition than the model, lacks columns or patients.
    """
    card, target = model.card, target_named(model.card.target)
    table = read_features(features)
    if manifest is not None:
        extra = read_manifest(manifest)
        known = (set(extra.columns) - {"image_id", "status"}) & set(table.columns)
        table = join_manifest(table.drop(columns=list(known)), extra)
    card.refuse_other_features(
        definition=definition_of(features), columns=list(table.columns), source=features
    )
    if "patient_id" not in table.columns:
        raise UserError(f'{features} has no column "patient_id": give a manifest (--manifest).')
    values = table[card.columns].astype(np.float64).replace([np.inf, -np.inf], np.nan)
    usable = (table["status"] == "ok").to_numpy(dtype=bool) & ~values.isna().all(axis=1).to_numpy()
    material = read_material(features, manifest=manifest)
    reference = {
        (movement, part): Spread(mean, sd)
        for movement, part, mean, sd in card.data["healthy_sides"]
    }
    rows, answers = [], {}
    named = table["patient_id"].astype(str).where(table["patient_id"].notna())
    for patient in _in_natural_order(named):
        own = (named == patient).to_numpy(dtype=bool)
        row, answer = _one_patient(
            model, target, patient, values[own & usable], table[own], material, reference
        )
        rows.append(row)
        answers[patient] = answer
    columns = list(grades_schema(target).columns)
    return Grades(
        table=pd.DataFrame(rows, columns=columns).astype({"predicted": "str", "reason": "str",
                                                          "why": "str"}),
        target=target,
        answers=answers,
        material=material,
        reference=reference,
        warnings=_warnings(model, table, named, definition=definition_of(features)),
    )  # fmt: skip


def _in_natural_order(named: pd.Series) -> list[str]:
    return sorted(set(named.dropna()), key=natural_key)


def _one_patient(
    model: StoredModel,
    target: Target,
    patient: str,
    values: pd.DataFrame,
    photographs: pd.DataFrame,
    material: Material | None,
    reference: Mapping[tuple[str, str], Spread],
) -> tuple[dict[str, object], Answer]:
    row: dict[str, object] = {
        "patient_id": patient, "photographs": len(photographs), "used": len(values),
    }  # fmt: skip
    if values.empty:
        found = ", ".join(sorted(set(photographs["status"].astype(str)) - {"ok"})) or "no features"
        reason = f"none of {len(photographs)} photographs could be measured ({found})"
        row |= {"status": "failed", "reason": reason, "side": "unknown"}
        return row, Answer(summary=(f"Not graded: {reason}.",))
    chances = model.grader.probabilities(values).mean(axis=0)
    number = int(chances.argmax()) + 1
    name = roman(target)[number - 1]
    readings = [] if material is None else material.readings(patient)
    uneven = [item.sentence() for item in most_uneven(readings, reference=reference, count=3)]
    side = _side(number, weaker_side(readings, reference=reference) if uneven else "unknown")
    reasons = [*_part_sentences(model, values), *_tree_sentences(model, values, number, name)]
    row |= {
        "status": "ok",
        "reason": None,
        "predicted": str(target.named(np.array([number]))[0]),
        **dict(zip(target.probability_columns, chances.tolist(), strict=True)),
        "side": side,
        "why": " ".join([*uneven, *reasons]),
    }
    return row, _answer(row, target, name=name, chances=chances, reasons=reasons)


def _side(number: int, weaker: str) -> str:
    """Return no side for a healthy answer."""
    return "none" if number == 1 else weaker


def _answer(
    row: Mapping[str, object],
    target: Target,
    *,
    name: str,
    chances: NDArray[np.float64],
    reasons: list[str],
) -> Answer:
    side = {"none": "", "unknown": " Which side is weaker cannot be told."}.get(
        str(row["side"]), f" The patient's {row['side']} side moves less."
    )
    names = roman(target)
    return Answer(
        summary=(
            f"Answer: {name}, from {row['used']} of {row['photographs']} photographs.{side}",
        ),
        table=pd.DataFrame({"": ["Probability"], **{n: [c] for n, c in zip(names, chances,
                                                                          strict=True)}}),
        reasons=reasons,
    )  # fmt: skip


def _part_sentences(model: StoredModel, values: pd.DataFrame) -> list[str]:
    """Say which parts of the face moved the answer, compared with healthy ones."""
    typical = pd.Series(model.card.data["typical"], dtype=np.float64).fillna(0.0)
    effects = region_effects(model.grader, values, typical=typical).mean()
    told = effects[effects.abs() >= WORTH_SAYING].sort_values(ascending=False, kind="stable")
    if told.empty:
        return []
    parts = [
        f"the {region} {abs(effect):.1f} {'lower' if effect > 0 else 'higher'}"
        for region, effect in told.items()
    ]
    return [
        "With one part of the face as in healthy people, the expected class would be: "
        f"{', '.join(parts)}."
    ]


def _tree_sentences(model: StoredModel, values: pd.DataFrame, number: int, name: str) -> list[str]:
    """Name the features that spoke most for the answer, in graders made of trees."""
    found = tree_values(model.grader, values)
    if found is None or number not in found.classes:
        return []
    at = int(np.flatnonzero(found.classes == number)[0])
    mean = pd.Series(found.values[:, :, at].mean(axis=0), index=found.columns)
    strongest = mean.sort_values(ascending=False, kind="stable").head(3)
    spoken = ", ".join(
        f"{column} ({_meaning(str(column))}) {value:+.2f}" for column, value in strongest.items()
    )
    return [f"What spoke most for {name}, in {found.scale}: {spoken}."]


def _meaning(column: str) -> str:
    meaning = _MEANING.get(column, column)
    return f"{meaning[0].lower()}{meaning[1:]}"


def _warnings(
    model: StoredModel, table: pd.DataFrame, named: pd.Series, *, definition: str | None
) -> list[str]:
    sentences = list(model.warnings)
    card = model.card
    if card.data["simulated"] == "yes":
        sentences.append(
            "The model learned from simulated patients: its answers mean nothing for real ones."
        )
    if definition is None:
        sentences.append(
            "With which feature definition the table was measured is not recorded; the model needs "
            f"{card.definition}."
        )
    failed = int((table["status"] != "ok").sum())
    if failed:
        sentences.append(f"{failed} of {len(table)} photographs could not be measured.")
    nobody = int(named.isna().sum())
    if nobody:
        sentences.append(f"{nobody} photographs belong to no patient and were not graded.")
    return sentences


def grade_report(
    grades: Grades, *, model: StoredModel, found_by: str, redact: bool = False
) -> Report:
    """Build the report: warnings, answers of all patients, what the model is, and the pages.

    Parameters
    ----------
    found_by
        Sentence that says how photographs were assigned to patients.
    redact
        Draw the points in place of photographs, and number the patients.
    """
    table, card = grades.table, model.card
    graded = table[table["status"] == "ok"]
    report = Report(
        title=f"Grades: {grades.target.title}",
        summary=(
            f"{len(graded)} of {len(table)} patients were graded by {card.title}, which learned "
            f"from {card.data['patients']} patients. {found_by}"
        ),
    )
    for sentence in grades.warnings:
        report.warn(sentence)
    section = report.section("Answers")
    names = roman(grades.target)
    ids = [f"Patient {at}" for at in range(1, len(table) + 1)] if redact else table["patient_id"]
    answers = grades.target.classes
    section.table(
        pd.DataFrame(
            {
                "Patient": ids,
                "Answer": [
                    names[answers.index(str(given))] if status == "ok" else None
                    for given, status in zip(table["predicted"], table["status"], strict=True)
                ],
                "Weaker side": table["side"],
                "Photographs": [
                    f"{used} of {given}"
                    for used, given in zip(table["used"], table["photographs"], strict=True)
                ],
                **{
                    name: table[column]
                    for name, column in zip(names, grades.target.probability_columns, strict=True)
                },
                "Not graded because": table["reason"],
            }
        ).dropna(axis="columns", how="all"),
        caption="The most probable class, and the probability of each.",
    )
    section.text(
        "The weaker side is the one that moves less in the measurements, in standard deviations of "
        "the healthy people that the model knows. It is unknown when no difference between the "
        "sides is larger than theirs; the grader itself has no side."
    )
    if grades.material is not None:
        add_patient_pages(
            report, grades.material, answers=grades.answers, reference=grades.reference,
            redact=redact,
        )  # fmt: skip
    _about_model(report, model)
    return report


def _about_model(report: Report, model: StoredModel) -> None:
    card = model.card
    section = report.section("The model")
    about = GRADERS[card.grader].about if card.grader in GRADERS else ""
    section.text(f"{card.title}. {about} {card.data['origin']} {card.validation['folds']}")
    scores = card.validation["scores"]["patient"]
    section.table(
        pd.DataFrame(
            {
                "Per patient": list(scores),
                "Score": [_limits(found) for found in scores.values()],
                "Always the commonest": [found["majority_baseline"] for found in scores.values()],
            }
        ),
        caption="With whole patients held out, when the model was made; 95 % intervals.",
    )
    for sentence in (*card.limits, *card.licence):
        if sentence != RESEARCH_USE:  # stands under the title
            section.text(sentence)


def _limits(found: Mapping[str, float | None]) -> str | None:
    if found["value"] is None:
        return None
    low, high = (found[name] for name in ("low", "high"))
    note = "" if low is None or high is None else f"\n{low:.2f} to {high:.2f}"
    return f"{found['value']:.2f}{note}"
