"""Branches that answered the same questions: one model of each prediction table, side by side.

Comes from the `predictions.csv` of each branch; `classifiers.branches.alignment` checks that they
belong together, `classifiers.branches.comparison` and `classifiers.branches.fusion` work on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from classifiers.graders.registry import GRADERS
from common.errors import UserError, did_you_mean
from common.grading.baseline import MAJORITY, commonest_class
from common.grading.predictions import Unit, read_either_unit
from common.grading.target import Target


@dataclass(frozen=True)
class Branch:
    """One model of one prediction table.

    Attributes
    ----------
    name
        What reports and tables call it: the branch (`geometric`, `deep`), with the model behind
        it where two tables are of the same branch.
    branch, model
        As they stand in the table.
    unit
        What its table has a row for.
    rows
        The model's rows.
    source
        The file, for error sentences.
    """

    name: str
    branch: str
    model: str
    unit: Unit
    rows: pd.DataFrame
    source: Path


@dataclass(frozen=True)
class SharedAnswers:
    """What every branch answered to the same photographs or patients, row by row.

    Attributes
    ----------
    unit, target
        What was answered, and the question.
    rows
        `(n,)` rows: `repeat`, `fold`, `image_id` (of photographs), `patient_id` and the truth, in
        the order of repeat and natural order of the key.
    names
        Names of the branches.
    chances
        By branch name, `(n, k)` probabilities of the same rows.
    answers
        By branch name, `(n,)` class numbers from 1, as the tables say.
    """

    unit: Unit
    target: Target
    rows: pd.DataFrame
    names: tuple[str, ...]
    chances: Mapping[str, NDArray[np.float64]]
    answers: Mapping[str, NDArray[np.int64]]

    @property
    def truth(self) -> NDArray[np.int64]:
        """`(n,)` class numbers of the reference."""
        return self.target.numbers(self.rows)

    @property
    def patients(self) -> NDArray[np.str_]:
        """`(n,)` patient of each row."""
        patients: NDArray[np.str_] = self.rows["patient_id"].to_numpy(dtype=np.str_)
        return patients

    def stacked(self) -> NDArray[np.float64]:
        """Return the probabilities of all branches, `(n, branches, k)`."""
        return np.stack([self.chances[name] for name in self.names], axis=1)

    def expected(self, name: str) -> NDArray[np.float64]:
        """Return the expected class number of one branch, `(n,)`: the mean of its probabilities."""
        numbers = np.arange(1, len(self.target.classes) + 1, dtype=np.float64)
        mean: NDArray[np.float64] = self.chances[name] @ numbers
        return mean

    def predictions(self) -> pd.DataFrame:
        """Return one long table, the branch's name as `model`, for `common.grading.evaluation`."""
        tables = []
        for name in self.names:
            table = self.rows.assign(
                predicted=pd.Series(self.target.named(self.answers[name]), index=self.rows.index),
                model=name,
            )
            table[list(self.target.probability_columns)] = self.chances[name]
            tables.append(table)
        return pd.concat(tables, ignore_index=True)


def read_branches(
    tables: Sequence[Path], *, target: Target, models: Sequence[str] = (), inner: bool = False
) -> list[Branch]:
    """Read one model from each prediction table.

    Parameters
    ----------
    tables
        `predictions.csv` files, of photographs or of patients.
    models
        Which model of each table, in the order of the tables; not needed for a table with a
        single model besides baselines.
    inner
        Whether the tables are `inner_predictions.csv`.

    Raises
    ------
    UserError
        When a table holds several models and none is named: choosing the best of them after the
        fact would make it look better than it is.
    """
    if models and len(models) != len(tables):
        raise UserError(
            f"{len(models)} models are named for {len(tables)} tables: name one for each table, "
            "in their order (--models)."
        )
    found = []
    for at, path in enumerate(tables):
        frame, unit = read_either_unit(path, target=target, inner=inner)
        model = _model_of(frame, path, asked=models[at] if models else None)
        rows = frame[frame["model"] == model].reset_index(drop=True)
        found.append((str(rows["branch"].iat[0]), model, unit, rows, path))
    names = _names([(branch, model, path) for branch, model, _, _, path in found])
    return [
        Branch(name, branch, model, unit, rows, path)
        for name, (branch, model, unit, rows, path) in zip(names, found, strict=True)
    ]


def majority_answers(shared: SharedAnswers) -> pd.DataFrame:
    """Return rows of the dumb baseline: always the commonest class of the fold's training patients.

    These are the patients whom the fold does not test. With random draws a tested patient stands
    in other folds too, and has no say all the same.
    """
    k = len(shared.target.classes)
    chances = np.zeros((len(shared.rows), k))
    truth, repeat = shared.truth, shared.rows["repeat"].to_numpy()
    fold = shared.rows["fold"].to_numpy()
    patients = shared.rows["patient_id"].to_numpy(dtype=np.str_)
    for number, part in sorted(set(zip(repeat.tolist(), fold.tolist(), strict=True))):
        tested = (repeat == number) & (fold == part)
        learned = ~np.isin(patients, patients[tested])
        chances[tested, commonest_class(truth[learned] - 1, patients[learned])] = 1.0
    answers = shared.target.named(shared.target.answers(chances))
    table = shared.rows.assign(
        predicted=pd.Series(answers, index=shared.rows.index), model=MAJORITY
    )
    table[list(shared.target.probability_columns)] = chances
    return table


def _model_of(frame: pd.DataFrame, path: Path, *, asked: str | None) -> str:
    models = [str(name) for name in frame["model"].unique()]
    if asked is not None:
        if asked not in models:
            raise UserError(
                f'{path} has no model "{asked}": it holds {", ".join(models)}.'
                + did_you_mean(asked, models)
            )
        return asked
    learners = [name for name in models if not (name in GRADERS and GRADERS[name].baseline)]
    if len(learners) != 1:
        raise UserError(
            f"{path} holds {len(learners)} models ({', '.join(learners or models)}): name the one "
            "of each table that you decided on before seeing the scores (--models)."
        )
    return learners[0]


def _names(found: list[tuple[str, str, Path]]) -> list[str]:
    """Return the shortest names that tell the branches apart."""
    for named in (
        [branch for branch, _, _ in found],
        [f"{branch} ({model})" for branch, model, _ in found],
    ):
        if len(set(named)) == len(named):
            return named
    return [f"{branch} ({model}) {at}" for at, (branch, model, _) in enumerate(found, start=1)]
