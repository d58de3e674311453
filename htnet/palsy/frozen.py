"""A network whose trunk stays as it was pretrained: only what reads the patients is learned.

All photographs of a patient count as one case, so that a few dozen patients suffice; single
photographs and random parts of them count as much again, so that these are answered too. The ridge
of `htnet.palsy.reader` begins with how the pretrained network graded and has a closed form; what it
learns is written into the network's own head.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from common.arrays import Floats
from common.grading.calibration import learn_intervals, learn_temperature
from common.grading.numeric_target import NumericTarget
from htnet.network.heads import CoralHead, PatientPooling
from htnet.network.htnet import HTNet
from htnet.network.losses import SCORE_STEPS
from htnet.palsy.asking import summaries
from htnet.palsy.faces import LabelledFaces, Sets, sets_within
from htnet.palsy.reader import Reader, learn_grades, learn_reader
from htnet.palsy.sureness import PatientReach, PatientTemperature, Sureness

_DRAWN = 8  # photographs alone, and as many random parts of the photographs, of each patient
_MOST_GONE = 0.7  # of the photographs of a random part
_STEEP = 4.0  # of a score's steps: their sigmoids then add up to the score nearly everywhere


def learn_head(network: HTNet, data: LabelledFaces, rows: NDArray[np.intp]) -> Sureness:
    """Learn the head from the patients of some rows; return how sure its answers may be."""
    assert network.patient is not None
    names, sets = sets_within(data.asked, rows)
    whole, *parts = _values(network, data, sets)
    first = sets.rows[:, 0].numpy()
    labels, patients = data.labels[first], data.patients[first]
    direction = np.zeros(whole.shape[1])
    direction[: PatientPooling.READ] = network.patient.direction.double().numpy()
    reader = learn_reader(
        whole, labels, patients, parts=np.stack(parts) if parts else None, direction=direction
    )
    photographs = int(sets.present.sum(dim=1).median())
    if data.number is not None:
        _write_score(network, reader, target=data.number)
        seen = data.number.clipped(reader.unseen[0])
        found = learn_intervals(seen, labels, patients, target=data.number)
        return PatientReach(found.reach, len(np.unique(patients)), photographs)
    grades = learn_grades(reader.unseen, labels, classes=len(data.classes))
    weights = grades.slopes[:, None] * reader.weights
    offset = reader.base - reader.usual @ reader.weights
    _write(network, weights, bias=grades.slopes * offset + grades.offsets)
    sure = learn_temperature(grades.chances(reader.unseen[0]), labels)
    return PatientTemperature(sure, len(names), photographs)


def _values(network: HTNet, data: LabelledFaces, sets: Sets) -> list[Floats]:
    """Return what the head reads of each patient, then the measured features, `(p, d)` each.

    First of all photographs, then of parts of them.
    """
    assert network.patient is not None
    faces, rest = summaries(network, data.faces)[sets.rows], torch.from_numpy(data.faces.rest)
    reader, found = network.feature_reader, []
    features = sets.mean(data.faces.features)
    if reader is not None and features is not None:
        reader.learn_scale(features)
    with torch.inference_mode():
        for present in (sets.present, *parts_of(sets.present)):
            read = network.patient(faces, rest=rest[sets.rows], present=present).read
            features = Sets(sets.rows, present).mean(data.faces.features)
            if reader is not None and features is not None:
                read = torch.cat([read, reader.standard(features)], dim=1)
            found.append(read.double().numpy())
    return found


def parts_of(present: Tensor) -> Tensor:
    """Draw parts of the photographs that are `present` `(p, m)`: `(k, p, m)`, always the same.

    First one photograph of each patient alone, in turn; then random parts. Of single photographs
    there are no parts, k = 0.
    """
    if present.shape[1] == 1:
        return present.new_zeros(0, *present.shape)
    chance = torch.Generator().manual_seed(0)
    turn = torch.rand(present.shape, generator=chance).masked_fill(~present, 2.0).argsort(dim=1)
    at = torch.arange(_DRAWN)[:, None] % present.sum(dim=1)
    alone = F.one_hot(turn.gather(1, at.T).T, present.shape[1]).bool()
    shares = _MOST_GONE * torch.rand(_DRAWN, len(present), 1, generator=chance)
    kept = torch.rand(alone.shape, generator=chance) > shares
    return torch.cat([alone, alone | (present & kept)])


def _write_score(network: HTNet, reader: Reader, *, target: NumericTarget) -> None:
    """Write a score as steps that are passed the more surely, the further it lies above them."""
    step = (target.high - target.low) / SCORE_STEPS
    passed = (reader.base - reader.usual @ reader.weights - target.low) / step
    thresholds = _STEEP * (passed - np.arange(SCORE_STEPS) - 0.5)
    _write(network, _STEEP / step * reader.weights[None], bias=thresholds)


def _write(network: HTNet, weights: Floats, *, bias: Floats) -> None:
    """Write weights `(outputs, d)` into the head and, beyond what it reads, into the features'."""
    head = network.head
    to, thresholds = (
        (head.score.weight, head.thresholds)
        if isinstance(head, CoralHead)
        else (head.weight, head.bias)
    )
    assert isinstance(to, torch.Tensor) and isinstance(thresholds, torch.Tensor)
    with torch.no_grad():
        to.copy_(torch.from_numpy(weights[:, : to.shape[1]]))
        thresholds.copy_(torch.from_numpy(bias))
        if network.feature_reader is not None:
            rest = torch.from_numpy(weights[:, to.shape[1] :])
            network.feature_reader.to_logits.weight.copy_(rest)
