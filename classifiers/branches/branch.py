"""Branches that answered the same questions: one model of each prediction table, side by side.

Comes from the `predictions.csv` of each branch; `classifiers.branches.alignment` checks that they
belong together, `classifiers.branches.comparison` and `classifiers.branches.fusion` work on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from classifiers.graders.registry import is_baseline
from common.arrays import Floats, Ints, Names, Places
from common.errors import UserError, did_you_mean
from common.grading.evaluation import (
    MEDIAN,
    Evaluation,
    NumericEvaluation,
    evaluate,
    evaluate_numbers,
)
from common.grading.numeric_target import NUMERIC, AnyTarget, NumericTarget, any_target
from common.grading.predictions import TWIN, Unit, read_either_unit
from common.grading.target import MAJORITY, TARGETS, Target, commonest_class
from common.tables import read_table
from common.words import counted
from landmarks.tables import points_source_of_run


@dataclass(frozen=True)
class Branch:
    """One model of one prediction table, with its rows, and the file for error sentences.

    `name` is what reports and tables call it: the branch (`geometric`, `deep`), with the model
    behind it where two tables are of the same branch.
    """

    name: str
    branch: str
    model: str
    unit: Unit
    rows: pd.DataFrame
    source: Path


def with_points_source(text: str, branches: Sequence[Branch]) -> str:
    """Add to a text of how many photographs of each branch the points were corrected.

    As the `run.json` of each branch records it; nothing where no branch had any.
    """
    found = {one.name: points_source_of_run(one.source.parent) for one in branches}
    known = {name: source for name, source in found.items() if source is not None}
    if not any(source.corrected for source in known.values()):
        return text
    told = (source.sentence() or "no corrected points." for source in known.values())
    return " ".join([text, *(f"{name}: {said}" for name, said in zip(known, told, strict=True))])


@dataclass(frozen=True)
class SharedAnswers:
    """What every branch answered to the same photographs or patients, row by row.

    `rows` are `repeat`, `fold`, `image_id` (of photographs), `patient_id` and the truth, in the
    order of repeat and natural order of the key. By branch name, `chances` are `(n, k)`
    probabilities and `answers` `(n,)` class numbers from 1, as the tables say. Where the answer is
    a number, `chances` are `(n, 1)`, the number itself, and there are no `answers`.
    """

    unit: Unit
    target: AnyTarget
    rows: pd.DataFrame
    names: tuple[str, ...]
    chances: Mapping[str, Floats]
    answers: Mapping[str, Ints]

    @property
    def numeric(self) -> NumericTarget | None:
        """The target where it is a number."""
        return self.target if isinstance(self.target, NumericTarget) else None

    @property
    def classes(self) -> Target:
        """The target where it is of classes, for what only these have."""
        assert isinstance(self.target, Target)
        return self.target

    @property
    def truth(self) -> Ints:
        """`(n,)` class numbers of the reference."""
        return self.target.numbers(self.rows)

    @property
    def reference(self) -> Floats:
        """`(n,)` class number or score of the reference."""
        if self.numeric is not None:
            return self.numeric.values(self.rows)
        return self.truth.astype(np.float64)

    def said(self, name: str) -> Floats:
        """Return the answer of one branch, `(n,)`: class number or score."""
        if self.numeric is not None:
            return self.chances[name][:, 0]
        return self.answers[name].astype(np.float64)

    @property
    def patients(self) -> Names:
        """`(n,)` patient of each row."""
        return self.rows["patient_id"].to_numpy(dtype=np.str_)

    def stacked(self) -> Floats:
        """Return the probabilities of all branches, `(n, branches, k)`."""
        return np.stack([self.chances[name] for name in self.names], axis=1)

    def expected(self, name: str) -> Floats:
        """Return the expected class number of one branch, `(n,)`, or its score."""
        if self.numeric is not None:
            return self.said(name)
        numbers = np.arange(1, len(self.classes.classes) + 1, dtype=np.float64)
        return self.chances[name] @ numbers

    def learned_in(self, repeat: int, fold: int) -> Places:
        """Return, of inner answers, the row numbers of the training patients of one outer fold."""
        rows = self.rows
        return np.flatnonzero((rows["repeat"] == repeat) & (rows["outer_fold"] == fold))

    def at(self, rows: Places) -> SharedAnswers:
        """Return the given rows only."""
        return replace(
            self,
            rows=self.rows.iloc[rows].reset_index(drop=True),
            chances={name: found[rows] for name, found in self.chances.items()},
            answers={name: found[rows] for name, found in self.answers.items()},
        )

    def with_models(self, chances: Mapping[str, Floats]) -> SharedAnswers:
        """Return the same rows with more models, which answer by the target's rule."""
        asked = {} if self.numeric is not None else chances
        answers = {name: self.classes.answers(found) for name, found in asked.items()}
        return replace(
            self,
            names=(*self.names, *chances),
            chances={**self.chances, **chances},
            answers={**self.answers, **answers},
        )

    def predictions(self) -> pd.DataFrame:
        """Return one long table, the branch's name as `model`, for `common.grading.evaluation`."""
        tables = []
        for name in self.names:
            table = self.rows.assign(model=name)
            if self.numeric is not None:
                table = table.assign(predicted=self.said(name), low=np.nan, high=np.nan)
            else:
                table["predicted"] = self.classes.named(self.answers[name])
                table[list(self.classes.probability_columns)] = self.chances[name]
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    def evaluation(self, *, seed: int = 0) -> Evaluation | NumericEvaluation:
        """Score every branch, and always answering the commonest class, or the median score."""
        table = with_baseline(self).predictions()
        if self.numeric is not None:
            return evaluate_numbers(table, target=self.numeric, unit=self.unit, seed=seed)
        return evaluate(table, target=self.classes, unit=self.unit, seed=seed)


def target_of(name: str, tables: Sequence[Path]) -> AnyTarget:
    """Return what prediction tables answer; the range of a column of one's own is that of all."""
    known: dict[str, AnyTarget] = {**TARGETS, **NUMERIC}
    if name in known:
        return known[name]
    raw = [read_table(path, schema=pa.DataFrameSchema(name="predictions")) for path in tables]
    return any_target(name, table=pd.concat(raw, ignore_index=True), source=tables[0])


def read_branches(
    tables: Sequence[Path], *, target: AnyTarget, models: Sequence[str] = (), inner: bool = False
) -> list[Branch]:
    """Read one model from each prediction table, of photographs or of patients.

    `models` names the model of each table; a table of several (besides baselines and a network's
    twin) is refused (`UserError`) without, since the best of them, chosen after the fact, would
    look better than it is.
    """
    if models and len(models) != len(tables):
        raise UserError(
            f"{counted(len(models), 'model')} named for {counted(len(tables), 'table')}: name one "
            "for each table, in their order (--models)."
        )
    found = []
    for at, path in enumerate(tables):
        frame, unit = read_either_unit(path, target=target, inner=inner)
        model = _model_of(frame, path, asked=models[at] if models else None)
        rows = frame[frame["model"] == model].reset_index(drop=True)
        found.append((str(rows["branch"].iat[0]), model, unit, rows, path))
    names = _names([(branch, model) for branch, model, *_ in found])
    return [
        Branch(name, branch, model, unit, rows, path)
        for name, (branch, model, unit, rows, path) in zip(names, found, strict=True)
    ]


def with_twin(branches: Sequence[Branch], *, target: AnyTarget) -> list[Branch]:
    """Return the branches, and behind a network its classical twin where its table holds one."""
    found = list(branches)
    for at, branch in enumerate(branches):
        frame, _ = read_either_unit(branch.source, target=target)
        rows = frame[frame["model"] == TWIN].reset_index(drop=True)
        if len(rows) and all(one.model != TWIN for one in found):
            found.insert(at + 1, replace(branch, name=TWIN, model=TWIN, rows=rows))
    return found


def scores_of_classes(found: Evaluation | NumericEvaluation) -> Evaluation:
    """Return the scores of classes, for reports that are made for nothing else."""
    assert isinstance(found, Evaluation)
    return found


def with_baseline(shared: SharedAnswers) -> SharedAnswers:
    """Return the answers with the dumb baseline beside them, `majority` or `median`.

    It answers the commonest class, or the median score, of all patients whom the fold does not
    test.
    """
    numeric = shared.numeric is not None
    chances = np.zeros((len(shared.rows), 1 if numeric else len(shared.classes.classes)))
    truth, patients = shared.truth, shared.patients
    for _, part in shared.rows.groupby(["repeat", "fold"]):
        learned = ~np.isin(patients, patients[part.index])
        if numeric:
            known = shared.rows[learned].drop_duplicates(["patient_id", shared.target.column])
            chances[part.index] = known[shared.target.column].median()
        else:
            chances[part.index, commonest_class(truth[learned] - 1, patients[learned])] = 1.0
    return shared.with_models({MEDIAN if numeric else MAJORITY: chances})


def _model_of(frame: pd.DataFrame, path: Path, *, asked: str | None) -> str:
    models = [str(name) for name in frame["model"].unique()]
    if asked is not None:
        if asked not in models:
            raise UserError(
                f'{path} has no model "{asked}": it holds {", ".join(models)}.'
                + did_you_mean(asked, models)
            )
        return asked
    learners = [name for name in models if not is_baseline(name) and name != TWIN]
    if len(learners) != 1:
        raise UserError(
            f"{path} holds {counted(len(learners), 'model')} ({', '.join(learners or models)}): "
            "name the one of each table that you decided on before seeing the scores (--models)."
        )
    return learners[0]


def _names(found: list[tuple[str, str]]) -> list[str]:
    """Return the shortest names that tell the branches apart."""
    short = [branch for branch, _ in found]
    long = [f"{branch} ({model})" for branch, model in found]
    numbered = [f"{name} {at}" for at, name in enumerate(long, start=1)]
    return next((names for names in (short, long) if len(set(names)) == len(names)), numbered)
