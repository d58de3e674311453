"""The report of `grade`: warnings, everybody's answer, a page for each patient, and the model."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from classifiers.calibration import about_ranges
from classifiers.grade import Grades
from classifiers.graders import GRADERS
from classifiers.missing_movements import LEAST_SIDE
from classifiers.model_store import StoredModel
from classifiers.nested import LEAST_PATIENTS
from classifiers.patient_pages import add_patient_pages
from classifiers.plots import roman
from common.report import RESEARCH_USE, Report


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
                "Set": _sets_in_words(table, names),
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
    section.text(f"{_about_sets(model)} {_about_side(model)}")
    if grades.material is not None:
        add_patient_pages(
            report, grades.material, answers=grades.answers, reference=grades.reference,
            redact=redact,
        )  # fmt: skip
    _about_model(report, model)
    return report


def _sets_in_words(table: pd.DataFrame, names: tuple[str, ...]) -> list[str | None]:
    words: list[str | None] = []
    for low, high in zip(table["set_low"], table["set_high"], strict=True):
        if pd.isna(low):
            words.append(None)
        else:
            first, last = names[int(low) - 1], names[int(high) - 1]
            words.append(first if first == last else f"{first} to {last}")
    return words


def _about_sets(model: StoredModel) -> str:
    card = model.card
    if model.grader.sets is None or card.unit == "photograph" or card.coverage is None:
        few = int(card.data["patients"]) < LEAST_PATIENTS
        why = f": it learned from fewer than {LEAST_PATIENTS} patients" if few else ""
        return f"This grader makes no sets of classes for patients{why}."
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
