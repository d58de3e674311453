"""The report of `grade`: warnings, everybody's answer, a page for each patient, and the model."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from classifiers.graders.model_store import StoredModel
from classifiers.graders.nested import LEAST_PATIENTS
from classifiers.graders.new_patients import Grades
from classifiers.graders.patients import LEAST_SIDE
from classifiers.graders.registry import GRADERS
from classifiers.reports.patient_pages import add_patient_pages, anchor_of, face_of
from common.grading.calibration import about_ranges, range_in_words, range_title
from common.grading.plots import roman
from common.report import RESEARCH_USE, Bar, Card, Report
from common.words import counted


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
            f"{len(graded)} of {counted(len(table), 'patient')} graded by {card.title}, which "
            f"learned from {counted(card.data['patients'], 'patient')}. {found_by}"
        ),
    )
    for sentence in grades.warnings:
        report.warn(sentence)
    section = report.section("Answers")
    names = roman(grades.target)
    section.text(
        "For each patient the answer, and below it the probability of each class in percent. "
        f"{_about_sets(model)} {_about_side(model)}"
    )
    section.cards(_cards(grades, model=model, redact=redact))
    section = report.section("All answers in one table", folded=True)
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
                _range_title(model): [_range(row, names) for row in table.to_dict("records")],
                "Weaker side": [
                    side if pd.isna(chance) else f"{side} ({chance:.2f})"
                    for side, chance in zip(table["side"], table["p_side"], strict=True)
                ],
                "Photographs": [
                    f"{used} of {given}"
                    for used, given in zip(table["used"], table["photographs"], strict=True)
                ],
                **{
                    name: table[column]
                    for name, column in zip(names, grades.target.probability_columns, strict=True)
                },
                "Missing movements": table["missing"],
                "Not graded because": table["reason"],
            }
        ).dropna(axis="columns", how="all"),
        caption="The answer, and the probability of each class; with the weaker side, its own.",
    )
    if grades.material is not None:
        add_patient_pages(
            report, grades.material, answers=grades.answers, reference=grades.reference,
            redact=redact,
        )  # fmt: skip
    _about_model(report, model)
    return report


def _cards(grades: Grades, *, model: StoredModel, redact: bool) -> list[Card]:
    """Return for each patient the face, the answer, what bounds it, and the probabilities."""
    names, classes = roman(grades.target), grades.target.classes
    material = grades.material
    pages = {} if material is None else {one: at for at, one in enumerate(material.patients, 1)}
    cards = []
    for number, row in enumerate(grades.table.to_dict("records"), start=1):
        patient = str(row["patient_id"])
        lines = [] if pd.isna(row["reason"]) else [f"{row['reason']}."]
        lead, bars = "not graded", []
        if row["status"] == "ok":
            answer = names[classes.index(str(row["predicted"]))]
            lead = answer
            within, side = _range(row, names), _side(row)
            lines = [] if within is None else [f"{_range_title(model)}: {within}"]
            lines += [side] if side else []
            lines += [] if pd.isna(row["missing"]) else [f"Missing: {row['missing']}"]
            shares = [float(str(row[column])) for column in grades.target.probability_columns]
            bars = [
                Bar(name, share, strong=name == answer)
                for name, share in zip(names, shares, strict=True)
            ]
        lines.append(f"{row['used']} of {counted(row['photographs'], 'photograph')} used")
        cards.append(
            Card(
                f"Patient {number}" if redact else patient,
                lead,
                lines=tuple(lines),
                bars=tuple(bars),
                picture=None if material is None else face_of(material, patient, redact=redact),
                target=f"#{anchor_of(pages[patient])}" if patient in pages else "",
            )
        )
    return cards


def _range_title(model: StoredModel) -> str:
    return range_title() if model.card.coverage is None else range_title(model.card.coverage)


def _range(row: Mapping[Hashable, Any], names: Sequence[str]) -> str | None:
    """Return the likely range of one row of `grades.csv`; None when there is none."""
    if pd.isna(row["set_low"]):
        return None
    return range_in_words(int(row["set_low"]), int(row["set_high"]), names)


def _side(row: Mapping[Hashable, Any]) -> str:
    """Return a line on the weaker side; empty for a healthy patient."""
    if row["side"] == "none":
        return ""
    if row["side"] == "unknown":
        return "Weaker side cannot be told"
    chance = row["p_side"]
    sure = "" if pd.isna(chance) else f" (probability {float(chance):.2f})"
    return f"Weaker side: the patient's {row['side']}{sure}"


def _about_sets(model: StoredModel) -> str:
    card = model.card
    if model.grader.sets is None or card.unit == "photograph" or card.coverage is None:
        few = int(card.data["patients"]) < LEAST_PATIENTS
        why = f": it learned from fewer than {LEAST_PATIENTS} patients" if few else ""
        return f"This grader makes no likely ranges for patients{why}."
    return about_ranges(learned=int(card.data["patients"]), coverage=card.coverage)


def _about_side(model: StoredModel) -> str:
    if hasattr(model.grader.columns, "severity_"):
        return f"The weaker side is named when its probability is {LEAST_SIDE:.2f} or more."
    return "This grader does not tell the weaker side: it learned from single photographs."


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
