"""The 68 points of a rendering: shares along contours of the face in space, not fixed vertices.

Lids: a third and two thirds of the way from corner to corner, along the margin (an edge loop).
Brows: quarters of the arc of the centre line of the hair that is drawn. Upper lip: corners, peaks
of Cupid's bow, its dip, and half way between corner and peak. Lower lip: sixths. Inner lips:
corners, middle, and under the peaks of the bow. Bridge of the nose: thirds. Shares along lips are
shares of the width of the mean face at rest, turned into shares of arc, which stay the same when
the mouth moves. Corners, peaks, midline, base of the nose and jaw are ICT-FaceKit's own vertices.

Source of the scheme: the hexagon of the eye and the parts of the lips in the 68-point mark-up
(Sagonas et al. 2016). Points are numbered as in `landmarks.points`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import splev, splprep
from scipy.spatial import cKDTree

from benchmarks.landmark_network.curves import Curve, EdgeLoops, arc_shares, at_arc, at_width, take
from common.arrays import Floats

LIDS = (((36, 37, 38, 39), (36, 41, 40, 39)), ((45, 44, 43, 42), (45, 46, 47, 42)))
BROWS = ((17, 18, 19, 20, 21), (26, 25, 24, 23, 22))  # outer end first
OUTER_LIP = list(range(48, 60))
_THIRDS = np.array([1 / 3, 2 / 3])
_LONGEST_AT_CANTHUS = 15  # vertices from the inner canthus to where the lid's loop ends
_LIP_PLACES = 61  # of a part of the outer lip


class Skin:
    """Finds places of the texture on the mesh: `(n, 2)` texture coordinates to a `Curve`."""

    def __init__(self, places: Floats, vertices: NDArray[np.int32], weights: Floats) -> None:
        self._tree, self._vertices, self._weights = cKDTree(places), vertices, weights

    def curve(self, places: Floats) -> Curve:
        _, nearest = self._tree.query(places)
        return Curve(self._vertices[nearest], self._weights[nearest])


class Contours:
    """The contours of a face, from its mesh at rest.

    `neutral` `(v, 3)`, `quads` of the face, `landmarks` the 68 vertices, `places` `(v, 2)` their
    texture coordinates, `skin` what finds other places of the texture.
    """

    def __init__(
        self, neutral: Floats, quads: NDArray[np.int32], *,
        landmarks: NDArray[np.int64], places: Floats, skin: Skin,
    ) -> None:  # fmt: skip
        self._neutral, self._vertex, self._skin = neutral, landmarks, skin
        self._loops = EdgeLoops(quads)
        self._places = places[landmarks]
        self.lids = [
            [(Curve(self._lid(*points)), points[1:3]) for points in eye] for eye in LIDS
        ]  # fmt: skip
        # Where lashes are drawn: texture coordinates of upper and lower margin of both eyes.
        self.lid_places = [[places[lid.vertices[:, 0]] for lid, _ in eye] for eye in self.lids]
        self.parts = [*self._outer_lips(), *self._inner_lips()]
        bridge = Curve(self._loops.through(*(int(landmarks[i]) for i in (30, 29, 28, 27))))
        self.parts.append((bridge, (29, 28), _THIRDS))

    def points(self, positions: Floats, picture: Floats, brows: Sequence[Curve]) -> Floats:
        """The 68 points in the picture.

        `positions` `(v, 3)` of the vertices in space, `picture` `(v, 2)` where they are seen,
        `brows` the centre lines of the hair of the right and left brow, outer end first.
        """
        found = picture[self._vertex].copy()
        for eye in self.lids:
            for lid, points in eye:
                at = at_width(lid.on(positions), _THIRDS)
                found[list(points)] = take(lid.on(picture), at)
        for curve, points, shares in self.parts:
            found[list(points)] = take(curve.on(picture), at_arc(curve.on(positions), shares))
        for brow, points in zip(brows, BROWS, strict=True):
            at = at_arc(brow.on(positions), np.linspace(0, 1, 5))
            found[list(points)] = take(brow.on(picture), at)
        return found

    def _lid(self, outer: int, first: int, second: int, inner: int) -> list[int]:
        """Vertices of a lid's margin, from the outer to the inner corner (points by number)."""
        outer, first, second, inner = (int(self._vertex[i]) for i in (outer, first, second, inner))
        along = min(
            (
                walk
                for walk in self._loops.walks(outer)
                if first in walk and second in walk and walk.index(first) < walk.index(second)
            ),
            key=len,
        )
        for back in self._loops.walks(inner):
            if back[-1] == along[-1] and len(back) < _LONGEST_AT_CANTHUS:
                return along + back[::-1][1:]
        raise ValueError(f"the lid at vertex {outer} does not reach the inner corner")

    def _of_arc(self, curve: Curve, shares: Sequence[float]) -> Floats:
        """Shares of a curve's width in the mean face at rest, as shares of its arc."""
        at_rest = curve.on(self._neutral)
        at = at_width(at_rest, np.asarray(shares))
        return np.interp(at, np.arange(len(at_rest)), arc_shares(at_rest))

    def _outer_lips(self) -> Iterator[tuple[Curve, tuple[int, ...], Floats]]:
        """Parts of the outer lip, on the closed spline that the texture follows too."""
        outline = self._places[OUTER_LIP]
        spline, at = splprep(np.r_[outline, outline[:1]].T, s=0, per=1)
        for start, end, points, shares in (
            (48, 50, (49,), (0.5,)),
            (54, 52, (53,), (0.5,)),
            (48, 57, (59, 58), (1 / 3, 2 / 3)),
            (54, 57, (55, 56), (1 / 3, 2 / 3)),
        ):
            # The lower lip is reached from the right corner by the end of the closed spline.
            first = 1 if (start, end) == (48, 57) else at[start - 48]
            places = splev(np.linspace(first, at[end - 48], _LIP_PLACES), spline)
            curve = self._skin.curve(np.array(places).T)
            yield curve, points, self._of_arc(curve, shares)

    def _inner_lips(self) -> Iterator[tuple[Curve, tuple[int, ...], Floats]]:
        """Halves of the inner lips, from the corner to the middle."""
        peak = abs(self._neutral[int(self._vertex[50]), 0])
        for middle, sides in ((62, (61, 63)), (66, (67, 65))):
            for corner, point in zip((60, 64), sides, strict=True):
                curve = self._half_lip(*(int(self._vertex[i]) for i in (middle, point, corner)))
                at_rest = curve.on(self._neutral)
                width = abs(at_rest[0, 0] - at_rest[-1, 0])
                share = (abs(at_rest[0, 0]) - peak) / width
                yield curve, (point,), self._of_arc(curve, (share,))

    def _half_lip(self, middle: int, side: int, corner: int) -> Curve:
        """The edge loop from the corner to the middle of a lip, past the vertex `side`."""
        walk = min(
            (one for one in self._loops.walks(middle) if side in one),
            key=lambda one: one.index(side),
        )
        away = np.linalg.norm(self._neutral[walk[:40]] - self._neutral[corner], axis=1)
        walk = walk[: int(np.argmin(away)) + 1]
        return Curve(([] if walk[-1] == corner else [corner]) + walk[::-1])
