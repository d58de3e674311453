"""Sections on an evaluation, for every report that shows one: scores, mistakes, certainty.

Each is a function of an `Evaluation`; `title` turns a model's name into what the reader calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from classifiers.graders.registry import is_baseline, title_of
from common.grading.calibration import about_ranges, abstention_curve, expected_distance
from common.grading.evaluation import (
    BASELINES,
    RECALL,
    Evaluation,
    NumericEvaluation,
    Scored,
    two_lines,
)
from common.grading.numeric_target import AnyTarget
from common.grading.plots import (
    abstention_figure,
    bland_altman_figure,
    clinicians_figure,
    confusion_figure,
    reliability_figure,
)
from common.grading.probabilities import chances_of, reliability
from common.grading.scores import HUMAN_AGREEMENT
from common.grading.target import Target
from common.report import Fact, Report, Section, figure_picture
from common.tables import ROMAN
from common.words import counted, in_sentence, unbroken

Title = Callable[[str], str]
BELOW = "Score, and below it the 95 % interval over resampled patients."


def learners(evaluation: Scored) -> list[str]:
    """Return the models that are not baselines."""
    return [model for model in evaluation.estimates if not is_baseline(model)]


def what_was_graded(evaluation: Scored) -> str:
    """Return what was graded in words, `480 photographs of 60 patients` for instance."""
    counts = evaluation.as_json()
    patients = counted(counts["n_patients"], "patient")
    if evaluation.unit == "patient":
        visits = counts["n"] > counts["n_patients"] and isinstance(evaluation, NumericEvaluation)
        return f"{counted(counts['n'], 'visit')} of {patients}" if visits else patients
    return f"{counted(counts['n'], 'photograph')} of {patients}"


def benchmark_summary(evaluations: Sequence[Scored], *, folds: object, guess: str) -> str:
    """Say in a sentence what was graded, and how far off the answers are.

    `guess` is what the baseline always answers.
    """
    words = (
        f"{what_was_graded(evaluations[0])}, each graded by models that never saw the patient "
        f"({folds})."
    )
    for evaluation in reversed(evaluations):
        if learners(evaluation):
            score = evaluation.headline
            words += (
                f" Per {evaluation.unit}, {in_sentence(score.title)} "
                f"{from_best_to_worst(evaluation)}; always answering {guess} "
                f"{evaluation.baseline(score):.2f}."
            )
    return words


def from_best_to_worst(evaluation: Scored) -> str:
    """Return the headline score of the best and the worst grader with their intervals, in words.

    The best alone would be a choice made on the tested patients.
    """
    score = evaluation.headline
    found = sorted((evaluation.estimates[m][score.name].value, m) for m in learners(evaluation))
    ends = found if score.higher_is_better else found[::-1]
    worst, best = (
        f"{evaluation.estimates[name][score.name]} with {title_of(name)}"
        for _, name in (ends[0], ends[-1])
    )
    return best if len(found) == 1 else f"{best} to {worst}"


def no_better_than_guessing(evaluation: Scored) -> str:
    """Say when guessing would have done as well; else nothing."""
    found, models = evaluation.estimates, learners(evaluation)
    if isinstance(evaluation, Evaluation):
        guess = 1 / len(evaluation.target.classes)
        alike = all(found[model]["balanced_accuracy"].low <= guess for model in models)
        than = f"guessing: every interval of balanced accuracy reaches down to {guess:.2f}"
    else:
        guess = min((found[one]["mae"].value for one in BASELINES if one in found), default=np.inf)
        alike = all(found[model]["mae"].high >= guess for model in models)
        than = (
            "one that answers the same for everybody: every interval of the error reaches up to "
            f"{guess:.2f}"
        )
    told = f"Per {evaluation.unit}, no grader is clearly better than {than}."
    return told if models and alike else ""


def scores_and_brier(evaluation: Scored, model: str) -> dict[str, str | None]:
    """Return a model's scores with intervals, of classes also recalls and the Brier score."""
    cells = evaluation.cells(model)
    if isinstance(evaluation, Evaluation):
        cells["Brier score"] = two_lines(evaluation.probabilities[model]["brier"])
    return cells


def scores_table(evaluation: Evaluation) -> pd.DataFrame:
    """Return one row per model: its title, scores with intervals, recall of each class."""
    return pd.DataFrame(
        [{"Grader": title_of(m), **evaluation.cells(m)} for m in evaluation.estimates]
    )


def add_scores(
    section: Section,
    evaluation: Scored,
    *,
    caption: str = BELOW,
    heading: str = "Grader",
    title: Title = title_of,
    cells: Callable[[str], Mapping[str, object]] | None = None,
) -> None:
    """Add a table with a row for each model, baselines set back.

    `cells` gives what stands in the row of a model, its scores when not given.
    """
    cells = cells or evaluation.cells
    section.table(
        ({heading: title(model), **cells(model)} for model in evaluation.estimates),
        caption=caption,
        quiet=[is_baseline(model) for model in evaluation.estimates],
    )


def add_more_scores(section: Section, evaluation: Scored) -> None:
    """Add the second table of scores."""
    more = evaluation.more_scores
    add_scores(
        section, evaluation, cells=partial(evaluation.cells_of, scores=more),
        caption="; ".join(f"{score.title}: {score.meaning}" for score in more) + ".",
    )  # fmt: skip


def add_answer_box(
    section: Section,
    evaluation: Scored,
    *,
    question: str = "",
    models: Sequence[str] = (),
    title: Title = title_of,
    more: Sequence[Fact] = (),
) -> None:
    """Add how far each model is from the reference; of classes how many of each are exact.

    `models` in the order of the box, all when empty; `more` stands behind them.
    """
    score = evaluation.headline
    of_classes = isinstance(evaluation, Evaluation)
    facts = []
    for model in models or evaluation.estimates:
        found = evaluation.estimates[model]
        lead, quiet = found[score.name], is_baseline(model)
        notes = [f"95 %: {lead.low:.2f} to {lead.high:.2f}"]
        for other in evaluation.scores:
            if other.name in ("within_one", "accuracy") and other.name != score.name:
                words = "exactly right" if other.name == "accuracy" else other.title.lower()
                notes.append(f"{words}: {100 * found[other.name].value:.0f} %")
        if isinstance(evaluation, Evaluation) and not quiet:
            notes.append(f"{RECALL.lower()}: {unbroken(evaluation.recall_of(model))}")
        elif not quiet:
            notes.append(f"ICC {found['icc']}")
        facts.append(Fact(title(model), f"{lead.value:.2f}", notes=tuple(notes), quiet=quiet))
    asked = question or f"{score.title}, per {evaluation.unit}"
    section.facts(asked, [*facts, *more])
    section.text(
        f"The large number is the {score.meaning}, per {evaluation.unit}. Below it "
        + (
            "are its 95 % interval over resampled patients, and how many of each class were "
            "answered exactly."
            if of_classes
            else "is its 95 % interval over resampled patients."
        )
    )


def add_meanings(section: Section, evaluation: Scored) -> None:
    """Say what each score of the table means."""
    known = evaluation.cells(next(iter(evaluation.estimates)))
    meanings = (f"{one.title}: {one.meaning}" for one in evaluation.scores if one.title in known)
    section.text(f"{'; '.join(meanings)}.")


def add_mistakes(
    section: Section, evaluations: Sequence[Evaluation], *, title: Title = title_of
) -> None:
    """Add the confusion matrix of each model."""
    section.text(
        "Rows are the reference, columns the answer. Numbers are means over repeats; the shade is "
        "the share of the row, so a perfect grader is dark on the diagonal."
    )
    for evaluation in evaluations:
        made = {model: f"{title(model)}, per {evaluation.unit}" for model in learners(evaluation)}
        section.gallery(
            figure_picture(
                confusion_figure(
                    evaluation.confusions[model].total, target=evaluation.target, title=words
                ),
                alt=f"Confusion matrix of {words}.",
            )
            for model, words in made.items()
        )


def add_agreement(report: Report, evaluation: Evaluation) -> None:
    """Add the second table of scores, Bland-Altman, and agreement among clinicians."""
    section = report.section("Agreement with the reference")
    add_more_scores(section, evaluation)
    if evaluation.target.column == "side":
        _add_sides_by_grade(section, evaluation)
    if evaluation.target.steps != "grades":
        return
    section.text(
        "The dashed lines show how well clinicians agree among themselves, in studies of other "
        "patients from videos: a yardstick and not a test. "
        + "; ".join(f"{found.what} {found.value:.2f} ({found.source})" for found in HUMAN_AGREEMENT)
        + "."
    )
    models = learners(evaluation)
    clinicians = clinicians_figure({title_of(m): evaluation.estimates[m] for m in models})
    section.gallery(
        [
            figure_picture(
                clinicians,
                alt="Accuracy and plain kappa of our graders beside those among clinicians.",
            ),
            *(
                figure_picture(
                    bland_altman_figure(evaluation.confusions[model].total, title=title_of(model)),
                    alt=f"Bland-Altman plot of {title_of(model)} against the reference.",
                )
                for model in models
            ),
        ]
    )


def _add_sides_by_grade(section: Section, evaluation: Evaluation) -> None:
    """Add how often the side was right at each grade."""
    rows = evaluation.predictions.assign(
        right=evaluation.predictions["predicted"] == evaluation.predictions["side"]
    )
    table = rows.pivot_table(index="model", columns="hb_grade", values="right", sort=False)
    table.columns = [ROMAN[int(grade) - 1] for grade in table.columns]
    strong = rows[rows["hb_grade"] >= 3].groupby("model", sort=False)["right"].mean()
    shown = table.assign(**{"III to VI": strong})
    shown.insert(0, "Grader", [title_of(str(model)) for model in shown.index])
    section.table(shown, caption="Share of right sides at each grade.")


def add_certainty(
    report: Report, evaluation: Evaluation, *, title: Title = title_of, folded: bool = False
) -> Section:
    """Add scores of probabilities, reliability, conformal sets and abstention."""
    predictions, target = evaluation.predictions, evaluation.target
    section = report.section("Can the probabilities be believed?", folded=folded)
    section.text(
        "AUC: how well the probability separates the first class from all others (0.5 is chance). "
        "Brier score: squared distance of all probabilities from the truth (0 is perfect). "
        "Calibration error: how far the probability of the answer is from the share of right "
        "answers, on average."
    )
    add_scores(
        section, evaluation, caption="", heading="Answers of", title=title,
        cells=partial(_probability_cells, evaluation),
    )  # fmt: skip
    if "set_low" in evaluation.predictions:
        learned = None
        if evaluation.unit == "patient":  # from how many the fold learned that tested the most
            tested = predictions.groupby(["repeat", "fold"])["patient_id"].nunique().max()
            learned = int(predictions["patient_id"].nunique() - tested)
        section.text(about_ranges(learned=learned))
    rows = {title(m): predictions[predictions["model"] == m] for m in learners(evaluation)}
    bins = {name: reliability(chances_of(own, target=target)) for name, own in rows.items()}
    curves = {name: abstention_of(own, target=target) for name, own in rows.items() if len(own)}
    section.gallery(
        [
            figure_picture(
                reliability_figure(bins),
                alt="Share of right answers against the probability of the answer.",
                caption="Below the line: surer than right. Larger dots: more answers.",
            ),
            figure_picture(
                abstention_figure(curves),
                alt="Mean error among the surest answers against the share answered.",
                caption="Error if only the surest are answered and a person grades the rest.",
            ),
        ]
    )
    return section


def _probability_cells(evaluation: Evaluation, model: str) -> dict[str, object]:
    found = evaluation.probabilities[model]
    return {
        "AUC": two_lines(found["auc"]),
        "Brier score": two_lines(found["brier"]),
        "Calibration error": two_lines(found["calibration_error"]),
        **sets_of(evaluation.predictions, model, target=evaluation.target),
    }


def abstention_of(rows: pd.DataFrame, *, target: Target) -> np.ndarray:
    """Return the abstention curve of one model's rows of predictions."""
    chances = rows[list(target.probability_columns)].to_numpy(dtype=np.float64)
    off = np.abs(target.answers(chances) - target.numbers(rows))
    if target.ordered:
        return abstention_curve(off.astype(np.float64), -expected_distance(chances))
    return abstention_curve((off > 0).astype(np.float64), chances.max(axis=1))


def sets_of(predictions: pd.DataFrame, model: str, *, target: AnyTarget) -> dict[str, object]:
    """Return coverage and width of one model's sets; empty when there are none at all."""
    if "set_low" not in predictions or not isinstance(target, Target):
        return {}
    rows = predictions[predictions["model"] == model].dropna(subset=["set_low"])
    if rows.empty:
        return {"Ranges hold it": None, "Classes in a range": None}
    held, width = ranges_kept(rows, target=target)
    return {"Ranges hold it": f"{100 * held:.0f} %", "Classes in a range": f"{width:.1f}"}


def ranges_kept(rows: pd.DataFrame, *, target: Target) -> tuple[float, float]:
    """Return the share (0..1) of sets that hold the reference, and their mean width in classes."""
    truth = target.numbers(rows)
    low, high = (rows[name].to_numpy(dtype=np.int64) for name in ("set_low", "set_high"))
    return float(((low <= truth) & (truth <= high)).mean()), float((high - low + 1).mean())
