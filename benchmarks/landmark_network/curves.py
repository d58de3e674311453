"""Curves of material points on a mesh: shares along them, and the edge loops that they follow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.arrays import Floats

_LONGEST = 400  # vertices of a walk


class Curve:
    """Material points `(n,)`, each the mean of k vertices by weights: it moves with the mesh."""

    def __init__(self, vertices: ArrayLike, weights: Floats | None = None) -> None:
        self.vertices = np.asarray(vertices)
        if self.vertices.ndim == 1:
            self.vertices = self.vertices[:, None]
        self.weights = np.ones(self.vertices.shape) if weights is None else weights

    def on(self, positions: Floats) -> Floats:
        """Where the curve lies `(n, d)` when the vertices are at `(v, d)`."""
        return (self.weights[..., None] * positions[self.vertices]).sum(1)


def arc_shares(points: Floats) -> Floats:
    """The share of its length, 0 to 1, at which each of a curve's points `(n, d)` lies."""
    lengths = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
    return lengths / lengths[-1]


def at_arc(points: Floats, shares: Floats) -> Floats:
    """Where shares of the length lie, as (fractional) numbers of the curve's points."""
    return np.interp(shares, arc_shares(points), np.arange(len(points)))


def at_width(points: Floats, shares: Floats) -> Floats:
    """Where shares of the straight way between the ends lie, as numbers of the curve's points."""
    across = points[-1] - points[0]
    way = np.maximum.accumulate((points - points[0]) @ across / (across @ across))
    steps = np.arange(len(points))
    return np.interp(shares, way + 1e-9 * steps, steps)


def take(points: Floats, numbers: Floats) -> Floats:
    """The places `(m, d)` at fractional numbers `(m,)` of a curve's points `(n, d)`."""
    low = np.clip(numbers.astype(int), 0, len(points) - 2)
    share = (numbers - low)[:, None]
    return points[low] * (1 - share) + points[low + 1] * share


class EdgeLoops:
    """Walks over a mesh of quads that go straight on wherever four edges meet."""

    def __init__(self, quads: NDArray[np.int32]) -> None:
        self._quads: dict[frozenset[int], set[int]] = defaultdict(set)
        self._neighbours: dict[int, set[int]] = defaultdict(set)
        for number, quad in enumerate(quads):
            corners = list(dict.fromkeys(int(vertex) for vertex in quad))  # some are triangles
            for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
                self._quads[frozenset((a, b))].add(number)
                self._neighbours[a].add(b)
                self._neighbours[b].add(a)

    def walk(self, first: int, second: int) -> list[int]:
        """The vertices from one edge straight on, to where it is unclear or closes."""
        walked = [first, second]
        while len(walked) < _LONGEST and len(self._neighbours[walked[-1]]) == 4:
            before, here = walked[-2:]
            beside = self._quads[frozenset((before, here))]
            opposite = [
                vertex
                for vertex in self._neighbours[here]
                if vertex != before and not self._quads[frozenset((here, vertex))] & beside
            ]
            if len(opposite) != 1 or opposite[0] == first:
                break
            walked.append(opposite[0])
        return walked

    def walks(self, start: int) -> Iterator[list[int]]:
        """The walks from a vertex along each of its edges."""
        return (self.walk(start, second) for second in self._neighbours[start])

    def through(self, start: int, *others: int) -> list[int]:
        """The walk from `start` that passes the others in this order, cut at the last of them.

        ValueError when no walk does.
        """
        for walked in self.walks(start):
            if all(vertex in walked for vertex in others):
                at = [walked.index(vertex) for vertex in others]
                if at == sorted(at):
                    return walked[: at[-1] + 1]
        raise ValueError(f"no edge loop goes from vertex {start} through {others}")
