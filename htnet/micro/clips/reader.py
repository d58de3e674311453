"""One clip, from its frames to its maps or its apex: what a worker of `micro flow` and `spot` does.

The expensive part, the flow fields, is kept in a file named after the content of the frames and the
settings that it depends on, so that nothing is computed twice and a changed frame is noticed. What
is cheap (shrinking, regions, scaling, pictures) is made anew each time. Only clips that worked are
kept; the others are tried again. Workers import no pandas.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from common.files import keep, key_of, load_kept, sha256_of
from common.films import ANNOTATED
from common.settings import Settings
from htnet.micro.clips.flow import FlowEstimator, FlowMethod
from htnet.micro.clips.frames import (
    FACE_SIZE,
    ClipError,
    ClipPlan,
    ClipTask,
    FaceFrames,
    MotionReader,
    plan_clip,
    read_face_frames,
    window_marks,
)
from htnet.micro.clips.maps import (
    APEX_SIZE,
    REGION_SIZE,
    TOGETHER,
    Scaling,
    box_edges,
    cut_regions,
    face_map,
    map_centres,
    region_boxes,
    scaled,
    small_map,
)
from htnet.micro.clips.pictures import write_flow_picture
from htnet.micro.clips.spotting import Spot, spot_apex, spot_expression
from landmarks.find.finder import LandmarkFinder
from landmarks.predictor import PredictorFile

METHOD = 2  # raise when the same frames and settings give other fields or another curve
SPOTTED = "spotted"  # an apex that was found, where none is annotated
Within = Literal["expression", "clip"]

_PEAK_PERCENTILE = 99.0  # over the moving regions: a single pixel is noise
Arrays = Mapping[str, NDArray[Any]]


class FlowSettings(Settings):
    """How clips become maps: method of the flow, scaling, regions (none: no region windows)."""

    method: FlowMethod = "dis"
    scaling: Scaling = "physical"
    regions: tuple[str, ...] = ()
    region_size: int = REGION_SIZE


@dataclass(frozen=True)
class ClipFacts:
    """A clip's row of `flow.csv`; see `htnet.micro.clips.store`. NaN and None are missing."""

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
    """A clip's row of the table and its arrays, ready to be stored; they are None unless ok.

    `small` is `(28, 28, 3)`, `centres` `(5, 2)`, `apex` the grey face at the apex, `(56, 56)`
    uint8, and `regions` `(4, R, 3, S, S)` float16, None also when not asked for. `from_cache` says
    whether `cache_file` was there already.
    """

    facts: ClipFacts
    small: NDArray[np.float32] | None = None
    centres: NDArray[np.float32] | None = None
    apex: NDArray[np.uint8] | None = None
    regions: NDArray[np.float16] | None = None
    cache_file: str = ""
    from_cache: bool = False

    @property
    def status(self) -> str:
        """Whether it worked, or why not."""
        return self.facts.status


@dataclass(frozen=True)
class ClipSpot:
    """What was found in one clip; `spot` is None and `cache_file` empty unless ok."""

    status: str = "ok"
    reason: str = ""
    spot: Spot | None = None
    cache_file: str = ""


class ClipReader:
    """Turns clips into maps or apexes; make one per process, for it loads the landmark model.

    What is expensive is kept in the folder `cache`.
    """

    def __init__(self, predictor: PredictorFile, settings: FlowSettings, cache: Path) -> None:
        cv2.setNumThreads(1)
        self._finder = LandmarkFinder(predictor)
        self._settings, self._cache = settings, cache
        self._estimator = FlowEstimator(settings.method)
        self._tracker = FlowEstimator("dis")
        self._depends_on = {
            "method_version": METHOD,
            "face_size": FACE_SIZE,
            "predictor": predictor.sha256,
            "opencv": cv2.__version__,
        }

    def read(self, task: ClipTask) -> ClipMaps:
        """Return the maps of a clip, or its status and reason."""
        settings = self._settings
        windows = bool(settings.regions)
        about: dict[str, Any] = {"method": settings.method, "windows": windows}
        if settings.method == "tvl1":
            about["scikit-image"] = version("scikit-image")
        try:
            plan = plan_clip(task, windows=windows)
            kept, name, there = self._kept(task, plan, about, self._fields)
        except ClipError as error:
            if task.picture is not None:
                task.picture.unlink(missing_ok=True)  # of an earlier run with another outcome
            marks = task.onset, task.apex, task.offset
            return ClipMaps(ClipFacts(error.status, error.reason, *marks))
        facts, points = ClipFacts(**json.loads(str(kept["facts"]))), kept["points"]
        wholes = [face_map(flow, points) for flow in kept["flows"]]
        if task.picture is not None:
            write_flow_picture(
                task.picture,
                wholes[0],
                kept["onset_rgb"],
                face_px=facts.face_px,
                title=f"{task.image_id}: frame {facts.onset} to {facts.apex}",
            )
        regions = None
        if windows:
            boxes = region_boxes(points, regions=settings.regions, size=FACE_SIZE)
            cut = cut_regions(np.stack(wholes[1:]), boxes, size=settings.region_size)
            regions = scaled(cut, scaling=settings.scaling, axes=(-2, -1)).astype(np.float16)
        return ClipMaps(
            facts=facts,
            small=scaled(small_map(wholes[0]), scaling=settings.scaling, axes=(0, 1)),
            centres=map_centres(points, size=FACE_SIZE),
            apex=kept["apex_grey"],
            regions=regions,
            cache_file=name,
            from_cache=there,
        )

    def spot(self, task: ClipTask, *, within: Within) -> ClipSpot:
        """Return the apex of a clip, or its status and reason.

        `expression` looks from the annotated onset to the offset; `clip` looks at every frame, and
        finds onset and offset too.
        """
        if within == "clip" and task.frames:
            task = replace(task, onset=min(task.frames), offset=max(task.frames), problem="")
        try:
            plan = plan_clip(replace(task, apex=None), windows=False)
            compute = functools.partial(self._curve, within=within)
            kept, name, _ = self._kept(task, plan, {"within": within}, compute)
        except ClipError as error:
            return ClipSpot(status=error.status, reason=error.reason)
        onset, apex, offset = (int(number) for number in kept["marks"])
        numbers = tuple(int(number) for number in kept["numbers"])
        spot = Spot(numbers, kept["motion"], kept["smooth"], onset, apex, offset)
        return ClipSpot(reason=plan.remark, spot=spot, cache_file=name)

    def _kept(
        self,
        task: ClipTask,
        plan: ClipPlan,
        about: Mapping[str, Any],
        compute: Callable[[ClipPlan, FaceFrames], Arrays],
    ) -> tuple[Arrays, str, bool]:
        """Return what is kept of a clip, computed where it is not; its file; whether it was there.

        The name follows from the content of the frames that are read, and all settings.
        """
        try:
            contents = [(number, sha256_of(task.frames[number])) for number in plan.needed]
        except OSError as error:
            raise ClipError(
                "unreadable",
                f"A frame cannot be opened ({error.strerror or error}): check the clip's folder.",
            ) from error
        marks = (plan.onset, plan.apex, plan.offset)
        frames = {"frames": contents, "marks": marks, "remark": plan.remark}
        name = key_of({**self._depends_on, **about, **frames}) + ".npz"
        kept = load_kept(self._cache / name)
        if kept is not None:
            return kept, name, True
        found = compute(plan, read_face_frames(self._finder, task.frames, numbers=plan.needed))
        keep(self._cache / name, found)
        return found, name, False

    def _fields(self, plan: ClipPlan, frames: FaceFrames) -> Arrays:
        """Return onset to apex first, then the four windows, in px of the square, and facts."""
        motions = MotionReader(self._estimator, self._tracker, frames)
        apex, source = plan.apex, ANNOTATED
        if apex is None:
            # Spotting needs many flows and no fine ones: always DIS.
            fast = MotionReader(self._tracker, self._tracker, frames)
            apex, source = spot_apex(fast).apex, SPOTTED
        whole = motions.between(plan.onset, apex)
        flows = [whole.flow]
        if self._settings.regions:
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
        small = (APEX_SIZE, APEX_SIZE)
        picture = cv2.resize(frames.at(apex), small, interpolation=cv2.INTER_AREA)
        return {
            "facts": np.array(json.dumps(asdict(facts))),
            "flows": np.stack(flows),
            "points": frames.points,
            "onset_rgb": frames.onset_rgb,
            "apex_grey": picture,
        }

    def _curve(self, plan: ClipPlan, frames: FaceFrames, *, within: Within) -> Arrays:
        motions = MotionReader(self._tracker, self._tracker, frames)
        spot = spot_expression(motions) if within == "clip" else spot_apex(motions)
        return {
            "numbers": np.array(spot.numbers),
            "marks": np.array([spot.onset, spot.apex, spot.offset]),
            "motion": spot.motion,
            "smooth": spot.smooth,
        }


def peak_motion(flow: NDArray[np.float32], frames: FaceFrames) -> float:
    """Return the largest motion in eyes, brows and mouth: 99th percentile, px of the square."""
    length = np.hypot(flow[..., 0], flow[..., 1])
    within = np.zeros(length.shape, dtype=bool)
    for left, top, right, bottom in box_edges(frames.points, regions=TOGETHER, size=FACE_SIZE):
        within[top : bottom + 1, left : right + 1] = True
    return float(np.percentile(length[within], _PEAK_PERCENTILE))
