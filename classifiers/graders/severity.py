"""From the antisymmetric shape of a patient's face in all movements to a few strong numbers.

One number of a face hardly shows a grade: landmarks are noisy. But the antisymmetric part of the
face has a sign, so 51 numbers in 8 movements can be summed with weights before the sign is
dropped, and the noise averages out. What is learned here is those weights, and which side is weak.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from common.arrays import Flags, Floats
from common.movements import REST
from features.frames import N_PARTS, PAIRED

RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0)
ROUNDS = 20
LEAST_REACH = 0.2  # of the mean movement; below it a ratio of the sides would be noise


@dataclass(frozen=True)
class Blocks:
    """Patients' faces by movement: `odd` and `even`, each `(n, movements, 51)`, NaN where missing.

    Rest, when there is one, is the first movement.
    """

    odd: Floats
    even: Floats
    movements: tuple[str, ...]

    @property
    def seen(self) -> Flags:
        """`(n, movements)`: which movements were photographed."""
        return ~np.isnan(self.odd[:, :, 0])


def block_columns(movements: Sequence[str]) -> list[str]:
    """Return the columns that hold the blocks in a patient table."""
    return [
        f"{part}.{movement}.{number}"
        for part in ("odd", "even")
        for movement in movements
        for number in range(N_PARTS)
    ]


def blocks_of(table: pd.DataFrame) -> Blocks:
    """Read the blocks from a patient table."""
    names = [name.split(".") for name in table.columns if name.startswith("odd.")]
    movements = tuple(dict.fromkeys(movement for _, movement, _ in names))
    values = table[block_columns(movements)].to_numpy(dtype=np.float64)
    odd, even = values.reshape(len(table), 2, len(movements), N_PARTS).transpose(1, 0, 2, 3)
    return Blocks(odd=odd, even=even, movements=movements)


class SignedSeverity(TransformerMixin, BaseEstimator):
    """Learn a signed severity from grades, and which side it points to.

    Ridge regression without intercept of `side * (grade - lowest grade)` on the antisymmetric
    numbers: their mean over the patient's photographs, and each photograph's difference from it.
    Both parts keep their own units (noise is alike in all points, so what moves far is what can be
    trusted) and are brought to the same size in all. Of the penalties `ridges`, relative to the
    mean squared size of a row, that with the smallest leave-one-patient-out error is kept.

    Sides that are not given begin with the side that moves less (compared with the mean movement of
    the training patients) and become the sign of the severity predicted without the patient, until
    nothing changes. A missing movement adds nothing, and the sum over movements is divided by the
    share that the others have in it on average.

    Learned: `weights_` `(movements + 1, 51)` of the mean, then of each movement's difference;
    `shares_` `(movements,)`, mean share of each in the sum; `error_`, the root mean square error of
    the signed severity, each patient predicted by the others.
    """

    def __init__(self, *, ridges: tuple[float, ...] = RIDGES) -> None:
        self.ridges = ridges

    def fit(self, X: pd.DataFrame, y: Any, groups: Any = None, sides: Any = None) -> Self:
        """Fit; see `fit_transform`."""
        self.fit_transform(X, y, groups, sides)
        return self

    def fit_transform(
        self, X: pd.DataFrame, y: Any, groups: Any = None, sides: Any = None
    ) -> pd.DataFrame:
        """Fit, and return the numbers of the training rows as if each patient had been unseen.

        So what learns from these numbers sees the same kind of numbers later (as with
        `sklearn.preprocessing.TargetEncoder`, this differs from `fit` and then `transform`).

        `X` has the columns of `block_columns`, `y` are grades, `groups` patients (every row its own
        when None), `sides` +1 where the patient's left is weak, -1 the right, 0 where not known.
        """
        blocks = blocks_of(X)
        self.movements_ = blocks.movements
        self.sizes_ = _sizes(blocks)
        self.template_ = self._template(blocks)
        grade = np.asarray(y, dtype=np.float64)
        target = grade - grade.min()
        patients = np.arange(len(grade)) if groups is None else np.asarray(groups)
        parts = self._parts(blocks)
        flat = parts.reshape(len(parts), -1)
        lack, _ = self._amplitudes(blocks)
        known = np.zeros(len(grade)) if sides is None else np.asarray(sides, dtype=np.float64)
        side = np.where(known != 0, known, _signs(np.nansum(lack, axis=1)))
        unseen = np.zeros(len(grade))
        for _ in range(ROUNDS):
            self.ridge_, unseen = min(
                (
                    (ridge, _unseen(flat, side * target, ridge=ridge, patients=patients))
                    for ridge in self.ridges
                ),
                key=lambda found: float(np.square(np.abs(found[1]) - target).sum()),
            )
            found = np.where(known != 0, known, _signs(unseen))
            if (found == side).all():
                break
            side = found
        self.error_ = float(np.sqrt(np.square(unseen - side * target).mean())) + 1e-12
        self.weights_ = _ridge(flat, side * target, ridge=self.ridge_).reshape(parts.shape[1:])
        by_movement = np.abs((parts[:, 1:] * self.weights_[1:]).sum(axis=2).T @ side)
        self.shares_ = by_movement / max(float(by_movement.sum()), 1e-12)
        return self._columns(unseen, blocks, index=X.index)

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the numbers of new rows."""
        check_is_fitted(self)
        blocks = blocks_of(X)
        parts = (self._parts(blocks) * self.weights_).sum(axis=2)
        covered = np.maximum(blocks.seen @ self.shares_, 0.1)
        return self._columns(
            parts[:, 0] + parts[:, 1:].sum(axis=1) / covered, blocks, index=X.index
        )

    def weak_sides(self, X: pd.DataFrame) -> tuple[Flags, Floats]:
        """Return whether each row's left is the weak side, and the probability of the side told.

        The signed severity of a patient who was not learned from is wrong by `error_`; its sign is
        right with the probability that an error of a normal distribution does not reach over 0.
        """
        signed = self.transform(X)["signed_severity"].to_numpy()
        return signed > 0, norm.cdf(np.abs(signed) / self.error_)

    def _columns(self, signed: Floats, blocks: Blocks, *, index: pd.Index) -> pd.DataFrame:
        """Return severity, signed severity, and each movement's lack on either side."""
        lack, reach = self._amplitudes(blocks)
        side = _signs(signed)
        relative = 2 * lack / np.maximum(reach + np.abs(lack), LEAST_REACH)
        moves = self.movements_[1:] if len(self.template_) else ()
        return pd.DataFrame(
            {
                "severity": np.abs(signed),
                "signed_severity": signed,
                **{f"lack.{name}": side * relative[:, at] for at, name in enumerate(moves)},
                **{f"signed_lack.{name}": relative[:, at] for at, name in enumerate(moves)},
                **{f"reach.{name}": reach[:, at] for at, name in enumerate(moves)},
            },
            index=index,
        )

    def _parts(self, blocks: Blocks) -> Floats:
        """Mean over movements and differences from it, `(n, movements + 1, 51)`; missing is 0."""
        mean, rest = _mean_and_differences(blocks)
        return np.concatenate(
            [mean[:, None] / self.sizes_[0], np.nan_to_num(rest) / self.sizes_[1]], axis=1
        )

    def _template(self, blocks: Blocks) -> Floats:
        """Mean movement from rest of the training patients, `(movements - 1, 51)`."""
        if REST not in blocks.movements:
            return np.zeros((0, N_PARTS))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a movement nobody here made
            mean = np.nanmean(blocks.even[:, 1:] - blocks.even[:, :1], axis=0)
        return np.nan_to_num(mean)

    def _amplitudes(self, blocks: Blocks) -> tuple[Floats, Floats]:
        """How far each movement goes, as a share of the mean movement, `(n, movements - 1)` each.

        First half the difference between the sides, positive where the patient's left lags; then
        the mean of the sides, 1 for the mean of the training patients.
        """
        if not len(self.template_):
            return np.zeros((len(blocks.odd), 0)), np.zeros((len(blocks.odd), 0))
        paired = slice(0, 2 * len(PAIRED))
        template = self.template_[:, paired]
        size = np.maximum((template**2).sum(axis=1), 1e-12)
        odd = (blocks.odd[:, 1:] - blocks.odd[:, :1])[:, :, paired]
        even = (blocks.even[:, 1:] - blocks.even[:, :1])[:, :, paired]
        return (odd * template).sum(axis=2) / size, (even * template).sum(axis=2) / size


def _mean_and_differences(blocks: Blocks) -> tuple[Floats, Floats]:
    """Mean over the photographed movements `(n, 51)`, and each one's difference from it."""
    seen = blocks.seen.sum(axis=1)
    mean = np.nansum(blocks.odd, axis=1) / np.maximum(seen, 1)[:, None]
    return mean, blocks.odd - mean[:, None]


def _sizes(blocks: Blocks) -> tuple[float, float]:
    """Root of the mean square of the means and of the differences, over all their numbers."""
    mean, rest = _mean_and_differences(blocks)
    difference = np.sqrt(np.nansum(rest**2) / max(int((~np.isnan(rest)).sum()), 1))
    return float(np.sqrt((mean**2).mean())) + 1e-12, float(difference) + 1e-12


def _signs(values: Floats) -> Floats:
    return np.where(values >= 0, 1.0, -1.0)


def _penalised(products: Floats, *, ridge: float, rows: int) -> Floats:
    """Return `V V'` or `V'V` `+ penalty I`, the penalty relative to the mean squared size of a row.

    Both have the same trace, the sum of the squared sizes.
    """
    penalty = ridge * max(float(np.trace(products)) / rows, 1e-12)
    return products + penalty * np.eye(len(products))


def _ridge(values: Floats, target: Floats, *, ridge: float) -> Floats:
    """Return the weights of ridge regression without intercept, through the smaller products."""
    n = len(values)
    if n > values.shape[1]:
        products = _penalised(values.T @ values, ridge=ridge, rows=n)
        return np.asarray(np.linalg.solve(products, values.T @ target), dtype=np.float64)
    return values.T @ np.linalg.solve(_penalised(values @ values.T, ridge=ridge, rows=n), target)


def _unseen(values: Floats, target: Floats, *, ridge: float, patients: NDArray[Any]) -> Floats:
    """Return what ridge regression predicts for each row when its patient is left out.

    In closed form: with `G = (K + penalty I)^-1` and `a = G y`, the error on the rows of a left-out
    patient is `G_pp^-1 a_p`. Of more rows than columns, `penalty G` is `I - V (V'V + penalty I)^-1
    V'`, which needs no products of all rows with all.
    """
    n = len(values)
    names, at = np.unique(patients, return_inverse=True)
    if n > values.shape[1]:
        products = _penalised(values.T @ values, ridge=ridge, rows=n)
        to_weights = np.linalg.solve(products, values.T)
        error = target - values @ (to_weights @ target)
        if len(names) == n:
            left_out: Floats = target - error / (1 - np.einsum("ij,ji->i", values, to_weights))
            return left_out
        rows_of = np.split(np.argsort(at, kind="stable"), np.cumsum(np.bincount(at))[:-1])
        unseen = np.empty(len(target))
        for rows in rows_of:
            left = np.eye(len(rows)) - values[rows] @ to_weights[:, rows]
            unseen[rows] = target[rows] - np.linalg.solve(left, error[rows])
        return unseen
    inverse = np.linalg.inv(_penalised(values @ values.T, ridge=ridge, rows=n))
    scaled = inverse @ target
    unseen = np.empty(len(target))
    for patient in range(len(names)):
        rows = np.flatnonzero(at == patient)
        unseen[rows] = target[rows] - np.linalg.solve(inverse[np.ix_(rows, rows)], scaled[rows])
    return unseen
