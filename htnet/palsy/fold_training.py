"""Train the networks of folds, and of the folds inside them, and keep what they answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from common.grading.target import Target
from htnet.network.region_fusion import GradingNetwork
from htnet.palsy.answering import answer
from htnet.palsy.calibration import PatientTemperature, answered_fold, patient_temperature
from htnet.palsy.cohort import ImageCohort
from htnet.palsy.folds import FoldPart, inner_parts
from htnet.palsy.recipe import Recipe
from htnet.palsy.tables import (
    INNER_PATIENT_PREDICTIONS,
    INNER_PREDICTIONS,
    fold_rows,
    write_inner,
)
from htnet.palsy.training import Trained, check_rows, train_network


@dataclass(frozen=True)
class FoldTrainer:
    """Trains one network after another with the same settings.

    Attributes
    ----------
    cohort, target
        The faces, and what is asked about them.
    recipe, seed, pretrained, notes
        As for `train_network`, the same for every network.
    out
        Folder of all folds.
    seconds
        How long each took, by name.
    """

    cohort: ImageCohort
    target: Target
    recipe: Recipe
    out: Path
    seed: int
    pretrained: Path | None = None
    notes: Mapping[str, object] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def train(self, parts: Sequence[FoldPart], *, inner_folds: int) -> None:
        """Train every fold, and the folds inside it if asked for."""
        planned = self._planned(parts, inner_folds=inner_folds)
        photographs, patients = [], []
        for part, inside in planned:
            network = self._fit(part, part.folder(self.out), name=part.name).network
            self._temperature(part, network).write(part.folder(self.out))
            for inner in inside:
                folder, name = part.inner_folder(self.out, inner), _inner_name(part, inner)
                network = self._fit(inner, folder, name=name).network
                found = answered_fold(network, self.cohort, inner, target=self.target)
                photographs.append(found.photographs.assign(outer_fold=part.fold))
                patients.append(found.patients.assign(outer_fold=part.fold))
        if photographs:
            write_inner(
                pd.concat(photographs), self.out / INNER_PREDICTIONS,
                target=self.target, unit="photograph",
            )  # fmt: skip
            write_inner(
                pd.concat(patients), self.out / INNER_PATIENT_PREDICTIONS,
                target=self.target, unit="patient",
            )  # fmt: skip

    def _temperature(self, part: FoldPart, network: GradingNetwork) -> PatientTemperature:
        """Learn from the validation patients how sure answers to whole patients may be."""
        rows = part.validation
        chances = answer(network, self.cohort.data.faces, rows=rows)
        return patient_temperature(
            fold_rows(self.cohort, part, chances, target=self.target, rows=rows),
            target=self.target,
        )

    def _planned(
        self, parts: Sequence[FoldPart], *, inner_folds: int
    ) -> list[tuple[FoldPart, list[FoldPart]]]:
        """Deal all inner folds, and refuse what cannot be trained before hours were spent."""
        deal = self.recipe.training.validation_folds
        planned = []
        for part in parts:
            inside: list[FoldPart] = []
            if inner_folds:
                inside = inner_parts(
                    part, self.cohort, n_folds=inner_folds, validation_folds=deal, seed=self.seed
                )
            named = {part.name: part} | {_inner_name(part, inner): inner for inner in inside}
            for name, one in named.items():
                check_rows(self.cohort.data, train=one.train, validation=one.validation, name=name)
            planned.append((part, inside))
        return planned

    def _fit(self, part: FoldPart, folder: Path, *, name: str) -> Trained:
        started = time.monotonic()
        trained = train_network(
            self.cohort.data,
            train=part.train,
            validation=part.validation,
            recipe=self.recipe,
            out=folder,
            seed=self.seed,
            pretrained=self.pretrained,
            notes=self.notes,
            title=f"{name}, epochs",
        )
        if trained.pretrained and self.pretrained and not self.seconds:  # the same in every fold
            print("\n".join(trained.pretrained.sentences(self.pretrained)))
        self.seconds[name] = time.monotonic() - started
        print(
            f"{name}: epoch {trained.best_epoch} of {len(trained.scores)} kept, "
            f"validation score {min(trained.scores, default=float('nan')):.3f}, "
            f"{self.seconds[name]:.0f} s",
            flush=True,
        )
        return trained


def _inner_name(part: FoldPart, inner: FoldPart) -> str:
    return f"{part.name}, inner fold {inner.fold}"
