"""One clip, from its frames to its maps: what a worker of `micro flow` does.

The expensive part, the flow fields, is kept in a file named after the content of the frames and the
settings that it depends on, so that nothing is computed twice and a changed frame is noticed. What
is cheap (shrinking, regions, scaling, pictures) is made anew each time. Only clips that worked are
kept; the others are tried again. Workers import no pandas.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from common.files import atomic_write, sha256_of
from htnet.micro.clip_frames import (
    FACE_SIZE,
    ClipError,
    FaceFrames,
    MotionReader,
    read_face_frames,
)
from htnet.micro.flow import FlowEstimator, FlowMethod
from htnet.micro.flow_maps import Scaling, face_map, map_centres, scaled, small_map
from htnet.micro.flow_pictures import write_flow_picture
from htnet.micro.region_windows import REGION_SIZE, TOGETHER, cut_regions, region_boxes
from htnet.micro.spotting import spot_apex
from landmarks.finder import LandmarkFinder
from landmarks.predictor import PredictorFile

CACHE_METHOD = 1  # raise when the same frames and settings give other fields
_PEAK_PERCENTILE = 99.0  # over the moving regions: a single pixel is noise
ANNOTATED, SPOTTED = "annotated", "spotted"  # where an apex comes from


@dataclass(frozen=True)
class ClipTask:
    """A clip and its place in time.

    Attributes
    ----------
    image_id
        As in the manifest.
    frames
        Files by frame number, all that the folder holds.
    onset, apex, offset
        Frame numbers; None where not annotated.
    picture
        Where its picture goes; None for none.
    """

    image_id: str
    frames: Mapping[int, Path]
    onset: int | None
    apex: int | None
    offset: int | None
    picture: Path | None = None


@dataclass(frozen=True)
class FlowSettings:
    """What is made of every clip.

    Attributes
    ----------
    method
        Of the flow.
    scaling
        Of the maps.
    regions
        Names of the regions; None for no region windows.
    region_size
        Side of a region map in px.
    """

    method: FlowMethod = "dis"
    scaling: Scaling = "physical"
    regions: tuple[str, ...] | None = None
    region_size: int = REGION_SIZE


@dataclass(frozen=True)
class ClipFacts:
    """A clip's row of `flow.csv`; see `htnet.micro.map_store`. NaN and None are missing."""

    status: str = "ok"
    reason: str = ""
    onset: int | None = None
    apex: int | None = None
    offset: int | None = None
    apex_source: str | None = None
    face_px: float = float("nan")
    head_px: float = float("nan")
    peak_px: float = float("nan")
    peak_fraction: float = float("nan")


@dataclass(frozen=True)
class ClipMaps:
    """A clip's results, ready to be stored.

    Attributes
    ----------
    facts
        Its row of the table.
    small
        `(28, 28, 3)`; None unless ok.
    centres
        `(5, 2)`; None unless ok.
    regions
        `(4, R, 3, S, S)` float16; None unless ok and asked for.
    cache_file
        Name of its file in the cache; empty unless ok.
    from_cache
        Whether the fields were there already.
    """

    facts: ClipFacts
    small: NDArray[np.float32] | None = None
    centres: NDArray[np.float32] | None = None
    regions: NDArray[np.float16] | None = None
    cache_file: str = ""
    from_cache: bool = False


@dataclass(frozen=True)
class _Fields:
    """What the cache keeps: onset to apex first, then the four windows, in px of the square."""

    facts: ClipFacts
    flows: NDArray[np.float32]
    points: NDArray[np.float64]
    onset_rgb: NDArray[np.uint8]


@dataclass(frozen=True)
class _Plan:
    """The frames that are needed: from onset to offset to spot an apex, else those that count."""

    onset: int
    apex: int | None
    offset: int
    needed: tuple[int, ...]
    remark: str = ""


class ClipReader:
    """Turns clips into maps; make one per process, for it loads the landmark model.

    Parameters
    ----------
    predictor
        Landmark model, from `landmarks.predictor.find_predictor`.
    settings
        What is made of every clip.
    cache
        Folder of the kept flow fields.
    """

    def __init__(self, predictor: PredictorFile, settings: FlowSettings, cache: Path) -> None:
        cv2.setNumThreads(1)
        self._finder = LandmarkFinder(predictor)
        self._settings, self._cache = settings, cache
        self._estimator = FlowEstimator(settings.method)
        self._tracker = FlowEstimator("dis")
        self._depends_on = {
            "cache_method": CACHE_METHOD,
            "method": settings.method,
            "windows": settings.regions is not None,
            "face_size": FACE_SIZE,
            "predictor": predictor.sha256,
            "opencv": cv2.__version__,
        }

    def read(self, task: ClipTask) -> ClipMaps:
        """Return the maps of a clip, or its status and reason."""
        try:
            plan = _plan(task, windows=self._settings.regions is not None)
            name = f"{self._key(task, plan)}.npz"
            fields = _load(self._cache / name)
            from_cache = fields is not None
            if fields is None:
                fields = self._compute(task, plan)
                _save(self._cache / name, fields)
        except ClipError as error:
            if task.picture is not None:
                task.picture.unlink(missing_ok=True)  # of an earlier run with another outcome
            return ClipMaps(
                ClipFacts(
                    status=error.status,
                    reason=error.reason,
                    onset=task.onset,
                    apex=task.apex,
                    offset=task.offset,
                )
            )
        wholes = [face_map(flow, fields.points) for flow in fields.flows]
        if task.picture is not None:
            write_flow_picture(
                task.picture,
                wholes[0],
                fields.onset_rgb,
                face_px=fields.facts.face_px,
                title=f"{task.image_id}: frame {fields.facts.onset} to {fields.facts.apex}",
            )
        return ClipMaps(
            facts=fields.facts,
            small=scaled(small_map(wholes[0]), scaling=self._settings.scaling, axes=(0, 1)),
            centres=map_centres(fields.points, size=FACE_SIZE),
            regions=self._regions(np.stack(wholes[1:]), fields) if len(wholes) > 1 else None,
            cache_file=name,
            from_cache=from_cache,
        )

    def _key(self, task: ClipTask, plan: _Plan) -> str:
        """Return the name that the content of the frames and the settings give."""
        try:
            contents = [(number, sha256_of(task.frames[number])) for number in plan.needed]
        except OSError as error:
            raise ClipError(
                "unreadable",
                f"A frame cannot be opened ({error.strerror or error}): check the clip's folder.",
            ) from error
        what = {
            **self._depends_on,
            "frames": contents,
            "marks": (plan.onset, plan.apex, plan.offset),
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]

    def _compute(self, task: ClipTask, plan: _Plan) -> _Fields:
        frames = read_face_frames(self._finder, task.frames, numbers=plan.needed)
        motions = MotionReader(self._estimator, self._tracker, frames)
        apex, source = plan.apex, ANNOTATED
        if apex is None:
            # Spotting needs many flows and no fine ones: always DIS.
            fast = MotionReader(self._tracker, self._tracker, frames)
            apex, source = spot_apex(fast).apex, SPOTTED
        whole = motions.between(plan.onset, apex)
        flows = [whole.flow]
        if self._settings.regions is not None:
            marks = window_marks(frames.numbers, plan.onset, apex, plan.offset)
            for first, second in itertools.pairwise(marks):
                still = first == second
                flow = np.zeros_like(whole.flow) if still else motions.between(first, second).flow
                flows.append(flow)
        peak = peak_motion(whole.flow, frames) / FACE_SIZE
        centre = frames.points[27:31].mean(axis=0).round().astype(int)
        head = whole.head.field(FACE_SIZE)[centre[1], centre[0]]
        facts = ClipFacts(
            reason=plan.remark,
            onset=plan.onset,
            apex=apex,
            offset=plan.offset,
            apex_source=source,
            face_px=frames.face_px,
            head_px=float(np.hypot(*head)) / FACE_SIZE * frames.face_px,
            peak_px=peak * frames.face_px,
            peak_fraction=peak,
        )
        return _Fields(facts, np.stack(flows), frames.points, frames.onset_rgb)

    def _regions(self, windows: NDArray[np.float32], fields: _Fields) -> NDArray[np.float16]:
        settings = self._settings
        boxes = region_boxes(fields.points, regions=settings.regions or (), size=FACE_SIZE)
        cut = cut_regions(windows, boxes, size=settings.region_size)
        return scaled(cut, scaling=settings.scaling, axes=(-2, -1)).astype(np.float16)


def read_clip(reader: ClipReader, task: ClipTask) -> ClipMaps:
    """Do one clip in a worker process; for `common.workers.supervised_map`."""
    return reader.read(task)


def clip_reader(
    predictor: PredictorFile, settings: FlowSettings, cache: Path
) -> functools.partial[ClipReader]:
    """Return what makes a `ClipReader` in a worker process."""
    return functools.partial(ClipReader, predictor, settings, cache)


def window_marks(
    numbers: tuple[int, ...], onset: int, apex: int, offset: int
) -> tuple[int, int, int, int, int]:
    """Return the five frames between which the four windows lie: onset, mid, apex, mid2, offset.

    A mid is the frame nearest to the middle of those that are there, the earlier of two.
    """

    def mid(first: int, second: int) -> int:
        between = [number for number in numbers if first <= number <= second]
        return min(between, key=lambda number: abs(2 * number - first - second))

    return onset, mid(onset, apex), apex, mid(apex, offset), offset


def peak_motion(flow: NDArray[np.float32], frames: FaceFrames) -> float:
    """Return the largest motion in eyes, brows and mouth: 99th percentile, px of the square."""
    length = np.hypot(flow[..., 0], flow[..., 1])
    within = np.zeros(length.shape, dtype=bool)
    boxes = region_boxes(frames.points, regions=TOGETHER, size=FACE_SIZE)
    for left, top, right, bottom in np.clip(np.rint(boxes).astype(int), 0, FACE_SIZE - 1):
        within[top : bottom + 1, left : right + 1] = True
    return float(np.percentile(length[within], _PEAK_PERCENTILE))


def _plan(task: ClipTask, *, windows: bool) -> _Plan:
    """Decide which frames are needed, or say why the clip cannot be used."""
    if not task.frames:
        raise ClipError(
            "missing_frames", "The clip's folder holds no frames: check its path in the manifest."
        )
    if task.onset is None:
        raise ClipError("failed", "The manifest gives no onset: fill it in.")
    onset, apex = task.onset, task.apex
    there = f"its frames are {min(task.frames)} to {max(task.frames)}"
    if onset not in task.frames:
        raise ClipError("missing_frames", f"The onset frame {onset} is missing: {there}.")
    if apex is not None and apex not in task.frames:
        raise ClipError(
            "missing_frames",
            f"The apex frame {apex} is missing ({there}): add it, or empty the apex to have it "
            "found.",
        )
    if apex is not None and apex <= onset:
        raise ClipError(
            "failed", f"The apex {apex} is not after the onset {onset}: correct the manifest."
        )
    if task.offset is None and (apex is None or windows):
        raise ClipError("failed", "The manifest gives no offset: fill it in.")
    wanted = apex if task.offset is None else task.offset
    assert wanted is not None  # one of the two is known
    if apex is not None and wanted < apex:
        if windows:
            raise ClipError(
                "failed", f"The offset {wanted} is before the apex {apex}: correct the manifest."
            )
        wanted = apex
    between = [number for number in sorted(task.frames) if onset <= number <= wanted]
    offset, remark = between[-1], ""
    if offset != wanted and (apex is None or windows):
        remark = f"The offset frame {wanted} is missing; the last before it, {offset}, was taken."
    if apex is None:
        needed = tuple(between)
    elif windows:
        marks = window_marks(tuple(between), onset, apex, offset)
        needed = tuple(dict.fromkeys(marks))
    else:
        needed = (onset, apex)
    return _Plan(onset, apex, offset, needed, remark)


def _save(path: Path, fields: _Fields) -> None:
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            facts=np.array(json.dumps(asdict(fields.facts))),
            flows=fields.flows,
            points=fields.points,
            onset_rgb=fields.onset_rgb,
        )


def _load(path: Path) -> _Fields | None:
    """Return what is kept, or None when it is not there or was damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return _Fields(
                facts=ClipFacts(**json.loads(str(stored["facts"]))),
                flows=stored["flows"],
                points=stored["points"],
                onset_rgb=stored["onset_rgb"],
            )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
