"""Faces of Lee Perry-Smith's scan, for measuring only: another mesh, skin and renderer.

The scan seen from the front is a height field with its own photograph as texture. Its eyes, closed
in the scan, are painted open between lids that are known; the points were marked by eye on the
scan (brows: centre line of the hair at quarters). Movements are smooth displacements of brow, lip,
corner of the mouth and wing of the nose, of more than half of the faces one-sided; the points move
along exactly. Places are in px of the front picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.landmark_network.curves import at_arc, take
from benchmarks.landmark_network.expressions import pose
from benchmarks.landmark_network.person import fixed
from benchmarks.landmark_network.scan import ABOVE, PX, WIDTH, Front
from common.arrays import Floats

_LOWEST = -650.0  # px of depth: what is further back is not drawn
_DRAWN, _OUT = 272, 208  # px, as rendered and as kept
_OUTER = np.array([[240.0, 262 + ABOVE], [706, 262 + ABOVE]])  # canthi, right eye and left eye
_INNER = np.array([[385.0, 250 + ABOVE], [562, 250 + ABOVE]])
_MIDDLE = np.array([473, 380 + ABOVE])
_PARTNER = {19: 24, 48: 54, 49: 53, 31: 35}  # of the points that movements carry
_LID_STEPS = 41


def marked() -> Floats:
    """The points on the scan, `(68, 2)`; those of jaw and lids are not marked."""

    def quarters(marks: Sequence[tuple[int, int]]) -> Floats:
        line = np.array(marks, float)
        return take(line, at_arc(line, np.linspace(0, 1, 5)))

    points = np.zeros((68, 2))
    points[17:22] = quarters(
        [(178, 198), (192, 178), (215, 160), (245, 151), (275, 148), (310, 152), (345, 158),
         (375, 164), (402, 167)]
    )  # fmt: skip
    points[[26, 25, 24, 23, 22]] = quarters(
        [(760, 204), (745, 188), (722, 173), (690, 163), (655, 160), (615, 160), (580, 163),
         (550, 167), (520, 168)]
    )  # fmt: skip
    points[27:31] = [(472, 238), (472, 296), (474, 354), (475, 412)]
    points[31:36] = [(412, 456), (440, 459), (473, 464), (505, 460), (533, 457)]
    points[48:60] = [
        (375, 585), (407, 560), (445, 531), (473, 537), (501, 531), (547, 556), (590, 583),
        (554, 597), (518, 603), (482, 606), (447, 604), (411, 599),
    ]  # fmt: skip
    points[60:68] = [
        (382, 582), (449, 568), (482, 566), (515, 567), (583, 581), (515, 568), (482, 568),
        (449, 569),
    ]  # fmt: skip
    points[17:, 1] += ABOVE
    return points


POINTS = marked()


@dataclass(frozen=True)
class _Eyes:
    """How the eyes of one face look: gaze in widths of an eye, colours, lashes, catch light."""

    gaze: tuple[float, float]
    iris: Floats
    white: float
    catch_light: bool
    lashes: int
    dark: float


def draw_scan(rng: Generator, front: Front) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw a picture `(_OUT, _OUT, 3)` uint8 BGR, and its points; those of the jaw mean nothing."""
    eyes = _Eyes(
        (0.06 * rng.standard_normal(), 0.03 * rng.standard_normal()),
        np.clip(rng.choice([0.1, 0.2, 0.38]) + rng.random(3) * [0.3, 0.2, 0.1], 0, 0.8),
        rng.uniform(0.75, 1.1), rng.random() < 0.7, int(rng.integers(3, 7)), rng.uniform(0.4, 0.9),
    )  # fmt: skip
    points = POINTS.copy()
    bumps, weak = _movements(rng)
    opening = np.array([1, 1.0]) * rng.uniform(0.24, 0.44)
    if rng.random() < 0.2:
        opening *= rng.uniform(0, 0.5)
    if weak is not None:
        lagging = opening[weak] * rng.uniform(0.4, 1.3)
        lagging += rng.uniform(0, 0.25) if opening[0] < 0.2 else 0
        opening[weak] = np.clip(lagging, 0, 0.48)
        opening[1 - weak] *= rng.uniform(0.6, 1)
    picture = front.picture.astype(np.float32) / 255
    for side in (0, 1):
        wide = opening[side] * (1 + 0.04 * rng.standard_normal())
        picture = _with_eye(rng, picture, points, side, eyes, wide)
    picture = np.clip(picture, 0, 1)
    tone = rng.uniform(0.35, 1.05)
    picture = picture ** rng.uniform(0.8, 1.6) * tone
    return _seen(rng, front.depth * PX, picture, points, bumps)


def _movements(rng: Generator) -> tuple[list[tuple[Floats, float, Floats]], int | None]:
    """Bumps (centre, spread, vector) of both sides, and the side that moves less, if one does."""
    one_sided = rng.random() < 0.6
    weak = int(rng.integers(2))
    brow = rng.uniform(-15, 38)
    smile = rng.uniform(-10, 42) * (rng.random() < 0.7)
    lip = rng.uniform(0, 16) * (rng.random() < 0.5)
    nose = rng.uniform(0, 16) * (rng.random() < 0.4)
    bumps = []
    for side, sign in ((0, -1), (1, 1)):
        held = one_sided and side == weak

        def add(point: int, spread: float, vector: Floats, much: float, side: int = side) -> None:
            centre = POINTS[_PARTNER[point] if side else point]
            bumps.append((centre, spread, vector * much))

        def share(held: bool = held) -> float:
            return rng.uniform(-0.1, 0.35) if held else rng.uniform(0.85, 1.1)

        add(19, 75, np.array([0, -brow]), share())
        add(48, 58, np.array([0.7 * sign * smile, -0.75 * smile]), share())
        add(49, 35, np.array([0, -lip]), share())
        add(31, 42, np.array([0.3 * sign * nose, -nose]), share())
        if held:
            add(48, 62, np.array([-0.25 * sign, 1.0]), rng.uniform(0, 24))
            add(19, 75, np.array([0, 1.0]), rng.uniform(0, 16))
    return bumps, weak if one_sided else None


def _lids(side: int, up: float, down: float) -> tuple[Floats, Floats]:
    """Upper and lower margin from the outer to the inner corner; openings in widths of the eye."""
    along = np.linspace(0, 1, _LID_STEPS)
    between = _INNER[side] - _OUTER[side]
    base = _OUTER[side] + between * along[:, None]
    width = np.linalg.norm(between)
    above = up * width * np.sin(np.pi * along**0.92) ** 0.8
    below = down * width * np.sin(np.pi * along**1.1) ** 0.85
    axis = np.array([0, 1.0])
    return base - above[:, None] * axis, base + below[:, None] * axis


def _with_eye(
    rng: Generator, picture: Floats, points: Floats, side: int, eyes: _Eyes, opening: float
) -> Floats:
    """Paint an eye between its lids, and set its points."""
    width = np.linalg.norm(_OUTER[side] - _INNER[side])
    down = 0.10 + 0.05 * rng.random()
    up = opening - down
    upper, lower = _lids(side, up, down)
    shape = picture.shape[:2]

    def line(places: Floats, much: float, thick: int) -> NDArray[np.float32]:
        drawn = np.zeros(shape, np.float32)
        cv2.polylines(drawn, [fixed(places, 3)], False, much, thick, cv2.LINE_AA, 3)
        return drawn

    def blurred(mask: Floats, sigma: float) -> Floats:
        return cv2.GaussianBlur(mask, (0, 0), sigma)[..., None]

    open_part = np.zeros(shape, np.float32)
    if opening > 0.03:
        cv2.fillPoly(open_part, [fixed(np.r_[upper, lower[::-1]], 3)], 1, cv2.LINE_AA, 3)
    open_part = blurred(open_part, 0.8)
    gaze = np.array([eyes.gaze[0], -0.09 + eyes.gaze[1] - 0.3 * max(up - 0.2, 0)])
    centre = (_OUTER[side] + _INNER[side]) / 2 + gaze * width
    eye = np.full_like(picture, 1) * np.array([0.78, 0.80, 0.84], np.float32) * eyes.white

    def disc(place: Floats, radius: float, colour: Sequence[float]) -> None:
        at = (place * 8).astype(int).tolist()
        cv2.circle(eye, at, int(8 * radius * width), list(colour), -1, cv2.LINE_AA, 3)

    disc(centre, 0.2, [float(value) * 0.6 for value in eyes.iris])
    disc(centre, 0.18, eyes.iris.tolist())
    disc(centre, 0.08, (0.03, 0.03, 0.03))
    disc(_INNER[side], 0.10, (0.5, 0.5, 0.75))
    if eyes.catch_light:
        disc(centre + np.array([-0.06, -0.07]) * width, 0.035, (1, 1, 1))
    shade = line(upper + np.array([0, 0.03 * width]), 1, int(0.1 * width))
    eye = eye * (1 - 0.55 * blurred(shade, 5))
    picture = picture * (1 - open_part) + eye * open_part
    lashes = line(upper - np.array([0, 1.5]), 1, eyes.lashes)
    cv2.polylines(lashes, [fixed(lower + np.array([0, 1]), 3)], False, 0.35, 2, cv2.LINE_AA, 3)
    picture = picture * (1 - blurred(lashes, 1.2) * eyes.dark)
    height = 0.05 + 0.09 * np.sin(np.pi * np.linspace(0.1, 0.95, _LID_STEPS))
    crease = line(upper - np.c_[np.zeros(_LID_STEPS), height * width], 1, 3)
    picture = picture * (1 - 0.35 * blurred(crease, 2))
    above, below = (((36, 37, 38, 39), (41, 40)), ((45, 44, 43, 42), (46, 47)))[side]
    points[above[0]], points[above[3]] = _OUTER[side], _INNER[side]
    across = (upper[:, 0] - upper[0, 0]) / (upper[-1, 0] - upper[0, 0])
    for numbers, margin in ((above[1:3], upper), (below, lower)):
        for number, share in zip(numbers, (1 / 3, 2 / 3), strict=True):
            points[number] = [np.interp(share, across, margin[:, axis]) for axis in (0, 1)]
    return picture


def _seen(
    rng: Generator, depth: Floats, picture: Floats, points: Floats,
    bumps: Sequence[tuple[Floats, float, Floats]],
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:  # fmt: skip
    """The moved face turned, lit and projected before a background; and its points."""
    ways = rng.standard_normal((5, 2)) * 5
    waves = rng.standard_normal((5, 2)) * 0.006
    phases = rng.uniform(0, 6.28, 5)
    stretch = np.exp(0.06 * rng.standard_normal(2))

    def moved(places: Floats) -> Floats:
        change = np.zeros_like(places)
        for centre, spread, vector in bumps:
            away = ((places - centre) ** 2).sum(1)
            change += np.exp(-away / (2 * spread * spread))[:, None] * vector
        places = places + change
        return (places + np.sin(places @ waves.T + phases) @ ways - _MIDDLE) * stretch

    rows, columns = (one.ravel() for one in np.mgrid[0 : len(depth) : 2, 0:WIDTH:2])
    there = depth[rows, columns] > _LOWEST
    rows, columns = rows[there], columns[there]
    height = depth[rows, columns]
    colour = cv2.GaussianBlur(picture, (0, 0), 1.0)[rows, columns]
    middle = np.median(depth[ABOVE + 230 : ABOVE + 600, 250:700])
    turn = pose(rng, spread=(9, 6, 5), yaw=22, pitch=15)
    scale = _DRAWN * 0.36 * rng.uniform(0.92, 1.1) / 466
    distance = rng.uniform(2500, 8000)
    centre = np.array([_DRAWN / 2, _DRAWN * 0.5]) + _DRAWN * 0.02 * rng.standard_normal(2)

    def projected(places: Floats, depths: Floats) -> tuple[Floats, Floats]:
        """Where places are seen, px, and how near."""
        turned = np.c_[places, -depths] @ turn.T
        nearer = distance / (distance + turned[:, 2:])
        return turned[:, :2] * scale * nearer + centre, -turned[:, 2]

    places, near = projected(moved(np.c_[columns, rows].astype(float)), height - middle)
    row = np.clip(np.round(points[:, 1]).astype(int), 0, len(depth) - 1)
    column = np.clip(np.round(points[:, 0]).astype(int), 0, WIDTH - 1)
    seen, _ = projected(moved(points), depth[row, column] - middle)
    normal = _normals(depth)[rows, columns]
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    light = _light(rng, normal)
    rgb = colour * light / np.percentile(light, 80)
    face, mask = _splatted(places, near, rgb)
    drawn = _before_background(rng, face, mask)
    small = cv2.resize(
        np.clip(drawn, 0, 1).astype(np.float32), (_OUT, _OUT), interpolation=cv2.INTER_AREA
    )
    seen = (seen + 0.5) * _OUT / _DRAWN - 0.5
    return (small * 255).astype(np.uint8), seen.astype(np.float32)


def _normals(depth: Floats) -> Floats:
    smooth = cv2.GaussianBlur(np.where(depth < _LOWEST, _LOWEST, depth), (0, 0), 2)
    across = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=0.125)
    down = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=0.125)
    return np.stack([-across, down, np.ones_like(across)], -1)


def _light(rng: Generator, normal: Floats) -> NDArray[np.float32]:
    light = np.full((len(normal), 3), rng.uniform(0.3, 0.7), np.float32)
    for _ in range(rng.integers(1, 4)):
        towards = np.array(
            [0.8 * rng.standard_normal(), 0.35 + 0.5 * rng.standard_normal(), rng.uniform(0.3, 1.5)]
        )
        towards /= np.linalg.norm(towards)
        light += np.clip(normal @ towards, 0, None)[:, None] * rng.uniform(0.2, 0.8)
    return light


def _splatted(places: Floats, near: Floats, rgb: Floats) -> tuple[Floats, NDArray[np.uint8]]:
    """The nearest colour at each pixel, gaps filled from around; and where the face is."""
    picture = np.zeros((_DRAWN, _DRAWN, 3), np.float32)
    depth = np.full((_DRAWN, _DRAWN), -1e9, np.float32)
    x, y = (np.round(places[:, axis]).astype(int) for axis in (0, 1))
    inside = (x >= 0) & (x < _DRAWN) & (y >= 0) & (y < _DRAWN)
    order = np.argsort(near[inside])
    x, y, rgb, near = (one[inside][order] for one in (x, y, rgb, near))
    picture[y, x], depth[y, x] = rgb, near
    there = (depth > -1e8).astype(np.uint8)
    mask = cv2.morphologyEx(there, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    share = there[..., None].astype(np.float32)
    around = cv2.GaussianBlur(picture * share, (0, 0), 1.2)
    around = around / (cv2.GaussianBlur(share, (0, 0), 1.2)[..., None] + 1e-6)
    return np.where(share > 0, picture, around), mask


def _before_background(rng: Generator, face: Floats, mask: NDArray[np.uint8]) -> Floats:
    colour = rng.random() + 0.15 * rng.standard_normal(3)
    coarse = rng.standard_normal((6, 6, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (_DRAWN, _DRAWN), interpolation=cv2.INTER_CUBIC)
    behind = np.clip(colour + 0.2 * smooth, 0, 1)
    share = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)[..., None]
    picture = np.clip(face * share + behind * (1 - share), 0, 1) ** rng.uniform(0.8, 1.2)
    return picture + 0.02 * rng.random() * rng.standard_normal(picture.shape)
