"""One clip, from its frames to its apex: what a worker of `micro spot` does."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from htnet.micro.clip_cache import cache_name, keep, load_kept
from htnet.micro.clip_frames import FACE_SIZE, ClipError, MotionReader, read_face_frames
from htnet.micro.clip_task import ClipTask, plan_clip
from htnet.micro.flow import FlowEstimator
from htnet.micro.spotting import Spot, spot_apex, spot_expression
from landmarks.finder import LandmarkFinder
from landmarks.predictor import PredictorFile

Within = Literal["expression", "clip"]

SPOT_METHOD = 1  # raise when the same frames give another curve


@dataclass(frozen=True)
class ClipSpot:
    """What was found in one clip.

    Attributes
    ----------
    status, reason
        As in `htnet.micro.map_store`.
    spot
        None unless ok.
    cache_file
        Name of its file in the cache; empty unless ok.
    """

    status: str = "ok"
    reason: str = ""
    spot: Spot | None = None
    cache_file: str = ""


class ClipSpotter:
    """Finds apexes; make one per process, for it loads the landmark model.

    Parameters
    ----------
    predictor
        Landmark model.
    within
        `expression` looks from the annotated onset to the offset; `clip` looks at every frame,
        and finds onset and offset too.
    cache
        Folder in which curves are kept by the content of the frames.
    """

    def __init__(self, predictor: PredictorFile, within: Within, cache: Path) -> None:
        cv2.setNumThreads(1)
        self._finder = LandmarkFinder(predictor)
        self._within, self._cache = within, cache
        self._flow = FlowEstimator("dis")
        self._depends_on = {
            "spot_method": SPOT_METHOD,
            "within": within,
            "face_size": FACE_SIZE,
            "predictor": predictor.sha256,
            "opencv": cv2.__version__,
        }

    def spot(self, task: ClipTask) -> ClipSpot:
        """Return what was found in a clip, or its status and reason."""
        if self._within == "clip" and task.frames:
            task = replace(task, onset=min(task.frames), offset=max(task.frames), problem="")
        try:
            plan = plan_clip(replace(task, apex=None), windows=False)
            name = cache_name(task, plan, depends_on=self._depends_on)
            kept = load_kept(self._cache / name)
            if kept is not None:
                onset, apex, offset = (int(number) for number in kept["marks"])
                numbers = tuple(int(number) for number in kept["numbers"])
                spot = Spot(numbers, kept["motion"], kept["smooth"], onset, apex, offset)
            else:
                frames = read_face_frames(self._finder, task.frames, numbers=plan.needed)
                motions = MotionReader(self._flow, self._flow, frames)
                spot = spot_expression(motions) if self._within == "clip" else spot_apex(motions)
                marks = np.array([spot.onset, spot.apex, spot.offset])
                curve = {"motion": spot.motion, "smooth": spot.smooth}
                content = {"numbers": np.array(spot.numbers), "marks": marks, **curve}
                keep(self._cache / name, content)
        except ClipError as error:
            return ClipSpot(status=error.status, reason=error.reason)
        return ClipSpot(reason=plan.remark, spot=spot, cache_file=name)


def spot_clip(spotter: ClipSpotter, task: ClipTask) -> ClipSpot:
    """Do one clip in a worker process; for `common.workers.supervised_map`."""
    return spotter.spot(task)


def clip_spotter(
    predictor: PredictorFile, within: Within, cache: Path
) -> functools.partial[ClipSpotter]:
    """Return what makes a `ClipSpotter` in a worker process."""
    return functools.partial(ClipSpotter, predictor, within, cache)
