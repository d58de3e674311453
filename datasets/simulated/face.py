"""A simulated patient, a photograph of one, and how one fares: the entry to the simulated faces.

    patient = draw_patient(seed=3, grade=4, side="left", kind="flaccid")
    rgb, points = render_photo(patient, "full_smile")

A patient has a shape (`shape`, `relief`), moves (`movement`), and is drawn (`render` and what it
lists); visits have dates, and a palsy that recovers, stays or worsens. The faces are drawn by this
project alone; they show no real person and prove nothing about patients: a result on them is a
result on simulated data.
"""

from __future__ import annotations

import datetime
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

_FIRST_DAY = datetime.date(2024, 1, 8)
_BEST, _WORST = 1.6, 5.4  # severities that nobody passes: no recovery is complete
_RECOVER, _WORSEN = 0.6, 0.15  # shares of the patients; the others stay as they are
_MONTHS = 4.0  # in which two thirds of a change have happened
_DAYS = 30.4  # in a month


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
    """Draw one patient, 18 to 80 years old; the same `seed` gives the same person in any palsy.

    `grade` is that of House and Brackmann, 1 to 6; `side` the weak one, the patient's own, and
    `kind` `flaccid` or `synkinetic`, both `none` for grade 1. `folds` gives the skin folds that
    deepen with each movement, by a strength of the person's own.
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
    """Photograph a patient doing one movement (`pose_face`): same arguments, same picture.

    `width`, `height`: px. Another `take` of the movement differs in pose and noise; `steadiness` is
    how much the head moves between photographs, 1 as usual, 0 not at all. Returns `(height, width,
    3)` RGB uint8 and the `(68, 2)` true landmarks: x right, y down, px of this picture, pixel
    centres at integers; the patient's right is image left.
    """
    face = pose_face(patient, task, amplitude=amplitude)
    task_number = list(CONTRACTIONS).index(task)
    rng = np.random.default_rng([patient.seed, task_number, take])
    view = next_photograph(rng, patient.view, steadiness=steadiness)
    noise_seed = int(rng.integers(2**31))
    return render(
        patient.shape, patient.look, face, view, width=width, height=height, seed=noise_seed
    )


@dataclass(frozen=True)
class Visit:
    """One visit, numbered from 1, its ISO date, and the patient as they are that day."""

    number: int
    date: str
    patient: Patient


def visits_of(patient: Patient, number: int) -> list[Visit]:
    """Return the first visits of a patient: 0, 1, 3, 6, 10, … months after the first.

    The same face comes every time, photographed anew. Of the patients with palsy 60 % recover in
    part, 15 % worsen by up to a grade, and 25 % stay as they are, as healthy people do. The kind of
    palsy and its side stay. More visits begin with the same first ones.
    """
    rng = np.random.default_rng([patient.seed, 21])
    first = _FIRST_DAY + datetime.timedelta(days=int(rng.integers(0, 300)))
    final = _final_severity(patient.palsy.grade, rng)
    visits = []
    for visit in range(number):
        months = visit * (visit + 1) / 2
        days = round(months * _DAYS + (rng.uniform(-4, 4) if visit else 0))
        date = (first + datetime.timedelta(days=days)).isoformat()
        passed = 1 - np.exp(-months / _MONTHS)
        severity = patient.palsy.grade + (final - patient.palsy.grade) * passed
        then = patient
        if visit:
            view = draw_view(np.random.default_rng([patient.seed, 22, visit]))
            then = replace(_of_severity(patient, float(severity)), view=view)
        visits.append(Visit(visit + 1, date, then))
    return visits


def _final_severity(grade: int, rng: np.random.Generator) -> float:
    course, share = rng.random(), rng.uniform(0.3, 1.0)
    if grade == 1 or _RECOVER <= course < 1 - _WORSEN:
        return float(grade)
    if course < _RECOVER:
        return grade - share * (grade - _BEST)
    return max(min(grade + share, _WORST), float(grade))


def _of_severity(patient: Patient, severity: float) -> Patient:
    """Return the patient with this severity, 1.6 to 6, between the grades if need be."""
    old = patient.palsy
    grade = int(np.floor(severity + 0.5))
    more = severity - grade
    shift = old.region_shift
    if grade != 1:
        shift = tuple(own + more for own in old.region_shift)  # type: ignore[assignment]
    return replace(patient, palsy=replace(old, grade=grade, region_shift=shift))
