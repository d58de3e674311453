"""Region flow drawn for tests: noise, and a motion of the mouth that tells the classes apart."""

from __future__ import annotations

import numpy as np

from htnet.micro.clips.maps import TOGETHER, WINDOWS, FlowMaps, RegionWindows
from htnet.micro.models.recipes import RoiRecipe
from htnet.recipe import read_recipe

SIZE = 16
NAMES = ("still", "down", "up")
TINY = (
    f"network.size={SIZE}",
    "network.channels=[8,8,16,16]",
    "network.feed_forward=16",
    "network.dropout=0.0",
    "training.batch_size=8",
    "training.precision='32'",
)


def drawn_regions(
    *,
    subjects: int = 4,
    clips: int = 4,
    classes: int = 2,
    regions: tuple[str, ...] = TOGETHER,
    motion: float = 0.01,
    seed: int = 0,
) -> tuple[RegionWindows, FlowMaps]:
    """Draw clips of several subjects; the mouth moves by the class while the expression rises.

    `clips`: of each subject; the classes take turns. `motion`: of the mouth, in the unit of
    physical maps; 0 leaves noise only, of 0.001.
    """
    count = subjects * clips
    rng = np.random.default_rng(seed)
    label = np.arange(count, dtype=np.int64) % classes
    shape = (count, len(WINDOWS), len(regions), 3, SIZE, SIZE)
    values = (0.001 * rng.standard_normal(shape)).astype(np.float32)
    sign = np.array([0.0, 1.0, -1.0])[label]
    values[:, :2, regions.index("mouth"), 1, SIZE // 2 :] += motion * sign[:, None, None, None]
    subject = np.repeat([f"drawn/s{number}" for number in range(subjects)], clips)
    clip_id = np.array([f"clip{number}" for number in range(count)])
    windows = RegionWindows(values, regions, clip_id, "physical")
    maps = FlowMaps(
        maps=np.zeros((count, 28, 28, 3), np.float32),
        centres=np.zeros((count, 5, 2), np.float32),
        clip_id=clip_id,
        dataset=np.full(count, "drawn"),
        subject=subject,
        label=label,
        classes=NAMES[:classes],
        scaling="physical",
    )
    return windows, maps


def tiny_recipe(*changes: str) -> RoiRecipe:
    """Return the shipped recipe, cut down to run within a second."""
    return read_recipe(RoiRecipe, "roi-small", changes=(*TINY, *changes))
