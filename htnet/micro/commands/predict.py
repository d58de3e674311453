"""The command `micro predict`: find the micro-expression in a new clip and name it."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from common.errors import FilmError, UserError, exit_code_for
from common.files import atomic_write
from common.films import FILM_SUFFIXES, list_frames, open_film, quiet_opencv
from common.photos import PHOTO_SUFFIXES
from common.provenance import write_run_record
from common.report import figure_png
from common.tables import choice, number, text, write_table
from common.words import counted
from htnet.micro.clips.flow import FlowEstimator
from htnet.micro.clips.folder import MARKS
from htnet.micro.clips.frames import ClipError, ClipTask, MotionReader, read_face_frames
from htnet.micro.clips.reader import ClipFacts, ClipMaps, ClipReader
from htnet.micro.clips.spots import motion_figure
from htnet.micro.clips.spotting import Spot, spot_expression
from htnet.micro.clips.store import STATUSES, frame_column
from htnet.micro.models.kept import CARD, WEIGHTS, KeptGrader, RoiGrader, load_grader
from htnet.network.htnet import set_threads
from landmarks.find.finder import LandmarkFinder
from landmarks.predictor import find_predictor

PREDICTION, FLOW_PICTURE, MOTION_PICTURE = "prediction.csv", "flow.png", "motion.png"
MOST_BYTES = 1_500_000_000
"""Uncompressed frames of a clip beyond this are refused: the whole clip is held in memory."""

LEAST_MOTION = 0.002
"""Of the face size. Less is the noise of the flow: the clip shows no expression."""


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

    Onset, apex and offset of the strongest expression are found from the motion of brows and mouth.
    One of the classes is always the most probable: a clip without an expression gets an answer too.
    Research use only: this is no diagnosis.

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
        Number of a camera to record from instead of a source; 0 is the first.
    seconds
        Duration of the recording.
    onset
        Frame number of the onset, where it is known; found from the motion when not given. Frames
        of a video or a recording count from 1.
    apex
        Frame number of the apex; found when not given.
    offset
        Frame number of the offset; found when not given.
    predictor
        Landmark model, as for `extract`.
    threads
        Processor threads of the network.
    """
    set_threads(threads)
    began = time.monotonic()
    kept = load_grader(model)
    landmark_model = find_predictor(predictor)
    for picture in (FLOW_PICTURE, MOTION_PICTURE):  # of an earlier clip
        (out / picture).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if camera is not None:
            print(f"Recording {seconds:g} s from camera {camera}.", file=sys.stderr)
            clip = record_clip(camera, seconds=seconds, folder=folder)
        elif source is not None:
            clip = find_clip(source, folder=folder)
        else:
            raise UserError("Give a clip's folder, a video, or --camera 0.")
        clip = replace(clip, onset=onset, apex=apex, offset=offset, picture=out / FLOW_PICTURE)
        try:
            clip, spot = find_marks(clip, LandmarkFinder(landmark_model))
        except ClipError as error:
            maps = ClipMaps(ClipFacts(status=error.status, reason=error.reason))
        else:
            marks = {name: getattr(clip, name) for name in MARKS}
            with atomic_write(out / MOTION_PICTURE) as temporary_picture:
                temporary_picture.write_bytes(figure_png(motion_figure(spot, **marks)))
            maps = ClipReader(landmark_model, kept.needs, folder).read(clip)
    table, importance = _answer(kept, maps, clip.image_id)
    write_table(table, out / PREDICTION, schema=prediction_schema(kept.classes))
    write_run_record(
        out,
        command="micro predict",
        settings={
            "source": clip.image_id, "onset": onset, "apex": apex, "offset": offset,
            "predictor": predictor, "seconds": seconds if camera is not None else None,
        },
        files={"model": model / CARD, "weights": model / WEIGHTS},
        counts={"frames": len(clip.frames)},
        seconds={"all": time.monotonic() - began},
        notes={"region_importance": importance, "model": kept.notes.get("model")},
    )  # fmt: skip
    _tell(table, kept, importance)
    return MicroPredictResult(table, importance)


def find_marks(clip: ClipTask, finder: LandmarkFinder) -> tuple[ClipTask, Spot]:
    """Return the clip with what was not known of onset, apex and offset, and its motion over time.

    UserError when frames that are given are not in the clip, or not in order; ClipError when the
    clip shows no face, or has too few frames.
    """
    known = {name: getattr(clip, name) for name in MARKS if getattr(clip, name) is not None}
    for name, value in known.items():
        if value not in clip.frames:
            raise UserError(
                f"--{name} {value} is no frame of {clip.image_id}: its frames are "
                f"{min(clip.frames)} to {max(clip.frames)}."
            )
    first = known.get("onset", min(clip.frames))
    last = known.get("offset", max(clip.frames))
    wanted = [frame for frame in sorted(clip.frames) if first <= frame <= last]
    dis = FlowEstimator("dis")
    frames = read_face_frames(finder, clip.frames, numbers=wanted)
    spot = spot_expression(MotionReader(dis, dis, frames))
    onset, apex, offset = (known.get(name, getattr(spot, name)) for name in MARKS)
    if not onset < apex <= offset:
        raise UserError(
            f"Onset {onset}, apex {apex} and offset {offset} are not in order: give all three, or "
            "none to have them found."
        )
    return replace(clip, onset=onset, apex=apex, offset=offset), spot


def find_clip(source: Path, *, folder: Path) -> ClipTask:
    """Return the frames of a folder, or those of a video written into `folder`."""
    if source.is_dir():
        names = list_frames(source).names
        if not names:
            raise UserError(
                f"{source} holds no numbered frames ({', '.join(sorted(PHOTO_SUFFIXES)[:4])} and "
                "the like): give the folder of one clip."
            )
        return ClipTask(source.name, {at: source / name for at, name in names.items()})
    if not source.is_file():
        raise UserError(f"{source} does not exist: give a clip's folder, a video, or --camera 0.")
    if source.suffix.lower() not in FILM_SUFFIXES:
        raise UserError(
            f"{source} is no clip: give the folder of its frames, or a video such as .mp4 or .avi."
        )
    try:
        film = open_film(source)
        frames = _written((frame.rgb for frame in film.frames()), folder, name=source.name)
    except FilmError as error:
        raise UserError(f"{source} cannot be read as a video: {error}") from error
    return ClipTask(source.stem, frames)


def record_clip(
    number: int, *, seconds: float, folder: Path, clock: Callable[[], float] = time.monotonic
) -> ClipTask:
    """Record from a camera for some seconds, and write the frames into `folder`."""
    if seconds <= 0:
        raise UserError(f"--seconds is {seconds}: give more than 0.")
    frames = []
    with quiet_opencv():
        camera = cv2.VideoCapture(number)
        try:
            began = clock()
            while camera.isOpened():
                read, bgr = camera.read()
                if not read or bgr is None:
                    break
                frames.append(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8))
                if clock() - began >= seconds:
                    break
        finally:
            camera.release()
    if not frames:
        raise UserError(
            f"Camera {number} gives no picture: connect a camera, choose another --camera, or "
            "give a clip."
        )
    return ClipTask("camera", _written(iter(frames), folder, name="The recording"))


def _written(frames: Iterator[NDArray[np.uint8]], folder: Path, *, name: str) -> dict[int, Path]:
    """Write RGB frames as PNG, which loses nothing, and return the files by number."""
    files: dict[int, Path] = {}
    total = 0
    for at, frame in enumerate(frames, start=1):
        total += frame.nbytes
        if total > MOST_BYTES:
            height, width = frame.shape[:2]
            raise UserError(
                f"{name} is too long: more than {counted(at - 1, 'frame')} of {width} x "
                f"{height} do not fit into memory; cut it to the seconds around the expression."
            )
        files[at] = folder / f"frame_{at}.png"
        bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(files[at]), bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return files


def prediction_schema(classes: tuple[str, ...]) -> pa.DataFrameSchema:
    """Return the schema of `prediction.csv`: one clip, its frames, and a column for each class."""
    return pa.DataFrameSchema(
        {
            "clip": text(),
            "status": choice(STATUSES),
            "reason": text(nullable=True),
            **{name: frame_column() for name in MARKS},
            "peak_fraction": number(),
            "predicted": text(nullable=True),
            **{f"p_{name}": number() for name in classes},
        },
        name="prediction",
    )


def _answer(kept: KeptGrader, maps: ClipMaps, name: str) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return the table's row and the share of each region; no class without maps."""
    facts = maps.facts
    answer = np.full(len(kept.classes), np.nan)
    importance: dict[str, float] = {}
    predicted, reason = None, facts.reason or None
    if facts.status == "ok":
        seen = kept.grader.seen(maps)
        answer = kept.grader.answers(seen)[0]
        if isinstance(kept.grader, RoiGrader):
            importance = kept.grader.importance(seen)
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
        **{name: getattr(facts, name) for name in MARKS},
        "peak_fraction": facts.peak_fraction,
        "predicted": predicted,
        **{f"p_{one}": value for one, value in zip(kept.classes, answer, strict=True)},
    }
    table = pd.DataFrame([row]).astype(dict.fromkeys(MARKS, "Int64"))
    return table.astype({"peak_fraction": float, "reason": object, "predicted": object}), importance


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
