"""The training of both looks on shards of renderings: one loop, resumable, the same by its seed."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.landmark_network.augmentation import eye_sample, face_sample
from benchmarks.landmark_network.checking import figures
from benchmarks.landmark_network.losses import (
    EYE_WEIGHTS,
    FACE_WEIGHTS,
    LIDS,
    SIDES,
    heatmap_loss,
)  # fmt: skip
from benchmarks.landmark_network.networks import Eye, Face, Looks, batch
from benchmarks.landmark_network.rendering import HELD_OUT, SHARD, Pictures
from common.errors import UserError
from common.files import atomic_write
from common.progress import JobProgress
from landmarks.find.network import EYE_PX, FACE_PX

DEFAULT_SEED = 1
BATCH = 32  # renderings of a step: as many faces, twice as many eyes
_RATE, _DECAY, _RISING, _FALLING = 2e-3, 1e-4, 300, 0.3
_SAVED, _CHECKED, _NEW_SHARDS = 200, 1_000, 250  # steps between
_FACE_SPOT, _EYE_SPOT = 4.2, 2.2  # px
_LARGEST_GRADIENT = 5.0
_SLOWEST = 0.998  # of the mean of the weights


class Training:
    """Both networks, their running means and the optimiser, at some step.

    What is told, checked and shipped are the means.
    """

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.seed, self.step, self.renderings = seed, 0, 0
        self.off = [0.0, 0.0]  # running errors of face and eyes, px of the crops
        self.networks = nn.ModuleDict({"face": Face(), "eye": Eye()})
        self.means = nn.ModuleDict({"face": Face(), "eye": Eye()})
        for both in (self.networks, self.means):
            both.to(memory_format=torch.channels_last)
        self.means.load_state_dict(self.networks.state_dict())
        self.optimizer = torch.optim.AdamW(
            self.networks.parameters(), lr=_RATE, weight_decay=_DECAY
        )  # fmt: skip

    def take_step(self, shards: list[Pictures], *, steps: int) -> None:
        """One step of `steps` on renderings drawn from the shards by the step's own seed."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.step, steps)
        faces, face_points, eyes, eye_points = _drawn(shards, [self.seed, self.step])
        with torch.autocast("cpu", torch.bfloat16):
            of_faces = self.networks["face"](faces)
            of_eyes = self.networks["eye"](eyes)
        face, face_off = heatmap_loss(
            of_faces, face_points,
            side=FACE_PX, sigma=_FACE_SPOT, weights=FACE_WEIGHTS, pairs=SIDES,
        )  # fmt: skip
        eye, eye_off = heatmap_loss(
            of_eyes, eye_points, side=EYE_PX, sigma=_EYE_SPOT, weights=EYE_WEIGHTS, pairs=LIDS
        )
        self.optimizer.zero_grad(set_to_none=True)
        (face + eye).backward()
        for network in self.networks.values():
            nn.utils.clip_grad_norm_(network.parameters(), _LARGEST_GRADIENT)
        self.optimizer.step()
        self.step += 1
        errors = zip(self.off, (face_off, eye_off), strict=True)
        self.off = [0.98 * before + 0.02 * now for before, now in errors]
        self._follow(min(_SLOWEST, self.step / (self.step + 20)))

    @torch.no_grad()
    def _follow(self, keep: float) -> None:
        now = self.networks.state_dict().values()
        for mean, own in zip(self.means.state_dict().values(), now, strict=True):
            if mean.dtype.is_floating_point:
                mean.mul_(keep).add_(own, alpha=1 - keep)
            else:
                mean.copy_(own)

    def save(self, path: Path) -> None:
        content = {
            "seed": self.seed,
            "step": self.step,
            "renderings": self.renderings,
            "run": self.off,
            "opt": self.optimizer.state_dict(),
            "net": {name: one.state_dict() for name, one in self.networks.items()},
            "ema": {name: one.state_dict() for name, one in self.means.items()},
        }
        with atomic_write(path) as temporary:
            torch.save(content, temporary)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a checkpoint; UserError when it is none."""
        try:
            content = torch.load(path, weights_only=True)
            training = cls(content.get("seed", DEFAULT_SEED))
            training.step, training.off = content["step"], content["run"]
            training.renderings = content.get("renderings", 0)
            training.optimizer.load_state_dict(content["opt"])
            for name in training.networks:
                training.networks[name].load_state_dict(content["net"][name])
                training.means[name].load_state_dict(content["ema"][name])
        except (OSError, EOFError, KeyError, RuntimeError, UnpicklingError) as error:
            raise UserError(f"{path} is no checkpoint of `train` that can be read.") from error
        return training

    def looks(self) -> Looks:
        return Looks(self.means["face"], self.means["eye"])


def rate(step: int, steps: int) -> float:
    """The learning rate: a rise, level, and a fall to nothing over the last part of `steps`."""
    left = (steps - step) / (_FALLING * steps)
    return _RATE * min(1, (step + 1) / _RISING) * max(0, min(1, left))


def train(work: Path, checkpoint: Path, *, steps: int, seed: int) -> None:
    """Train up to `steps`, from the checkpoint if there is one.

    Shards that are rendered meanwhile are taken up every `_NEW_SHARDS` steps. `steps` may be
    changed on the way: the learning rate depends on the step and on `steps` alone.
    """
    training = Training.load(checkpoint) if checkpoint.is_file() else Training(seed)
    if training.seed != seed:
        raise UserError(f"{checkpoint} was begun with seed {training.seed}: give that one.")
    shards: dict[str, Pictures] = {}
    held_out = Pictures.load(HELD_OUT.file(work))
    with JobProgress("steps", total=steps, done=training.step, note="") as progress:
        while training.step < steps:
            if training.step % _NEW_SHARDS == 0 or not shards:
                shards = _shards(work, shards)
                training.renderings = SHARD * len(shards)
            training.take_step(list(shards.values()), steps=steps)
            face, eyes = training.off
            progress.note = f"{len(shards)} shards, px off: face {face:.2f}, eyes {eyes:.2f}"
            progress.advance(ok=True)
            last = training.step == steps
            if training.step % _SAVED == 0 or last:
                training.save(checkpoint)
            if training.step % _CHECKED == 0 or last:
                print(figures(training.looks(), held_out, every=2).to_string(), flush=True)
                training.means.train()


def _shards(work: Path, known: dict[str, Pictures]) -> dict[str, Pictures]:
    """The shards that there are now, in the order of their names."""
    paths = sorted(HELD_OUT.file(work).parent.glob("shard_*.npz"))
    if not paths:
        raise UserError(f"There are no shards of renderings in {work}: run `render` first.")
    return {path.stem: known.get(path.stem) or Pictures.load(path) for path in paths}


def _drawn(shards: list[Pictures], seed: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Crops and points of faces and of eyes (right and left of each face in turn)."""
    rng = np.random.default_rng(seed)
    faces, eyes = [], []
    chosen = zip(rng.integers(0, len(shards), BATCH), rng.integers(0, SHARD, BATCH), strict=True)
    for shard, row in chosen:
        grey, points = shards[shard].grey[row], shards[shard].points[row]
        faces.append(face_sample(rng, grey, points))
        eyes.extend(eye_sample(rng, grey, points, eye) for eye in (0, 1))
    return (*_tensors(faces), *_tensors(eyes))


def _tensors(samples: list) -> tuple[Tensor, Tensor]:
    crops, points = zip(*samples, strict=True)
    return batch(crops), torch.tensor(np.array(points))
