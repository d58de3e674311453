"""Prediction tables checked against each other and laid side by side, row by row.

Takes branches from `classifiers.branches.branch`. Tables that test other patients, other folds or
other grades are refused, because every paired number that followed would be wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from classifiers.branches.branch import Branch, SharedAnswers
from common.errors import UserError
from common.files import natural_key
from common.grading.numeric_target import AnyTarget, NumericTarget
from common.grading.predictions import KEY, Unit, to_patients
from common.grading.target import VISIT, Target
from common.tables import sort_naturally
from common.words import counted

SHOWN = 3  # how many names a refusal gives
SAME_FOLDS = "test every branch on the same folds.csv (--fold-table)"
SAME_MANIFEST = "make both tables with the same manifest"

Key = tuple[object, ...]


def shared_levels(
    branches: Sequence[Branch], *, target: AnyTarget, shared_only: bool = False
) -> list[SharedAnswers]:
    """Lay the branches side by side, per photograph (when all have photographs) and per patient.

    With `shared_only` what some table lacks is left out; else patients, photographs, folds and
    truths must agree, and a `UserError` names the first few that differ.
    """
    levels: list[SharedAnswers] = []
    branches = with_visits_alike(branches)
    if all(branch.unit == "photograph" for branch in branches):
        branches = _agreeing(branches, target=target, unit="photograph", shared_only=shared_only)
        levels.append(_side_by_side(branches, target=target, unit="photograph"))
    branches = pooled(branches, target=target)
    branches = _agreeing(branches, target=target, unit="patient", shared_only=shared_only)
    return [*levels, _side_by_side(branches, target=target, unit="patient")]


def shared_inner(
    inner: Sequence[Branch], tested: SharedAnswers, *, shared_only: bool = False
) -> SharedAnswers:
    """Lay inner predictions side by side and check them against the folds that they belong to.

    `inner` are the same branches in the same order, `tested` their answers on the level that is
    wanted. A patient stands in the rows once for every outer fold (`outer_fold`) in which they are
    learned from. Refused (`UserError`) when an outer fold has none, or when they hold a patient
    whom their own outer fold tests: weights would then be learned from the tested.
    """
    target, unit = tested.target, tested.unit
    inner = [replace(b, name=name) for b, name in zip(inner, tested.names, strict=True)]
    inner = [b if VISIT in tested.rows else _without_visits(b) for b in inner]
    inner = pooled(inner, target=target) if unit == "patient" else list(inner)
    folds = pd.MultiIndex.from_frame(tested.rows[["repeat", "fold"]])
    for at, branch in enumerate(inner):  # there may be others, such as of everyone
        own = pd.MultiIndex.from_frame(branch.rows[["repeat", "outer_fold"]]).isin(folds)
        inner[at] = replace(branch, rows=branch.rows[own].reset_index(drop=True))
    inner = _agreeing(inner, target=target, unit=unit, shared_only=shared_only, inner=True)
    answers = _side_by_side(inner, target=target, unit=unit, inner=True)
    for (repeat, fold), rows in tested.rows.groupby(["repeat", "fold"], sort=True):
        found = answers.rows.iloc[answers.learned_in(int(str(repeat)), int(str(fold)))]
        if found.empty:
            raise UserError(
                f"{inner[0].source} has no rows of fold {fold} of repeat {repeat}, which is "
                "tested: make inner predictions of every fold."
            )
        leaked = sorted(set(found["patient_id"]) & set(rows["patient_id"]), key=natural_key)
        if leaked:
            raise UserError(
                f'{inner[0].source} answers patient "{leaked[0]}" inside fold {fold} of repeat '
                f"{repeat}, which tests this patient: make the inner predictions with the same "
                "folds.csv as the predictions."
            )
    return answers


def with_visits_alike(branches: Sequence[Branch]) -> list[Branch]:
    """Return the branches without visits where one of them does not tell visits apart.

    Photographs are then summed up to patients. A table of patients that has a row for each visit
    is refused (`UserError`): there is nothing to lay beside them.
    """
    plain = [branch for branch in branches if VISIT not in branch.rows.columns]
    for branch in branches if plain else []:
        if branch.unit == "patient" and VISIT in branch.rows.columns:
            raise UserError(
                f"{branch.source} answers every visit and {plain[0].source} every patient: make "
                "both from the photographs of one visit, or both with a manifest that tells visits."
            )
    return [_without_visits(branch) for branch in branches] if plain else list(branches)


def _without_visits(branch: Branch) -> Branch:
    return replace(branch, rows=branch.rows.drop(columns=VISIT, errors="ignore"))


def pooled(branches: Sequence[Branch], *, target: AnyTarget) -> list[Branch]:
    """Return the branches with photographs summed up to patients (mean probability)."""
    return [
        branch
        if branch.unit == "patient"
        else replace(branch, unit="patient", rows=to_patients(branch.rows, target=target))
        for branch in branches
    ]


def _agreeing(
    branches: Sequence[Branch],
    *,
    target: AnyTarget,
    unit: Unit,
    shared_only: bool,
    inner: bool = False,
) -> list[Branch]:
    """Return the branches once they agree; refuse them with the differences named."""
    outer = ["repeat", "outer_fold"] if inner else ["repeat"]
    item = _item(branches, unit=unit)
    for keys, words in (
        (["patient_id"], ("patient", "patients")),
        (item, (unit, f"{unit}s")),
        ([*item, *outer], (f"{unit} in some repeat or fold", f"{unit}s in some repeat or fold")),
    ):
        branches = _with_the_same(branches, keys, words=words, shared_only=shared_only)
    for column, keys, advice in (
        ("patient_id", item, SAME_MANIFEST),
        (target.column, item, SAME_MANIFEST),
        *([] if inner else [("fold", [*item, *outer], SAME_FOLDS)]),
    ):
        _refuse_other_values(branches, keys, column, unit=unit, advice=advice)
    return list(branches)


def _with_the_same(
    branches: Sequence[Branch], keys: list[str], *, words: tuple[str, str], shared_only: bool
) -> list[Branch]:
    """Return the branches when all have the same keys, or what they share of them."""
    sets = [set(_keys(branch.rows, keys)) for branch in branches]
    common, everything = set.intersection(*sets), set.union(*sets)
    if shared_only and common:
        kept = [[key in common for key in _keys(branch.rows, keys)] for branch in branches]
        return [
            replace(branch, rows=branch.rows[keep].reset_index(drop=True))
            for branch, keep in zip(branches, kept, strict=True)
        ]
    for found, branch in zip(sets, branches, strict=True):
        missing = everything - found
        if missing:
            raise UserError(
                f"{branch.source} lacks {counted(len(missing), *words)} that another table has "
                f"({_listed(_name(key) for key in missing)}): {SAME_FOLDS}, or give --shared-only "
                "to leave out what is not in all tables."
            )
    return list(branches)


def _refuse_other_values(
    branches: Sequence[Branch], keys: list[str], column: str, *, unit: Unit, advice: str
) -> None:
    """Refuse tables that have another value of `column` for the same key."""
    first, *others = [_values(branch.rows, keys, column) for branch in branches]
    for other, branch in zip(others, branches[1:], strict=True):
        differ = [key for key in first if other[key] != first[key]]
        if differ:
            raise UserError(
                f"{branches[0].source} and {branch.source} disagree on the {column} of "
                f"{counted(len(differ), unit)} ("
                + _listed(
                    f"{_name(key)}: {_words(first[key])} and {_words(other[key])}" for key in differ
                )
                + f"): {advice}."
            )


def _item(branches: Sequence[Branch], *, unit: Unit) -> list[str]:
    """Return the columns that say what one answer is for; of patients the visit too."""
    visits = unit == "patient" and any(VISIT in branch.rows.columns for branch in branches)
    return [KEY[unit], VISIT] if visits else [KEY[unit]]


def _keys(table: pd.DataFrame, keys: list[str]) -> list[Key]:
    return list(table[keys].itertuples(index=False, name=None))


def _values(table: pd.DataFrame, keys: list[str], column: str) -> dict[Key, frozenset[object]]:
    """Return which values of a column each item has; several with several visits or folds."""
    found: dict[Key, set[object]] = {}
    for key, value in zip(_keys(table, keys), table[column], strict=True):
        found.setdefault(key, set()).add(value)
    return {key: frozenset(values) for key, values in found.items()}


def _name(key: Key) -> str:
    """Return how a sentence calls an item: its name, and visit and repeat where they are told."""
    name, *where = key
    visit = [f"visit {value}" for value in where if isinstance(value, str)]
    repeat = [f"in repeat {value}" for value in where if not isinstance(value, str)][:1]
    return " ".join([f'"{name}"', *visit, *repeat])


def _words(values: frozenset[object]) -> str:
    return " or ".join(sorted(map(str, values), key=natural_key))


def _listed(words: Iterable[str]) -> str:
    """Return the first few in natural order, and how many there are besides."""
    ordered = sorted(words, key=natural_key)
    more = "" if len(ordered) <= SHOWN else f" and {len(ordered) - SHOWN} more"
    return ", ".join(ordered[:SHOWN]) + more


def _side_by_side(
    branches: Sequence[Branch], *, target: AnyTarget, unit: Unit, inner: bool = False
) -> SharedAnswers:
    """Put the rows of all branches into one order."""
    outer = ["repeat", "outer_fold"] if inner else ["repeat"]
    item = _item(branches, unit=unit)
    visit = [VISIT] if all(VISIT in branch.rows.columns for branch in branches) else []
    columns = list(dict.fromkeys([*outer, "fold", *item, "patient_id", *visit, target.column]))
    keys = [*outer, *item, "fold", target.column]
    ordered = [_in_order(branch, keys, key=KEY[unit]) for branch in branches]
    names, answers = tuple(branch.name for branch in branches), {}
    asked = ("predicted",) if isinstance(target, NumericTarget) else target.probability_columns
    chances = [table[list(asked)].to_numpy(dtype=np.float64) for table in ordered]
    if isinstance(target, Target):
        k = len(target.classes)
        place = {name: at for at, name in enumerate(target.named(np.arange(k) + 1), start=1)}
        answers = {
            name: np.asarray(table["predicted"].map(place), dtype=np.int64)
            for name, table in zip(names, ordered, strict=True)
        }
    of_branch = dict(zip(names, chances, strict=True))
    return SharedAnswers(unit, target, ordered[0][columns], names, of_branch, answers)


def _in_order(branch: Branch, columns: list[str], *, key: str) -> pd.DataFrame:
    """Sort by the columns, the key in natural order; a row given twice is refused."""
    table = branch.rows
    twice = table.duplicated(columns)
    if twice.any():
        raise UserError(
            f'{branch.source} answers "{table.loc[twice, key].iat[0]}" twice in the same fold: '
            "keep one row for it."
        )
    return sort_naturally(table, columns, key=key)
