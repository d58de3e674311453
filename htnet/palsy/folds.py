"""Who learns, who chooses the epoch and who is tested: folds of a cohort, and folds inside them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.errors import UserError
from common.grading.folds import inner_splits, read_folds, splits
from common.tables import read_table
from htnet.palsy.cohort import ImageCohort
from htnet.palsy.training import PATIENTS, SEEN_PATIENTS, WEIGHTS

FOLDS_FILE = "folds.csv"
EVERYONE = "everyone"  # folder of the network that learned from all patients
NO_FOLD = 0  # number of its fold, since it tests nobody
NOBODY: NDArray[np.intp] = np.empty(0, dtype=np.intp)


@dataclass(frozen=True)
class FoldPart:
    """One fold: rows to learn from, rows that choose the epoch, rows to test; patients apart."""

    repeat: int
    fold: int
    train: NDArray[np.intp]
    validation: NDArray[np.intp]
    test: NDArray[np.intp]

    @property
    def learned(self) -> NDArray[np.intp]:
        """Rows of all patients who had a say, in order."""
        return np.sort(np.concatenate([self.train, self.validation]))

    @property
    def name(self) -> str:
        """What a message calls it."""
        return EVERYONE if self.fold == NO_FOLD else f"repeat {self.repeat}, fold {self.fold}"

    def folder(self, out: Path) -> Path:
        """Return where its weights lie."""
        if self.fold == NO_FOLD:
            return out / EVERYONE
        return out / f"repeat_{self.repeat}" / f"fold_{self.fold}"

    def inner_folder(self, out: Path, inner: FoldPart) -> Path:
        """Return where the weights of a fold inside it lie."""
        return self.folder(out) / f"inner_{inner.fold}"


def fold_parts(
    folds: pd.DataFrame, cohort: ImageCohort, *, validation_folds: int, seed: int
) -> Iterator[FoldPart]:
    """Yield every fold; validation patients are dealt from among the training patients."""
    for split in splits(folds, cohort.rows["image_id"], patients=cohort.data.patients):
        learn, choose = _dealt(
            cohort, split.train, n_folds=validation_folds, seed=seed, name=f"Fold {split.fold}"
        )[0]
        yield FoldPart(split.repeat, split.fold, learn, choose, split.test)


def everyone_part(
    folds: pd.DataFrame, cohort: ImageCohort, *, validation_folds: int, seed: int
) -> FoldPart:
    """Return a fold that tests nobody: one fold's validation patients choose the epoch."""
    first = next(fold_parts(folds, cohort, validation_folds=validation_folds, seed=seed))
    learn = np.setdiff1d(np.arange(len(cohort.rows)), first.validation)
    return FoldPart(1, NO_FOLD, learn, first.validation, NOBODY)


def inner_parts(
    part: FoldPart, cohort: ImageCohort, *, n_folds: int, validation_folds: int, seed: int
) -> list[FoldPart]:
    """Deal a fold's own patients, training and validation, into inner folds.

    Those that it tests occur in none of them. There are at most as many as patients.
    """
    made = []
    name = f"Fold {part.fold}"
    inner = _dealt(cohort, part.learned, n_folds=n_folds, seed=seed, name=name)
    for number, (rest, held_out) in enumerate(inner, start=1):
        learn, choose = _dealt(
            cohort, rest, n_folds=validation_folds, seed=seed, name=f"{name}, inner {number}"
        )[0]
        made.append(FoldPart(part.repeat, number, learn, choose, held_out))
    return made


def evaluated_parts(trained: Path, cohort: ImageCohort) -> dict[Path, FoldPart]:
    """Return each network's weights, with those that it tests and really learned from.

    `trained`: folder of `htnet train` with its `folds.csv`; or one network, which tests every
    patient from whom it did not learn. UserError when no network is there, or one would be tested
    on a patient from whom it learned.
    """
    if (trained / FOLDS_FILE).exists():
        parts = trained_parts(trained, read_folds(trained / FOLDS_FILE), cohort)
        return {part.folder(trained) / WEIGHTS: part for part in parts}
    files = [trained] if trained.is_file() else trained_files(trained)
    if len(files) != 1:
        raise UserError(f"{trained} holds no {FOLDS_FILE}: give the folder that htnet train wrote.")
    part = _unseen_part(files[0], cohort)
    tested, there = (len(set(cohort.data.patients[rows])) for rows in (part.test, slice(None)))
    if (files[0].parent / PATIENTS).exists():
        print(
            f"One network is tested on {tested} of {there} patients, those from whom it did not "
            "learn; there is no baseline, since its training patients are not here.",
            file=sys.stderr,
        )
    else:
        print(
            f"Warning: nobody can tell whether this network learned from the {tested} patients "
            "that it is tested on; if it did, its scores are too good. There is no baseline.",
            file=sys.stderr,
        )
    return {files[0]: part}


def trained_parts(trained: Path, folds: pd.DataFrame, cohort: ImageCohort) -> list[FoldPart]:
    """Return the folds whose networks are there, with the patients that these really learned from.

    UserError when no fold is there, or a network would be tested on a patient from whom it learned.
    """
    found = []
    patients = cohort.data.patients
    for split in splits(folds, cohort.rows["image_id"], patients=patients):
        part = FoldPart(split.repeat, split.fold, NOBODY, NOBODY, split.test)
        folder = part.folder(trained)
        if not (folder / WEIGHTS).exists():
            continue
        seen = read_table(folder / PATIENTS, schema=SEEN_PATIENTS)
        both = sorted(set(seen["patient_id"]) & set(patients[part.test]))
        if both:
            raise UserError(
                f'{folder} learned from patient "{both[0]}", whom folds.csv has it tested on: '
                "train again with these folds."
            )
        rows = {
            name: np.flatnonzero(np.isin(patients, of["patient_id"].to_numpy(dtype=np.str_)))
            for name, of in seen.groupby("part")
        }
        chose = rows.get("validation", NOBODY)
        found.append(replace(part, train=rows["train"], validation=chose))
    if not found:
        raise UserError(f"{trained} holds no trained fold: run htnet train first.")
    return found


def _unseen_part(weights: Path, cohort: ImageCohort) -> FoldPart:
    """Return one fold that tests every patient from whom a single network did not learn."""
    data, path = cohort.data, weights.parent / PATIENTS
    seen = read_table(path, schema=SEEN_PATIENTS)["patient_id"] if path.exists() else ()
    known = np.isin(data.patients, np.array(seen, dtype=np.str_))
    if known.all():
        raise UserError(
            f"{weights} learned from all these patients: evaluate it on others, or train folds."
        )
    return FoldPart(1, NO_FOLD, NOBODY, NOBODY, np.flatnonzero(~known))


def trained_files(folder: Path) -> list[Path]:
    """Return the weights in a folder of `htnet train`: of everyone if there, else of its folds.

    Networks of inner folds are left out: they learned from fewer patients.
    """
    for pattern in (WEIGHTS, f"{EVERYONE}/{WEIGHTS}", f"repeat_*/fold_*/{WEIGHTS}",
                    f"fold_*/{WEIGHTS}"):  # fmt: skip
        found = sorted(folder.glob(pattern))
        if found:
            return found
    return []


def _dealt(
    cohort: ImageCohort, rows: NDArray[np.intp], *, n_folds: int, seed: int, name: str
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Deal the patients of some rows; (rest, dealt) row numbers of the cohort."""
    data = cohort.data
    dealt = inner_splits(data.labels[rows], data.patients[rows], n_folds=n_folds, seed=seed)
    if not dealt:
        raise UserError(
            f"{name} has a single training patient, so none is left to choose the epoch: use "
            "fewer folds."
        )
    return [(rows[rest], rows[held_out]) for rest, held_out in dealt]
