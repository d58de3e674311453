"""What a person moves in a review: the 68 points, and each iris as its centre and its edge.

Marks are `(72, 2)` px of the photograph: the points 0 to 67, then the centres of the irises (68 the
patient's right, 69 the left) and of each the place of its edge straight to the right in the picture
(70, 71), whose distance from the centre is the radius. NaN where there is none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from landmarks.find.iris import Iris, Irises
from landmarks.points import MIRROR_PARTNER, N_POINTS

N_MARKS = N_POINTS + 4
CENTRES, EDGES = (N_POINTS, N_POINTS + 1), (N_POINTS + 2, N_POINTS + 3)  # right, left
MIRROR = (*MIRROR_PARTNER, *CENTRES[::-1], *EDGES[::-1])  # the same on the other side
BY_HAND = "Placed by hand."


def marks_of(points: NDArray[np.float64], irises: Irises | None) -> NDArray[np.float64]:
    """Return the marks of `(68, 2)` points and of irises, where they were looked for."""
    marks = np.full((N_MARKS, 2), np.nan)
    marks[:N_POINTS] = points
    pair = () if irises is None else (irises.right, irises.left)
    for iris, centre, edge in zip(pair, CENTRES, EDGES, strict=False):
        marks[centre] = iris.centre
        marks[edge] = (iris.x + iris.radius, iris.y)
    return marks


def irises_of(marks: NDArray[np.float64], model: Irises) -> Irises:
    """Return the irises of `(72, 2)` marks; one that lies where the model found it stays as it is.

    One that was moved has no strength and says `BY_HAND` as its reason.
    """
    found = marks_of(marks[:N_POINTS], model)
    sides = []
    for iris, centre, edge in zip((model.right, model.left), CENTRES, EDGES, strict=True):
        here = marks[[centre, edge]]
        radius = float(np.hypot(*(here[1] - here[0])))
        if np.array_equal(here, found[[centre, edge]], equal_nan=True):
            sides.append(iris)
        elif radius > 0:  # not when NaN
            x, y = here[0].tolist()
            sides.append(Iris("ok", BY_HAND, x=x, y=y, radius=radius))
        else:
            sides.append(Iris("unclear", "Taken away by hand."))
    return Irises(*sides)
