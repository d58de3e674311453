"""Weights on disk: safetensors with the configuration inside, and published weights by name."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from common.errors import UserError
from common.files import atomic_write
from htnet.configuration import HTNetConfig, config_from
from htnet.network import HTNet
from htnet.region_fusion import GradingNetwork, build_network

_LAYER = r"^layers\.(\d+)\.0\.layers\.(\d+)"
_OURS = r"levels.\1.layers.\2"
_RENAMED = (
    (r"^to_patch_embedding\.1\.", "embed."),
    (r"^layers\.(\d+)\.0\.pos_emb$", r"levels.\1.position"),
    (_LAYER + r"\.0\.norm\.g$", _OURS + ".attention_norm.weight"),
    (_LAYER + r"\.0\.norm\.b$", _OURS + ".attention_norm.bias"),
    (_LAYER + r"\.0\.fn\.", _OURS + ".attention."),
    (_LAYER + r"\.1\.norm\.g$", _OURS + ".feed_forward.0.weight"),
    (_LAYER + r"\.1\.norm\.b$", _OURS + ".feed_forward.0.bias"),
    (_LAYER + r"\.1\.fn\.net\.0\.", _OURS + ".feed_forward.1."),
    (_LAYER + r"\.1\.fn\.net\.3\.", _OURS + ".feed_forward.4."),
    (r"^layers\.(\d+)\.1\.0\.", r"levels.\1.aggregate.conv."),
    (r"^layers\.(\d+)\.1\.1\.g$", r"levels.\1.aggregate.norm.weight"),
    (r"^layers\.(\d+)\.1\.1\.b$", r"levels.\1.aggregate.norm.bias"),
    (r"^mlp_head\.0\.g$", "norm.weight"),
    (r"^mlp_head\.0\.b$", "norm.bias"),
    (r"^mlp_head\.2\.", "head."),
)
_KEY = "htnet"  # one key, since safetensors keeps several in no order


@dataclass(frozen=True)
class Loaded:
    """What `load_pretrained` took over: how many tensors, and the names it left as they were."""

    taken: int
    left: tuple[str, ...]


def from_published(state: Mapping[str, Tensor], config: HTNetConfig) -> dict[str, Tensor]:
    """Translate a state dictionary of the published code, name by name.

    Parameters
    ----------
    state
        As `torch.load` of a published checkpoint gives it; 1 x 1 convolutions become matrices.
    config
        Of the network that is to load it.

    Raises
    ------
    UserError
        When a name is unknown, or a size is another one than the configuration's.
    """
    expected = HTNet.from_config(config).state_dict()
    renamed = {}
    for name, value in state.items():
        ours = _rename(name, state)
        if ours not in expected:
            raise UserError(f'The published weights hold "{name}", which this HTNet has not.')
        if value.numel() != expected[ours].numel():
            raise UserError(
                f'The published weight "{name}" has the shape {tuple(value.shape)}, but this '
                f"HTNet's settings need {tuple(expected[ours].shape)}."
            )
        renamed[ours] = value.reshape(expected[ours].shape)
    missing = sorted(set(expected) - set(renamed))
    if missing:
        raise UserError(f'The published weights lack "{missing[0]}" and {len(missing) - 1} more.')
    return renamed


def save_weights(
    network: GradingNetwork, path: Path, *, notes: Mapping[str, object] | None = None
) -> None:
    """Write weights, configuration and `notes` (class names, for instance) as safetensors."""
    state = {
        name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
    }
    about = {"config": dataclasses.asdict(network.config), "notes": dict(notes or {})}
    metadata = {_KEY: json.dumps(about, sort_keys=True)}
    with atomic_write(path) as temporary:
        save_file(state, temporary, metadata=metadata)


def load_weights(path: Path) -> tuple[GradingNetwork, dict[str, Any]]:
    """Build the network that a weights file holds, in evaluation mode, and return its notes.

    Raises
    ------
    UserError
        When the file is missing or is not one of ours.
    """
    state, metadata = _read(path)
    if _KEY not in metadata:
        raise UserError(
            f"{path} holds weights without a configuration: give a file that htnet train wrote."
        )
    about = json.loads(metadata[_KEY])
    config = config_from(about["config"], source=str(path))
    network = build_network(config)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{path} does not fit its own configuration: it is damaged.") from error
    return network.eval(), about["notes"]


def load_pretrained(network: GradingNetwork, path: Path) -> Loaded:
    """Take over what fits by name and shape, from micro-expression weights for instance.

    The heads are always learned anew. Position tables of another size are left as they are.

    Raises
    ------
    UserError
        When the channels or patches differ, so that no layer would fit.
    """
    theirs, metadata = _read(path)
    ours = network.state_dict()
    if _KEY not in metadata and any(_rename(name, theirs) != name for name in theirs):
        theirs = {_rename(name, theirs): value for name, value in theirs.items()}
    fits = {
        name: value.reshape(ours[name].shape)
        for name, value in theirs.items()
        if name in ours
        and _same_values(value, ours[name], name)
        and not name.startswith(("head.", "side_head."))
    }
    if "embed.weight" not in fits:
        raise UserError(
            f"{path} does not fit this network: its patch_size, channels or dim is another; "
            "choose the same settings or other weights."
        )
    network.load_state_dict({**ours, **fits})
    left = [name for name in ours if name not in fits]
    return Loaded(taken=len(fits), left=tuple(left))


def _same_values(value: Tensor, ours: Tensor, name: str) -> bool:
    """Whether two tensors differ in nothing but axes of length 1, or a flat position table."""
    if name.endswith(".position"):
        return value.numel() == ours.numel()
    return value.squeeze().shape == ours.squeeze().shape


def _rename(name: str, state: Mapping[str, Tensor]) -> str:
    for pattern, ours in _RENAMED:
        new, found = re.subn(pattern, ours, name)
        if found:
            layer = name.split(".fn.")[0]
            if ".attention." in new and f"{layer}.fn.to_q.weight" in state:
                return new.replace(".attention.", ".attention.module.")
            return new
    return name


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read safetensors, or the state dictionary of an old .pth file (tensors only, no code)."""
    if not path.is_file():
        raise UserError(f"{path} does not exist: give a weights file (.safetensors).")
    try:
        if path.suffix in (".pth", ".pt"):
            state = torch.load(path, map_location="cpu", weights_only=True)
            return dict(state.get("model_state_dict", state)), {}
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, RuntimeError, OSError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} cannot be read as weights: it is damaged or no such file."
        ) from error
