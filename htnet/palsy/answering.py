"""Ask a trained network: class probabilities of faces, and their weak sides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from common.errors import UserError, did_you_mean
from htnet.network.losses import probabilities
from htnet.network.region_fusion import GradingNetwork
from htnet.network.weights import load_weights
from htnet.palsy.faces import Faces, to_input

BATCH = 64  # faces answered at a time
Precision = Literal["fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True)
class Answers:
    """What a network answers for n faces.

    Attributes
    ----------
    probabilities
        `(n, k)` of the classes, rows sum to 1.
    sides
        `(n, 3)` probabilities in the order of `SIDE_CLASSES`; None without a side head.
    """

    probabilities: NDArray[np.float64]
    sides: NDArray[np.float64] | None = None


def answer(
    network: GradingNetwork,
    faces: Faces,
    *,
    rows: NDArray[np.intp] | None = None,
    device: str = "cpu",
    precision: Precision = "fp32",
) -> NDArray[np.float64]:
    """Return class probabilities `(n, k)` of faces, or of some rows of them."""
    return answer_with_sides(
        network, faces, rows=rows, device=device, precision=precision
    ).probabilities


def answer_with_sides(
    network: GradingNetwork,
    faces: Faces,
    *,
    rows: NDArray[np.intp] | None = None,
    device: str = "cpu",
    precision: Precision = "fp32",
) -> Answers:
    """Return class probabilities and weak sides of faces, or of some rows of them.

    Parameters
    ----------
    precision
        `bf16` takes matrix products in 16-bit floats, as processors with AVX512-BF16 or AMX and
        most GPUs do several times faster; normalisations and sums stay in 32 bits.
    """
    network = network.eval().to(device)
    where = torch.arange(len(faces)) if rows is None else torch.from_numpy(rows)
    class_probabilities, sides = [], []
    with torch.inference_mode(), arithmetic(precision, device=device):
        for some in where.split(BATCH):
            pixels, features = faces.at(some)
            found = network.details(
                to_input(pixels.to(device)), None if features is None else features.to(device)
            )
            class_probabilities.append(
                probabilities(found.logits.float(), head=network.config.head).cpu()
            )
            if found.side_logits is not None:
                sides.append(found.side_logits.double().softmax(dim=1).cpu())
    raw: NDArray[np.float64] = torch.cat(class_probabilities).double().numpy()
    return Answers(
        probabilities=raw / raw.sum(axis=1, keepdims=True),
        sides=torch.cat(sides).numpy() if sides else None,
    )


def arithmetic(precision: Precision, *, device: str = "cpu") -> torch.autocast:
    """Return the context in which a network computes with this precision.

    Raises
    ------
    UserError
        When there is no such precision.
    """
    if precision not in PRECISIONS:
        raise UserError(
            f'--precision is "{precision}": choose one of {", ".join(PRECISIONS)}.'
            + did_you_mean(str(precision), PRECISIONS)
        )
    kind = torch.device(device).type
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=precision == "bf16")


def read_trained(path: Path) -> tuple[GradingNetwork, tuple[str, ...]]:
    """Read a trained network and the names of its classes.

    Raises
    ------
    UserError
        When the file is no grader that was trained here.
    """
    network, notes = read_with_notes(path)
    return network, tuple(notes["classes"])


def read_with_notes(path: Path) -> tuple[GradingNetwork, dict[str, Any]]:
    """Read a trained network and what was kept with it: its `classes`, how points were found, …

    Raises
    ------
    UserError
        When the file is no grader that was trained here.
    """
    network, notes = load_weights(path)
    if "classes" not in notes:
        raise UserError(f"{path} does not name its classes: give weights that htnet train wrote.")
    return network, notes
