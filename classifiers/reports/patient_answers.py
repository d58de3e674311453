"""What each model says of each patient, out of a table of predictions, for the patients' pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from classifiers.graders.registry import is_baseline, title_of
from classifiers.reports.patient_page import EVERYBODY, MOST_TELLING, Answer, add_patient_pages
from classifiers.reports.patient_pictures import Material
from classifiers.reports.sections import Title
from common.files import natural_key
from common.grading.calibration import interval_in_words, range_in_words, range_title
from common.grading.evaluation import Scored
from common.grading.numeric_target import AnyTarget, NumericTarget
from common.grading.target import VISIT, Target, patients_and_visits
from common.report import Report, Share
from common.words import counted

TRUE_SCORE, INTERVAL = "True score", "Interval (90 %)"


@dataclass(frozen=True)
class ModelAnswer:
    """What one model says of a patient: class number from 1, the commonest over repeats.

    Given `times` of `tested` times; `chances` are `(k,)` probabilities, the mean over repeats;
    `span` is lowest and highest class number of its sets, None where none was made.
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


def telling_patients(predictions: pd.DataFrame, *, target: AnyTarget) -> tuple[set[str], str]:
    """Return who gets a page, and a sentence where that is not everybody.

    Of a cohort of more than `EVERYBODY` patients these are the `MOST_TELLING` whose reference the
    models thought least likely, or who are answered farthest from the truth, by the mean over
    models and repeats: there is most to learn from.
    """
    patients = predictions["patient_id"].astype(str)
    everybody = patients.nunique()
    if everybody <= EVERYBODY:
        return set(patients), ""
    if isinstance(target, NumericTarget):
        known = np.arange(len(predictions))
        off = (predictions["predicted"] - predictions[target.column]).abs().to_numpy()
        whose, their, more = "whose answers are farthest from the truth", "scores", ""
    else:
        numbers = target.numbers(predictions)
        known = np.flatnonzero(numbers)
        chances = predictions[list(target.probability_columns)].to_numpy(dtype=np.float64)
        off = -chances[known, numbers[known] - 1]
        whose, their = "whose reference was thought least likely", "grades"
        more = ", and the command profile shows any patient"
    mean = pd.Series(off).groupby(patients.to_numpy()[known]).mean()
    shown = set(mean.sort_values(ascending=False, kind="stable").index[:MOST_TELLING])
    return shown, (
        f"Of {counted(everybody, 'patient')}, the {len(shown)} {whose} have a page: their {their}, "
        "or their photographs, deserve a second look. The table of predictions holds the answers "
        f"to everybody{more}."
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
    report: Report, material: Material | None, *, evaluation: Scored, redact: bool = False
) -> None:
    """Add the pages of a cross-validation; a sentence in their place without distances."""
    if material is None:
        report.section("Patients, one by one").text(
            "There are no pages of patients, because dists.csv does not lie beside the features."
        )
        return
    target, rows = evaluation.target, evaluation.predictions
    rows = rows[~rows["model"].map(is_baseline)].astype({"patient_id": "str"})
    told, about = telling_patients(rows, target=target)
    caption = "Answers of graders that never saw the patient, "
    if isinstance(target, NumericTarget):
        caption += "with the 90 % interval."
        about = about or "Below an answer stands its 90 % interval."
    else:
        caption += f"and the probability of each of the {target.steps} in %."
    models = list(dict.fromkeys(rows["model"].astype(str)))
    tables: dict[str, list[pd.DataFrame]] = {}
    lines: dict[str, list[dict[str, str | None]]] = {}
    for visit, of_visit in _visits_of(rows[rows["patient_id"].isin(told)]):
        for patient, table, line in _of_visit(of_visit, models=models, target=target):
            if visit:
                table.insert(0, "Visit", visit)
            tables.setdefault(patient, []).append(table)
            lines.setdefault(patient, []).append(line | ({"visit": visit} if visit else {}))
    answers = {
        patient: Answer(
            table=pd.concat(tables[patient], ignore_index=True),
            caption=caption,
            heading=_heading(lines[patient]),
        )
        for patient in material.patients
        if patient in tables
    }
    overview = [_one_line(lines[patient]) for patient in answers]
    add_patient_pages(
        report, material, answers=answers, redact=redact, overview=overview, about=about
    )


def _visits_of(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the rows of each visit by its name in natural order; empty where there is no visit."""
    if VISIT not in patients_and_visits(rows):
        return [("", rows)]
    names = rows[VISIT].fillna("").astype(str)
    return [(name, rows[names == name]) for name in sorted(set(names), key=natural_key)]


def _of_visit(
    rows: pd.DataFrame, *, models: Sequence[str], target: AnyTarget
) -> Iterator[tuple[str, pd.DataFrame, dict[str, str | None]]]:
    """Yield each patient with a table of answers and a row of the overview."""
    if isinstance(target, NumericTarget):
        for patient, own in rows.groupby("patient_id", sort=False):
            yield str(patient), *_scores_of(own, models=models, target=target)
        return
    found, references = model_answers(rows, target=target), references_of(rows, target=target)
    overview = answers_overview(found, references, models=models, target=target)
    for (patient, said), line in zip(found.items(), overview, strict=True):
        yield patient, answers_table(said, reference=references.get(patient), target=target), line


def _scores_of(
    rows: pd.DataFrame, *, models: Sequence[str], target: NumericTarget
) -> tuple[pd.DataFrame, dict[str, str | None]]:
    """Return what the models say of one patient: means over repeats, and the widest interval."""
    truth = rows[target.column].iloc[0]
    line: dict[str, str | None] = {TRUE_SCORE: f"{truth:.0f}"} | {title_of(m): None for m in models}
    table = []
    for model, own in rows.groupby("model", sort=False):
        ends, title = own[["low", "high"]], title_of(str(model))
        within = None
        if not ends.isna().any(axis=None):
            within = interval_in_words(ends["low"].min(), ends["high"].max())
        mean = own["predicted"].mean()
        line[title] = f"{mean:.0f}" if within is None else f"{mean:.0f}\n{within}"
        table.append({"Answer of": title, "Score": f"{mean:.1f}", INTERVAL: within})
    table.append({"Answer of": "Truth", "Score": f"{truth:.1f}", INTERVAL: ""})
    return pd.DataFrame(table), line


def _heading(lines: list[dict[str, str | None]]) -> str:
    """Return what stands behind the patient's name: the reference, of several visits each."""
    for name in ("Reference", TRUE_SCORE):
        if known := [line for line in lines if line.get(name)]:
            told = (
                f"{one['visit']}: {one[name]}" if "visit" in one else one[name] for one in known
            )
            return f"{name.lower()} {', '.join(map(str, told))}"
    return ""


def _one_line(lines: list[dict[str, str | None]]) -> dict[str, str | None]:
    """Return a patient's row of the overview, the visits below each other."""
    if "visit" not in lines[0]:
        return lines[0]
    return {
        name: "\n".join(f"{line['visit']}: {line[name] or 'none'}" for line in lines)
        for name in lines[0]
        if name != "visit"
    }
