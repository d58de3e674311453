"""Ask a trained network: class probabilities of faces."""

from __future__ import annotations

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


def answer(
    network: GradingNetwork,
    faces: Faces,
    *,
    rows: NDArray[np.intp] | None = None,
    device: str = "cpu",
) -> NDArray[np.float64]:
    """Return class probabilities `(n, k)` of faces, or of some rows of them."""
    network = network.eval().to(device)
    where = torch.arange(len(faces)) if rows is None else torch.from_numpy(rows)
    parts = []
    with torch.inference_mode():
        for some in where.split(BATCH):
            image = to_input(faces.pixels[some].to(device))
            logits = network.details(image).logits.float()
            parts.append(probabilities(logits, head=network.config.head).cpu())
    found: NDArray[np.float64] = torch.cat(parts).double().numpy()
    total: NDArray[np.float64] = found / found.sum(axis=1, keepdims=True)
    return total


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
