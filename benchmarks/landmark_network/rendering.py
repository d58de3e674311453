"""Pictures of rendered people with their 68 points; and the shards of them that are kept.

A seed means the same pictures everywhere: everything is drawn in a fixed order, each picture from
its own seed `(of the set, number)`, four in a row of one person.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.landmark_network.colours import colours_of
from benchmarks.landmark_network.head import SIDE, Head
from benchmarks.landmark_network.light import lit
from benchmarks.landmark_network.material import FaceModel, load_arrays, save_arrays
from benchmarks.landmark_network.person import Person, somebody
from benchmarks.landmark_network.scan import Front
from benchmarks.landmark_network.scan_faces import draw_scan
from benchmarks.landmark_network.skins import Skins
from benchmarks.landmark_network.surface import projected, shape_of, surface_of
from benchmarks.landmark_network.surroundings import background, hair_behind, in_front
from common.arrays import Floats
from common.progress import JobProgress
from datasets.simulated.cohort import in_processes

OUT = 208  # px of a rendering: an eye's crop of 64 px then holds real pixels
SHARD = 1_000  # renderings
_PIECE = 100  # renderings of a task
_OF_A_PERSON = 4
_LONGEST_S = 1_800.0  # for a piece


@dataclass(frozen=True)
class Rendered:
    """A set of renderings: its file's name, seed and size, whose, and whether they are held out."""

    name: str
    seed: int
    count: int = SHARD
    people: range = range(20_000)
    held_out: bool = False

    def file(self, work: Path) -> Path:
        return work / "renderings" / f"{self.name}.npz"


HELD_OUT = Rendered("held_out", 9, 400, range(10**6, 10**6 + 300), held_out=True)
SCAN = Rendered("scan", 31, 300, held_out=True)


@dataclass(frozen=True)
class Pictures:
    """Grey pictures `(n, OUT, OUT)` uint8 and their points `(n, 68, 2)` float32."""

    grey: NDArray[np.uint8]
    points: NDArray[np.float32]

    @classmethod
    def load(cls, path: Path) -> Pictures:
        return cls(**load_arrays(path))


def shard(number: int) -> Rendered:
    """A shard for training."""
    return Rendered(f"shard_{number:03d}", 1_000 + number)


def render_sets(work: Path, sets: list[Rendered], *, jobs: int) -> None:
    """Render what is missing, whole sets at a time; a stopped run goes on with the next set."""
    missing = [one for one in sets if not one.file(work).is_file()]
    tasks = [
        (work, one, first, min(_PIECE, one.count - first))
        for one in missing
        for first in range(0, one.count, _PIECE)
    ]
    total = sum(one.count for one in sets)
    done = total - sum(one.count for one in missing)
    with JobProgress("renderings", total=total, done=done, note="") as progress:
        pieces = in_processes(_draw_piece, tasks, jobs=jobs, seconds=_LONGEST_S)
        for one in missing:
            grey, points = [], []
            for _ in range(0, one.count, _PIECE):
                piece = next(pieces)
                grey.append(piece.grey)
                points.append(piece.points)
                progress.advance(ok=True, count=len(piece.grey))
            save_arrays(
                one.file(work), grey=np.concatenate(grey), points=np.concatenate(points)
            )  # fmt: skip


def draw_set(work: Path, wanted: Rendered, *, first: int, count: int) -> Iterator[tuple]:
    """Draw pictures (BGR) and points of a set; `first` begins a person."""
    if wanted == SCAN:
        front = _front(work)
        for number in range(first, first + count):
            yield draw_scan(np.random.default_rng([wanted.seed, number]), front)
        return
    head, skins = _head(work)
    numbers = skins.numbers(held_out=wanted.held_out)
    for number in range(first, first + count):
        rng = np.random.default_rng([wanted.seed, number])
        if number % _OF_A_PERSON == 0:
            person = somebody(rng, head, skins, people=wanted.people, numbers=numbers)
        yield render(rng, head, person)


def render(rng: Generator, head: Head, person: Person) -> tuple[NDArray[np.uint8], Floats]:
    """Draw a picture `(OUT, OUT, 3)` uint8 BGR, and the person's 68 points in it."""
    shape = shape_of(rng, head, person)
    seen, normals, px_per_cm = projected(rng, head, person, shape)
    surface = surface_of(head, seen, normals, px_per_cm)
    rgb = lit(rng, person, surface, colours_of(rng, head, person, shape, surface))
    picture = background(rng)
    points = head.contours.points(shape, seen[:, :2], person.brows)
    picture = hair_behind(rng, person, picture, points).astype(np.float32)
    picture[surface.there] = rgb
    picture = in_front(rng, person, picture, points)
    picture = np.clip(picture, 0, 1) ** rng.uniform(0.7, 1.3)
    small = cv2.resize(picture.astype(np.float32), (OUT, OUT), interpolation=cv2.INTER_AREA)
    return (small * 255).astype(np.uint8), (points * OUT / SIDE - 0.5).astype(np.float32)


def _draw_piece(task: tuple[Path, Rendered, int, int]) -> Pictures:
    work, wanted, first, count = task
    drawn = list(draw_set(work, wanted, first=first, count=count))
    grey = [cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) for picture, _ in drawn]
    return Pictures(np.array(grey), np.array([points for _, points in drawn]))


@cache
def _head(work: Path) -> tuple[Head, Skins]:
    return Head(FaceModel.load(work / "face.npz")), Skins.load(work / "skins.npz")


@cache
def _front(work: Path) -> Front:
    return Front.load(work / "scan_front.npz")
