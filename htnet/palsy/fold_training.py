"""Train the networks of folds, and of the folds inside them, and keep what they answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from common.grading.predictions import TWIN, Unit, in_order, inner_predictions_schema
from common.tables import write_table
from htnet.network.htnet import GradingNetwork
from htnet.palsy.answers import MODEL, answered_fold, fold_sureness
from htnet.palsy.cohort import ImageCohort
from htnet.palsy.folds import FoldPart, inner_parts
from htnet.palsy.histograms import patient_histograms, twin_rows
from htnet.palsy.recipe import Recipe
from htnet.palsy.sureness import Sureness, read_sureness, write_sureness
from htnet.palsy.training import Trained, check_rows, train_network

INNER_PREDICTIONS = "inner_predictions.csv"
INNER_PATIENT_PREDICTIONS = "inner_patient_predictions.csv"


@dataclass(frozen=True)
class FoldTrainer:
    """Trains one network after another with the same settings, those of `train_network`.

    `out`: folder of all folds. `seconds`: how long each took, by name.
    """

    cohort: ImageCohort
    recipe: Recipe
    out: Path
    seed: int
    pretrained: Path | None = None
    notes: Mapping[str, object] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def train(self, parts: Sequence[FoldPart], *, inner_folds: int) -> None:
        """Train every fold, and the folds inside it if asked for."""
        planned = [(part, self._inside(part, inner_folds)) for part in parts]
        photographs, patients = [], []
        known = patient_histograms(self.cohort) if inner_folds else None
        for part, inside in planned:
            folder = part.folder(self.out)
            network = self._fit(part, folder, name=part.name).network
            write_sureness(self._sureness(network, part, folder), folder)
            for name, inner in inside.items():
                inside_folder = part.inner_folder(self.out, inner)
                network = self._fit(inner, inside_folder, name=name).network
                found = answered_fold(
                    network, self.cohort, inner,
                    sureness=self._sureness(network, inner, inside_folder),
                )  # fmt: skip
                photographs.append(found.photographs.assign(outer_fold=part.fold))
                patients.append(found.patients.assign(outer_fold=part.fold))
            if known is not None:
                twin = twin_rows(known, [*inside.values()], self.cohort)
                patients.append(twin.assign(outer_fold=part.fold))
        if photographs:
            self._write(pd.concat(photographs), self.out / INNER_PREDICTIONS, unit="photograph")
            self._write(pd.concat(patients), self.out / INNER_PATIENT_PREDICTIONS, unit="patient")

    def _sureness(self, network: GradingNetwork, part: FoldPart, folder: Path) -> Sureness:
        """Return how sure answers to patients may be; a frozen trunk's head has learned it."""
        if self.recipe.training.trunk == "frozen":
            return read_sureness(folder, target=self.cohort.target)
        return fold_sureness(network, self.cohort, part)

    def _inside(self, part: FoldPart, n_folds: int) -> dict[str, FoldPart]:
        """Deal a fold's inner folds, and refuse what cannot be trained before hours were spent."""
        deal = self.recipe.training.validation_folds
        inside = {}
        if n_folds:
            inside = {
                f"{part.name}, inner fold {inner.fold}": inner
                for inner in inner_parts(
                    part, self.cohort, n_folds=n_folds, validation_folds=deal, seed=self.seed
                )
            }
        for name, one in {part.name: part, **inside}.items():
            check_rows(self.cohort.data, train=one.train, validation=one.validation, name=name)
        return inside

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
        how = "head learned, trunk as pretrained"
        if trained.scores:
            how = (
                f"epoch {trained.best_epoch} of {len(trained.scores)} kept, "
                f"validation score {min(trained.scores):.3f}"
            )
        print(f"{name}: {how}, {self.seconds[name]:.0f} s", flush=True)
        return trained

    def _write(self, rows: pd.DataFrame, path: Path, *, unit: Unit) -> None:
        """Write inner predictions, outer fold by outer fold; 0 is the network of everyone."""
        in_turn = [
            in_order(one, unit=unit, models=[MODEL, TWIN])
            for _, one in rows.groupby(["repeat", "outer_fold"])
        ]
        schema = inner_predictions_schema(self.cohort.target, unit=unit)
        write_table(pd.concat(in_turn, ignore_index=True), path, schema=schema)
