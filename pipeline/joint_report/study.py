"""What the joint report tells about: the branches, the fused answer, their comparison, the faces.

Comes from the prediction tables of the branches and of `fuse`, and from what lies beside them
(photographs, points, measures, networks).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from classifiers.branches.alignment import pooled, shared_levels, with_visits_alike
from classifiers.branches.branch import Branch, read_branches, with_twin
from classifiers.branches.comparison import BranchComparison, compare_branches
from classifiers.branches.fusion import stands_for_fusion
from classifiers.branches.fusion_methods import WEIGHT_COLUMNS
from classifiers.graders.cohort import Study
from classifiers.reports.patient_answers import (
    ModelAnswer,
    model_answers,
    references_of,
    telling_patients,
)
from classifiers.reports.patient_pictures import Material, numbers_of, read_material
from common.errors import UserError
from common.figures import BLUE, GREEN, GREY, ORANGE, VERMILION
from common.grading.predictions import TWIN, read_either_unit
from common.grading.target import MAJORITY, VISIT, Target
from common.tables import read_manifest
from common.words import counted
from landmarks.tables import LANDMARKS_FILE

if TYPE_CHECKING:
    from pipeline.joint_report.maps import NetworkView

MEASUREMENTS, NETWORK, TOGETHER = "geometric", "deep", "fused"
_TITLES = {
    MEASUREMENTS: "Measurements",
    NETWORK: "Image network",
    TWIN: "Its classical twin",
    TOGETHER: "Both together",
    MAJORITY: "Always the commonest {}",
}
COLOURS = {MEASUREMENTS: BLUE, NETWORK: VERMILION, TWIN: ORANGE, TOGETHER: GREEN, MAJORITY: GREY}
MARKERS = {MEASUREMENTS: "o", NETWORK: "s", TWIN: "^", TOGETHER: "D", MAJORITY: "x"}
MAP_TASKS = ("full_smile", "full_eye_closure", "brow_raise")
"""Movements whose maps are shown: mouth, eyes, forehead."""


@dataclass(frozen=True)
class Ingredients:
    """Where everything lies that a joint report is made from.

    `tables` are `predictions.csv` of the measurements, then of the network, `models` which of
    theirs; `fused` is that of `fuse`, `fused_model` its model (`stands_for_fusion` when not given);
    `networks` is a folder of `htnet train`, for the maps. With `shared_only`, only patients whom
    all tables hold are compared; the others keep their page.
    """

    tables: tuple[Path, ...]
    fused: Path
    features: Path
    manifest: Path
    networks: Path | None = None
    models: tuple[str, ...] = ()
    fused_model: str | None = None
    shared_only: bool = False


@dataclass(frozen=True)
class JointStudy:
    """Everything the joint report tells about.

    `branches` are named by `MEASUREMENTS`, `NETWORK`, `TWIN` (where the network's table holds it)
    or `TOGETHER` at the start of their name, the fused last; `comparisons` are of photographs,
    where all have them, then of patients; `weights` rows of `weights.csv` of the fused model, None
    where nothing was weighed; `pictures` by `image_id` what the network looked at, RGB; `said` by
    patient a sentence on the side and zones that it takes for weak; `problems` sentences for the
    head of the report.
    """

    target: Target
    branches: tuple[Branch, ...]
    comparisons: tuple[BranchComparison, ...]
    weights: pd.DataFrame | None
    material: Material
    manifest: pd.DataFrame
    pictures: Mapping[str, NDArray[np.uint8]]
    said: Mapping[str, str]
    problems: tuple[str, ...] = ()

    @property
    def patients(self) -> BranchComparison:
        """The comparison of patients."""
        return self.comparisons[-1]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the methods, measurements first and the fused answer last."""
        return tuple(branch.name for branch in self.branches)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Every patient of the manifest in natural order, with a number for redacted pages."""
        return numbers_of(self.manifest["patient_id"])

    @cached_property
    def rows(self) -> pd.DataFrame:
        """What each method answered to each patient, the branch's name as `model`."""
        tables = pooled(self.branches, target=self.target)
        return pd.concat([one.rows.assign(model=one.name) for one in tables], ignore_index=True)

    @cached_property
    def answers(self) -> dict[str, dict[str, ModelAnswer]]:
        """By patient of the manifest and method; who has no answer has none here."""
        found = model_answers(self.rows, target=self.target)
        return {patient: found.get(patient, {}) for patient in self.numbers}

    @cached_property
    def with_page(self) -> tuple[set[str], str]:
        """Who of those with an answer gets a page, and a sentence where that is not everybody."""
        return telling_patients(self.rows, target=self.target)

    def has_page(self, patient: str) -> bool:
        """Say whether a patient gets a page: everybody does, but of a large cohort."""
        told, not_everybody = self.with_page
        return patient in told or not not_everybody

    @cached_property
    def references(self) -> dict[str, int]:
        """Class number of each patient who has one reference."""
        return references_of(self.manifest, target=self.target)

    def class_name(self, number: int | None) -> str:
        """Return a class as a clinician writes it, or `unknown`."""
        return "unknown" if number is None else self.target.spoken[number - 1]

    def title_of(self, name: str) -> str:
        """Return how a reader who knows nothing of the project calls a branch or a baseline."""
        kind, space, model = name.partition(" ")
        return f"{_TITLES.get(kind, kind).format(self.target.step)}{space}{model}"

    def method(self, kind: str) -> str | None:
        """Return the name of the first method of a kind, such as `NETWORK`."""
        return next((name for name in self.names if name.startswith(kind)), None)


def read_study(given: Ingredients, *, target: Target, redact: bool, seed: int) -> JointStudy:
    """Read all tables, check that they belong together, and compare the ways of grading."""
    manifest = read_manifest(given.manifest)
    material = read_material(Study(given.features, given.manifest))
    if material is None:
        raise UserError(
            f"{given.features.parent} holds no dists.csv of patients: give the features.csv that "
            "extract wrote, with its tables beside it."
        )
    read = read_branches(given.tables, target=target, models=given.models)
    branches = (*with_twin(read, target=target), _fused_branch(given, target=target))
    branches = tuple(with_visits_alike(branches))
    if VISIT in branches[0].rows:
        raise UserError(
            "The joint report gives every patient one page with one answer, and these tables "
            'answer every visit: make them from the photographs of one visit (column "visit").'
        )
    levels = shared_levels(branches, target=target, shared_only=given.shared_only)
    view, problems = _network_view(given, manifest, redact=redact)
    return JointStudy(
        target=target,
        branches=branches,
        comparisons=tuple(compare_branches(one, manifest=manifest, seed=seed) for one in levels),
        weights=_weights(given, branches[-1].model),
        material=material,
        manifest=manifest,
        pictures=view.pictures if view else {},
        said=view.said if view else {},
        problems=(*problems, *_absent(branches, material)),
    )


def _fused_branch(given: Ingredients, *, target: Target) -> Branch:
    """Return the one fused model that stands for the fusion."""
    table, _ = read_either_unit(given.fused, target=target)
    chosen = given.fused_model or stands_for_fusion(list(table["model"].astype(str).unique()))
    branch = read_branches([given.fused], target=target, models=[chosen])[0]
    return replace(branch, name=TOGETHER)


def _network_view(
    given: Ingredients, manifest: pd.DataFrame, *, redact: bool
) -> tuple[NetworkView | None, list[str]]:
    """Return what the network saw, or why that is not shown."""
    if given.networks is None:
        return None, ["There are no maps of the network: its folder was not given (--networks)."]
    from pipeline.joint_report.maps import network_view

    landmarks = given.features.with_name(LANDMARKS_FILE)
    try:
        return network_view(
            given.networks, given.manifest, landmarks, features=given.features,
            image_ids=_mapped_images(manifest), redact=redact,
        ), []  # fmt: skip
    except UserError as error:
        why = f"There are no maps of the network: {error}"
        if not redact:
            return None, [why]
        print(why, file=sys.stderr)
        return None, [
            "There are no maps of the network; why is said where the report was made, since the "
            "reason may name a patient."
        ]


def _mapped_images(manifest: pd.DataFrame) -> list[str]:
    """Return the photographs whose maps are shown; a few of each where movements are unnamed."""
    if "task" not in manifest.columns or not manifest["task"].isin(MAP_TASKS).any():
        first = manifest.groupby("patient_id", sort=False)["image_id"].head(len(MAP_TASKS))
        return [str(name) for name in first]
    return [str(name) for name in manifest.loc[manifest["task"].isin(MAP_TASKS), "image_id"]]


def _weights(given: Ingredients, model: str) -> pd.DataFrame | None:
    """Return the weights of the fused model on patients, where `fuse` learned any."""
    path = given.fused.with_name("weights.csv")
    if not path.is_file():
        return None
    table = pd.read_csv(path)
    if not set(WEIGHT_COLUMNS) <= set(table.columns):
        raise UserError(f"{path} is no table of weights: give the folder that fuse wrote.")
    of_model = table[table["model"] == model]
    of_patients = of_model[of_model["level"] == "patient"]
    return of_patients if len(of_patients) else of_model


def _absent(branches: Sequence[Branch], material: Material) -> Iterator[str]:
    """Say how many patients each branch does not answer."""
    everybody = set(material.patients)
    for branch in branches:
        missing = everybody - set(branch.rows["patient_id"].astype(str))
        if missing:
            yield (
                f"{len(missing)} of {counted(len(everybody), 'patient')} have no answer by the "
                f"branch {branch.name}; the scores say nothing about them."
            )
