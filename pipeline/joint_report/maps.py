"""What the network saw, for the joint report: small pictures of maps, weak sides and zones.

Comes from a folder of `htnet train`; every photograph and patient is explained by the network that
did not learn from the patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from common.arrays import Floats, Places
from common.errors import UserError
from common.grading.folds import read_folds
from htnet.network.configuration import SIDE_CLASSES
from htnet.network.heads import ZONES
from htnet.network.htnet import GradingNetwork
from htnet.palsy.answers import read_trained, target_of
from htnet.palsy.asking import answer_sets
from htnet.palsy.cohort import ImageCohort, read_image_cohort
from htnet.palsy.faces import Faces, sets_within
from htnet.palsy.folds import trained_files, trained_parts
from htnet.palsy.maps import Explanation, explain_faces
from htnet.palsy.training import WEIGHTS
from landmarks.overlay import draw_overlay

SIZE = 168  # px of a picture
_COLOURS, _OPACITY = "magma", 0.68
_BRIGHTEST = 0.995  # quantile of a map that is shown brightest


@dataclass(frozen=True)
class NetworkView:
    """By `image_id` what moved the grade (RGB), by `patient_id` what is said of sides and zones."""

    pictures: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)


def network_view(
    networks: Path,
    manifest: Path,
    landmarks: Path,
    *,
    features: Path | None = None,
    image_ids: Sequence[str],
    redact: bool = False,
) -> NetworkView:
    """Draw what moved the grade of some photographs (integrated gradients); put zones in words.

    `networks` is a folder of `htnet train`, the tables those that it was trained with. Only the
    first repeat of the folds is asked; photographs that no network tests are left out. RGB uint8
    pictures of `SIZE` px: the aligned face (redacted its drawn points), bright where a change would
    have moved the grade, on the side taken for the weak one where the side is answered (of all
    photographs together where the network takes them so; then zones are told, too). UserError when
    there are no networks, their maps have no place in the face, or one learned from the patient
    it is asked about.
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
    view = NetworkView()
    for part in trained_parts(networks, folds, cohort):
        network, _ = read_trained(part.folder(networks) / WEIGHTS)
        told = sides_and_zones(network, cohort, part.test)
        view.said.update({patient: _in_words(*found) for patient, found in told.items()})
        rows = [int(row) for row in part.test if names[row] in asked]
        faces = cohort.data.faces.subset(rows)
        for at, found in enumerate(explain_faces(network, faces)):
            patient = str(cohort.data.asked[rows[at]])
            side = told[patient][0] if patient in told else found.side
            picture = _picture(replace(found, side=side), faces, at, redact=redact)
            view.pictures[faces.image_ids[at]] = picture
    return view


def sides_and_zones(
    network: GradingNetwork, cohort: ImageCohort, rows: Places
) -> dict[str, tuple[Floats, Floats]]:
    """Return of each patient of some rows the probabilities of the sides `(3,)` and zones `(2, 3)`.

    From all photographs together; nothing of a network that looks at single ones.
    """
    if network.config.pooling != "patient" or not len(rows):
        return {}
    names, sets = sets_within(cohort.data.asked, rows)
    found = answer_sets(network, cohort.data.faces, sets)
    if found.sides is None or found.zones is None:
        return {}
    return dict(zip(map(str, names), zip(found.sides, found.zones, strict=True), strict=True))


def _in_words(sides: Floats, zones: Floats) -> str:
    """Say how probable the network finds each weak side, and how weak each zone."""
    weak = ", ".join(
        f"{side} {100 * chance:.0f} %" for side, chance in zip(SIDE_CLASSES, sides, strict=True)
    )
    told = ", ".join(
        f"{zone} {100 * right:.0f} and {100 * left:.0f} %"
        for zone, right, left in zip(ZONES, *zones, strict=True)
    )
    return (
        f"What the network sees: weak side {weak}; weakness on the right and on the left (100 %: "
        f"no movement): {told}."
    )


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
