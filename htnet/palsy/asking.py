"""Ask a network: what it answers of photographs, and of sets of photographs together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.errors import UserError, did_you_mean
from htnet.network.htnet import GradingNetwork, HTNet, HTNetDetails, to_input
from htnet.network.losses import probabilities
from htnet.palsy.faces import BATCH, Faces, Sets

Precision = Literal["fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True)
class Answers:
    """What a network answers for n faces.

    `zones`: `(n, 2, 3)`: weakness of brow, eye and mouth on the right and on the left, 0 none to 1;
    None unless the network's pooling is `patient`.
    """

    probabilities: NDArray[np.float64]  # `(n, k)` of the classes, rows sum to 1
    sides: NDArray[np.float64] | None = None  # `(n, 3)` by `SIDE_CLASSES`; or no side head
    zones: NDArray[np.float64] | None = None


def answer(
    network: GradingNetwork,
    faces: Faces,
    *,
    rows: NDArray[np.intp] | None = None,
    precision: Precision = "fp32",
    batch: int = BATCH,
) -> Answers:
    """Return class probabilities and weak sides of faces, or of some rows of them.

    `precision`: `bf16` takes matrix products in 16-bit floats, as processors with AVX512-BF16 or
    AMX and most GPUs do several times faster; normalisations and sums stay in 32 bits. `batch`:
    faces at a time. The last digits of an answer change with it.
    """
    network = network.eval().cpu()
    where = torch.arange(len(faces)) if rows is None else torch.from_numpy(rows)
    together = isinstance(network, HTNet) and network.patient is not None
    if together:
        alone = torch.ones(len(where), 1, dtype=torch.bool)
        return answer_sets(
            network, faces, Sets(where[:, None], alone), precision=precision, batch=batch
        )
    found = []
    with torch.inference_mode(), arithmetic(precision):
        for some in where.split(batch):
            pixels, features = faces.at(some)
            found.append(network.details(to_input(pixels), features))
    return _answers(found, head=network.config.head)


def answer_sets(
    network: GradingNetwork,
    faces: Faces,
    sets: Sets,
    *,
    precision: Precision = "fp32",
    batch: int = BATCH,
) -> Answers:
    """Return what a network with the pooling `patient` answers of sets of photographs together."""
    assert isinstance(network, HTNet)
    values = summaries(network, faces, precision=precision, batch=batch)
    rest, features = torch.from_numpy(faces.rest), sets.mean(faces.features)
    with torch.inference_mode():
        found = network.of_patients(
            values[sets.rows], rest=rest[sets.rows], present=sets.present, features=features
        )
    return _answers([found], head=network.config.head)


def summaries(
    network: HTNet, faces: Faces, *, precision: Precision = "fp32", batch: int = BATCH
) -> Tensor:
    """Return `HTNet.summaries` of all faces; the same trunk looks at them only once."""
    trunk = hashlib.sha256(f"{precision} {batch}".encode())
    for name, value in network.state_dict().items():
        if not name.startswith(("head.", "feature_reader.")):
            trunk.update(value.cpu().numpy().tobytes())
    key = trunk.hexdigest()
    if key not in faces.kept:
        network = network.eval().cpu()
        with torch.inference_mode(), arithmetic(precision):
            some = [
                network.summaries(to_input(pixels)).float() for pixels in faces.pixels.split(batch)
            ]
        faces.kept[key] = torch.cat(some)
    return faces.kept[key]


def _answers(found: Sequence[HTNetDetails], *, head: str) -> Answers:
    """Join what batches said."""
    raw = torch.cat([probabilities(one.logits.float(), head=head) for one in found])
    classes = raw.double().numpy()
    logits = [one.side_logits for one in found if one.side_logits is not None]
    sides = [one.double().softmax(dim=1) for one in logits]
    zones = [one.zones.double().clamp(0, 1) for one in found if one.zones is not None]
    return Answers(
        probabilities=classes / classes.sum(axis=1, keepdims=True),
        sides=torch.cat(sides).numpy() if sides else None,
        zones=torch.cat(zones).numpy() if zones else None,
    )


def arithmetic(precision: Precision) -> torch.autocast:
    """Return the context in which a network computes with this precision, on processors."""
    if precision not in PRECISIONS:
        raise UserError(
            f'--precision is "{precision}": choose one of {", ".join(PRECISIONS)}.'
            + did_you_mean(str(precision), PRECISIONS)
        )
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16")
