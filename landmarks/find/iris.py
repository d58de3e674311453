"""Irises: a modified Daugman operator that looks for them only between the open lids.

Daugman's integro-differential operator seeks the circle across which the mean brightness rises
most. Here it is taken over the two arcs left and right of the pupil, where no lid covers them,
separately, and both have to rise. All circles are compared at once on a small upright picture of
the eye whose width is always the same, so that neither the photograph's size nor the head's tilt
matters.

Source: Daugman 2004, How iris recognition works, doi 10.1109/TCSVT.2003.818350. That arcs between
the lids serve better on photographs of faces is from Guarin et al. 2018, doi
10.1001/jamafacial.2018.0030; nothing else is taken from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from landmarks.find.eye_picture import CENTRE, EYE_WIDTH, EyePicture, eye_opening, eye_picture
from landmarks.points import REGIONS

IRIS_METHOD = 1
"""Raise this when the same eye may give another iris: it ends the journals of `--scale iris`."""

IrisStatus = Literal["ok", "closed", "unclear", "too_small", "outside", "no_face"]
IRIS_STATUSES: tuple[IrisStatus, ...] = get_args(IrisStatus)

SMALLEST_EYE = 20.0  # px between the corners in the photograph; the iris is then 8 px wide
CLOSED_OPENING = 0.10  # height between the lids, in eye widths
NEARLY_CLOSED = 0.22  # below this an iris that cannot be found is taken for covered by the lids
SKIN_ONLY = 0.32  # below this, where neither white nor iris shows, the points are taken for wrong:
#                   landmark models draw shut eyes this far open

_RADII = (0.15 * EYE_WIDTH, 0.28 * EYE_WIDTH)  # an iris is 11.8 mm wide, an eye about 28
_COARSE, _FINE = 2.5, 1.5  # how far from a circle the brightness on either side of it is read
_ARC = np.deg2rad(np.arange(-60.0, 60.1, 7.5))
_ANGLES = np.stack([np.pi - _ARC, _ARC]).astype(np.float32)  # image-left arc, image-right arc
_LEAST_VISIBLE = 0.12  # of each arc
_LEAST_STRENGTH = 0.226  # of 1, which is black inside white with both arcs whole; 99 % of the
#                         irises found in sim_meei by `extract --scale iris --tta 0` are stronger
_LEAST_CONTRAST = 0.35  # range of brightness between the lids, of the brightest there
_LEAST_DISC = 0.30  # visible part of the iris
_LARGEST_DIFFERENCE = 0.15  # between the two radii, of the larger; in people it is below 0.03
_REFINEMENTS = (1.0, 0.5, 0.25, 0.1, 0.04)  # px steps around the best circle so far


@dataclass(frozen=True)
class Iris:
    """One iris, in px of the photograph; NaN unless `ok`.

    `status`: `ok`; `closed` (the lids cover it), `unclear` (no circle stands out), `too_small`
    (fewer than `SMALLEST_EYE` px between the corners), `outside` (beyond the photograph's edge),
    `no_face` (there are no points).
    `x`, `y`, `radius`: to a fraction of a px.
    `strength`: of its outline, 0 to 1: mean rise in brightness over both arcs, less under lids.
    """

    status: IrisStatus
    reason: str = ""  # one sentence, empty when ok
    x: float = np.nan
    y: float = np.nan
    radius: float = np.nan
    strength: float = np.nan

    @property
    def centre(self) -> NDArray[np.float64]:
        """`(2,)` x, y."""
        return np.array([self.x, self.y])


NO_FACE = Iris(status="no_face", reason="No iris was looked for: there are no points.")


@dataclass(frozen=True)
class Irises:
    """Both irises of a face; right and left are the patient's."""

    right: Iris = NO_FACE
    left: Iris = NO_FACE


def find_irises(
    image: NDArray[np.uint8],
    points: NDArray[np.float64],
    *,
    right_radius: float | None = None,
    left_radius: float | None = None,
) -> Irises:
    """Find both irises of a face; an eye whose iris cannot be seen has a status, a reason and NaN.

    `image`: `(h, w, 3)` RGB or `(h, w)` grey, uint8. `points`: `(68, 2)` px of it. `right_radius`,
    `left_radius`: px, when known; then only the centre is sought.
    """
    # Of the three channels, red shows light irises darkest beside the white of the eye.
    brightness = image[..., 0] if image.ndim == 3 else image
    right = _find_iris(brightness, points[list(REGIONS["right_eye"])], radius=right_radius)
    left = _find_iris(brightness, points[list(REGIONS["left_eye"])], radius=left_radius)
    if right_radius is not None or left_radius is not None:
        return Irises(right=right, left=left)
    return _without_contradiction(right, left)


def _without_contradiction(right: Iris, left: Iris) -> Irises:
    """Refuse the weaker of two irises whose radii differ as no person's do."""
    smaller, larger = sorted((right.radius, left.radius))
    if not smaller < (1 - _LARGEST_DIFFERENCE) * larger:  # nor when one of them is NaN
        return Irises(right=right, left=left)
    refused = Iris(
        "unclear",
        f"The iris cannot be told: its radius differs by {1 - smaller / larger:.0%} from that of "
        "the other eye, whose outline is stronger.",
    )
    return Irises(refused, left) if right.strength < left.strength else Irises(right, refused)


def _find_iris(
    brightness: NDArray[np.uint8], eye: NDArray[np.float64], *, radius: float | None
) -> Iris:
    if not np.isfinite(eye).all():
        return NO_FACE
    h, w = brightness.shape
    if not ((eye > -0.5) & (eye < (w - 0.5, h - 0.5))).all():
        return Iris("outside", "The eye lies beyond the photograph's edge.")
    width = float(np.hypot(*(eye[3] - eye[0])))
    if width < SMALLEST_EYE:
        return Iris(
            "too_small",
            f"The eye is {width:.0f} px wide and {SMALLEST_EYE:.0f} are needed: use the "
            "photograph at its full size.",
        )
    opening = eye_opening(eye)
    if opening < CLOSED_OPENING:
        return Iris("closed", f"The eye is closed: its lids are {opening:.2f} eye widths apart.")
    picture = eye_picture(brightness, eye)
    if picture is None or picture.contrast < _LEAST_CONTRAST:
        return _not_seen(
            opening, "nothing between the lids is dark beside something light", closed=SKIN_ONLY
        )
    return _search(picture, opening=opening, radius=radius)


def _search(picture: EyePicture, *, opening: float, radius: float | None) -> Iris:
    low, high = _RADII if radius is None else (radius / picture.scale,) * 2
    # Squared brightness lets the edge of the white outweigh that of the pupil in a light iris;
    # the plain one then places the circle without pushing it outwards.
    bold = picture.seen.copy()
    bold[..., 0] **= 2
    best = _best_circle(
        bold,
        x=np.arange(CENTRE[0] - 20, CENTRE[0] + 20.1, 2.0),
        y=np.arange(CENTRE[1] - 14, CENTRE[1] + 10.1, 2.0),
        r=np.arange(low, high + 0.01, _COARSE / 2),
        half_step=_COARSE,
        visibility=0.25,  # a large iris, of which the lids hide much, must not lose to a pupil
    )
    around = np.arange(-2, 2.1)
    for step in _REFINEMENTS:
        x, y, r = best[:3]
        radii = np.array([low]) if radius is not None else r + step * around
        seen = bold if step == _REFINEMENTS[0] else picture.seen
        best = _best_circle(seen, x=x + step * around, y=y + step * around, r=radii)
    x, y, r, strength = best
    if strength < _LEAST_STRENGTH:
        return _not_seen(opening, "no circle between the lids stands out")
    if radius is None and not _RADII[0] < r < _RADII[1]:
        return _not_seen(opening, "the roundest outline is too small or too large for an iris")
    if _visible_disc(picture.seen[..., 1], x, y, r) < _LEAST_DISC:
        return _not_seen(opening, "the lids cover most of it")
    centre = picture.to_photo @ (x, y, 1.0)
    x, y = centre.tolist()
    return Iris("ok", x=x, y=y, radius=float(r * picture.scale), strength=float(strength))


def _not_seen(opening: float, why: str, *, closed: float = NEARLY_CLOSED) -> Iris:
    apart = f"the lids' points are {opening:.2f} eye widths apart"
    if opening < closed:
        return Iris("closed", f"The eye is closed or nearly so: {why}; {apart}.")
    return Iris("unclear", f"The iris cannot be told: {why}; {apart}.")


def _best_circle(
    seen: NDArray[np.float32],
    *,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    r: NDArray[np.float64],
    half_step: float = _FINE,
    visibility: float = 0.5,
) -> tuple[float, float, float, float]:
    """Return centre, radius and strength of the strongest of all circles of a grid."""
    strengths = circle_strengths(seen, x=x, y=y, r=r, half_step=half_step, visibility=visibility)
    i, j, k = np.unravel_index(int(strengths.argmax()), strengths.shape)
    return float(x[i]), float(y[j]), float(r[k]), float(strengths[i, j, k])


def circle_strengths(
    seen: NDArray[np.float32],
    *,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    r: NDArray[np.float64],
    half_step: float = _FINE,
    visibility: float = 0.5,
) -> NDArray[np.float32]:
    """Evaluate the operator for every circle of a grid at once: `(nx, ny, nr)` float32.

    The strength of one arc is the mean rise in brightness across it, over the directions in which
    the circle can be seen on both sides, times a power of the share of such directions; that of a
    circle is the geometric mean of its two arcs, and 0 where either falls or is hidden.

    `seen`: `(h, w, 2)` float32: brightness, and 1 where the pixel may be used, else 0.
    `x`, `y`, `r`: `(nx,)`, `(ny,)`, `(nr,)` px: centres and radii.
    `half_step`: px from the circle, inwards and outwards, at which the brightness is read.
    `visibility`: the power, 0 to 1: how much it counts that a circle is seen all along its arcs.
    """
    # Neighbouring radii share the rings they are read on.
    rings, place = np.unique(
        np.round(np.stack([r - half_step, r + half_step]), 6), return_inverse=True
    )
    shape = (len(x), len(y), len(rings), *_ANGLES.shape)
    offset_x = rings.astype(np.float32)[:, None, None] * np.cos(_ANGLES)
    offset_y = rings.astype(np.float32)[:, None, None] * np.sin(_ANGLES)
    map_x = np.broadcast_to(x.astype(np.float32)[:, None, None, None, None] + offset_x, shape)
    map_y = np.broadcast_to(y.astype(np.float32)[:, None, None, None] + offset_y, shape)
    columns = int(np.prod(shape[2:]))
    read = cv2.remap(
        seen,
        map_x.reshape(-1, columns),
        map_y.reshape(-1, columns),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
    ).reshape(*shape, 2)
    inside, outside = (read[:, :, places] for places in place.reshape(2, -1))
    usable = inside[..., 1] * outside[..., 1]
    share = usable.sum(axis=-1) / _ANGLES.shape[1]
    rise = ((outside[..., 0] - inside[..., 0]) * usable).sum(axis=-1) / _ANGLES.shape[1]
    arcs = np.where(share >= _LEAST_VISIBLE, rise * np.maximum(share, 1e-6) ** (visibility - 1), 0)
    arcs = np.maximum(arcs, 0)
    return np.asarray(np.sqrt(arcs[..., 0] * arcs[..., 1]))


def _visible_disc(between: NDArray[np.float32], x: float, y: float, r: float) -> float:
    rows, columns = np.mgrid[: between.shape[0], : between.shape[1]]
    disc = np.hypot(columns - x, rows - y) < r
    return float((between * disc).sum() / disc.sum())
