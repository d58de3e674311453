"""What each model says of each patient, out of a table of predictions, for the patients' pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from classifiers.graders.registry import is_baseline, title_of
from classifiers.reports.patient_page import (
    EVERYBODY,
    MOST_TELLING,
    Answer,
    add_patient_pages,
)
from classifiers.reports.patient_pictures import Material
from classifiers.reports.patient_scores import score_pages, visits_of
from classifiers.reports.sections import Title
from common.grading.calibration import range_in_words, range_title
from common.grading.evaluation import Evaluation
from common.grading.numeric_evaluation import NumericEvaluation
from common.grading.target import Target
from common.report import Report, Share
from common.words import counted


@dataclass(frozen=True)
class ModelAnswer:
    """What one model says of a patient.

    Attributes
    ----------
    number
        Class number from 1, the commonest over repeats; it was given `times` of `tested` times.
    chances
        `(k,)` probabilities, the mean over repeats.
    span
        Lowest and highest class number of the set that is meant to hold the reference; None
        where no set was made. Over several repeats, the span of all sets.
    """

    number: int
    chances: NDArray[np.float64]
    span: tuple[int, int] | None
    times: int = 1
    tested: int = 1


def model_answers(
    predictions: pd.DataFrame, *, target: Target
) -> dict[str, dict[str, ModelAnswer]]:
    """Return by patient and model what was answered.

    `predictions` has a row per patient, repeat and model, by `predictions_schema(unit="patient")`.
    """
    numbers = np.arange(1, len(target.classes) + 1)
    number_of = dict(zip(target.named(numbers), numbers.tolist(), strict=True))
    found: dict[str, dict[str, ModelAnswer]] = {}
    for (patient, model), rows in predictions.groupby(["patient_id", "model"], sort=False):
        given = rows["predicted"].map(number_of).value_counts()
        sets = rows[["set_low", "set_high"]] if "set_low" in rows.columns else None
        found.setdefault(str(patient), {})[str(model)] = ModelAnswer(
            number=int(given.index[0]),
            chances=rows[list(target.probability_columns)].to_numpy(dtype=np.float64).mean(axis=0),
            span=None
            if sets is None or sets.isna().any(axis=None)
            else (int(sets["set_low"].min()), int(sets["set_high"].max())),
            times=int(given.iloc[0]),
            tested=int(given.sum()),
        )
    return found


def telling_patients(predictions: pd.DataFrame, *, target: Target) -> tuple[set[str], str]:
    """Return who gets a page, and a sentence where that is not everybody.

    Of a cohort of more than `EVERYBODY` patients these are the `MOST_TELLING` whose reference the
    models thought least likely, by the mean over models and repeats: there is most to learn from.
    """
    truth = target.numbers(predictions)
    known = truth > 0
    chances = predictions[list(target.probability_columns)].to_numpy(dtype=np.float64)
    given = chances[np.flatnonzero(known), truth[known] - 1]
    patients = predictions["patient_id"].astype(str)
    everybody = patients.nunique()
    if everybody <= EVERYBODY:
        return set(patients), ""
    mean = pd.Series(given).groupby(patients[known].to_numpy()).mean()
    told = set(mean.sort_values(kind="stable").index[:MOST_TELLING])
    return told, (
        f"Of {counted(everybody, 'patient')}, the {len(told)} whose reference was thought least "
        "likely have a page: their grades, or their photographs, deserve a second look. The table "
        "of predictions holds the answers to everybody, and the command profile shows any patient."
    )


def references_of(rows: pd.DataFrame, *, target: Target) -> dict[str, int]:
    """Return the class number of each patient's reference; not of who has none, or several."""
    numbers = pd.Series(target.numbers(rows), index=rows["patient_id"].astype(str))
    known = numbers[numbers > 0].groupby(level=0)
    return {str(name): int(own.iloc[0]) for name, own in known if own.nunique() == 1}


def answers_table(
    found: Mapping[str, ModelAnswer],
    *,
    reference: int | None,
    target: Target,
    title: Title = title_of,
) -> pd.DataFrame:
    """Return a row for each model's answer to a patient, and one for the reference."""
    names = target.spoken
    rows: list[dict[str, object]] = []
    for model, said in found.items():
        repeats = f"\n{said.times} of {said.tested} repeats" if said.tested > 1 else ""
        rows.append(
            {
                "Answer of": title(model),
                "Answer": f"{names[said.number - 1]}{repeats}",
                range_title(): None if said.span is None else range_in_words(*said.span, names),
                **{name: Share(float(p)) for name, p in zip(names, said.chances, strict=True)},
            }
        )
    marks = {name: "●" if at == reference else "" for at, name in enumerate(names, start=1)}
    known = None if reference is None else names[reference - 1]
    rows.append({"Answer of": "Reference", "Answer": known, range_title(): "", **marks})
    table = pd.DataFrame(rows)
    ranged = any(said.span for said in found.values())
    return table if ranged else table.drop(columns=range_title())


def answers_overview(
    found: Mapping[str, Mapping[str, ModelAnswer]],
    references: Mapping[str, int],
    *,
    models: Sequence[str],
    target: Target,
    title: Title = title_of,
) -> list[dict[str, str | None]]:
    """Return a row for each patient of `found`: the reference, and the answer of each model.

    Below an answer stands its likely range, where there is one.
    """
    names = target.spoken

    def words(said: ModelAnswer | None) -> str | None:
        if said is None:
            return None
        span = "" if said.span is None else f"\n{range_in_words(*said.span, names)}"
        return f"{names[said.number - 1]}{span}"

    return [
        {
            "Reference": names[references[patient] - 1] if patient in references else None,
            **{title(model): words(own.get(model)) for model in models},
        }
        for patient, own in found.items()
    ]


def add_benchmark_pages(
    report: Report,
    material: Material | None,
    *,
    evaluation: Evaluation | NumericEvaluation,
    redact: bool = False,
) -> None:
    """Add the pages of a cross-validation; a sentence in their place without distances."""
    if material is None:
        report.section("Patients, one by one").text(
            "There are no pages of patients, because dists.csv does not lie beside the features."
        )
        return
    if isinstance(evaluation, NumericEvaluation):
        scores, rows, about = score_pages(evaluation, patients=list(material.patients))
        add_patient_pages(
            report, material, answers=scores, redact=redact, overview=rows, about=about
        )
        return
    target, predictions = evaluation.target, evaluation.predictions
    learned = predictions[~predictions["model"].map(is_baseline)]
    told, about = telling_patients(learned, target=target)
    models = list(dict.fromkeys(learned["model"].astype(str)))
    tables: dict[str, list[pd.DataFrame]] = {}
    lines: dict[str, list[dict[str, str | None]]] = {}
    for visit, of_visit in visits_of(learned[learned["patient_id"].isin(told)]):
        found = model_answers(of_visit, target=target)
        references = references_of(of_visit, target=target)
        overview = answers_overview(found, references, models=models, target=target)
        for (patient, own), line in zip(found.items(), overview, strict=True):
            table = answers_table(own, reference=references.get(patient), target=target)
            if visit:
                table.insert(0, "Visit", visit)
                line = {name: f"{visit}: {cell or 'none'}" for name, cell in line.items()}
            tables.setdefault(patient, []).append(table)
            lines.setdefault(patient, []).append(line)
    answers = {
        patient: Answer(
            table=pd.concat(tables[patient], ignore_index=True),
            caption="Answers of graders that never saw the patient, and the probability of each "
            f"of the {target.steps} in %.",
            heading=_references_in_words(lines[patient]),
        )
        for patient in material.patients
        if patient in tables
    }
    add_patient_pages(
        report, material, answers=answers, redact=redact,
        overview=[_one_line(lines[patient]) for patient in answers],
        about=about,
    )  # fmt: skip


def _references_in_words(lines: list[dict[str, str | None]]) -> str:
    """Return what stands behind the patient's name: the reference, of several visits each."""
    known = [str(line["Reference"]) for line in lines if line["Reference"]]
    return f"reference {', '.join(known)}" if known else ""


def _one_line(lines: list[dict[str, str | None]]) -> dict[str, str | None]:
    """Return a patient's row of the overview, the visits below each other."""
    if len(lines) == 1:
        return lines[0]
    return {name: "\n".join(str(line[name]) for line in lines) for name in lines[0]}
