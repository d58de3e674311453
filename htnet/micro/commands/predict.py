"""The command `micro predict`: find the micro-expression in a new clip and name it."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pandera.pandas as pa
from matplotlib.figure import Figure

from common.errors import UserError
from common.exit_codes import exit_code_for
from common.files import atomic_write
from common.provenance import write_run_record
from common.report import figure_png
from common.tables import choice, number, text, write_table
from htnet.commands.train import set_threads
from htnet.micro.clips.flow import FlowEstimator, FlowMethod
from htnet.micro.clips.frames import MotionReader, read_face_frames
from htnet.micro.clips.maps import Scaling
from htnet.micro.clips.new_clip import NewClip, find_clip, record_clip
from htnet.micro.clips.regions import REGION_SIZE
from htnet.micro.clips.results import ClipFacts, ClipMaps, FlowSettings
from htnet.micro.clips.spotting import Spot, spot_expression
from htnet.micro.clips.store import STATUSES
from htnet.micro.clips.task import ClipError, ClipTask
from htnet.micro.clips.worker import ClipReader
from htnet.micro.models.kept import CARD, WEIGHTS, FlowNeeds, KeptGrader, load_grader
from landmarks.find.finder import LandmarkFinder
from landmarks.predictor import find_predictor

PREDICTION, FLOW_PICTURE, MOTION_PICTURE = "prediction.csv", "flow.png", "motion.png"
LEAST_MOTION = 0.002
"""Of the face size. Less is the noise of the flow: the clip shows no expression."""

_INK, _GREY = "#333333", "#999999"
_MARKS = {"onset": ("#009E73", ":"), "apex": ("#D55E00", "-"), "offset": ("#0072B2", "--")}


@dataclass(frozen=True)
class MicroPredictResult:
    """The one row of `prediction.csv`, and the share of each region in the answer."""

    prediction: pd.DataFrame
    importance: dict[str, float]

    @property
    def exit_code(self) -> int:
        """0 the clip was answered, 4 it was not."""
        answered = bool((self.prediction["status"] == "ok").all())
        return exit_code_for(ok=int(answered), failed=int(not answered))


def predict(
    source: Path | None = None,
    *,
    model: Path,
    out: Path,
    camera: int | None = None,
    seconds: float = 3.0,
    onset: int | None = None,
    apex: int | None = None,
    offset: int | None = None,
    predictor: str = "ibug",
    threads: int | None = None,
) -> MicroPredictResult:
    """Find the micro-expression in a clip and give the probability of each class.

    The strongest expression is looked for in the motion of brows and mouth: where it begins
    (onset), is strongest (apex) and has gone (offset). Whatever the clip shows, one of the classes
    is the most probable; a clip without an expression gets an answer too. Research use only: this
    is no diagnosis.

    Parameters
    ----------
    source
        Folder with the numbered frames of one clip, or a video file.
    model
        Folder that `micro fit` wrote.
    out
        Folder for `prediction.csv`, `flow.png` (motion from onset to apex), `motion.png` (motion
        over time) and `run.json`.
    camera
        Number of a camera to record from in place of a source; 0 is the first.
    seconds
        How long the camera records.
    onset
        Number of the first frame of the expression, where it is known; else it is found. Frames of
        a video and of a camera count from 1.
    apex
        Number of the frame where the expression is strongest; found when not given.
    offset
        Number of the frame where the expression has gone; found when not given.
    predictor
        Landmark model, as for `extract`.
    threads
        Processor threads of the network.

    Raises
    ------
    UserError
        When there is no clip, no camera, or no such model.
    """
    set_threads(threads)
    began = time.monotonic()
    kept = load_grader(model)
    landmark_model = find_predictor(predictor)
    (out / FLOW_PICTURE).unlink(missing_ok=True)  # of an earlier clip
    (out / MOTION_PICTURE).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if camera is not None:
            print(f"Recording {seconds:g} s from camera {camera}.", file=sys.stderr)
            clip = record_clip(camera, seconds=seconds, folder=folder)
        elif source is not None:
            clip = find_clip(source, folder=folder)
        else:
            raise UserError("Give a clip's folder, a video, or --camera 0.")
        marks = Marks(onset, apex, offset)
        finder = LandmarkFinder(landmark_model)  # once for both: it reads 100 MB
        try:
            marks, spot = find_marks(clip, marks, finder)
        except ClipError as error:
            maps = ClipMaps(ClipFacts(status=error.status, reason=error.reason))
        else:
            _write_motion(spot, marks, out / MOTION_PICTURE)
            task = ClipTask(
                clip.name, clip.frames, marks.onset, marks.apex, marks.offset, out / FLOW_PICTURE
            )
            reader = ClipReader(landmark_model, _settings(kept.needs), folder, finder=finder)
            maps = reader.read(task)
    table, importance = _answer(kept, maps, clip.name)
    write_table(table, out / PREDICTION, schema=prediction_schema(kept.classes))
    write_run_record(
        out,
        command="micro predict",
        settings={
            "source": clip.name,
            "onset": onset,
            "apex": apex,
            "offset": offset,
            "predictor": predictor,
            "seconds": seconds if camera is not None else None,
        },
        files={"model": model / CARD, "weights": model / WEIGHTS},
        counts={"frames": len(clip.frames)},
        seconds={"all": time.monotonic() - began},
        notes={"region_importance": importance, "model": kept.notes.get("model")},
    )
    _tell(table, kept, importance)
    return MicroPredictResult(table, importance)


@dataclass(frozen=True)
class Marks:
    """Frame numbers of an expression; None where not known."""

    onset: int | None
    apex: int | None
    offset: int | None


def find_marks(clip: NewClip, given: Marks, finder: LandmarkFinder) -> tuple[Marks, Spot]:
    """Find what is not given of onset, apex and offset.

    Returns
    -------
    Marks
        All three.
    Spot
        Motion over time, relative to the first frame that was looked at.

    Raises
    ------
    UserError
        When frames that are given are not in the clip, or not in order.
    ClipError
        When the clip shows no face, or has too few frames.
    """
    for name, value in vars(given).items():
        if value is not None and value not in clip.frames:
            raise UserError(
                f"--{name} {value} is no frame of {clip.name}: its frames are "
                f"{min(clip.frames)} to {max(clip.frames)}."
            )
    first = given.onset if given.onset is not None else min(clip.frames)
    last = given.offset if given.offset is not None else max(clip.frames)
    wanted = [frame for frame in sorted(clip.frames) if first <= frame <= last]
    frames = read_face_frames(finder, clip.frames, numbers=wanted)
    dis = FlowEstimator("dis")
    spot = spot_expression(MotionReader(dis, dis, frames))
    found = Marks(
        onset=spot.onset if given.onset is None else given.onset,
        apex=spot.apex if given.apex is None else given.apex,
        offset=spot.offset if given.offset is None else given.offset,
    )
    assert found.onset is not None and found.apex is not None and found.offset is not None
    if not found.onset < found.apex <= found.offset:
        raise UserError(
            f"Onset {found.onset}, apex {found.apex} and offset {found.offset} are not in order: "
            "give all three, or none to have them found."
        )
    return found, spot


def prediction_schema(classes: tuple[str, ...]) -> pa.DataFrameSchema:
    """Return the schema of `prediction.csv`: one clip, its frames, and a column for each class."""
    frame = pa.Column("Int64", nullable=True, coerce=True)
    return pa.DataFrameSchema(
        {
            "clip": text(),
            "status": choice(STATUSES),
            "reason": text(nullable=True),
            "onset": frame,
            "apex": frame,
            "offset": frame,
            "peak_fraction": number(),
            "predicted": text(nullable=True),
            **{f"p_{name}": number() for name in classes},
        },
        name="prediction",
    )


def _settings(needs: FlowNeeds) -> FlowSettings:
    return FlowSettings(
        method=cast(FlowMethod, needs.method),
        scaling=cast(Scaling, needs.scaling),
        regions=needs.regions or None,
        region_size=needs.region_size or REGION_SIZE,
    )


def _answer(kept: KeptGrader, maps: ClipMaps, name: str) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return the table's row and the share of each region; no class without maps."""
    facts = maps.facts
    answer = np.full(len(kept.classes), np.nan)
    importance: dict[str, float] = {}
    predicted, reason = None, facts.reason or None
    if facts.status == "ok":
        seen = kept.grader.seen(maps)
        answer, importance = kept.grader.answers(seen)[0], kept.grader.importance(seen)
        if facts.peak_fraction < LEAST_MOTION:
            reason = (
                f"The face hardly moves (at most {100 * facts.peak_fraction:.2f} % of its size): "
                "the answer may stand for nothing."
            )
        predicted = kept.classes[int(np.argmax(answer))]
    row = {
        "clip": name,
        "status": facts.status,
        "reason": reason,
        "onset": facts.onset,
        "apex": facts.apex,
        "offset": facts.offset,
        "peak_fraction": facts.peak_fraction,
        "predicted": predicted,
        **{f"p_{one}": value for one, value in zip(kept.classes, answer, strict=True)},
    }
    table = pd.DataFrame([row]).astype(
        {"onset": "Int64", "apex": "Int64", "offset": "Int64", "peak_fraction": float}
    )
    return table.astype({"reason": object, "predicted": object}), importance


def _write_motion(spot: Spot, marks: Marks, path: Path) -> None:
    """Draw the motion over the frames with onset, apex and offset marked."""
    figure = Figure(figsize=(6.8, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.plot(spot.numbers, 100 * spot.motion, "o", color=_GREY, markersize=3, label="each frame")
    axes.plot(spot.numbers, 100 * spot.smooth, color=_INK, label="smoothed")
    for name, (colour, style) in _MARKS.items():
        frame = getattr(marks, name)
        axes.axvline(frame, color=colour, linestyle=style, label=f"{name}, frame {frame}")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Frame")
    axes.set_ylabel("Motion, % of the face size")
    axes.set_title(f"Motion of brows or mouth since frame {spot.numbers[0]}", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    with atomic_write(path) as temporary:
        temporary.write_bytes(figure_png(figure))


def _tell(table: pd.DataFrame, kept: KeptGrader, importance: dict[str, float]) -> None:
    row = table.iloc[0]
    if row["status"] != "ok":
        print(f"{row['clip']} was not answered: {row['reason']}", file=sys.stderr)
        return
    parts = [f"{name} {row[f'p_{name}']:.2f}" for name in kept.classes]
    print(f"{row['clip']}: onset {row['onset']}, apex {row['apex']}, offset {row['offset']}")
    print(f"{row['predicted']} ({', '.join(parts)})")
    if pd.notna(row["reason"]):
        print(f"Note: {row['reason']}", file=sys.stderr)
    if importance:
        shares = ", ".join(f"{name} {share:.2f}" for name, share in importance.items())
        print(f"Share of the regions in the answer: {shares}")
