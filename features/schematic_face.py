"""A drawn face of 68 points, exactly mirror symmetric, for tests, figures and documentation.

It is nobody's face: the right half was placed by hand on a 400 px wide page and mirrored.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from landmarks.points import N_POINTS, mirror_points

WIDTH = 401
"""Width of the page in px; the face's midline lies at x = 200, its middle column."""

HEIGHT = 480

_RIGHT_HALF_AND_MIDLINE: dict[int, tuple[int, int]] = {
    # jaw line, from the patient's right ear to the chin
    0: (64, 196), 1: (66, 240), 2: (72, 284), 3: (82, 326), 4: (98, 364),
    5: (122, 394), 6: (148, 416), 7: (174, 430), 8: (200, 434),
    # brow, from its outer end
    17: (88, 162), 18: (104, 146), 19: (126, 139), 20: (148, 142), 21: (170, 150),
    # ridge and base of the nose
    27: (200, 186), 28: (200, 214), 29: (200, 240), 30: (200, 266),
    31: (176, 282), 32: (187, 287), 33: (200, 291),
    # eye: outer corner, upper lid, inner corner, lower lid
    36: (104, 194), 37: (119, 182), 38: (140, 182), 39: (156, 197), 40: (139, 204), 41: (120, 204),
    # outer line of the lips
    48: (148, 350), 49: (166, 337), 50: (185, 329), 51: (200, 333),
    57: (200, 380), 58: (183, 377), 59: (165, 367),
    # inner line of the lips
    60: (157, 350), 61: (184, 345), 62: (200, 347), 66: (200, 358), 67: (184, 356),
}  # fmt: skip


def schematic_face() -> NDArray[np.float64]:
    """Return the drawn face.

    Returns `(68, 2)` px on a page of `WIDTH` by `HEIGHT`, whole numbers; mirroring the page
    gives the same points.
    """
    half = np.full((N_POINTS, 2), np.nan)
    for point, place in _RIGHT_HALF_AND_MIDLINE.items():
        half[point] = place
    other_half = mirror_points(half, width=WIDTH)
    face: NDArray[np.float64] = np.where(np.isnan(half), other_half, half)
    return face
