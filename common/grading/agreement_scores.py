"""How well numbers agree: ICC(A,1), weighted kappa, limits of agreement, all from sums.

Two raters, a truth and its prediction, or several raters of whom each has seen some patients. Sums
over patients are all that is needed, so that a thousand resamples are scored at once.
"""

from __future__ import annotations

import numpy as np

from common.arrays import Floats

REACH = 1.96  # standard deviations within which 95 % of normal differences lie


def pair_sums(a: Floats, b: Floats) -> Floats:
    """Return n, a, b, a², b², ab of each pair of numbers, `(..., 6)`; 0 where either is missing."""
    known = np.isfinite(a) & np.isfinite(b)
    a, b = np.where(known, a, 0.0), np.where(known, b, 0.0)
    return np.stack([known.astype(np.float64), a, b, a * a, b * b, a * b], axis=-1)


def icc_a1(sums: Floats) -> Floats:
    """Return ICC(A,1) of two raters from `(..., 6)` sums of `pair_sums`.

    Single measurement, absolute agreement, two-way random (McGraw and Wong 1996). NaN where fewer
    than two patients are drawn, or where nothing varies.
    """
    return icc_of_raters(sums[..., None, :])


def icc_of_raters(sums: Floats) -> Floats:
    """Return ICC(A,1) of several raters from the sums of every pair of them, `(..., pairs, 6)`.

    Its three parts are means over the pairs, each on the patients that both have rated and weighing
    as many as these are. Where everybody has rated everybody this is the value of McGraw and Wong
    (1996); ratings may be missing. NaN where no pair shares two patients, or nothing varies.
    """
    n, variance, covariance, apart = _moments(sums)
    whole = variance + apart**2 / 2 - (variance - covariance) / np.maximum(n, 1)
    return _quotient(_over_pairs(n, covariance), _over_pairs(n, whole))


def kappa_of_raters(sums: Floats) -> Floats:
    """Return kappa with quadratic weights (Cohen 1968) from sums of every pair, `(..., pairs, 6)`.

    Observed squared distance against that by chance, each averaged over pairs of raters, which
    weigh as many as the patients that they share. For two raters it is Cohen's own value.
    """
    n, variance, covariance, apart = _moments(sums)
    inflated = (n - 1) / np.maximum(n, 1)  # variance of these patients, not of all such
    by_chance = 2 * variance * inflated + apart**2
    return _quotient(_over_pairs(n, 2 * covariance * inflated), _over_pairs(n, by_chance))


def change_of_raters(sums: Floats) -> Floats:
    """Return the smallest detectable change from sums of every pair of raters, `(..., pairs, 6)`.

    1.96 times the standard deviation of the difference of two ratings of a patient, each rater's
    own bias taken out: a change beyond it is more than two ratings differ anyhow.
    """
    n, variance, covariance, _ = _moments(sums)
    difference = np.maximum(2 * (variance - covariance), 0.0)
    return REACH * np.sqrt(_quotient(_over_pairs(n, difference), _over_pairs(n, np.ones_like(n))))


def limits_of_agreement(sums: Floats) -> tuple[Floats, Floats, Floats]:
    """Return bias, lower and upper limit of agreement (Bland and Altman 1986), `(...)` each.

    Between the limits lie 95 % of differences, if they are normal: bias ± 1.96 standard deviations
    with n − 1 below the root. `sums` are `(..., 3)`: sum of the differences, of their squares, and
    how many they are.
    """
    n = sums[..., 2]
    bias = sums[..., 0] / n
    variance = np.maximum(sums[..., 1] / n - bias**2, 0.0) * n / np.maximum(n - 1, 1)
    reach = REACH * np.sqrt(variance)
    return bias, bias - reach, bias + reach


def _moments(sums: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return n, mean of both variances, covariance, and how far the means lie apart."""
    n, a, b, aa, bb, ab = np.moveaxis(sums, -1, 0)
    of, below = np.maximum(n, 1), np.maximum(n - 1, 1)
    variance = (aa - a * a / of + bb - b * b / of) / below / 2
    return n, variance, (ab - a * b / of) / below, (a - b) / of


def _over_pairs(n: Floats, values: Floats) -> Floats:
    """Sum over pairs, weighed by their patients; a pair that shares one patient has no spread."""
    return np.where(n > 1, n * values, 0.0).sum(axis=-1)


def _quotient(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full_like(below, np.nan), where=below > 0)
