"""The command `simulate`: a cohort of drawn patients, or palsies imposed on real portraits."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

import cv2

from common.errors import UserError
from common.files import atomic_write
from common.movements import MOVEMENTS
from common.photos import list_photos, read_photo
from common.tables import write_table
from common.words import counted
from datasets.simulated import cohort
from datasets.simulated.cohort import LayoutName
from datasets.simulated.film_folder import simulate_films
from datasets.simulated.photo_cohort import MAX_TURN, Portrait, simulate_from_portraits
from datasets.simulated.photo_warp import simulate_from_photo
from landmarks.exchange.tables import read_points
from landmarks.find.extraction import extract_landmarks, landmark_table
from landmarks.find.finder import FaceLandmarks, LandmarkFinder
from landmarks.find.method import DEFAULT_COPIES, make_method
from landmarks.points import turn_of
from landmarks.predictor import find_predictor
from landmarks.tables import LANDMARKS, points_of

_PNG_LOSSLESS = ".png"


@dataclass(frozen=True)
class Simulated:
    """The pictures or films that were written, and why portraits were left out, by name."""

    photographs: tuple[Path, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0, or 3 where portraits were left out: a simulation that cannot be made is an error."""
        return 3 if self.left_out else 0


def simulate(
    out: Path,
    *,
    patients: int = 24,
    seed: int = 0,
    layout: LayoutName | Literal["film"] = "meei",
    seconds: float = 22.0,
    fps: float = 30.0,
    width: int | None = None,
    height: int | None = None,
    jobs: int = 1,
    visits: int = 1,
    repeats: int = 1,
    raters: int = 0,
    folds: bool = False,
    from_photo: Path | None = None,
    from_photos: Path | None = None,
    grade: Literal[1, 2, 3, 4, 5, 6] = 5,
    side: Literal["left", "right"] = "left",
    kind: Literal["flaccid", "synkinetic"] = "flaccid",
    photo_task: str = "rest",
) -> Simulated:
    """Draw simulated patients with the truth, or impose palsies on real portraits.

    Without --from-photo a cohort is drawn: photographs of people who do not exist, with known
    grade, side and landmarks, in the layout of a dataset; in that of MEEI also with scores like
    Sunnybrook and eFACE. With --from-photo, the portrait is warped into the eight standard
    movements as a patient of that grade would do them; with --from-photos, every portrait of a
    folder, each with a grade, side and kind of its own. The same options give
    the same bytes. Report every result on simulated pictures as simulated.

    Parameters
    ----------
    out
        Folder to write to; new, empty, or holding the same simulation.
    patients
        How many patients; from 6 on every House-Brackmann grade is present.
    seed
        Another seed gives other patients.
    layout
        meei: eight movements, graded I to VI; neuroface: video frames with true points and
        boxes; casme: micro-expression clips from onset to offset; film: a film of each patient
        from rest through all movements, with blinks, the true points of every frame and the
        true events.
    seconds
        With film: length of each film; 22 hold all movements, a shorter film as many as fit.
    fps
        With film: frames per second.
    width
        Width of the pictures in pixels; that of the layout when not given.
    height
        Height of the pictures in pixels; that of the layout when not given.
    jobs
        How many processes draw at the same time.
    visits
        Layout meei: how often every patient comes, with dates; 60 % of the palsies recover, 15 %
        worsen, 25 % stay.
    repeats
        Layout meei: photographs of each movement at a visit.
    raters
        Layout meei: noisy raters who score every visit, into ratings.csv.
    folds
        Draw folds and furrows as deep as each side's movement, silent on the weak side, with their
        true depths in folds_truth.csv; not in films.
    from_photo
        A frontal portrait to impose a palsy on.
    from_photos
        A folder of frontal portraits at rest, one person each, with their points beside them (.pts
        or any other tool's), else found as extract does: a cohort with manifest and true points.
    grade
        With --from-photo: House-Brackmann grade, 1 (healthy) to 6 (no movement).
    side
        With --from-photo: the weak side, the patient's own; the patient's right is on your left.
    kind
        With --from-photo: flaccid, or synkinetic with movements that come along.
    photo_task
        With --from-photo: the movement that the portrait already shows, full_smile for instance.
    """
    if layout == "film":
        if from_photo is not None or from_photos is not None:
            raise UserError("--layout film draws its patients: leave out --from-photo.")
        if (visits, repeats, raters) != (1, 1, 0):
            raise UserError("--visits, --repeats and --raters are for the layout meei: leave out.")
        if folds:
            raise UserError("--folds is for photographs: leave it out with --layout film.")
        films = simulate_films(
            out, patients=patients, seed=seed, seconds=seconds, fps=fps, width=width,
            height=height, jobs=jobs,
        )  # fmt: skip
        print(f"{counted(len(films), 'simulated film')} of {seconds:g} s in {out}")
        return Simulated(tuple(films))
    if from_photos is not None:
        if from_photo is not None:
            raise UserError("--from-photo is one portrait, --from-photos a folder: give one.")
        return _impose(from_photos, out, seed=seed, jobs=jobs, folds=folds)
    if from_photo is None:
        written = cohort.simulate(
            out, patients=patients, seed=seed, layout=layout, width=width, height=height,
            jobs=jobs, visits=visits, repeats=repeats, raters=raters, folds=folds,
        )  # fmt: skip
        said = counted(len(written), "simulated photograph")
        print(f"{said} of {counted(patients, 'patient')} in {out}")
        return Simulated(tuple(written))
    if folds:
        raise UserError("--folds is for a drawn cohort or --from-photos: leave it out.")
    written = _warp(from_photo, out, grade=grade, side=side, kind=kind, photo_task=photo_task)
    weak = "healthy" if grade == 1 else f"grade {grade}, weak on the patient's {side}"
    said = counted(len(written), "simulated photograph")
    print(f"{said} ({weak}) and their landmarks.csv in {out}")
    return Simulated(tuple(written))


def _impose(folder: Path, out: Path, *, seed: int, jobs: int, folds: bool) -> Simulated:
    """Write a patient for every portrait of the folder whose points are known or can be found."""
    if any(folder.rglob("*.pts")):
        table, _ = read_points(folder)
    else:
        photos = list_photos(folder).photos
        with tempfile.TemporaryDirectory() as scratch:
            table = extract_landmarks(
                photos, out=Path(scratch), predictor=find_predictor(),
                method=make_method(tta=DEFAULT_COPIES), jobs=jobs,
            ).table  # fmt: skip
    points = points_of(table)
    portraits = {
        PurePosixPath(name).with_suffix("").as_posix(): Portrait(folder / name, own)
        for name, own in zip(table["image_id"], points, strict=True)
        if turn_of(own) <= MAX_TURN
    }
    turned = "the head is turned, and the warp is for faces seen from the front"
    left_out = {
        name: reason if isinstance(reason, str) else turned
        for name, reason, own in zip(table["image_id"], table["reason"], points, strict=True)
        if not turn_of(own) <= MAX_TURN
    }
    written, failed = simulate_from_portraits(portraits, out, seed=seed, jobs=jobs, folds=folds)
    left_out |= failed
    for name, reason in left_out.items():
        print(f"left out: {name}: {reason}", file=sys.stderr)
    people = counted(len({path.parent for path in written}), "patient")
    print(
        f"{counted(len(written), 'picture')} of {people} with imposed palsies, "
        f"manifest.csv and true points in {out}; {counted(len(left_out), 'portrait')} left out"
    )
    return Simulated(tuple(written), left_out)


def _warp(
    portrait: Path,
    out: Path,
    *,
    grade: int,
    side: Literal["left", "right"],
    kind: Literal["flaccid", "synkinetic"],
    photo_task: str,
) -> list[Path]:
    """Write the portrait in every movement, with the points that drove the warp."""
    rgb = read_photo(portrait).pixels
    found = LandmarkFinder(find_predictor()).find(rgb)
    if found.status != "ok":
        raise UserError(f"{portrait}: {found.reason}")
    written: list[Path] = []
    truth: dict[str, FaceLandmarks] = {}
    for task in MOVEMENTS:
        picture, points = simulate_from_photo(
            rgb, found.points, grade=grade, side=side, task=task, photo_task=photo_task, kind=kind
        )
        path = out / f"{portrait.stem}_{task}{_PNG_LOSSLESS}"
        _, encoded = cv2.imencode(_PNG_LOSSLESS, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        with atomic_write(path) as temporary:
            temporary.write_bytes(encoded.tobytes())
        written.append(path)
        truth[path.name] = FaceLandmarks(status="ok", n_faces=1, points=points)
    write_table(landmark_table(truth), out / "landmarks.csv", schema=LANDMARKS)
    return written
