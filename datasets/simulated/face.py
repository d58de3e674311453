"""A simulated patient, and a photograph of one: the entry to the simulated faces.

    patient = draw_patient(seed=3, grade=4, side="left", kind="flaccid")
    rgb, points = render_photo(patient, "full_smile")

A patient has a shape (`shape`, `relief`), moves (`movement`), and is drawn (`render` and what it
lists). The faces are drawn by this project alone; they show no real person and prove nothing about
patients: a result on them is a result on simulated data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from datasets.simulated.canvas import FloatArray
from datasets.simulated.look import Look, View, draw_look, draw_view, next_photograph
from datasets.simulated.movement import (
    CONTRACTIONS,
    REGIONS,
    Expression,
    Kind,
    Palsy,
    Side,
    Vigour,
    check_movement,
    draw_vigour,
    express,
)
from datasets.simulated.render import render
from datasets.simulated.shape import Sex, Shape, draw_shape, neutral_points


@dataclass(frozen=True)
class Patient:
    """One simulated person: shape, look, movement, palsy and the session's view.

    `seed` is that of everything that differs between the person's photographs.
    """

    shape: Shape
    look: Look
    vigour: Vigour
    palsy: Palsy
    view: View
    seed: int


def draw_patient(*, seed: int, grade: int, side: Side, kind: Kind, folds: bool = False) -> Patient:
    """Draw one patient, 18 to 80 years old.

    Parameters
    ----------
    seed
        The same seed gives the same person, whatever the grade, side and kind.
    grade
        House-Brackmann grade, 1 to 6.
    side
        Weak side, the patient's own: ``left`` or ``right``; ``none`` for grade 1.
    kind
        ``flaccid`` or ``synkinetic``; ``none`` for grade 1.
    folds
        Give the skin folds that deepen with each movement, by a strength of the person's own.
    """
    rng = np.random.default_rng(seed)
    sex: Sex = "female" if rng.random() < 0.5 else "male"
    shape = draw_shape(rng, sex=sex, age=int(rng.integers(18, 81)))
    look = draw_look(rng, shape)
    vigour = draw_vigour(rng)
    view = draw_view(rng)
    shift = np.clip(rng.normal(0, 0.22, len(REGIONS)), -0.4, 0.4)
    palsy = Palsy(grade, side, kind, tuple(float(s) for s in shift))  # type: ignore[arg-type]
    if folds:
        own = np.random.default_rng([seed, 13])
        look = replace(look, folds=float(np.clip(own.normal(1, 0.15), 0.7, 1.3)))
    return Patient(shape, look, vigour, palsy, view, seed)


def pose_face(patient: Patient, task: str, *, amplitude: float = 1.0) -> Expression:
    """Shape the patient's face for a movement, before it is photographed.

    `task` is a movement of ``CONTRACTIONS`` (the eight standard ones are in ``common.movements``),
    done by `amplitude` of its size, 0 to 1.
    """
    check_movement(task)
    rest = neutral_points(patient.shape)
    return express(rest, patient.palsy, patient.vigour, task, amplitude=amplitude)


def render_photo(
    patient: Patient,
    task: str,
    *,
    width: int = 600,
    height: int = 800,
    amplitude: float = 1.0,
    take: int = 0,
    steadiness: float = 1.0,
) -> tuple[NDArray[np.uint8], FloatArray]:
    """Photograph a patient doing one movement. Pure: the same arguments give the same picture.

    Parameters
    ----------
    patient, task, amplitude
        Who is photographed doing what: see `pose_face`.
    width, height
        Size of the picture in pixels.
    take
        Number of the photograph of this movement; another take differs in pose and noise.
    steadiness
        How much the head moves between photographs; 1 is usual, 0 a still head.

    Returns
    -------
    rgb : (height, width, 3) uint8
    points : (68, 2) float64
        The true landmarks: x right, y down, pixels of this picture, pixel centres at integers;
        the patient's right is image left.
    """
    face = pose_face(patient, task, amplitude=amplitude)
    task_number = list(CONTRACTIONS).index(task)
    rng = np.random.default_rng([patient.seed, task_number, take])
    view = next_photograph(rng, patient.view, steadiness=steadiness)
    noise_seed = int(rng.integers(2**31))
    return render(
        patient.shape, patient.look, face, view, width=width, height=height, seed=noise_seed
    )
