"""The network's inputs: aligned faces, what is known about them, and batches of both.

Comes from a landmark table and the photographs; goes to training and grading as uint8 tensors,
150 kB a face at 224 px and 38 kB at 112 px.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.arrays import Names
from common.errors import PhotoError, UserError
from common.grading.numeric_target import NumericTarget
from common.movements import REST
from common.photos import read_photo
from common.progress import JobProgress
from htnet.alignment import AlignedFace, align_face, cut_square, region_masks, shape_free_face
from htnet.network.configuration import SIDE_CLASSES
from htnet.network.htnet import to_input
from htnet.network.losses import SCORE_STEPS, steps_of, steps_of_scores
from landmarks.tables import points_of

InputKind = Literal["face", "regions", "appearance"]

BATCH = 64  # faces that a network answers at a time
_NAMED = 5  # refused photographs named in a sentence
_MOSAIC = ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47), (48,), (54,))
_MOSAIC_SIDE = 0.30  # of the aligned face: what a tile of the mosaic shows


@dataclass(frozen=True)
class Faces:
    """Faces in the order of `image_ids`.

    `pixels`: `(n, 3, size, size)` RGB uint8; `(n, 2, 3, size, size)` for `regions`: the mosaic,
    then the whole face.
    `regions`: `(n, 5, 32, 32)` uint8, where each of `ROI_REGIONS` lies.
    `points`: `(n, 68, 2)` px of the aligned face.
    `features`: `(n, f)` float measured features that a network reads beside the image, NaN where
    missing; None when it reads none.
    `kept`: what a network found in them before (`htnet.palsy.answers.summaries`), by network.
    """

    image_ids: tuple[str, ...]
    pixels: Tensor
    regions: Tensor
    points: NDArray[np.float64]
    features: Tensor | None = None
    sha256: tuple[str, ...] = ()  # of each photograph's file; none for faces not from files
    tasks: tuple[str, ...] = ()  # the movement that each photograph shows; empty where not known
    kept: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.image_ids)

    @property
    def size(self) -> int:
        """Side of a face in px."""
        return int(self.pixels.shape[-1])

    @cached_property
    def rest(self) -> NDArray[np.bool_]:
        """`(n,)` whether a photograph shows the face at rest."""
        return np.array([task == REST for task in self.tasks or [""] * len(self)], dtype=np.bool_)

    def at(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return pixels and features of some rows."""
        return self.pixels[rows], None if self.features is None else self.features[rows]

    def subset(self, rows: Sequence[int]) -> Faces:
        """Return some of the faces."""
        return Faces(
            image_ids=tuple(self.image_ids[row] for row in rows),
            pixels=self.pixels[rows],
            regions=self.regions[rows],
            points=self.points[rows],
            features=None if self.features is None else self.features[rows],
            sha256=tuple(self.sha256[row] for row in rows) if self.sha256 else (),
            tasks=tuple(self.tasks[row] for row in rows) if self.tasks else (),
        )


@dataclass
class Batch:
    """Faces with what is known about them, as a training takes them.

    `image`: `(b, 3, s, s)` or `(b, 2, 3, s, s)` float, as the network sees it.
    `worse_than`: `(b, k - 1)`: probability that the class is above class j + 1; 0 or 1 unless mixed
    or of scores.
    `side`: `(b, 3)` probabilities in the order of `SIDE_CLASSES`; rows of zeros where not known.
    `regions`: `(b, 5, 32, 32)` 0..1.
    `features`: `(b, f)` measured features, NaN where missing, or None. They measure asymmetry
    without its side, so a flip leaves them; of mixed faces they are mixed, and missing where either
    is.
    `asked`, `rest`: `(b,)`: number of whom the answer is for, and whether the face is at rest.
    """

    image: Tensor
    worse_than: Tensor
    side: Tensor
    regions: Tensor
    features: Tensor | None = None
    asked: Tensor | None = None
    rest: Tensor | None = None


@dataclass(frozen=True)
class LabelledFaces:
    """Faces with what is known about them."""

    faces: Faces
    labels: NDArray[Any]  # `(n,)` class numbers 1..k (int), or scores (float)
    sides: tuple[str, ...]  # weak one, the patient's: right, left, none, both or unknown
    patients: NDArray[np.str_]  # `(n,)` names
    classes: tuple[str, ...]  # names of class 1..k; none of scores
    number: NumericTarget | None = None  # the target where the labels are scores
    visits: tuple[str, ...] = ()  # of scores, of each face; empty where there are none

    @property
    def num_classes(self) -> int:
        """Classes that the network tells apart; the steps of a score lie between them."""
        return len(self.classes) if self.number is None else SCORE_STEPS + 1

    @cached_property
    def asked(self) -> NDArray[np.str_]:
        """`(n,)` whom the answer is for: the patient, or the patient's visit."""
        if not self.visits:
            return self.patients
        pairs = zip(self.patients, self.visits, strict=True)
        return np.array([f"{patient}\t{visit}" for patient, visit in pairs])

    @cached_property
    def number_asked(self) -> Tensor:
        """`(n,)` the same, numbered."""
        return torch.from_numpy(np.unique(self.asked, return_inverse=True)[1])

    @cached_property
    def worse_than(self) -> Tensor:
        """`(n, k - 1)`: whether the class is above class j + 1; of scores the share of step j."""
        if self.number is not None:
            return steps_of_scores(self.labels, low=self.number.low, high=self.number.high)
        return steps_of(torch.from_numpy(self.labels), num_classes=len(self.classes))

    @cached_property
    def side(self) -> Tensor:
        """`(n, 3)` in the order of `SIDE_CLASSES`; rows of zeros where not known."""
        names = [[float(name == one) for one in SIDE_CLASSES] for name in self.sides]
        return torch.tensor(names)

    def batch(self, rows: Tensor, device: torch.device) -> Batch:
        """Gather the rows `(b,)` on a device, unaltered."""
        at = rows.cpu()
        pixels, features = self.faces.at(at)
        return Batch(
            image=to_input(pixels.to(device)),
            worse_than=self.worse_than[at].to(device),
            side=self.side[at].to(device),
            regions=self.faces.regions[at].to(device).float() / 255,
            features=None if features is None else features.to(device),
            asked=self.number_asked[at].to(device),
            rest=torch.from_numpy(self.faces.rest)[at].to(device),
        )


@dataclass(frozen=True)
class Sets:
    """Rows of those that belong together.

    `rows`: `(p, m)` row numbers, m the largest set; a smaller one repeats its first. `present`:
    `(p, m)`: whether there is such a photograph.
    """

    rows: Tensor
    present: Tensor

    def mean(self, values: Tensor | None) -> Tensor | None:
        """Return `(p, f)`, the mean of each set's values `(n, f)` that are not missing (NaN)."""
        if values is None:
            return None
        gone = ~self.present[..., None]
        return values[self.rows].masked_fill(gone, torch.nan).nanmean(dim=1)


def sets_of(asked: Tensor) -> Sets:
    """Gather rows `(n,)` by number, sets in the order of their numbers."""
    members = [torch.nonzero(asked == number)[:, 0] for number in asked.unique()]
    most = max(len(one) for one in members)
    rows = [torch.cat([one, one[:1].expand(most - len(one))]) for one in members]
    counts = torch.tensor([len(one) for one in members], device=asked.device)
    present = torch.arange(most, device=asked.device) < counts[:, None]
    return Sets(torch.stack(rows), present)


def sets_within(asked: Names, rows: NDArray[np.intp]) -> tuple[Names, Sets]:
    """Gather some rows by who is `asked` `(n,)` about: their names in order, and their sets."""
    names, numbers = np.unique(asked[rows], return_inverse=True)
    sets = sets_of(torch.from_numpy(numbers))
    return names, Sets(torch.from_numpy(rows)[sets.rows], sets.present)


def refused(landmarks: pd.DataFrame) -> list[str]:
    """Return one sentence for each photograph that has no landmarks to align it by."""
    failed = landmarks[landmarks["status"] != "ok"]
    reasons = failed["reason"].fillna("") if "reason" in failed else pd.Series("", failed.index)
    return [
        f"{image_id} is left out: its status is {status}{f' ({reason})' if reason else ''}."
        for image_id, status, reason in zip(
            failed["image_id"], failed["status"], reasons, strict=True
        )
    ]


def read_faces(
    landmarks: pd.DataFrame,
    paths: Sequence[Path],
    *,
    size: int,
    kind: InputKind = "face",
    quiet: bool = True,
) -> Faces:
    """Read and align the face of each photograph.

    `landmarks`: rows of a landmark table, all of status `ok`, `paths` the photograph of each.
    `size`: side of the network's input in px.
    `kind`: `face`; `regions`: a mosaic of the eyes and mouth corners with the whole face; or
    `appearance`: the face without its shape (`htnet.alignment`).

    UserError when a row is not `ok`, or a photograph cannot be read; the photographs are named.
    """
    complaints = refused(landmarks)
    if complaints:
        more = "" if len(complaints) <= _NAMED else f" ({len(complaints) - _NAMED} more such)"
        raise UserError(" ".join(complaints[:_NAMED]) + more)
    faces: list[AlignedFace] = []
    sha256: list[str] = []
    cut = shape_free_face if kind == "appearance" else align_face
    rows = zip(paths, points_of(landmarks), landmarks["image_id"], strict=True)
    with nullcontext() if quiet else JobProgress("faces", total=len(paths)) as progress:
        for path, points, image_id in rows:
            try:
                photo = read_photo(path)
            except PhotoError as error:
                raise UserError(f"{image_id} cannot be used: {error}") from error
            sha256.append(photo.sha256)
            faces.append(cut(photo.pixels, photo.from_original(points), size=size))
            if progress:
                progress.advance(ok=True)
    found = faces_of(faces, image_ids=tuple(landmarks["image_id"]), kind=kind)
    return replace(found, sha256=tuple(sha256))


def faces_of(
    faces: Sequence[AlignedFace], *, image_ids: Sequence[str], kind: InputKind = "face"
) -> Faces:
    """Gather aligned faces, one or more, into tensors."""
    size = faces[0].pixels.shape[0]
    whole = np.stack([face.pixels for face in faces])
    pixels = whole
    if kind == "regions":
        pixels = np.stack([np.stack([mosaic(face), face.pixels]) for face in faces])
    return Faces(
        image_ids=tuple(map(str, image_ids)),
        pixels=torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, -1, -3))),
        regions=torch.from_numpy(np.stack([region_masks(f.points, size=size) for f in faces])),
        points=np.stack([face.points for face in faces]),
    )


def mosaic(face: AlignedFace) -> NDArray[np.uint8]:
    """Lay both eyes above both mouth corners: `(size, size, 3)`, sides and midline as in the face.

    Each tile is centred on its own points, as in the published region input; the four tiles show
    the same share of the face, so they keep one scale.
    """
    size = face.pixels.shape[0]
    tiles = [
        cut_square(
            face.pixels,
            centre=face.points[list(points)].mean(axis=0),
            side=_MOSAIC_SIDE * size,
            size=size // 2,
        )
        for points in _MOSAIC
    ]
    rows = [np.concatenate(tiles[:2], axis=1), np.concatenate(tiles[2:], axis=1)]
    return np.ascontiguousarray(np.concatenate(rows, axis=0))
