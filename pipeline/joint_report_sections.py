"""Behind the first page: comparison, disagreements, probabilities, groups of patients, method."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence

import pandas as pd

from classifiers.benchmark_sections import abstention_of
from classifiers.branch_comparison import BranchComparison
from classifiers.calibration import COVERAGE
from classifiers.evaluation import is_baseline, two_lines
from classifiers.plots import confusion_figure
from classifiers.probability_scores import chances_of, reliability
from classifiers.score_plots import abstention_figure, reliability_figure
from classifiers.scores import SCORES
from common.report import Link, Picture, Report, figure_picture
from pipeline.joint_report_figures import against_each_other
from pipeline.joint_report_pages import anchor_of, name_of, patient_strip
from pipeline.joint_report_study import (
    MEASUREMENTS,
    NETWORK,
    TOGETHER,
    JointStudy,
    in_words,
    signed,
    title_of_way,
)

SHOWN_DISAGREEMENTS = 6
_COMPARED = ("weighted_kappa", "mae", "within_one", "accuracy")
_GROUPS = {"grade": "By grade of the reference", "movement": "By movement", "side": "By weak side"}


def add_comparison(report: Report, study: JointStudy) -> None:
    """Add scores side by side, differences with tests, agreement, and the mistakes of each way."""
    section = report.section("Side by side")
    for found in reversed(study.comparisons):
        evaluation = found.evaluation
        table = evaluation.table().rename(columns={"Grader": "Way"})
        table["Way"] = [title_of_way(model) for model in evaluation.estimates]
        section.table(
            table,
            caption=f"Scores per {found.shared.unit}, and below each its 95 % interval over "
            "resampled patients.",
            quiet=[is_baseline(model) for model in evaluation.estimates],
        )
    meanings = "; ".join(
        f"{score.title}: {score.meaning}" for score in study.patients.evaluation.scores
    )
    section.text(f"{meanings}.")
    section.subheading("Differences, patient by patient")
    section.table(
        _differences(study.patients),
        caption="First minus second on the same patients, with 95 % intervals. p-values are "
        "adjusted for the number of comparisons (Holm): permutation of the two ways within "
        "patients, and McNemar on exactly right answers.",
    )
    section.subheading("Do the ways agree with each other?")
    section.table(
        pd.DataFrame(
            [
                {
                    "Ways": f"{title_of_way(found.first)} and {title_of_way(found.second).lower()}",
                    "Weighted kappa": two_lines(found.weighted_kappa),
                    "Same grade": two_lines(found.exact),
                    "Within one grade": two_lines(found.within_one),
                    "Bias, grades": two_lines(found.bias),
                    "95 % of differences": f"{signed(found.low_limit.value)} to "
                    f"{signed(found.high_limit.value)}",
                }
                for found in study.patients.agreements
            ]
        ),
        caption="Between the ways, whoever is right. Bias: mean of first minus second in expected "
        "grades, with the limits of agreement (Bland and Altman 1986).",
    )
    section.subheading("Which mistakes are made")
    section.text(
        "Rows are the reference, columns the answer; a perfect way is dark on the diagonal."
    )
    section.gallery(
        figure_picture(
            confusion_figure(confusion.total, target=study.target, title=title_of_way(model)),
            alt=f"Confusion matrix: {title_of_way(model)}.",
        )
        for model, confusion in study.patients.evaluation.confusions.items()
        if not is_baseline(model)
    )


def add_disagreements(report: Report, study: JointStudy, *, redact: bool) -> None:
    """Add where measurements and network disagree most, and who was right."""
    section = report.section("Where they disagree")
    first, second = study.way(MEASUREMENTS), study.way(NETWORK)
    if first is None or second is None:
        section.text("One of the two ways is missing.")
        return
    found = study.patients
    section.figure(
        against_each_other(found.shared, first, second),
        alt="Expected grade by measurements against that by the network, one dot per patient.",
        caption="One dot for each patient, coloured by the reference; on the dotted line both ways "
        "say the same.",
    )
    counts = found.who_was_right
    whole = counts[
        (counts["by"] == "all") & (counts["first"] == first) & (counts["second"] == second)
    ]
    if len(whole):
        row = whole.iloc[0]
        section.text(
            f"Exactly right: both in {row['both']:.0f} patients, only the measurements in "
            f"{row['only_first']:.0f}, only the network in {row['only_second']:.0f}, neither in "
            f"{row['neither']:.0f}."
        )
    apart = [
        patient
        for patient, told in study.answers.items()
        if first in told.ways
        and second in told.ways
        and told.ways[first].answer != told.ways[second].answer
    ]
    if not apart:
        section.text("They give the same grade to every patient.")
        return
    apart.sort(
        key=lambda name: (
            -abs(study.answers[name].ways[first].answer - study.answers[name].ways[second].answer)
        )
    )
    shown = apart[:SHOWN_DISAGREEMENTS]
    section.subheading(
        f"The {len(shown)} farthest apart, of {len(apart)}" if len(apart) > 1 else "The one"
    )
    for patient in shown:
        section.text(_told(study, patient, redact=redact))
        section.gallery(patient_strip(study, patient, redact=redact))
        section.links([Link("to this patient's page", f"#{anchor_of(study, patient)}")])


def add_probabilities(report: Report, study: JointStudy) -> None:
    """Add what the probabilities are worth: calibration, sets, and what abstaining would gain."""
    section = report.section("Can the probabilities be believed?", folded=True)
    evaluation = study.patients.evaluation
    section.text(
        "Brier score: squared distance of all probabilities from the truth (0 is perfect). "
        "Calibration error: how far the probability of the answer is from the share of right "
        "answers, on average. AUC: how well healthy are told from all others (0.5 is chance)."
    )
    section.table(
        pd.DataFrame(
            [
                {
                    "Way": title_of_way(model),
                    "Brier score": two_lines(found["brier"]),
                    "Calibration error": two_lines(found["calibration_error"]),
                    "AUC": two_lines(found["auc"]),
                }
                for model, found in evaluation.probabilities.items()
            ]
        ),
        quiet=[is_baseline(model) for model in evaluation.probabilities],
    )
    section.text(_about_sets(study))
    models = [name for name in evaluation.estimates if not is_baseline(name)]
    rows = {
        model: evaluation.predictions[evaluation.predictions["model"] == model] for model in models
    }
    bins = {
        title_of_way(model): reliability(chances_of(rows[model], target=study.target))
        for model in models
    }
    curves = {
        title_of_way(model): curve
        for model in models
        if (curve := abstention_of(evaluation, model)) is not None
    }
    pictures: list[Picture] = [
        figure_picture(
            reliability_figure(bins),
            alt="Share of right answers against the probability of the answer.",
            caption="Below the line: surer than right. Larger dots: more patients.",
        )
    ]
    if curves:
        pictures.append(
            figure_picture(
                abstention_figure(curves),
                alt="Mean error among the surest answers against the share answered.",
                caption="Error if only the surest are answered and a person grades the rest.",
            )
        )
    section.gallery(pictures)


def add_groups(report: Report, study: JointStudy) -> None:
    """Add the error by grade, movement and side."""
    section = report.section("By grade, movement and side", folded=True)
    section.text(
        "Mean distance from the reference in grades (smaller is better). Groups are small: the "
        "intervals of the differences say how much can be read from them, and nothing was tested "
        "group by group."
    )
    for by, title in _GROUPS.items():
        for found in reversed(study.comparisons):
            table = _group_table(found, by, grades=study.grades)
            if len(table):
                section.subheading(f"{title}, per {found.shared.unit}")
                section.table(table)
                break
        else:
            section.subheading(title)
            section.text(
                "Not known: " + _WHY_NOT.get(by, "the tables do not say it for these rows.")
            )


_WHY_NOT = {
    "movement": "at least one way grades whole patients from all movements together.",
    "side": "the manifest does not name the weak side.",
}


def add_method(report: Report, study: JointStudy, *, settings: pd.DataFrame) -> None:
    """Add how it was done, in short."""
    section = report.section("How it was done")
    section.text(
        "Measurements: 68 points are found on each photograph, 34 distances and 29 asymmetry "
        "features are computed from them, and a grader learns the grade from these numbers. Image "
        "network: the face is cut out, turned upright and given to HTNet, a network that compares "
        "parts of the face at several sizes. Both together: the probabilities of the two are "
        f"joined; {_HOW_JOINED.get(study.branches[-1].model, 'see the model named below')}."
    )
    section.text(
        "The patients were dealt into folds once, and all ways were tested on the same folds: each "
        "patient was graded by models that never saw any photograph of theirs. Every score stands "
        "beside what always giving the commonest grade would reach. Intervals resample whole "
        "patients 2000 times."
    )
    if study.weights is not None and len(study.weights):
        weights = study.weights.groupby("branch", sort=False)["weight"].agg(["mean", "min", "max"])
        section.table(
            pd.DataFrame(
                {
                    "Way": [title_of_way(str(name)) for name in weights.index],
                    "Weight, mean over folds": weights["mean"].to_numpy(),
                    "Smallest": weights["min"].to_numpy(),
                    "Largest": weights["max"].to_numpy(),
                }
            ),
            caption="How much each way counts in the fused grade.",
        )
    section.table(settings, caption="What was joined.")


_HOW_JOINED = {
    "fused_mean": "both count alike",
    "fused_product": "they are multiplied",
    "fused_weighted": "how much each counts was learned inside the training patients",
    "fused_stacking": "how much each counts was learned inside the training patients",
    "fused_early_summary": "one grader learned from the measurements and the network's answers",
    "fused_early_embedding": "one grader learned from the numbers of both at once",
}


def add_overview(report: Report, study: JointStudy, *, redact: bool) -> None:
    """Add one row for each patient, with links to their pages."""
    section = report.section("Patients, one by one", anchor="patients")
    section.text("Choose a patient for photographs, measures, maps and probabilities.")
    rows = []
    for patient, told in study.answers.items():
        row: dict[str, object] = {
            "Patient": Link(
                name_of(study, patient, redact=redact), f"#{anchor_of(study, patient)}"
            ),
            "Reference": None if told.reference is None else study.grades[told.reference - 1],
        }
        for name in study.names:
            found = told.ways.get(name)
            row[title_of_way(name)] = None if found is None else study.grades[found.answer - 1]
        fused = next(
            (told.ways[n] for n in study.names if n.startswith(TOGETHER) and n in told.ways), None
        )
        row["Set"] = (
            None if fused is None or fused.span is None else in_words(fused.span, study.grades)
        )
        rows.append(row)
    section.table(pd.DataFrame(rows).dropna(axis="columns", how="all"))


def _differences(found: BranchComparison) -> pd.DataFrame:
    table = found.table[(found.table["by"] == "all") & found.table["score"].isin(_COMPARED)]
    place = {name: at for at, name in enumerate(found.shared.names)}
    table = table.sort_values(["first", "second"], key=lambda of: of.map(place), kind="stable")
    rows = []
    for row in table.to_dict("records"):
        score = SCORES.get(str(row["score"]))
        rows.append(
            {
                "First and second": f"{title_of_way(str(row['first']))} − "
                f"{title_of_way(str(row['second'])).lower()}",
                "Score": row["score"] if score is None else score.title,
                "Difference": _signed(row),
                "p, permutation": _p(row["p_permutation_holm"]),
                "p, McNemar": _p(row["p_mcnemar_holm"]),
            }
        )
    return pd.DataFrame(rows)


def _signed(row: Mapping[Hashable, object] | pd.Series) -> str:
    value, low, high = (float(str(row[name])) for name in ("difference", "low", "high"))
    return f"{signed(value)}\n{signed(low)} to {signed(high)}"


def _p(value: object) -> str | None:
    p = float(str(value))
    if math.isnan(p):
        return None
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _group_table(found: BranchComparison, by: str, *, grades: Sequence[str]) -> pd.DataFrame:
    """Return a row for each group: how many, the error of each way, the first difference."""
    table = found.table[(found.table["by"] == by) & (found.table["score"] == "mae")]
    rows = []
    for group, own in table.groupby("group", sort=False):
        first = own.iloc[0]
        errors: dict[str, float] = {}
        for row in own.to_dict("records"):
            errors[str(row["first"])] = float(row["first_value"])
            errors[str(row["second"])] = float(row["second_value"])
        name = str(group)
        if by == "grade" and name.isdigit() and int(name) <= len(grades):
            name = grades[int(name) - 1]
        pair = f"{title_of_way(str(first['first']))} − {title_of_way(str(first['second'])).lower()}"
        rows.append(
            {
                by.capitalize(): name.replace("_", " "),
                "Patients": int(first["patients"]),
                **{title_of_way(way): errors[way] for way in found.shared.names if way in errors},
                pair: _signed(first),
            }
        )
    return pd.DataFrame(rows)


def _about_sets(study: JointStudy) -> str:
    spans = [
        (told.reference, told.ways[name].span)
        for told in study.answers.values()
        for name in study.names
        if name.startswith(TOGETHER) and name in told.ways
    ]
    made = [(reference, span) for reference, span in spans if span and reference is not None]
    if not made:
        return "No sets of grades were made: they need answers inside the training patients."
    held = sum(low <= reference <= high for reference, (low, high) in made)
    width = sum(high - low + 1 for _, (low, high) in made) / len(made)
    return (
        f"The set of the fused grade is a run of adjacent grades that is meant to hold the "
        f"reference in {COVERAGE:.0%} of patients. Here it held it in {held} of {len(made)} "
        f"({held / len(made):.0%}), with {width:.1f} grades in a set on average."
    )


def _told(study: JointStudy, patient: str, *, redact: bool) -> str:
    told = study.answers[patient]
    said = ", ".join(
        f"{title_of_way(name).lower()} {study.grades[found.answer - 1]}"
        for name, found in told.ways.items()
    )
    reference = "unknown" if told.reference is None else study.grades[told.reference - 1]
    return f"{name_of(study, patient, redact=redact)}: reference {reference}; {said}."
