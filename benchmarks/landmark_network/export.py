"""Weights as they ship: batch norms folded into the convolutions before them, 16-bit floats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor, nn

from common.files import atomic_write

_EPSILON = 1e-5  # of torch's batch norm


def export(networks: Mapping[str, nn.Module], out: Path, *, notes: Mapping[str, Any]) -> None:
    """Write both networks as safetensors, with notes.

    Layer `e2.0` of the face is `face.e2.0.weight`, `(k, k, in, out)`, and `face.e2.0.bias`.
    """
    arrays = {
        f"{network}.{layer}.{part}": array.astype(np.float16)
        for network, layers in networks.items()
        for layer, own in folded(layers.state_dict()).items()
        for part, array in zip(("weight", "bias"), own, strict=True)
    }
    with atomic_write(out) as temporary:
        save_file(arrays, temporary, metadata={"landmark_network": json.dumps(notes)})


def folded(
    state: Mapping[str, Tensor],
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Weights `(k, k, in, out)` and bias `(out,)` of each layer of a network, by its name."""
    layers = {}
    for name, weight in state.items():
        if weight.ndim != 4:
            continue
        layer = name.removesuffix(".weight")
        if layer == "out":  # has a bias of its own
            layers[layer] = (_laid_out(weight), state["out.bias"].float().numpy())
            continue
        layer = layer.removesuffix(".0")
        norm = {part: state[f"{layer}.1.{part}"].double() for part in
                ("weight", "bias", "running_mean", "running_var")}  # fmt: skip
        gain = norm["weight"] / (norm["running_var"] + _EPSILON).sqrt()
        bias = norm["bias"] - gain * norm["running_mean"]
        layers[layer] = (
            _laid_out(weight.double() * gain[:, None, None, None]), bias.float().numpy(),
        )  # fmt: skip
    return layers


def _laid_out(weight: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(weight.permute(2, 3, 1, 0).float().numpy())
