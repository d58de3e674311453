"""One clip, from its frames to its maps: what a worker of `micro flow` does.

The expensive part, the flow fields, is kept in a file named after the content of the frames and the
settings that it depends on, so that nothing is computed twice and a changed frame is noticed. What
is cheap (shrinking, regions, scaling, pictures) is made anew each time. Only clips that worked are
kept; the others are tried again. Workers import no pandas.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from htnet.micro.clip_cache import cache_name, keep, load_kept
from htnet.micro.clip_frames import (
    FACE_SIZE,
    ClipError,
    FaceFrames,
    MotionReader,
    read_face_frames,
)
from htnet.micro.clip_task import ClipPlan, ClipTask, plan_clip, window_marks
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

    def to_keep(self) -> dict[str, NDArray[Any]]:
        facts = np.array(json.dumps(asdict(self.facts)))
        return {
            "facts": facts,
            "flows": self.flows,
            "points": self.points,
            "onset_rgb": self.onset_rgb,
        }

    @classmethod
    def from_kept(cls, kept: Mapping[str, NDArray[Any]]) -> _Fields:
        facts = ClipFacts(**json.loads(str(kept["facts"])))
        return cls(facts, kept["flows"], kept["points"], kept["onset_rgb"])


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
    finder
        The same landmark model, where it is loaded already; loaded here when None.
    """

    def __init__(
        self,
        predictor: PredictorFile,
        settings: FlowSettings,
        cache: Path,
        *,
        finder: LandmarkFinder | None = None,
    ) -> None:
        cv2.setNumThreads(1)
        self._finder = finder or LandmarkFinder(predictor)
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
        if settings.method == "tvl1":
            self._depends_on["scikit-image"] = version("scikit-image")

    def read(self, task: ClipTask) -> ClipMaps:
        """Return the maps of a clip, or its status and reason."""
        try:
            plan = plan_clip(task, windows=self._settings.regions is not None)
            name = cache_name(task, plan, depends_on=self._depends_on)
            kept = load_kept(self._cache / name)
            if kept is not None:
                fields = _Fields.from_kept(kept)
            else:
                fields = self._compute(task, plan)
                keep(self._cache / name, fields.to_keep())
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
            from_cache=kept is not None,
        )

    def _compute(self, task: ClipTask, plan: ClipPlan) -> _Fields:
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


def peak_motion(flow: NDArray[np.float32], frames: FaceFrames) -> float:
    """Return the largest motion in eyes, brows and mouth: 99th percentile, px of the square."""
    length = np.hypot(flow[..., 0], flow[..., 1])
    within = np.zeros(length.shape, dtype=bool)
    boxes = region_boxes(frames.points, regions=TOGETHER, size=FACE_SIZE)
    for left, top, right, bottom in np.clip(np.rint(boxes).astype(int), 0, FACE_SIZE - 1):
        within[top : bottom + 1, left : right + 1] = True
    return float(np.percentile(length[within], _PEAK_PERCENTILE))
