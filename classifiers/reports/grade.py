"""The report of `grade`: warnings, everybody's answer, the model, and a page for each patient."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from classifiers.graders.familiarity import wrong_among_accepted
from classifiers.graders.model_store import StoredModel
from classifiers.graders.nested import LEAST_PATIENTS
from classifiers.graders.new_patients import Grades
from classifiers.graders.one_patient import INTERVAL
from classifiers.graders.patients import LEAST_SIDE
from classifiers.graders.registry import about
from classifiers.reports.numeric import score_pictures
from classifiers.reports.patient_page import EVERYBODY, MOST_TELLING, add_patient_pages, anchor_of
from classifiers.reports.patient_pictures import face_of
from common.figures import calm, canvas, colour_at
from common.grading.calibration import (
    COVERAGE,
    about_intervals,
    about_ranges,
    expected_distance,
    interval_in_words,
    range_in_words,
    range_title,
)
from common.grading.evaluation import evaluate_numbers, two_lines
from common.grading.numeric_target import NumericTarget
from common.grading.target import VISIT, patients_and_visits, whose_answer
from common.report import RESEARCH_USE, Bar, Card, Report, figure_picture
from common.words import counted

FEWEST_GRADED = 10  # patients of known grade, for shares of wrong answers
ACCEPTED = (0.25, 0.5, 0.75, 1.0)
WRONG = (("wrong", "wrong", "-"), ("far", "off by 2 or more", ":"))  # column, words, line
Row = Mapping[Hashable, Any]  # of `grades.csv`; None where a cell is empty


def grade_report(
    grades: Grades, *, model: StoredModel, found_by: str, redact: bool = False
) -> Report:
    """Build the report; `found_by` says how photographs were assigned to patients.

    Redacted, points are drawn in place of photographs, and patients are numbered.
    """
    table, card = grades.table, model.card
    graded = int((table["status"] == "ok").sum())
    report = Report(
        title=f"Grades: {grades.target.title}",
        summary=(
            f"{graded} of {counted(len(table), 'patient')} graded by {card.title}, which "
            f"learned from {counted(card.data['patients'], 'patient')}. {found_by}"
        ),
    )
    for sentence in grades.warnings:
        report.warn(sentence)
    known = table.astype(object).where(table.notna(), None)
    everybody = known.to_dict("records")
    rows = {number: everybody[number - 1] for number in _shown(table, grades)}
    numeric = isinstance(grades.target, NumericTarget)
    ranged = INTERVAL if numeric else range_title(card.coverage or COVERAGE)
    section = report.section("Answers")
    section.text(
        f"For each patient the answer on the scale, {grades.target.range_in_words}."
        if isinstance(grades.target, NumericTarget)
        else "For each patient the answer, and below it the probability of each class in percent.",
        _about_sets(model),
        _about_side(model),
        f"Of {counted(len(table), 'answer')}, the {len(rows)} "
        f"{'least like those learned from' if numeric else 'least sure'} are shown; grades.csv "
        "holds everybody."
        if len(rows) < len(table)
        else "",
    )
    section.cards(
        _card(row, number, grades, ranged=ranged, redact=redact) for number, row in rows.items()
    )
    section = report.section("All answers in one table", folded=True)
    answers = pd.DataFrame(
        _table_row(row, f"Patient {number}" if redact else row["patient_id"], grades, ranged=ranged)
        for number, row in rows.items()
    )
    section.table(
        answers.dropna(axis="columns", how="all"),
        caption=""
        if numeric
        else "The answer, and the probability of each class; with the weaker side, its own.",
    )
    _add_wrong_answers(report, grades)
    _add_model(report, model)
    if grades.material is not None:
        add_patient_pages(
            report, grades.material, reference=grades.reference, redact=redact,
            answers={str(row["patient_id"]): grades.answers[str(row["patient_id"])]
                     for row in rows.values()},
        )  # fmt: skip
    return report


def _shown(table: pd.DataFrame, grades: Grades) -> list[int]:
    """Return the numbers of the patients to show: all, or of a large cohort the least sure."""
    if len(table) <= EVERYBODY:
        return list(range(1, len(table) + 1))
    if isinstance(grades.target, NumericTarget):
        first = -table["distance"].to_numpy(np.float64)
    else:
        first = table[list(grades.target.probability_columns)].max(axis=1).to_numpy(np.float64)
    return sorted((np.argsort(first, kind="stable")[:MOST_TELLING] + 1).tolist())


def _answer(row: Row, grades: Grades) -> str | None:
    """Return the answer as a clinician writes it; None for who was not graded."""
    if row["status"] != "ok":
        return None
    if isinstance(grades.target, NumericTarget):
        return f"{row['predicted']:.0f}"
    return grades.target.spoken[grades.target.classes.index(str(row["predicted"]))]


def _shares(row: Row, grades: Grades) -> dict[str, float]:
    """Return the probability of each class by its name; nothing of a score."""
    if isinstance(grades.target, NumericTarget):
        return {}
    columns = grades.target.probability_columns
    return {name: row[of] for name, of in zip(grades.target.spoken, columns, strict=True)}


def _range(row: Row, grades: Grades) -> str | None:
    """Return the likely range or interval; None when there is none."""
    if isinstance(grades.target, NumericTarget):
        return None if row["low"] is None else interval_in_words(row["low"], row["high"])
    if row["set_low"] is None:
        return None
    return range_in_words(int(row["set_low"]), int(row["set_high"]), grades.target.spoken)


def _table_row(row: Row, name: str, grades: Grades, *, ranged: str) -> dict[str, object]:
    sure = "" if row["p_side"] is None else f" ({row['p_side']:.2f})"
    return {
        "Patient": name,
        "Visit": row.get(VISIT),
        "Answer": _answer(row, grades),
        ranged: _range(row, grades),
        "Weaker side": f"{row['side']}{sure}",
        "Photographs": f"{row['used']} of {row['photographs']}",
        **_shares(row, grades),
        "Missing movements": row["missing"],
        "Not graded because": row["reason"],
        "Beware": row["caution"],
    }


def _card(row: Row, number: int, grades: Grades, *, ranged: str, redact: bool) -> Card:
    """Return the face, the answer, what bounds it, and the probabilities."""
    patient, material = str(row["patient_id"]), grades.material
    answer = _answer(row, grades)
    if answer is None:
        lines = [f"{row['reason']}." if row["reason"] else ""]
        shares: dict[str, float] = {}
    else:
        within = _range(row, grades)
        lines = [
            "" if within is None else f"{ranged}: {within}",
            _side(row),
            f"Missing: {row['missing']}" if row["missing"] else "",
            row["caution"] or "",
        ]
        shares = _shares(row, grades)
    lines.append(f"{row['used']} of {counted(row['photographs'], 'photograph')} used")
    page = None if material is None else material.patients.get(patient)
    visit = f", visit {row[VISIT]}" if row.get(VISIT) else ""
    return Card(
        f"{f'Patient {number}' if redact else patient}{visit}",
        answer or "not graded",
        lines=tuple(line for line in lines if line),
        bars=tuple(Bar(name, share, strong=name == answer) for name, share in shares.items()),
        picture=None if material is None else face_of(material, patient, redact=redact),
        target="" if page is None else f"#{anchor_of(page)}",
    )


def _side(row: Row) -> str:
    """Return a line on the weaker side; empty for a healthy patient."""
    if row["side"] == "none":
        return ""
    if row["side"] == "unknown":
        return "Weaker side cannot be told"
    sure = "" if row["p_side"] is None else f" (probability {row['p_side']:.2f})"
    return f"Weaker side: the patient's {row['side']}{sure}"


def _about_sets(model: StoredModel) -> str:
    card = model.card
    patients = int(card.data["patients"])
    target = card.question
    if model.grader.ranges is None or card.unit == "photograph" or card.coverage is None:
        few = patients < LEAST_PATIENTS
        why = f": it learned from fewer than {LEAST_PATIENTS} patients" if few else ""
        what = "likely ranges" if target.classes else "intervals"
        return f"This grader makes no {what} for patients{why}."
    if isinstance(target, NumericTarget):
        return about_intervals(target, coverage=card.coverage)
    return about_ranges(learned=patients, coverage=card.coverage)


def _about_side(model: StoredModel) -> str:
    if hasattr(model.grader.columns, "severity_"):
        return f"The weaker side is named when its probability is {LEAST_SIDE:.2f} or more."
    return "This grader does not tell the weaker side: it learned from single photographs."


def _add_wrong_answers(report: Report, grades: Grades) -> None:
    """Add how many answers are wrong among those accepted, where the tables tell the grades."""
    if isinstance(grades.target, NumericTarget):
        _add_errors(report, grades, target=grades.target)
        return
    rows = _answered(grades)
    rows = rows.loc[rows.index.isin(grades.truth.index)]
    if len(rows) < FEWEST_GRADED:
        return
    target = grades.target
    chances = rows[list(target.probability_columns)].to_numpy(dtype=np.float64)
    off = np.abs(target.answers(chances) - grades.truth[rows.index].to_numpy(dtype=np.int64))
    unsure = expected_distance(chances) if target.ordered else 1 - chances.max(axis=1)
    orders = {"the surest first": unsure}
    if rows["distance"].notna().all():
        orders["the most like those learned from first"] = rows["distance"].to_numpy(np.float64)
    curves = wrong_among_accepted(off, orders=orders)
    section = report.section("How many of the answers are wrong?")
    whom = "visit" if VISIT in rows else "patient"
    section.text(
        f"The tables tell the {target.step} of {counted(len(rows), whom)} with an answer. "
        "If only some answers are accepted and a person grades the rest, this share of the "
        "accepted is wrong. An order that is of use brings its lines down on the left; with few "
        "patients, chance does so too."
    )
    section.gallery(
        [figure_picture(_wrong_figure(curves), alt="Share of wrong answers by share accepted.")]
    )
    measures = WRONG if len(target.classes) > 2 else WRONG[:1]
    section.table(
        {
            "Accepted": f"{100 * share:.0f} %",
            **{
                f"{words}, {name}": f"{100 * own[column].iloc[at - 1]:.0f} %"
                for name, own in curves.groupby("order", sort=False)
                for column, words, _ in measures
            },
        }
        for share, at in ((share, max(1, round(share * len(rows)))) for share in ACCEPTED)
    )


def _answered(grades: Grades) -> pd.DataFrame:
    """Return the rows of who got an answer, by whom it is about, as `grades.truth` names them."""
    rows = grades.table[grades.table["status"] == "ok"]
    return rows.set_axis(whose_answer(rows, patients_and_visits(rows)))


def _add_errors(report: Report, grades: Grades, *, target: NumericTarget) -> None:
    """Add how far the answers are from the scores that the tables tell."""
    table = _answered(grades)
    table = table.assign(**{target.column: table.index.to_series().map(grades.truth)})
    table = table.dropna(subset=target.column).reset_index(drop=True)
    if len(table) < FEWEST_GRADED:
        return
    rows = table.assign(model="", repeat=1, fold=1)
    found = evaluate_numbers(rows, target=target, unit="patient")
    section = report.section("How far are the answers from the scores in the tables?")
    section.text(
        f"The tables tell {counted(len(rows), 'score')} of those who got an answer. With 95 % "
        "intervals over resampled patients:"
    )
    section.table(
        {"Score": score.title, "": two_lines(estimate), "Meaning": score.meaning}
        for score in [*found.scores, *found.more_scores]
        for estimate in [found.estimates[""][score.name]]
        if np.isfinite(estimate.value)
    )
    section.gallery(score_pictures(rows, found.estimates[""], target=target))


def _wrong_figure(curves: pd.DataFrame) -> Figure:
    figure, axes = canvas(5.6, 3.2, x="Share accepted", y="Share of these")
    for number, (name, own) in enumerate(curves.groupby("order", sort=False)):
        for column, words, style in WRONG:
            axes.plot(
                own["accepted"], own[column], linestyle=style, color=colour_at(number),
                label=f"{words}, {name}",
            )  # fmt: skip
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    calm(axes)
    axes.legend(fontsize=7, frameon=False)
    return figure


def _add_model(report: Report, model: StoredModel) -> None:
    card = model.card
    section = report.section("The model")
    numeric = isinstance(card.question, NumericTarget)
    baseline = "Always the median" if numeric else "Always the commonest"
    section.text(
        f"{card.title}. {about(card.grader)} {card.data['origin']} {card.validation['folds']}"
    )
    section.table(
        (
            {"Per patient": name, "Score": _limits(found), baseline: found["majority_baseline"]}
            for name, found in card.validation["scores"]["patient"].items()
        ),
        caption="With whole patients held out, when the model was made; 95 % intervals.",
    )
    for sentence in (*card.limits, *card.licence):
        if sentence != RESEARCH_USE:  # stands under the title
            section.text(sentence)


def _limits(found: Mapping[str, float | None]) -> str | None:
    value, low, high = (found[name] for name in ("value", "low", "high"))
    if value is None:
        return None
    return f"{value:.2f}" + ("" if low is None or high is None else f"\n{low:.2f} to {high:.2f}")
