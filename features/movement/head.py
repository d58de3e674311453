"""The head's motion taken out of the points of a film, as far as 68 points in a plane allow.

A head that turns, nods, tilts, moves or comes closer moves all points. What turned is found on
points that the muscles hardly move (corners of the eyes, bridge and base of the nose): a rigid
face in space, the person's own at rest with the depths of an average adult, is laid on them in
every frame (scaled orthographic camera, least squares by Gauss and Newton), and all points are
put back to where they would be seen with the head as at rest.

Straight ahead is where the bridge of the nose lies in the middle between the eyes: palsy moves the
tip and the wings, not the bridge. How far the head nods is known only against rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation
from scipy.stats import siegelslopes

from features.frames import FacesInFrame, FloatArray, faces_in_frame
from landmarks.points import MIRROR_PARTNER

OUTER_EYE_MM = 90.0
"""Distance of the outer corners of the eyes in adults, rounded; scales depths and thresholds."""

STABLE = (27, 28, 29, 30, 31, 33, 35, 36, 39, 42, 45)
"""Corners of the eyes, bridge and base of the nose."""

_BRIDGE = (27, 28, 29)

MAX_TURN_DEG = 30.0
"""A head turned further, or nodded further against rest, is not measured: a side is hidden."""

# Depth of the points, mm before the plane of the outer corners of the eyes; rounded from adult
# profiles (nose 20 to 38 mm, lips 20 to 24, corner of the mouth 16). Patient's right and midline.
_DEPTHS = {
    17: -1, 18: 8, 19: 14, 20: 17, 21: 18, 27: 16, 28: 21, 29: 28, 30: 37, 31: 22, 32: 24, 33: 25,
    36: 0, 37: 6, 38: 8, 39: 9, 40: 9, 41: 7, 48: 16, 49: 21, 50: 24, 51: 25, 57: 22, 58: 21,
    59: 19, 60: 17, 61: 22, 62: 24, 66: 23, 67: 21,
}  # fmt: skip
_STEPS = 6
ENOUGH, _FOR_DEPTH = 2000, 400  # frames for a median, and for the depth of the mouth
TURNS_DEG, MOUTH_DEPTH = 10.0, 0.3


def _depths() -> FloatArray:
    """Return the depth of all 68 points in outer-eye distances; the jaw, unused, lies at 0."""
    depths = np.zeros(68)
    for point, depth in _DEPTHS.items():
        depths[[point, MIRROR_PARTNER[point]]] = depth / OUTER_EYE_MM
    return depths


@dataclass(frozen=True)
class StillHead:
    """n frames with the head as at rest."""

    # points in the frame of the eyes at rest (`features.frames`), in outer-eye distances
    faces: FacesInFrame
    # `(n, 3)` degrees: yaw (positive to the patient's left), pitch against rest (positive
    # downwards), tilt (counter-clockwise positive as seen)
    pose: FloatArray
    scale: FloatArray  # `(n,)` px per outer-eye distance


def face_at_rest(points: FloatArray) -> FloatArray:
    """Return the median face of some `(n, 68, 2)` px, `(68, 2)`: outer-eye distances, eyes level.

    Where the head looks aside, the face is what would be seen from ahead.
    """
    faces = faces_in_frame(points).points
    apart = np.linalg.norm(faces[:, 45] - faces[:, 36], axis=1)
    shape = np.nanmedian(faces / apart[:, np.newaxis, np.newaxis], axis=0)
    x, depths = shape[:, 0] - shape[[36, 45], 0].mean(), _depths()
    across = np.append(x[list(_BRIDGE)], x[[39, 42]].mean())
    before = np.append(depths[list(_BRIDGE)], depths[39])
    sine = float(np.clip(across @ before / (before @ before), -0.5, 0.5))
    ahead = (x - depths * sine) / np.sqrt(1 - sine**2)
    eyes = ahead[[36, 39, 42, 45]].mean()
    return np.stack([ahead - eyes, shape[:, 1]], axis=1) / (ahead[45] - ahead[36])


def depths_of(points: FloatArray, *, shape: FloatArray) -> FloatArray:
    """Return the depth of the 68 points, `(68,)` outer-eye distances.

    Those of an average adult; where the head of `(n, 68, 2)` px turns by 10 degrees or more, the
    mouth's is the one with which its middle stays where it is while the head turns: it lies far
    from the eyes, and moves with every degree that a head is held up or down.
    """
    depths = _depths()
    some = points[:: max(1, len(points) // _FOR_DEPTH)]
    still = with_still_head(some, shape=shape, depths=depths)
    yaw, middle = still.pose[:, 0], still.faces.points[:, [48, 51, 54, 57], 0].mean(axis=1)
    known = np.isfinite(yaw)
    if known.any() and np.ptp(np.quantile(yaw[known], [0.05, 0.95])) >= TURNS_DEG:
        sine = np.sin(np.radians(yaw[known]))
        deeper = float(siegelslopes(middle[known], sine)[0])
        depths[48:68] += np.clip(deeper, -MOUTH_DEPTH, MOUTH_DEPTH)
    return depths


def with_still_head(points: FloatArray, *, shape: FloatArray, depths: FloatArray) -> StillHead:
    """Take the head's motion out of `(n, 68, 2)` px, NaN where a frame has no points.

    `shape` is the `face_at_rest`, `depths` the `depths_of` the film.
    """
    body = np.column_stack([shape, depths])[list(STABLE)]
    turn, scale, shift = _fit(points[:, list(STABLE)], body)
    flat = (points - shift[:, np.newaxis]) / scale[:, np.newaxis, np.newaxis]
    flat -= depths[np.newaxis, :, np.newaxis] * turn[:, np.newaxis, :2, 2]
    facing = flat @ np.linalg.inv(turn[:, :2, :2]).transpose(0, 2, 1)
    eyes = shape[[36, 39, 42, 45], 0]
    n = len(points)
    return StillHead(
        faces=FacesInFrame(
            points=facing,
            origin=np.zeros((n, 2)),
            axis=np.tile([1.0, 0.0], (n, 1)),
            apart=np.full(n, eyes[2:].mean() - eyes[:2].mean()),
            source=("eye_corners",) * n,
        ),
        pose=_angles(turn),
        scale=scale,
    )


def _fit(seen: FloatArray, body: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Lay the body `(k, 3)` on `(n, k, 2)` points: rotations `(n, 3, 3)`, scales, shifts."""
    n = len(seen)
    known = np.isfinite(seen).all(axis=(1, 2))
    turn = np.full((n, 3, 3), np.nan)
    scale, shift = np.full(n, np.nan), np.full((n, 2), np.nan)
    if not known.any():
        return turn, scale, shift
    q = seen[known]
    middle = q.mean(axis=1)
    q = q - middle[:, np.newaxis]
    centre = body.mean(axis=0)
    b = body - centre
    across = np.einsum("nki,kj->nij", q, b[:, :2])
    tilt = np.arctan2(across[:, 1, 0] - across[:, 0, 1], across[:, 0, 0] + across[:, 1, 1])
    now = Rotation.from_euler("z", tilt[:, np.newaxis])
    log_scale = np.log(np.sqrt((q**2).sum(axis=(1, 2)) / (b[:, :2] ** 2).sum()))
    for _ in range(_STEPS):
        placed = np.einsum("nij,kj->nki", now.as_matrix(), b)
        size = np.exp(log_scale)[:, np.newaxis]
        x, y, z = (size * placed[..., axis] for axis in range(3))
        nothing = np.zeros_like(x)
        slopes = np.stack(
            [
                np.concatenate([nothing, -z], axis=1),
                np.concatenate([z, nothing], axis=1),
                np.concatenate([-y, x], axis=1),
                np.concatenate([x, y], axis=1),
            ],
            axis=2,
        )
        left = np.concatenate([q[..., 0] - x, q[..., 1] - y], axis=1)
        square = slopes.transpose(0, 2, 1) @ slopes
        step = np.linalg.solve(square, slopes.transpose(0, 2, 1) @ left[..., np.newaxis])[..., 0]
        now = Rotation.from_rotvec(step[:, :3]) * now
        log_scale += step[:, 3]
    turn[known], scale[known] = now.as_matrix(), np.exp(log_scale)
    shift[known] = middle - scale[known, np.newaxis] * (turn[known][:, :2] @ centre)
    return turn, scale, shift


def _angles(turn: FloatArray) -> FloatArray:
    yaw = -np.arcsin(np.clip(turn[:, 2, 0], -1, 1))
    pitch = np.arctan2(-turn[:, 2, 1], turn[:, 2, 2])
    tilt = np.arctan2(-turn[:, 1, 0], turn[:, 0, 0])
    return np.degrees(np.stack([yaw, pitch, tilt], axis=1))
