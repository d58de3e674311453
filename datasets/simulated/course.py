"""How a simulated patient fares: visits with dates, and a palsy that recovers, stays or worsens."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace

import numpy as np

from datasets.simulated.face import Patient
from datasets.simulated.look import draw_view

_FIRST_DAY = datetime.date(2024, 1, 8)
_BEST, _WORST = 1.6, 5.4  # severities that nobody passes: no recovery is complete
_RECOVER, _WORSEN = 0.6, 0.15  # shares of the patients; the others stay as they are
_MONTHS = 4.0  # in which two thirds of a change have happened
_DAYS = 30.4  # in a month


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
