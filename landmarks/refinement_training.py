"""What corrected photographs teach about the points that a model finds: rounds of a refinement.

In every round the points move on from where patients that the round has not learned from would
have had them, and for each region held-out patients choose how strongly the regression is drawn
towards no shift at all, or that nothing is learned for it. So few photographs teach little, and no
harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.photos import Photo, read_photo
from landmarks.find.detector import FaceBox
from landmarks.find.finder import DETECTION_MIN_SIDE
from landmarks.find.refinement import PICTURE_PX, LevelFace, joined, levelled
from landmarks.find.tta import picture_in
from landmarks.points import INNER, map_points, mirror_points
from landmarks.refinement import SHOWN, Regression, Round

ROUNDS, FOLDS = 3, 5
_STRENGTHS = np.logspace(-3, 2, 11)  # of the ridge, in mean squares of what is known
_DIRECTIONS_KEPT = 24  # of the 200 numbers of a patch
_FACES_FOR_BASIS = 100
_DRAWN = 3  # starts drawn around the one that was found
_FIELD_PX, _REACH_PX, _CENTRES, _NOISE_PX = (2.4, 4.0), 20.0, 8, 0.7  # across and down; how drawn
_ANOTHER_FACE = 0.15  # of the outer-eye distance: so far off, the points are of something else


@dataclass(frozen=True)
class CorrectedFace:
    """A face to learn from, px of its levelled `picture`, `(PICTURE_PX, PICTURE_PX)` grey uint8.

    `starts`: `(k, 68, 2)` points as the model finds them, and others around; `k` is the same for
    all. `true`: `(68, 2)` corrected points.
    """

    patient: str
    picture: NDArray[np.uint8]
    starts: NDArray[np.float64]
    true: NDArray[np.float64]


def corrected_face(
    path: Path,
    *,
    patient: str,
    box: FaceBox,
    found: NDArray[np.float64],
    true: NDArray[np.float64],
    rng: np.random.Generator,
) -> CorrectedFace | None:
    """Read one photograph; None where the model has taken something else for the face.

    `found`, `true`: `(68, 2)` px, as the model finds them, and as they were corrected. `rng` draws
    more starts around the first: what a region looks like that is off.
    """
    across = np.hypot(*(true[45] - true[36]))
    off = np.hypot(*(found - true)[list(INNER)].T)
    if np.sqrt((off**2).mean()) > _ANOTHER_FACE * across:
        return None
    photo = read_photo(path, grey=True, min_side=DETECTION_MIN_SIDE)
    level = levelled(photo.from_original(found)[None])
    start = map_points(photo.from_original(found), level)
    return CorrectedFace(
        patient=patient,
        picture=picture_in(photo.pixels, box_in(photo, box), level, side=PICTURE_PX),
        starts=np.stack([start, *(start + _field(start, rng=rng) for _ in range(_DRAWN))]),
        true=map_points(photo.from_original(true), level),
    )


def box_in(photo: Photo, box: FaceBox) -> FaceBox:
    """Return a box of the photograph in px of the picture as it was decoded."""
    return box.shifted(*-np.array(photo.offset)).scaled(1 / photo.scale, 1 / photo.scale)


def _field(points: NDArray[np.float64], *, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a smooth field of shifts, `(68, 2)` px, and a little noise."""
    centres = points[rng.choice(list(INNER), _CENTRES)]
    away = ((points[:, None] - centres) ** 2).sum(axis=-1)
    near = np.exp(-away / (2 * _REACH_PX**2))
    return np.asarray(
        near @ rng.normal(0, _FIELD_PX, (_CENTRES, 2)) + rng.normal(0, _NOISE_PX, points.shape)
    )


def learn_rounds(faces: Sequence[CorrectedFace], *, seed: int = 0) -> tuple[Round, ...]:
    """Learn up to `ROUNDS` rounds; none where the faces teach nothing that holds for others.

    UserError when the faces are of fewer than two patients.
    """
    rng = np.random.default_rng(seed)
    folds = _folds([face.patient for face in faces], rng=rng)
    points = np.array([face.starts for face in faces])
    true = np.array([face.true for face in faces])[:, None]
    patients = np.unique([face.patient for face in faces], return_inverse=True)[1]
    rounds: list[Round] = []
    for _ in range(ROUNDS):
        one: dict[str, Regression] = {}
        basis, mean = _basis(faces, points, rng=rng)
        known = _known(faces, points, basis, mean)
        shift = np.zeros((2, *points.shape))
        asked = np.stack([true - points, mirror_points(true - points, width=1)])
        for region, own in SHOWN.items():
            weights, held_out = _regression(
                known[region], asked[:, :, :, list(own)], folds=folds, patients=patients
            )
            if weights is not None:
                one[region] = Regression(basis, mean, weights.astype(np.float32))
                shift[:, :, :, list(own)] = held_out
        if not one:
            break
        rounds.append(one)
        points = points + joined(shift[0], shift[1])
    return tuple(rounds)


def _folds(patients: Sequence[str], *, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the fold of each face; a patient is in one."""
    names, whose = np.unique(patients, return_inverse=True)
    if len(names) < 2:
        raise UserError("Corrected photographs of at least 2 patients are needed to learn from.")
    dealt = rng.permutation(len(names)) % min(FOLDS, len(names))
    return np.asarray(dealt[whose], dtype=np.int64)


def _patches(
    face: CorrectedFace, points: NDArray[np.float64]
) -> Iterator[tuple[str, int, NDArray[np.float32]]]:
    level = LevelFace.of(face.picture)
    for region in SHOWN:
        for mirrored in (0, 1):
            yield region, mirrored, level.patches(points, region, mirrored=bool(mirrored))


def _basis(
    faces: Sequence[CorrectedFace], points: NDArray[np.float64], *, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the directions in which patches of some faces differ most, and their mean."""
    some = rng.permutation(len(faces))[:_FACES_FOR_BASIS]
    rows = np.concatenate(
        [
            patches.reshape(-1, patches.shape[-1])
            for at in some.tolist()
            for _, _, patches in _patches(faces[at], points[at, :1])
        ]
    )
    vectors = np.linalg.eigh(np.cov(rows.T))[1][:, : -_DIRECTIONS_KEPT - 1 : -1]
    return vectors.astype(np.float32), rows.mean(axis=0)


def _known(
    faces: Sequence[CorrectedFace],
    points: NDArray[np.float64],
    basis: NDArray[np.float32],
    mean: NDArray[np.float32],
) -> dict[str, NDArray[np.float32]]:
    """Return what a regression sees, `(2, faces, starts, d)` for each region."""
    n, k = points.shape[:2]
    known = {
        region: np.ones((2, n, k, len(own) * _DIRECTIONS_KEPT + 1), np.float32)
        for region, own in SHOWN.items()
    }
    for at, face in enumerate(faces):
        for region, mirrored, patches in _patches(face, points[at]):
            known[region][mirrored, at, :, :-1] = ((patches - mean) @ basis).reshape(k, -1)
    return known


def _regression(
    known: NDArray[np.float32],
    asked: NDArray[np.float64],
    *,
    folds: NDArray[np.int64],
    patients: NDArray[np.int64],
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """Return weights of a ridge regression, and what it says of patients it has not learned from.

    `known` is `(2, faces, starts, d)`, `asked` `(2, faces, starts, points, 2)`. None where
    held-out patients are not better off by more than the standard error of that.
    """
    flat = asked.reshape(*asked.shape[:3], -1)
    said = np.zeros((len(_STRENGTHS), *flat.shape))
    for fold in np.unique(folds):
        out = folds == fold
        for k, weights in enumerate(_ridge(known[:, ~out], flat[:, ~out])):
            said[k][:, out] = known[:, out] @ weights
    as_found = flat[:, :, 0], (flat - said)[:, :, :, 0]  # the other starts were drawn
    better = (as_found[0] ** 2 - as_found[1] ** 2).mean(axis=(1, 3))  # (strengths, faces)
    by_patient = np.array([better[:, patients == p].mean(axis=1) for p in range(max(patients) + 1)])
    best = int(by_patient.mean(axis=0).argmax())
    gain = by_patient[:, best]
    if not gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)):
        return None, np.zeros_like(asked)
    weights = list(_ridge(known, flat))[best]
    return weights, said[best].reshape(asked.shape)


def _ridge(known: NDArray[np.float32], asked: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Give the weights `(d, targets)` of every strength, weakest first."""
    x = known.reshape(-1, known.shape[-1]).astype(np.float64)
    y = asked.reshape(-1, asked.shape[-1])
    values, vectors = np.linalg.eigh(x.T @ x)
    turned = vectors.T @ (x.T @ y)
    for strength in _STRENGTHS:
        yield vectors @ (turned / (values + strength * values.mean())[:, None])
