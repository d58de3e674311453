"""Two or more prediction tables laid side by side, once they are known to belong together.

Comes from the `predictions.csv` of each branch; goes to `classifiers.branch_comparison` and
`classifiers.fusion`. Tables that test other patients, other folds or other grades are refused
here, because every paired number that followed would be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from classifiers.graders import GRADERS, MAJORITY
from classifiers.predictions import (
    KEY,
    Unit,
    read_either_unit,
    to_patients,
)
from classifiers.tasks import Target
from common.errors import UserError, did_you_mean
from common.files import natural_key

SHOWN = 3  # how many names a refusal gives


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
        """Return one long table, the branch's name as `model`, for `classifiers.evaluation`."""
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
    tables: Sequence[Path], *, target: Target, models: Sequence[str] = ()
) -> list[Branch]:
    """Read one model from each prediction table.

    Parameters
    ----------
    tables
        `predictions.csv` files, of photographs or of patients.
    models
        Which model of each table, in the order of the tables; not needed for a table with a
        single model besides baselines.

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
        frame, unit = read_either_unit(path, target=target)
        model = _model_of(frame, path, asked=models[at] if models else None)
        rows = frame[frame["model"] == model].reset_index(drop=True)
        found.append((str(rows["branch"].iat[0]), model, unit, rows, path))
    names = _names([(branch, model, path) for branch, model, _, _, path in found])
    return [
        Branch(name, branch, model, unit, rows, path)
        for name, (branch, model, unit, rows, path) in zip(names, found, strict=True)
    ]


def shared_levels(
    branches: Sequence[Branch], *, target: Target, shared_only: bool = False
) -> list[SharedAnswers]:
    """Lay the branches side by side, per photograph (when all have photographs) and per patient.

    Parameters
    ----------
    shared_only
        Leave out what some table lacks, in place of refusing; folds and truths must agree anyway.

    Raises
    ------
    UserError
        When patients, photographs, folds or truths differ; the sentence names the first few.
    """
    levels = []
    if all(branch.unit == "photograph" for branch in branches):
        tables = [branch.rows for branch in branches]
        tables = _checked(
            tables, branches, target=target, unit="photograph", shared_only=shared_only
        )
        levels.append(_side_by_side(tables, branches, target=target, unit="photograph"))
        branches = [
            Branch(b.name, b.branch, b.model, b.unit, rows, b.source)
            for b, rows in zip(branches, tables, strict=True)
        ]
    tables = [
        branch.rows if branch.unit == "patient" else to_patients(branch.rows, target=target)
        for branch in branches
    ]
    tables = _checked(tables, branches, target=target, unit="patient", shared_only=shared_only)
    levels.append(_side_by_side(tables, branches, target=target, unit="patient"))
    return levels


def majority_answers(shared: SharedAnswers) -> pd.DataFrame:
    """Return rows of the dumb baseline: always the commonest class of the fold's training rows.

    The training rows of a fold are the rows of its repeat that it does not test.
    """
    k = len(shared.target.classes)
    chances = np.zeros((len(shared.rows), k))
    truth, repeat = shared.truth, shared.rows["repeat"].to_numpy()
    fold = shared.rows["fold"].to_numpy()
    for number, part in sorted(set(zip(repeat.tolist(), fold.tolist(), strict=True))):
        tested = (repeat == number) & (fold == part)
        learned = truth[(repeat == number) & (fold != part)]
        commonest = np.bincount(learned - 1, minlength=k).argmax() if len(learned) else 0
        chances[tested, commonest] = 1.0
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


def _checked(
    tables: list[pd.DataFrame],
    branches: Sequence[Branch],
    *,
    target: Target,
    unit: Unit,
    shared_only: bool,
) -> list[pd.DataFrame]:
    """Return the tables once they agree; refuse them with the differences named."""
    sources = [branch.source for branch in branches]
    for keys, word in (
        (["patient_id"], "patients"),
        ([KEY[unit]], f"{unit}s"),
        (["repeat", KEY[unit]], f"repeats of {unit}s"),
    ):
        sets = [set(table[keys].itertuples(index=False, name=None)) for table in tables]
        common = set.intersection(*sets)
        if shared_only:
            if not common:
                raise UserError(f"The tables have no {word} in common: nothing can be compared.")
            tables = [
                table[[key in common for key in table[keys].itertuples(index=False, name=None)]]
                for table in tables
            ]
            continue
        for found, source in zip(sets, sources, strict=True):
            missing = set.union(*sets) - found
            if missing:
                raise UserError(
                    f"{source} lacks {len(missing)} {word} that the other tables have "
                    f"({_listed(_word(keys, key) for key in missing)}): test every branch on the "
                    "same folds.csv (--fold-table), or give --shared-only to leave them out."
                )
    for column, keys, advice in (
        ("patient_id", [KEY[unit]], "make both tables with the same manifest"),
        (target.column, [KEY[unit]], "make both tables with the same manifest"),
        ("fold", ["repeat", KEY[unit]], "test every branch on the same folds.csv (--fold-table)"),
    ):
        values = [_values(table, keys, column) for table in tables]
        for other, source in zip(values[1:], sources[1:], strict=True):
            differ = [key for key in values[0] if other[key] != values[0][key]]
            if differ:
                raise UserError(
                    f"{sources[0]} and {source} disagree on the {column} of {len(differ)} "
                    f"{unit}{'s'[: len(differ) > 1]} ("
                    + _listed(
                        f"{_word(keys, key)}: {_words(values[0][key])} and {_words(other[key])}"
                        for key in differ
                    )
                    + f"): {advice}."
                )
    return tables


def _values(
    table: pd.DataFrame, keys: list[str], column: str
) -> dict[tuple[object, ...], frozenset[object]]:
    """Return which values of a column each item has; several with several visits or folds."""
    rows = table[keys].itertuples(index=False, name=None)
    found: dict[tuple[object, ...], set[object]] = {}
    for key, value in zip(rows, table[column], strict=True):
        found.setdefault(key, set()).add(value)
    return {key: frozenset(values) for key, values in found.items()}


def _word(keys: list[str], key: tuple[object, ...]) -> str:
    name = f'"{key[-1]}"'
    return f"{name} in repeat {key[0]}" if keys[0] == "repeat" else name


def _words(values: frozenset[object]) -> str:
    return " and ".join(sorted(map(str, values), key=natural_key))


def _listed(words: object) -> str:
    """Return the first few in natural order, and how many there are besides."""
    ordered = sorted(map(str, words), key=natural_key)  # type: ignore[call-overload]
    more = "" if len(ordered) <= SHOWN else f" and {len(ordered) - SHOWN} more"
    return ", ".join(ordered[:SHOWN]) + more


def _side_by_side(
    tables: list[pd.DataFrame], branches: Sequence[Branch], *, target: Target, unit: Unit
) -> SharedAnswers:
    """Put the rows of all tables into one order."""
    columns = list(dict.fromkeys(["repeat", "fold", KEY[unit], "patient_id", target.column]))
    ordered = []
    for table, branch in zip(tables, branches, strict=True):
        twice = table.duplicated(columns)
        if twice.any():
            raise UserError(
                f'{branch.source} answers "{table.loc[twice, KEY[unit]].iat[0]}" twice in the same '
                "fold: keep one row for it."
            )
        natural = {key: natural_key(str(key)) for key in table[KEY[unit]].unique()}
        keys = [
            (repeat, natural[key], fold, str(truth))
            for repeat, key, fold, truth in zip(
                table["repeat"], table[KEY[unit]], table["fold"], table[target.column], strict=True
            )
        ]
        order = sorted(range(len(table)), key=keys.__getitem__)
        ordered.append(table.iloc[order].reset_index(drop=True))
    place = {
        answer: number
        for number, answer in enumerate(
            target.named(np.arange(1, len(target.classes) + 1)), start=1
        )
    }
    names = tuple(branch.name for branch in branches)
    chances = [t[list(target.probability_columns)].to_numpy(dtype=np.float64) for t in ordered]
    answers: list[NDArray[np.int64]] = [
        t["predicted"].map(place).to_numpy(dtype=np.int64) for t in ordered
    ]
    return SharedAnswers(
        unit=unit,
        target=target,
        rows=ordered[0][columns],
        names=names,
        chances=dict(zip(names, chances, strict=True)),
        answers=dict(zip(names, answers, strict=True)),
    )
