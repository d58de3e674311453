"""Time of one training epoch of the ROI models, by size, precision, encoders and threads.

    python -m benchmarks.roi_models --repeats 3

The clips are noise of the shape of the simulated CASME II clips: 54 to learn from, 18 answered
after the epoch (validation and held-out subjects). The floor is the time of the encoders' own
convolutions, forward and backward, on the same maps in the same run, with nothing else.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from htnet.micro.clips.maps import TOGETHER, RoiKind
from htnet.micro.loso.folds import Fold
from htnet.micro.models.inputs import NetworkClips
from htnet.micro.models.recipes import RoiRecipe
from htnet.micro.models.roi import ROI_KINDS, RegionEncoder
from htnet.micro.models.training import RoiModel
from htnet.recipe import read_recipe

LEARNED, ANSWERED = 54, 18
WINDOWS = 4


def drawn_clips(size: int) -> NetworkClips:
    """Noise in place of flow."""
    count = LEARNED + ANSWERED
    rng = np.random.default_rng(0)
    shape = (count, WINDOWS, len(TOGETHER), 3, size, size)
    return NetworkClips(
        values=(0.01 * rng.standard_normal(shape, dtype=np.float32)).astype(np.float16),
        subject=np.array([f"s{number // 6}" for number in range(count)]),
        label=np.arange(count) % 4,
        classes=("a", "b", "c", "d"),
        regions=TOGETHER,
    )


def seconds_per_epoch(clips: NetworkClips, changes: list[str], model: RoiKind) -> float:
    """Time three epochs less one, so that building the network does not count."""
    fold = Fold(np.arange(LEARNED), np.arange(LEARNED, 66), np.arange(66, 72))

    def train(epochs: int) -> float:
        short = read_recipe(RoiRecipe, "roi-small", changes=[*changes, f"training.epochs={epochs}"])
        return timed(lambda: RoiModel(model, short).train(clips, fold, seed=0))

    train(1)  # the first call of all is slower
    return (train(3) - train(1)) / 2


def floor(recipe: RoiRecipe, *, batches: int) -> float:
    """Time the convolutions of the encoders alone, forward and backward, for one epoch."""
    config = recipe.config(model="graph", num_classes=4, regions=TOGETHER, windows=WINDOWS)
    convolutions = nn.Sequential(
        *(
            part
            for part in RegionEncoder(config.channels).convolutions
            if isinstance(part, nn.Conv2d)
        )
    )
    maps = torch.randn(LEARNED * WINDOWS // batches, 3, config.size, config.size)
    maps = maps.contiguous(memory_format=torch.channels_last)

    def work() -> None:
        for _ in range(batches * len(TOGETHER)):
            with torch.autocast(
                "cpu", dtype=torch.bfloat16, enabled=recipe.training.precision == "bf16"
            ):
                found = convolutions(maps)
            found.float().sum().backward()

    work()
    return timed(work)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sizes", type=int, nargs="+", default=[28, 56])
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    print(
        f"torch {torch.__version__}, {asked.threads} threads, {platform.machine()}, load "
        f"{os.getloadavg()[0]:.1f}; {LEARNED} clips learned, {ANSWERED} answered; median of "
        f"{asked.repeats}"
    )
    for size in asked.sizes:
        clips = drawn_clips(size)
        for precision in ("32", "bf16"):
            for shared in (False, True):
                changes = [
                    f"network.size={size}",
                    f"training.precision='{precision}'",
                    f"network.shared_encoder={str(shared).lower()}",
                ]
                recipe = read_recipe(RoiRecipe, "roi-small", changes=changes)
                least = statistics.median(floor(recipe, batches=2) for _ in range(asked.repeats))
                times = {
                    model: statistics.median(
                        seconds_per_epoch(clips, changes, model) for _ in range(asked.repeats)
                    )
                    for model in ROI_KINDS
                }
                shown = ", ".join(f"{model} {taken:.2f} s" for model, taken in times.items())
                encoders = "one encoder" if shared else "an encoder per region"
                print(
                    f"{size} px, {precision}, {encoders}: an epoch of {shown}; convolutions alone "
                    f"{least:.2f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
