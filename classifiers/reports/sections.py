"""Sections of the report on agreement, certainty, comparisons and choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from classifiers.graders.registry import is_baseline, title_of
from classifiers.reports.score_plots import (
    abstention_figure,
    agreement_figure,
    bland_altman_figure,
    reliability_figure,
)
from common.grading.calibration import about_ranges, abstention_curve, expected_distance
from common.grading.comparison import compare_models
from common.grading.evaluation import RECALL, Evaluation, two_lines
from common.grading.probabilities import chances_of, reliability
from common.grading.scores import HUMAN_AGREEMENT
from common.report import Fact, Report, Section, figure_picture
from common.tables import ROMAN
from common.words import unbroken


def learners(evaluation: Evaluation) -> list[str]:
    """Return the models that are not baselines."""
    return [model for model in evaluation.estimates if not is_baseline(model)]


def score_facts(
    evaluation: Evaluation, *, models: Sequence[str], title: Callable[[str], str] = title_of
) -> list[Fact]:
    """Return for the answer box how far each model is from the reference, with its recalls.

    Parameters
    ----------
    models
        In the order of the box; baselines are set back.
    title
        From a model's name to what the reader calls it.
    """
    facts = []
    for model in models:
        found = evaluation.estimates[model]
        lead = found[evaluation.headline.name]
        notes = [f"95 %: {lead.low:.2f} to {lead.high:.2f}"]
        for name, words in (("within_one", "within one grade"), ("accuracy", "exactly right")):
            if name in found and name != evaluation.headline.name:
                notes.append(f"{words}: {100 * found[name].value:.0f} %")
        if not is_baseline(model):
            notes.append(f"{RECALL.lower()}: {unbroken(evaluation.recall_of(model))}")
        facts.append(
            Fact(title(model), f"{lead.value:.2f}", notes=tuple(notes), quiet=is_baseline(model))
        )
    return facts


def add_agreement(report: Report, evaluation: Evaluation) -> None:
    """Add the second table of scores, Bland-Altman, and agreement among clinicians."""
    section = report.section("Agreement with the reference")
    section.table(
        pd.DataFrame(
            [
                {
                    "Grader": title_of(model),
                    **{
                        score.title: two_lines(found[score.name])
                        for score in evaluation.more_scores
                    },
                }
                for model, found in evaluation.estimates.items()
            ]
        ),
        caption="; ".join(f"{score.title}: {score.meaning}" for score in evaluation.more_scores)
        + ".",
        quiet=[is_baseline(model) for model in evaluation.estimates],
    )
    if evaluation.target.column == "side":
        _by_grade(report, evaluation)
    if evaluation.target.name != "six_grades":
        return
    section.text(
        "The dashed lines show how well clinicians agree among themselves, in studies of other "
        "patients from videos: a yardstick and not a test. "
        + "; ".join(f"{found.what} {found.value:.2f} ({found.source})" for found in HUMAN_AGREEMENT)
        + "."
    )
    section.gallery(
        [
            figure_picture(
                agreement_figure(evaluation, models=learners(evaluation)),
                alt="Accuracy and plain kappa of our graders beside those among clinicians.",
            ),
            *(
                figure_picture(
                    bland_altman_figure(evaluation.confusions[model].total, title=title_of(model)),
                    alt=f"Bland-Altman plot of {title_of(model)} against the reference.",
                )
                for model in learners(evaluation)
            ),
        ]
    )


def add_certainty(
    report: Report,
    evaluation: Evaluation,
    *,
    title: Callable[[str], str] = title_of,
    folded: bool = False,
) -> Section:
    """Add scores of probabilities, reliability, conformal sets and abstention.

    Parameters
    ----------
    title
        From a model's name to what the reader calls it.
    folded
        Show the heading only, until the reader opens it.
    """
    section = report.section("Can the probabilities be believed?", folded=folded)
    section.text(
        "AUC: how well the probability separates the first class from all others (0.5 is chance). "
        "Brier score: squared distance of all probabilities from the truth (0 is perfect). "
        "Calibration error: how far the probability of the answer is from the share of right "
        "answers, on average."
    )
    section.table(
        pd.DataFrame(
            [
                {
                    "Answers of": title(model),
                    "AUC": two_lines(found["auc"]),
                    "Brier score": two_lines(found["brier"]),
                    "Calibration error": two_lines(found["calibration_error"]),
                    **sets_of(evaluation, evaluation.predictions, model),
                }
                for model, found in evaluation.probabilities.items()
            ]
        ),
        quiet=[is_baseline(model) for model in evaluation.probabilities],
    )
    if "set_low" in evaluation.predictions:
        learned = _fewest_learned(evaluation) if evaluation.unit == "patient" else None
        section.text(about_ranges(learned=learned))
    models = learners(evaluation)
    found = {
        model: reliability(chances_of(_rows(evaluation, model), target=evaluation.target))
        for model in models
    }
    curves = {
        model: curve for model in models if (curve := abstention_of(evaluation, model)) is not None
    }
    section.gallery(
        [
            figure_picture(
                reliability_figure({title(model): bins for model, bins in found.items()}),
                alt="Share of right answers against the probability of the answer.",
                caption="Below the line: surer than right. Larger dots: more answers.",
            ),
            figure_picture(
                abstention_figure({title(model): curve for model, curve in curves.items()}),
                alt="Mean error among the surest answers against the share answered.",
                caption="Error if only the surest are answered and a person grades the rest.",
            ),
        ]
    )
    return section


def _fewest_learned(evaluation: Evaluation) -> int:
    """Return from how many patients the fold learned that tested the most."""
    rows = evaluation.predictions
    tested = rows.groupby(["repeat", "fold"])["patient_id"].nunique().max()
    return int(rows["patient_id"].nunique() - tested)


def add_comparison(report: Report, evaluation: Evaluation) -> None:
    """Add paired comparisons of all graders."""
    models = learners(evaluation)
    if len(models) < 2:
        return
    score = evaluation.headline
    found = compare_models(
        evaluation.predictions, target=evaluation.target, score=score, models=models
    )
    section = report.section("Is one grader better than another")
    section.text(
        f"Differences of {score.title.lower()} on the same patients and folds, first minus second, "
        "with 95 % intervals over patients. p-values are adjusted for the number of pairs (Holm): "
        "bootstrap over patients; McNemar on patients answered right in most repeats; t-test over "
        "folds, corrected for overlapping training sets (Nadeau and Bengio 2003)."
    )
    section.table(
        pd.DataFrame(
            {
                "First": [title_of(model) for model in found["first"]],
                "Second": [title_of(model) for model in found["second"]],
                "Difference": [
                    f"{row.difference:.2f}\n{row.low:.2f} to {row.high:.2f}"
                    for row in found.itertuples()
                ],
                "p, bootstrap": found["p_bootstrap_holm"],
                "p, McNemar": found["p_mcnemar_holm"],
                "p, folds": found["p_folds_holm"],
            }
        ),
        digits=3,
    )


def add_choices(report: Report, choices: pd.DataFrame) -> None:
    """Add what was chosen on inner folds; nothing when nothing was."""
    if choices.empty:
        return
    section = report.section("What was chosen on inner folds")
    section.text(
        "In each outer fold the columns, the scaler and the options of every grader were chosen "
        "by the ranked probability score of answers to training patients it had not seen. The "
        "tested patients had no say."
    )
    section.table(
        pd.DataFrame(
            {
                "Grader": [title_of(model) for model in choices["model"]],
                "Columns, scaler, options": choices["choice"],
                "Folds": choices["folds"],
            }
        )
    )


def abstention_of(evaluation: Evaluation, model: str) -> np.ndarray | None:
    """Return the abstention curve of one model; None without rows."""
    rows = _rows(evaluation, model)
    target = evaluation.target
    chances = rows[list(target.probability_columns)].to_numpy(dtype=np.float64)
    if not len(chances):
        return None
    truth = target.numbers(rows)
    if target.ordered:
        errors = np.abs(target.answers(chances) - truth).astype(np.float64)
        return abstention_curve(errors, -expected_distance(chances))
    errors = (target.answers(chances) != truth).astype(np.float64)
    return abstention_curve(errors, chances.max(axis=1))


def _rows(evaluation: Evaluation, model: str) -> pd.DataFrame:
    return evaluation.predictions[evaluation.predictions["model"] == model]


def sets_of(evaluation: Evaluation, predictions: pd.DataFrame, model: str) -> dict[str, object]:
    """Return coverage and width of one model's sets; empty when there are none at all.

    Parameters
    ----------
    predictions
        Rows with `set_low` and `set_high`, where there are any.
    """
    if "set_low" not in predictions:
        return {}
    rows = predictions[predictions["model"] == model].dropna(subset=["set_low"])
    if rows.empty:
        return {"Ranges hold it": None, "Classes in a range": None}
    truth = evaluation.target.numbers(rows)
    low, high = (rows[name].to_numpy(dtype=np.int64) for name in ("set_low", "set_high"))
    return {
        "Ranges hold it": f"{100 * float(((low <= truth) & (truth <= high)).mean()):.0f} %",
        "Classes in a range": f"{float((high - low + 1).mean()):.1f}",
    }


def _by_grade(report: Report, evaluation: Evaluation) -> None:
    """Add how often the side was right at each grade."""
    rows = evaluation.predictions.assign(
        right=evaluation.predictions["predicted"] == evaluation.predictions["side"]
    )
    table = rows.pivot_table(index="model", columns="hb_grade", values="right", sort=False)
    strong = rows[rows["hb_grade"] >= 3].groupby("model", sort=False)["right"].mean()
    shown = table.assign(strong=strong).rename(columns={"strong": "III to VI"})
    shown.columns = [_roman_of(name) for name in shown.columns]
    shown.insert(0, "Grader", [title_of(str(model)) for model in shown.index])
    report.sections[-1].table(shown, caption="Share of right sides at each grade.")


def _roman_of(name: object) -> str:
    return ROMAN[int(name) - 1] if isinstance(name, int) else str(name)


def scores_table(evaluation: Evaluation) -> pd.DataFrame:
    """Return one row per model: its title, scores with intervals, recall of each class."""
    return pd.DataFrame(
        [{"Grader": title_of(model), **evaluation.cells(model)} for model in evaluation.estimates]
    )
