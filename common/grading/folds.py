"""Patient-grouped folds, made once and shared by every grader and by the image branch.

Folds are made over every labelled photograph of the manifest, readable or not, so that a branch
which can use a photograph that another cannot still tests it in the same fold. Each user of the
folds drops what it cannot use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pandera.pandas as pa

from common.arrays import Floats, Ints, Names, Places
from common.errors import UserError
from common.files import natural_key
from common.tables import read_table, severities, sort_naturally, text, write_table
from common.words import counted

FoldMethod = Literal["stratified", "shuffled", "leave_one_patient_out", "repeated_holdout"]
HOLDOUTS, HELD_OUT = 10, 0.25  # draws of `repeated_holdout`, and the share of patients in each

FOLDS = pa.DataFrameSchema(
    {
        "image_id": text(),
        "patient_id": text(),
        "repeat": pa.Column("int64", pa.Check.ge(1, error="be 1 or more")),
        "fold": pa.Column("int64", pa.Check.ge(1, error="be 1 or more")),
    },
    name="folds",
)
"""`folds.csv`: a row says that this photograph is tested in this fold of this repeat.

A fold may learn from everybody whom it does not test; photographs of a tested patient that are not
in the table are neither learned from nor tested there. Repeats and folds count from 1. With
shuffled folds a photograph may be tested in several folds of a repeat, or in none.
"""


@dataclass(frozen=True)
class Split:
    """One fold of one repeat, as row numbers of the samples that were asked about.

    `dropped` are rows of tested patients that the table does not name: learning from them would
    let the grader know the patient.
    """

    repeat: int
    fold: int
    train: Places
    test: Places
    dropped: Places = field(default_factory=lambda: np.empty(0, dtype=np.intp))

    def seed(self, seed: int, purpose: str) -> int:
        """Return a seed of its own for every purpose, repeat and fold, the same in any process."""
        name = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4])
        sequence = np.random.SeedSequence([seed, name, self.repeat, self.fold])
        return int(sequence.generate_state(1)[0] & 0x7FFFFFFF)


def make_folds(
    photographs: pd.DataFrame,
    *,
    method: FoldMethod = "stratified",
    n_folds: int = 5,
    repeats: int | None = None,
    seed: int = 0,
    score: str | None = None,
) -> pd.DataFrame:
    """Deal whole patients into folds, by the schema `FOLDS`; the same seed gives the same folds.

    `photographs` are the labelled ones: `image_id`, `patient_id`, and `hb_grade` or `palsy_class`,
    which only `stratified` looks at (a patient of several grades is dealt with the highest; where
    none is known at all, by the column `score`). `stratified`: the patients of each grade are
    shuffled and dealt out in turn, so that folds differ by at most one patient of a grade, and in
    all. `shuffled`: each fold is a random draw of one in `n_folds` patients.
    `leave_one_patient_out`: every patient is a fold. `repeated_holdout`: each repeat is one random
    draw of a quarter of the patients, who are tested. `repeats` is once when not given, `HOLDOUTS`
    times for `repeated_holdout`.
    """
    patients = _patients(photographs, score=score)
    if repeats is None:
        repeats = HOLDOUTS if method == "repeated_holdout" else 1
    if method == "leave_one_patient_out":
        n_folds, repeats = len(patients), 1
    if n_folds < 2 or repeats < 1:
        raise UserError(
            f"Asked for: {counted(n_folds, 'fold')} and {counted(repeats, 'repeat')}; give at "
            "least 2 folds and 1 repeat."
        )
    if len(patients) < (2 if method == "repeated_holdout" else max(2, n_folds)):
        raise UserError(
            f"{counted(len(patients), 'patient')} for {counted(n_folds, 'fold')}: whole patients "
            "are held out, so give at most as many folds as patients (--n-folds)."
        )
    tables = []
    for repeat in range(1, repeats + 1):
        rng = np.random.default_rng([seed, repeat])
        if method == "stratified":
            fold = _dealt(patients.to_numpy(dtype=np.float64), n_folds=n_folds, rng=rng)
            tested = pd.DataFrame({"patient_id": patients.index, "fold": fold})
        elif method == "shuffled":
            tested = _draw(patients, n_folds=n_folds, size=len(patients) / n_folds, rng=rng)
        elif method == "repeated_holdout":
            tested = _draw(patients, n_folds=1, size=HELD_OUT * len(patients), rng=rng)
        else:
            tested = pd.DataFrame({"patient_id": patients.index, "fold": np.arange(1, n_folds + 1)})
        rows = photographs[["image_id", "patient_id"]].merge(tested, on="patient_id")
        rows.insert(2, "repeat", repeat)
        tables.append(rows)
    return sort_naturally(pd.concat(tables), ["repeat", "image_id", "fold"], key="image_id")


def folds_by(photographs: pd.DataFrame, *, column: str) -> tuple[pd.DataFrame, list[str]]:
    """Make each value of a column, a site for instance, one fold; values in natural order.

    Whoever occurs at several sites is tested at each of them with all photographs, and so learned
    from in none of these folds. Returns the table, by `FOLDS`, and the value that each fold tests.
    Refused (`UserError`): a column that is not there, has gaps, or holds one value only.
    """
    if column not in photographs.columns:
        raise UserError(
            f'--hold-out-by {column}: there is no such column; fill "{column}" in the manifest.'
        )
    gaps = photographs.loc[photographs[column].isna(), "image_id"]
    if len(gaps):
        raise UserError(
            f'--hold-out-by {column}: {counted(len(gaps), "photograph")} ("{gaps.iat[0]}" first) '
            "have no value there, so nobody knows where to hold them out; fill the column."
        )
    values = photographs[column].astype(str)
    names = sorted(values.unique(), key=natural_key)
    if len(names) < 2:
        raise UserError(
            f'--hold-out-by {column}: everybody has "{names[0]}" there; it needs two values or '
            "more, one to test on and others to learn from."
        )
    where = pd.DataFrame(
        {"patient_id": photographs["patient_id"], "fold": values.map(names.index) + 1}
    ).drop_duplicates()
    rows = photographs[["image_id", "patient_id"]].merge(where, on="patient_id")
    rows.insert(2, "repeat", 1)
    return sort_naturally(rows, ["repeat", "image_id", "fold"], key="image_id"), names


def photograph_level_folds_for_leak_demonstration(
    photographs: pd.DataFrame, *, n_folds: int = 5, seed: int = 0
) -> pd.DataFrame:
    """Deal single photographs into folds: wrong on purpose, and offered by no command.

    A patient's photographs then lie on both sides of the split, and a grader that only recognises
    the patient looks good. A notebook and the tests show how large that mistake is.
    """
    order = np.random.default_rng(seed).permutation(len(photographs))
    fold = np.empty(len(photographs), dtype=np.int64)
    fold[order] = np.arange(len(photographs)) % n_folds + 1
    rows = photographs[["image_id", "patient_id"]].assign(repeat=1, fold=fold)
    return sort_naturally(rows, ["repeat", "image_id", "fold"], key="image_id")


def write_folds(folds: pd.DataFrame, path: Path) -> None:
    """Write `folds.csv`."""
    write_table(folds, path, schema=FOLDS)


def read_folds(path: Path) -> pd.DataFrame:
    """Read `folds.csv` and refuse one that would test a patient on itself.

    Refused (`UserError`) is a photograph named twice in one fold, and a patient of whom only some
    photographs are tested in a fold.
    """
    folds = read_table(path, schema=FOLDS)
    twice = folds[folds.duplicated(["image_id", "repeat", "fold"])]
    if len(twice):
        raise UserError(
            f'{path}, row {twice.index[0] + 2}: "{twice.image_id.iat[0]}" is already tested in '
            "this fold; keep one row for it."
        )
    all_photos = folds.groupby("patient_id")["image_id"].nunique()
    tested = folds.groupby(["repeat", "fold", "patient_id"])["image_id"].nunique()
    of_patient = all_photos.loc[tested.index.get_level_values("patient_id")].to_numpy()
    parted = tested[tested.to_numpy() < of_patient]
    if len(parted):
        repeat, fold, patient = parted.index[0]
        raise UserError(
            f'{path}: patient "{patient}" is only partly tested in fold {fold} of repeat '
            f"{repeat}, so the patient would be learned from and tested at once; keep all "
            "photographs of a patient in the same fold."
        )
    return folds


def splits(folds: pd.DataFrame, ids: pd.Series, *, patients: Names | pd.Series) -> Iterator[Split]:
    """Yield every fold as row numbers of `ids`, leaving out photographs it does not know.

    Nobody is learned from in a fold that tests them, whether or not the table names all their
    photographs. `ids` are usable photographs (or patients), `patients` the patient of each. Folds
    of another cohort are refused (`UserError`).
    """
    index, own = pd.Index(ids), np.asarray(patients, dtype=np.str_)
    if not index.isin(folds["image_id"]).any():
        raise UserError(
            f'None of the photographs ("{ids.iat[0]}", ...) is in the folds '
            f'("{folds["image_id"].iat[0]}", ...): make the folds from the same manifest.'
        )
    everyone = np.arange(len(index))
    for key, rows in folds.groupby(["repeat", "fold"], sort=True):
        repeat, fold = (int(str(part)) for part in key)
        test = np.flatnonzero(index.isin(rows["image_id"]))  # a patient may have several visits
        tested = np.isin(own, np.union1d(own[test], rows["patient_id"].to_numpy(dtype=np.str_)))
        dropped = np.setdiff1d(np.flatnonzero(tested), test)
        yield Split(repeat, fold, everyone[~tested], test, dropped)


def inner_splits(
    labels: Ints | Floats, patients: Names, *, n_folds: int = 5, seed: int = 0
) -> list[tuple[Places, Places]]:
    """Deal the patients of a training fold once more, stratified, for use inside it.

    By class number or score, in turn, from the lowest to the highest. Returns row numbers (train,
    test) of at most `n_folds` inner folds, none when there is only one patient.
    """
    names, at = np.unique(patients, return_inverse=True)
    if len(names) < 2:
        return []
    highest = np.full(len(names), -np.inf)
    np.maximum.at(highest, at, labels)
    n_folds = min(n_folds, len(names))
    fold = _dealt(highest, n_folds=n_folds, rng=np.random.default_rng([seed, 0]))[at]
    return [
        (np.flatnonzero(fold != number), np.flatnonzero(fold == number))
        for number in range(1, n_folds + 1)
    ]


def folds_of_patients(folds: pd.DataFrame) -> pd.DataFrame:
    """Return the same folds with one row per patient, named by the patient."""
    rows = folds.drop_duplicates(["patient_id", "repeat", "fold"])
    return rows.assign(image_id=rows["patient_id"]).reset_index(drop=True)


def _patients(photographs: pd.DataFrame, *, score: str | None) -> pd.Series:
    """Return the strongest palsy of each patient (0 without one), patients in natural order.

    Where none is known of anybody, the highest score.
    """
    strength = severities(photographs)
    if score is not None and strength.isna().all():
        strength = photographs[score].astype(np.float64)
    highest = strength.fillna(0.0).groupby(photographs["patient_id"]).max()
    return highest.loc[sorted(highest.index, key=natural_key)]


def _dealt(highest: Floats, *, n_folds: int, rng: np.random.Generator) -> Ints:
    """Shuffle the patients of each grade and deal all of them in turn, like cards; folds from 1."""
    shuffled = [rng.permutation(np.flatnonzero(highest == grade)) for grade in np.unique(highest)]
    fold = np.empty(len(highest), dtype=np.int64)
    fold[np.concatenate(shuffled)] = np.arange(len(highest)) % n_folds + 1
    return fold


def _draw(
    patients: pd.Series, *, n_folds: int, size: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Draw the tested patients of each fold afresh."""
    n = max(1, round(size))
    draws = [rng.choice(patients.index.to_numpy(), size=n, replace=False) for _ in range(n_folds)]
    return pd.DataFrame(
        {"patient_id": np.concatenate(draws), "fold": np.repeat(np.arange(1, n_folds + 1), n)}
    )
