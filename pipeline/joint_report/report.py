"""The joint report: measurements, image network and both together, on one page and by patient.

Comes from the prediction tables of both branches and of `fuse`, and from what lies beside them
(photographs, points, measures, networks); `fuse` and `demo` end with it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from classifiers.branches.alignment import shared_levels
from classifiers.branches.branch import Branch, read_branches
from classifiers.branches.comparison import compare_branches
from classifiers.branches.fusion import WEIGHT_COLUMNS, stands_for_fusion
from classifiers.commands.compare import warn_of_nameless
from classifiers.graders.cohort import Study
from classifiers.reports.patient_pages import Material, read_material
from common.errors import UserError
from common.grading.predictions import read_either_unit
from common.grading.target import Target, TargetName, target_named
from common.report import Report
from common.tables import join_manifest, read_manifest
from common.words import counted
from features.tables import MEASURED_COLUMNS, MEASURES_FILE, read_measures
from pipeline.joint_report.comparison import add_comparison, add_groups
from pipeline.joint_report.first_page import add_first_page, summary_of
from pipeline.joint_report.pages import add_pages, map_images
from pipeline.joint_report.sections import (
    add_disagreements,
    add_method,
    add_overview,
    add_probabilities,
)
from pipeline.joint_report.study import TOGETHER, JointStudy

_TRUTH_OF_SIMULATED = "true_landmarks.csv"  # what only a simulated cohort has


@dataclass(frozen=True)
class Ingredients:
    """Where everything lies that a joint report is made from.

    Attributes
    ----------
    tables
        `predictions.csv` of the measurements, then of the network.
    fused
        `predictions.csv` of `fuse`.
    features
        `features.csv` of `extract`, with its other tables beside it.
    manifest
        Of the same photographs.
    networks
        Folder of `htnet train`, for the maps; None leaves them out.
    models
        Model of each of the tables, where one holds several.
    fused_model
        Model of `fused`; see `stands_for_fusion` when not given.
    shared_only
        Compare only patients whom all tables hold; the others keep their page.
    """

    tables: tuple[Path, ...]
    fused: Path
    features: Path
    manifest: Path
    networks: Path | None = None
    models: tuple[str, ...] = ()
    fused_model: str | None = None
    shared_only: bool = False


def build_joint_report(
    given: Ingredients,
    *,
    target: TargetName = "six_grades",
    redact: bool = False,
    seed: int = 0,
    before_patients: Callable[[Report], None] | None = None,
) -> Report:
    """Build the report.

    Parameters
    ----------
    given
        Where everything lies.
    target
        What was graded.
    redact
        Leave out photographs and names: draw the points in their place, and number the patients.
    seed
        Of the bootstrap and the permutation tests.
    before_patients
        Adds sections of its own before the patients, one by one.

    Raises
    ------
    UserError
        When the tables test other patients, folds or grades, or something is missing.
    """
    study = read_study(given, target=target_named(target), redact=redact, seed=seed)
    simulated = is_simulated(study.manifest)
    report = Report(
        title="Grading facial palsy: by measurements, by an image network, and by both",
        summary=summary_of(study, simulated=simulated),
    )
    if simulated:
        report.warn(
            "The patients are simulated: drawn by this project. What is shown here says that the "
            "tools work, and nothing about real patients."
        )
    warn_of_nameless(report, study.manifest)
    for sentence in study.problems:
        report.warn(sentence)
    add_first_page(report, study, redact=redact)
    add_comparison(report, study)
    add_disagreements(report, study, redact=redact)
    add_groups(report, study)
    add_probabilities(report, study)
    add_method(report, study, settings=_settings(given, study))
    if before_patients is not None:
        before_patients(report)
    add_overview(report, study, redact=redact)
    add_pages(report, study, redact=redact)
    return report


def read_study(given: Ingredients, *, target: Target, redact: bool, seed: int) -> JointStudy:
    """Read all tables, check that they belong together, and compare the ways of grading."""
    manifest = read_manifest(given.manifest)
    material = read_material(Study(given.features, given.manifest))
    if material is None:
        raise UserError(
            f"{given.features.parent} holds no dists.csv of patients: give the features.csv that "
            "extract wrote, with its tables beside it."
        )
    branches = (*read_branches(given.tables, target=target, models=given.models),
                _fused_branch(given, target=target))  # fmt: skip
    levels = shared_levels(branches, target=target, shared_only=given.shared_only)
    comparisons = tuple(compare_branches(level, manifest=manifest, seed=seed) for level in levels)
    measures = given.features.with_name(MEASURES_FILE)
    pictures, problems = _pictures(given, manifest, redact=redact)
    absent = _absent(branches, material, target=target)
    return JointStudy(
        target=target,
        branches=branches,
        comparisons=comparisons,
        weights=_weights(given, branches[-1].model, material),
        material=material,
        measures=(
            join_manifest(read_measures(measures), manifest, measured=MEASURED_COLUMNS)
            if measures.is_file()
            else None
        ),
        manifest=manifest,
        pictures=pictures,
        problems=(*problems, *absent),
    )


def is_simulated(manifest: pd.DataFrame) -> bool:
    """Return whether all photographs carry the truth that only simulated cohorts have."""
    if "truth_file" not in manifest.columns:
        return False
    names = manifest["truth_file"].astype("string").fillna("")
    return bool(names.str.endswith(_TRUTH_OF_SIMULATED).all())


def _fused_branch(given: Ingredients, *, target: Target) -> Branch:
    """Return the one fused model that stands for the fusion."""
    table, _ = read_either_unit(given.fused, target=target)
    models = list(dict.fromkeys(table["model"].astype(str)))
    chosen = given.fused_model or stands_for_fusion(models)
    branch = read_branches([given.fused], target=target, models=[chosen])[0]
    return replace(branch, name=TOGETHER)


def _pictures(
    given: Ingredients, manifest: pd.DataFrame, *, redact: bool
) -> tuple[dict[str, NDArray[np.uint8]], list[str]]:
    """Return the maps of the network, and why there are none."""
    if given.networks is None:
        return {}, ["There are no maps of the network: its folder was not given (--networks)."]
    from pipeline.joint_report.maps import network_pictures

    landmarks = given.features.with_name("landmarks.csv")
    try:
        return (
            network_pictures(
                given.networks, given.manifest, landmarks, features=given.features,
                image_ids=map_images(manifest), redact=redact,
            ),
            [],
        )  # fmt: skip
    except UserError as error:
        if not redact:
            return {}, [f"There are no maps of the network: {error}"]
        print(f"There are no maps of the network: {error}", file=sys.stderr)
        return {}, [
            "There are no maps of the network; why is said where the report was made, since the "
            "reason may name a patient."
        ]


def _weights(given: Ingredients, model: str, material: Material) -> pd.DataFrame | None:
    """Return the weights of the fused model on patients, where `fuse` learned any."""
    path = given.fused.with_name("weights.csv")
    if not path.is_file():
        return None
    table = pd.read_csv(path)
    if not set(WEIGHT_COLUMNS) <= set(table.columns):
        raise UserError(f"{path} is no table of weights: give the folder that fuse wrote.")
    of_model = table[table["model"] == model]
    levels = of_model["level"].unique()
    return of_model[of_model["level"] == "patient"] if "patient" in levels else of_model


def _absent(branches: Sequence[Branch], material: Material, *, target: Target) -> list[str]:
    """Say how many patients each way does not answer."""
    sentences = []
    everybody = set(material.patients)
    for branch in branches:
        missing = everybody - set(branch.rows["patient_id"].astype(str))
        if missing:
            sentences.append(
                f"{len(missing)} of {counted(len(everybody), 'patient')} have no answer by the "
                f"branch {branch.name}; the scores say nothing about them."
            )
    return sentences


def _settings(given: Ingredients, study: JointStudy) -> pd.DataFrame:
    rows = [
        {
            "What": f"{branch.name}: model {branch.model}",
            "From": f"{branch.source.parent.name}/{branch.source.name}",
        }
        for branch in study.branches
    ]
    return pd.DataFrame(rows)
