"""The command `recalibrate`: a kept grader moved to another clinic with a few graded patients."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from classifiers.graders.cohort import Samples, read_cohort
from classifiers.graders.local_trial import (
    AS_KEPT,
    BOTH,
    LEARNING_CURVE,
    ON_HEALTHY,
    RECALIBRATED,
    Answers,
    answers_unseen,
    learning_curve,
    ways_scored,
)
from classifiers.graders.model_store import StoredModel, load_model, model_folder, save_recalibrated
from classifiers.graders.patients import (
    learned_movements,
    missing_movements,
    rows_to_answer,
    why_not_graded,
)
from classifiers.graders.recalibration import (
    Healthy,
    LocalClinic,
    enough_healthy,
    laid_onto,
    measurement_hashes,
    name_hashes,
    recalibrate_chances,
    unseen_answers,
)
from classifiers.reports.other_clinics import recalibrate_report
from common.errors import UserError
from common.files import sha256_of
from common.grading.calibration import GradeSets
from common.grading.numeric_target import of_classes
from common.grading.target import refuse_two_grades, target_named
from common.provenance import write_run_record
from common.tables import write_table
from common.words import counted

FEWEST = 5  # graded patients below which thresholds stay where they are
MODEL_FOLDER = "model"


@dataclass(frozen=True)
class RecalibrateResult:
    """The new model's folder, what it knows of the clinic, and the scores by way of answering."""

    model: Path
    local: LocalClinic
    ways: pd.DataFrame
    curve: pd.DataFrame | None


def recalibrate(
    model: Path,
    local: Path,
    *,
    out: Path,
    manifest: Path | None = None,
    healthy_zero: bool = True,
    curve: tuple[int, ...] = (),
    draws: int = 50,
    seed: int = 0,
) -> RecalibrateResult:
    """Move a kept grader's thresholds to another clinic, with a few graded patients of its own.

    Only where the grades are cut and how sure the answers are moves (one number for each threshold
    and a temperature, drawn towards the old ones), and the likely ranges are made anew; the grader
    itself stays byte for byte. Writes OUT/model with a card that says so, `report.html` and
    `run.json`. `grade` marks the patients that this run has seen: they are no test of it.
    Research use only.

    Parameters
    ----------
    model
        Folder that `fit` made, of a grader of patients.
    local
        `features.csv` of `extract` with the clinic's graded patients, five or more, or with its
        healthy people alone (grade I), three or more.
    out
        Folder for the new model; made if needed.
    manifest
        `manifest.csv` with the clinic's grades, when the features do not hold them.
    healthy_zero
        Lay features onto those that the grader learned from by the clinic's healthy people, where
        there are three or more; the report shows the answers with and without.
    curve
        Numbers of local patients, such as 5 10 20, to draw at random and recalibrate with while
        all others are tested (`learning_curve.csv`).
    draws
        How often patients are drawn for each number of the curve.
    seed
        Of the draws and of the resampling.

    Raises
    ------
    UserError
        When the model was altered or is one of photographs, or there are too few patients.
    """
    folder = model_folder(model)
    stored = load_model(folder)
    _refuse_unfit(stored, model)
    target = target_named(stored.card.target)
    cohort = read_cohort(local, target=target, manifest=manifest).without_visits()
    refuse_two_grades(cohort.usable.rows, column=target.column)
    stored.card.refuse_other_features(
        definition=cohort.study.definition,
        columns=list(cohort.study.photographs.columns),
        source=local,
    )
    samples = rows_to_answer(cohort, level="patient", target=target)
    samples = replace(samples, features=samples.features.reindex(columns=stored.card.inputs))
    samples, left_out = _with_movements(samples, stored)
    healthy = samples.healthy
    reference, zero = stored.card.healthy(), None
    if healthy_zero and reference is not None and enough_healthy(samples.patients[healthy]):
        zero = Healthy.of(samples.features[healthy]).onto(reference)
    enough = len(samples.labels) >= FEWEST and len(set(samples.labels.tolist())) > 1
    if not enough and zero is None:
        raise UserError(
            f"{local} has {counted(len(samples.labels), 'graded patient')} with enough movements, "
            f"{counted(int(healthy.sum()), 'of them healthy', 'of them healthy')}: recalibrating "
            f"needs {FEWEST} of two grades, or 3 healthy people."
        )
    chances = {AS_KEPT: stored.grader.answers(samples)}
    if zero is not None and reference is not None:
        laid = laid_onto(reference, samples.features, healthy=healthy, patients=samples.patients)
        chances[ON_HEALTHY] = stored.grader.answers(replace(samples, features=laid))
    coverage = stored.card.coverage or 0.9
    last = AS_KEPT if zero is None else ON_HEALTHY
    moved, unseen = None, {}
    if enough:
        unseen = {name: unseen_answers(found, samples.labels) for name, found in chances.items()}
        moved = recalibrate_chances(
            chances[last], samples.labels, coverage=coverage, unseen=unseen[last]
        )
    sets = stored.grader.ranges
    assert sets is None or isinstance(sets, GradeSets)  # other targets are refused
    answers = {name: Answers(found, sets) for name, found in chances.items()}
    for name, found in unseen.items():
        new = RECALIBRATED if name == AS_KEPT else BOTH
        answers[new] = answers_unseen(found, samples.labels, coverage=coverage)
    ways = ways_scored(answers, samples.labels, target=target, seed=seed)
    curves = None
    if curve:
        curves = learning_curve(
            chances, samples.labels, sizes=curve, draws=draws, target=target, seed=seed,
            sets=sets, coverage=coverage,
        )  # fmt: skip
        write_table(curves, out / "learning_curve.csv", schema=LEARNING_CURVE)
    salt = secrets.token_hex(8)
    seen = cohort.usable.rows["patient_id"].astype(str).isin(samples.patients).to_numpy()
    clinic = LocalClinic(
        patients=len(samples.labels),
        thresholds=moved,
        zero=zero,
        salt=salt,
        names=name_hashes(samples.patients.tolist(), salt=salt),
        measured=measurement_hashes(cohort.usable.features[seen]),
        scores=[
            {str(name): value for name, value in row.items()}
            for row in ways.astype(object).where(ways.notna(), None).to_dict("records")
        ],
    )
    card = replace(
        stored.card,
        data={**stored.card.data, "local": clinic.plain(),
              "sha256": {**stored.card.data["sha256"], "local features": sha256_of(local)}},
        coverage=coverage if enough else stored.card.coverage,
    )  # fmt: skip
    save_recalibrated(out / MODEL_FOLDER, model=folder, card=card)
    report = recalibrate_report(
        stored, clinic, ways=ways, curve=curves, target=target, left_out=left_out
    )  # fmt: skip
    report.write(out / "report.html")
    write_run_record(
        out,
        command="recalibrate",
        settings={"model": model.name, "healthy_zero": healthy_zero, "curve": list(curve),
                  "draws": draws},
        seed=seed,
        files=cohort.study.files,
        counts={"patients": len(samples.labels), "healthy": int(healthy.sum())},
        notes={"warnings": report.warnings},
    )  # fmt: skip
    print(f"{report.summary} Model in {out / MODEL_FOLDER}, report in {out / 'report.html'}")
    return RecalibrateResult(out / MODEL_FOLDER, clinic, ways, curves)


def _refuse_unfit(stored: StoredModel, model: Path) -> None:
    target = of_classes(stored.card.question, asker="recalibrate")
    if stored.card.unit != "patient" or not target.ordered:
        raise UserError(
            f"{model} grades {stored.card.unit}s by {target.title.lower()}: only graders of "
            "patients with ordered classes have thresholds to move (fit --level patient)."
        )
    if stored.local is not None:
        raise UserError(
            f"{model} was recalibrated already: give the model that fit made, and all local "
            "patients together."
        )


def _with_movements(samples: Samples, stored: StoredModel) -> tuple[Samples, list[str]]:
    """Return the patients whom `grade` would answer, and sentences on the others."""
    learned = learned_movements(stored.card.inputs)
    kept, left_out = [], []
    for at in range(len(samples.labels)):
        one = samples.at(np.array([at]))
        lacks = why_not_graded(missing_movements(one, stored.card.inputs), learned)
        if lacks is None:
            kept.append(at)
        else:
            left_out.append(f'Patient "{samples.patients[at]}" was left out: {lacks}.')
    return samples.at(np.array(kept, dtype=np.intp)), left_out
