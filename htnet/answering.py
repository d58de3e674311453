"""Ask a trained network: class probabilities of faces, and what it read of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from common.errors import UserError
from htnet.faces import Faces, to_input
from htnet.losses import probabilities
from htnet.region_fusion import GradingNetwork
from htnet.weights import load_weights

BATCH = 64  # faces answered at a time


@dataclass(frozen=True)
class Answers:
    """What a network said of n faces.

    Attributes
    ----------
    probabilities
        `(n, k)` of the classes, rows sum to 1.
    embeddings
        `(n, d)` float32: what the network read from the image for the grade, before its head.
    """

    probabilities: NDArray[np.float64]
    embeddings: NDArray[np.float32]


def answer(
    network: GradingNetwork,
    faces: Faces,
    *,
    rows: NDArray[np.intp] | None = None,
    device: str = "cpu",
) -> NDArray[np.float64]:
    """Return class probabilities `(n, k)` of faces, or of some rows of them."""
    return answer_with_embeddings(network, faces, rows=rows, device=device).probabilities


def answer_with_embeddings(
    network: GradingNetwork,
    faces: Faces,
    *,
    rows: NDArray[np.intp] | None = None,
    device: str = "cpu",
) -> Answers:
    """Return class probabilities and embeddings of faces, or of some rows of them."""
    network = network.eval().to(device)
    where = torch.arange(len(faces)) if rows is None else torch.from_numpy(rows)
    chances, read = [], []
    with torch.inference_mode():
        for some in where.split(BATCH):
            pixels, features = faces.at(some)
            found = network.details(
                to_input(pixels.to(device)), None if features is None else features.to(device)
            )
            chances.append(probabilities(found.logits.float(), head=network.config.head).cpu())
            read.append(found.embedding.float().cpu())
    raw: NDArray[np.float64] = torch.cat(chances).double().numpy()
    return Answers(
        probabilities=raw / raw.sum(axis=1, keepdims=True), embeddings=torch.cat(read).numpy()
    )


def read_trained(path: Path) -> tuple[GradingNetwork, tuple[str, ...]]:
    """Read a trained network and the names of its classes.

    Raises
    ------
    UserError
        When the file is no grader that was trained here.
    """
    network, notes = load_weights(path)
    if "classes" not in notes:
        raise UserError(f"{path} does not name its classes: give weights that htnet train wrote.")
    return network, tuple(notes["classes"])
