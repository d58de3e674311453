"""Weights on disk: safetensors with the configuration inside, and published weights by name."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from common.errors import UserError
from common.files import atomic_write
from htnet.network.configuration import HTNetConfig, config_from
from htnet.network.htnet import MEAN, SPREAD, GradingNetwork, HTNet, build_network

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
_CONFIG_KEY = "config"  # of networks trained elsewhere, on micro-expressions for instance
_FORMAT = 2  # since 2, micro-attention compares with the mirror image whatever the pooling
_NUMBERS = [  # scores that checkpoints keep beside the weights; making a number runs nothing
    np._core.multiarray.scalar,  # type: ignore[attr-defined]
    (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),  # type: ignore[attr-defined]
    np.dtype,
    *{type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8")},
]
_NAMED = 6  # tensors named in a sentence
_PARTS = ("whole.", "mosaic.")  # of a network of regions: each begins with the weights of one face
_HEADS = ("head.", "side_head.", "fusion.", "feature_reader.")  # answer other questions


@dataclass(frozen=True)
class Loaded:
    """Names of tensors: `taken` over, `left` as drawn with the reason, `unused` of the file."""

    taken: tuple[str, ...]
    left: Mapping[str, str]
    unused: tuple[str, ...]

    def sentences(self, source: Path) -> list[str]:
        """Say how much was taken over, and for each reason what was not."""
        count = len(self.taken) + len(self.left)
        sentences = [f"{source.name}: {len(self.taken)} of {count} tensors taken over."]
        for reason in dict.fromkeys(self.left.values()):
            names = [name for name, why in self.left.items() if why == reason]
            sentences.append(f"Not taken over, {reason}: {_listed(names)}.")
        if self.unused:
            sentences.append(f"In the file, but not in this network: {_listed(self.unused)}.")
        return sentences

    def as_json(self) -> dict[str, object]:
        """Return the same as plain values, for a record."""
        return {"taken": list(self.taken), "left": dict(self.left), "unused": list(self.unused)}


def from_published(state: Mapping[str, Tensor], config: HTNetConfig) -> dict[str, Tensor]:
    """Translate a state dictionary of the published code, name by name, for a network of `config`.

    1 x 1 convolutions become matrices; unknown names and other sizes are refused.
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


PIXELS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "unit": ((0.0,) * 3, (1.0,) * 3),
    "signed": ((0.5,) * 3, (0.5,) * 3),
    "bytes": ((0.0,) * 3, (1 / 255,) * 3),
}
"""What other code shows a network: red, green and blue from 0 to 1, less a mean, by a deviation."""


def network_of_published(path: Path, config: HTNetConfig, *, pixels: str) -> HTNet:
    """Build a network of weights alone (.pth), as the published code and its adaptations keep them.

    `path`: a state dictionary, or a checkpoint that holds one; tensors are read and nothing is run.
    `config`: the sizes and parts that it was built with.
    `pixels`: which of `PIXELS` it was shown. The patch embedding, which is linear, takes up the
    difference to our own scale, so that the network then works like any other here.

    UserError when the file cannot be read, or names or sizes are others.
    """
    state, metadata = _read(path)
    if {_KEY, _CONFIG_KEY} & set(metadata):
        raise UserError(f"{path} has its configuration with it: it can be used as it is.")
    if config.channels != len(PIXELS[pixels][0]):
        raise UserError(f"{path}: network.channels is {config.channels}, but faces have 3.")
    network = HTNet.from_config(config)
    network.load_state_dict(from_published(state, config))
    mean, deviation = (
        # A patch is p x p places with the colour last, the order of the embedding's columns.
        torch.tensor(values, dtype=torch.float64).repeat(config.patch_size**2)
        for values in PIXELS[pixels]
    )
    weight = network.embed.weight.detach().double() / deviation
    shown = MEAN / 255 - mean  # of a pixel that is 0 on our scale
    with torch.no_grad():
        network.embed.bias.add_((weight @ shown).float())
        network.embed.weight.copy_(weight * (SPREAD / 255))
    return network.eval()


def save_weights(
    network: GradingNetwork, path: Path, *, notes: Mapping[str, object] | None = None
) -> None:
    """Write weights, configuration and `notes` (class names, for instance) as safetensors."""
    state = {
        name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
    }
    config = network.config.model_dump()
    about = {"format": _FORMAT, "config": config, "notes": dict(notes or {})}
    with atomic_write(path) as temporary:
        save_file(state, temporary, metadata={_KEY: json.dumps(about, sort_keys=True)})


def load_weights(path: Path) -> tuple[GradingNetwork, dict[str, Any]]:
    """Build the network that a weights file holds, in evaluation mode, and return its notes.

    UserError when the file is missing, is not one of ours, or was trained by a version whose
    network computed otherwise.
    """
    state, metadata = _read(path)
    if _KEY in metadata:
        about = json.loads(metadata[_KEY])
    elif _CONFIG_KEY in metadata:
        about = {"config": json.loads(metadata[_CONFIG_KEY]), "notes": {}}
    else:
        raise UserError(
            f"{path} holds weights without a configuration: say its sizes, classes and scale of "
            f"pixels by `htnet convert {path.name} --recipe FILE --target six_grades --pixels "
            "imagenet --out DIR`, and give that DIR."
        )
    settings = about["config"]
    if {settings.pop(name, False) for name in ("point_head", "read_points")} != {False}:
        raise UserError(
            f"{path} was trained by version 0.1.0, whose network learned from landmarks: train it "
            "again."
        )
    config = config_from(settings, source=str(path))
    if about.get("format", 1) < 2 and config.pooling != "mirror" and config.reads_mirror_image:
        raise UserError(
            f"{path} was trained by version 0.1.0, whose micro-attention did not compare with the "
            "mirror image: train it again, beginning with these weights (--pretrained)."
        )
    network = build_network(config)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{path} does not fit its own configuration: it is damaged.") from error
    return network.eval(), about["notes"]


def load_pretrained(network: GradingNetwork, path: Path) -> Loaded:
    """Take over what fits by name and shape, from micro-expression weights for instance.

    The heads are always learned anew. What has another shape (the position tables and the patch
    embedding of another image or patch size, every layer of another `dim`) stays as it was drawn.

    `path` is that of `htnet train` or of a micro-expression network (.safetensors), or a published
    state dictionary (.pth). UserError when nothing within the levels fits, because `dim` or `heads`
    is another.
    """
    theirs, metadata = _read(path)
    ours = network.state_dict()
    published = not {_KEY, _CONFIG_KEY} & set(metadata)
    if published and any(_rename(name, theirs) != name for name in theirs):
        theirs = {_rename(name, theirs): value for name, value in theirs.items()}
    taken: dict[str, Tensor] = {}
    left: dict[str, str] = {}
    used: set[str] = set()
    for name, value in ours.items():
        part = next((part for part in _PARTS if name.startswith(part)), "")
        source = name if name in theirs else name.removeprefix(part)
        if name.removeprefix(part).startswith(_HEADS):
            left[name] = "heads are learned anew"
        elif source not in theirs:
            left[name] = "not in the file"
        elif not _same_values(theirs[source], value, name):
            left[name] = "another size"
        else:
            taken[name] = theirs[source].reshape(value.shape)
            used.add(source)
    if not any(".layers." in name for name in taken):
        raise UserError(
            f"{path} does not fit this network: no layer has the same size, so its dim or heads "
            "is another; choose the same settings (from-micro has those of micro weights) "
            "or other weights."
        )
    network.load_state_dict({**ours, **taken})
    unused = tuple(name for name in theirs if name not in used and name not in left)
    return Loaded(taken=tuple(taken), left=left, unused=unused)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


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


def read_notes(path: Path) -> dict[str, Any]:
    """Return the notes of a file that `save_weights` wrote, without reading the weights."""
    if path.suffix in (".pth", ".pt"):
        return {}
    with safe_open(path, framework="pt") as file:
        about = json.loads((file.metadata() or {}).get(_KEY, "{}"))
    return dict(about.get("notes", {}))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read safetensors, or the state dictionary of an old .pth file (tensors only, no code)."""
    if not path.is_file():
        raise UserError(f"{path} does not exist: give a weights file (.safetensors).")
    try:
        if path.suffix in (".pth", ".pt"):
            return _state_dictionary(path), {}
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} holds more than weights, which could run code and is therefore not read: save "
            "its state dictionary alone, torch.save(model.state_dict(), ...), where it was made."
        ) from error
    except (SafetensorError, RuntimeError, OSError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} cannot be read as weights: it is damaged or no such file."
        ) from error


def _state_dictionary(path: Path) -> dict[str, Tensor]:
    with torch.serialization.safe_globals(_NUMBERS):
        state = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("model_state_dict", "state_dict"):
        state = state.get(key, state)
    # A network on several GPUs is wrapped, which puts a word before each name.
    return {name.removeprefix("module."): value for name, value in state.items()}
