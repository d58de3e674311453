"""What the network looked at, as small pictures for the joint report.

Comes from a folder of `htnet train`; every photograph is explained by the network that did not
learn from its patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.grading.folds import read_folds
from htnet.palsy.answers import read_trained, target_of
from htnet.palsy.cohort import read_image_cohort
from htnet.palsy.faces import Faces
from htnet.palsy.folds import trained_files, trained_parts
from htnet.palsy.maps import Explanation, explain_faces
from htnet.palsy.training import WEIGHTS
from landmarks.overlay import draw_overlay

SIZE = 168  # px of a picture
_COLOURS, _OPACITY = "magma", 0.68
_BRIGHTEST = 0.995  # quantile of a map that is shown brightest


def network_pictures(
    networks: Path,
    manifest: Path,
    landmarks: Path,
    *,
    features: Path | None = None,
    image_ids: Sequence[str],
    redact: bool = False,
) -> dict[str, NDArray[np.uint8]]:
    """Draw what moved the grade of some photographs (integrated gradients), by `image_id`.

    `networks` is a folder of `htnet train`, the tables those that it was trained with. Only the
    first repeat of the folds is asked; photographs that no network tests are left out. RGB uint8
    pictures of `SIZE` px: the aligned face (redacted its drawn points), bright where a change would
    have moved the grade, on the side taken for the weak one where the side is answered. UserError
    when there are no networks, their maps have no place in the face, or one learned from the
    patient it is asked about.
    """
    folds = read_folds(networks / "folds.csv")
    folds = folds[folds["repeat"] == folds["repeat"].min()]
    weights = trained_files(networks)
    if not weights:
        raise UserError(f"{networks} holds no trained fold: run htnet train first.")
    network, notes = read_trained(weights[0])
    cohort = read_image_cohort(
        manifest, landmarks, target=target_of(notes), config=network.config,
        features=features, quiet=True,
    )  # fmt: skip
    asked = set(image_ids)
    names = cohort.rows["image_id"].astype(str).to_numpy()
    pictures = {}
    for part in trained_parts(networks, folds, cohort):
        network, _ = read_trained(part.folder(networks) / WEIGHTS)
        faces = cohort.data.faces.subset([int(row) for row in part.test if names[row] in asked])
        for at, found in enumerate(explain_faces(network, faces)):
            pictures[faces.image_ids[at]] = _picture(found, faces, at, redact=redact)
    return pictures


def _picture(found: Explanation, faces: Faces, at: int, *, redact: bool) -> NDArray[np.uint8]:
    """Lay the map over the face, or over its drawn points."""
    import cv2

    face = found.pixels
    if redact:
        plain = np.zeros((faces.size, faces.size, 3), dtype=np.uint8)
        face = draw_overlay(plain, faces.points[at], legend=False)
    heat = found.on_weak_side(found.gradients)
    # A few outstanding pixels do not darken the rest.
    low, high = float(heat.min()), float(np.quantile(heat, _BRIGHTEST))
    bright = np.clip((heat - low) / max(high - low, 1e-12), 0, 1)
    colours = mpl.colormaps[_COLOURS](bright)[..., :3] * 255.0
    mixed = (1 - _OPACITY) * face.astype(np.float64) + _OPACITY * colours
    size = (SIZE, SIZE)
    larger = cv2.resize(mixed.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    picture: NDArray[np.uint8] = np.clip(np.rint(larger), 0, 255).astype(np.uint8)
    return picture
