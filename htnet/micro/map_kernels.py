"""How alike two flow maps are: kernels of the classical models.

Every map is brought to a common scale by itself, so that a kernel value depends on its two clips
alone: nothing is learned from other clips, and one matrix serves all folds. The published maps
were stretched map by map, so their zero and their size are lost anyway; `levelled` brings back
what can be recovered.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Maps = NDArray[np.float64]
Kernel = NDArray[np.float64]
_TINY = 1e-12


def standardised(maps: NDArray[np.float32]) -> Maps:
    """Return each channel of each map less its mean, divided by its standard deviation.

    `(n, H, W, c)` in and out; a channel that is constant becomes 0.
    """
    values = maps.astype(np.float64)
    values -= values.mean(axis=(1, 2), keepdims=True)
    values /= np.maximum(values.std(axis=(1, 2), keepdims=True), _TINY)
    return values


def smoothed(maps: Maps, *, sigma: float) -> Maps:
    """Blur over rows and columns by a Gaussian of `sigma` px: faces differ by a px or two."""
    blurred: Maps = gaussian_filter(maps, (0.0, sigma, sigma, 0.0))
    return blurred


def mirrored(maps: Maps) -> Maps:
    """Return the maps of the mirrored faces: columns reversed, motion to the right negated."""
    values = maps[:, :, ::-1].copy()
    values[..., 0] *= -1.0
    return values


def correlations(maps: Maps) -> Kernel:
    """Return `(n, n)` mean products of the values of two standardised maps: their correlation."""
    rows = maps.reshape(len(maps), -1)
    products: Kernel = rows @ rows.T / rows.shape[1]
    return products


def rbf(
    maps: Maps, other: Maps | None = None, *, width: float = 1.0, unit: float | None = None
) -> Kernel:
    """Return the Gaussian kernel exp(-width d²/2), d² in units of the mean square length of a map.

    For standardised maps this is exp(-width (1 - r)) with r the correlation of pixels: two maps
    that have nothing in common are at exp(-width).

    Parameters
    ----------
    maps, other
        `(n, H, W, c)`; `other` None for the kernel of maps among themselves.
    width
        Above 0; the larger, the more local.
    unit
        Mean square length of a map, in place of that of `maps`.
    """
    a = maps.reshape(len(maps), -1)
    b = a if other is None else other.reshape(len(other), -1)
    lengths_a, lengths_b = np.sum(a**2, axis=1), np.sum(b**2, axis=1)
    squares = lengths_a[:, None] + lengths_b[None, :] - 2.0 * (a @ b.T)
    size = max(float(lengths_a.mean()) if unit is None else unit, _TINY)
    values: Kernel = np.exp(-width * np.maximum(squares, 0.0) / (2.0 * size))
    return values


def patch_rbf(maps: Maps, flipped: Maps, *, patch: int, step: int, width: float = 1.0) -> Kernel:
    """Return the mean of `rbf` over patches, and over a patch and that of the mirrored face.

    Two faces may be alike in one part and not in another. A model on this kernel answers a face
    and its mirror image alike: it is as if every training clip had been given twice.

    Parameters
    ----------
    maps
        `(n, H, W, c)`.
    flipped
        The same of the mirrored faces (`mirrored`, for maps of flow).
    patch, step
        Side of a patch and distance of neighbours, in px of the map.
    width
        As in `rbf`.
    """
    height, across = maps.shape[1:3]
    total, number = np.zeros((len(maps), len(maps))), 0
    for top in range(0, height - patch + 1, step):
        for left in range(0, across - patch + 1, step):
            here = np.s_[:, top : top + patch, left : left + patch]
            own, turned = maps[here], flipped[here]
            # A patch and its counterpart on the other side share one unit, so that they can change
            # places.
            unit = float(np.sum(own**2) + np.sum(turned**2)) / (2.0 * len(maps))
            total += rbf(own, width=width, unit=unit) / 2.0
            total += rbf(own, turned, width=width, unit=unit) / 2.0
            number += 1
    return total / number


def levelled(maps: NDArray[np.float32]) -> Maps:
    """Undo what can be undone of a stretch map by map: zero, and the size of v beside that of u.

    Most of a face does not move, so a channel's median is its zero. The third channel is the
    optical strain of the true flow, √(u_x² + v_y² + ½(u_y + v_x)²), and fits only one ratio of
    v's stretch to u's: that with which the strain of the stretched maps correlates best with it.
    The size of the whole map stays lost; maps come back with a mean square of 1. On maps that
    were not stretched the ratio is 1.
    """
    values = maps.astype(np.float64)
    values -= np.median(values, axis=(1, 2), keepdims=True)
    values[..., 1] *= stretch_ratio(maps)[:, None, None]
    motion = values[..., :2]
    motion /= np.sqrt(np.maximum(np.mean(motion**2, axis=(1, 2, 3)), _TINY))[:, None, None, None]
    strain = values[..., 2]
    strain /= np.sqrt(np.maximum(np.mean(strain**2, axis=(1, 2)), _TINY))[:, None, None]
    return values


def stretch_ratio(maps: NDArray[np.float32], *, steps: int = 101) -> NDArray[np.float64]:
    """Return `(n,)` the factor on v that makes u, v and strain fit, from e^-2.5 to e^2.5."""
    u, v, strain = (maps[..., channel].astype(np.float64) for channel in range(3))
    u_y, u_x = np.gradient(u, axis=(1, 2))
    v_y, v_x = np.gradient(v, axis=(1, 2))
    target = strain - strain.mean(axis=(1, 2), keepdims=True)
    ratios = np.exp(np.linspace(-2.5, 2.5, steps))
    fit = np.empty((steps, len(maps)))
    for step, q in enumerate(ratios):
        made = np.sqrt(u_x**2 + (q * v_y) ** 2 + 0.5 * (u_y + q * v_x) ** 2)
        made -= made.mean(axis=(1, 2), keepdims=True)
        size = np.sqrt(np.maximum(np.sum(made**2, axis=(1, 2)), _TINY))
        fit[step] = np.sum(made * target, axis=(1, 2)) / size
    best: NDArray[np.float64] = ratios[np.argmax(fit, axis=0)]
    return best
