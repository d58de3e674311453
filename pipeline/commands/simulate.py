"""The command `simulate`: a cohort of drawn patients, or a palsy imposed on a real portrait."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2

from common.errors import UserError
from common.files import atomic_write
from common.movements import MOVEMENTS
from common.photos import read_photo
from common.tables import write_table
from common.words import counted
from datasets.simulated import cohort
from datasets.simulated.cohort import LayoutName
from datasets.simulated.photo_warp import simulate_from_photo
from landmarks.find.extraction import landmark_table
from landmarks.find.finder import FaceLandmarks, LandmarkFinder
from landmarks.predictor import find_predictor
from landmarks.tables import LANDMARKS

_PNG_LOSSLESS = ".png"


@dataclass(frozen=True)
class Simulated:
    """The pictures that were written."""

    photographs: tuple[Path, ...]

    @property
    def exit_code(self) -> int:
        """0: a simulation that cannot be made is an error."""
        return 0


def simulate(
    out: Path,
    *,
    patients: int = 24,
    seed: int = 0,
    layout: LayoutName = "meei",
    width: int | None = None,
    height: int | None = None,
    jobs: int = 1,
    from_photo: Path | None = None,
    grade: Literal[1, 2, 3, 4, 5, 6] = 5,
    side: Literal["left", "right"] = "left",
    kind: Literal["flaccid", "synkinetic"] = "flaccid",
    photo_task: str = "rest",
) -> Simulated:
    """Draw simulated patients with the truth, or impose a palsy on a real portrait.

    Without --from-photo a cohort is drawn: photographs of people who do not exist, with known
    grade, side and landmarks, in the layout of a dataset. With it, the portrait is warped into
    the eight standard movements as a patient of that grade would do them. The same options give
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
        boxes; casme: micro-expression clips from onset to offset.
    width
        Width of the photographs in pixels; that of the layout when not given.
    height
        Height of the photographs in pixels; that of the layout when not given.
    jobs
        How many processes draw at the same time.
    from_photo
        A frontal portrait to impose a palsy on.
    grade
        With --from-photo: House-Brackmann grade, 1 (healthy) to 6 (no movement).
    side
        With --from-photo: the weak side, the patient's own; the patient's right is on your left.
    kind
        With --from-photo: flaccid, or synkinetic with movements that come along.
    photo_task
        With --from-photo: the movement that the portrait already shows, full_smile for instance.
    """
    if from_photo is None:
        written = cohort.simulate(
            out, patients=patients, seed=seed, layout=layout, width=width, height=height, jobs=jobs
        )
        said = counted(len(written), "simulated photograph")
        print(f"{said} of {counted(patients, 'patient')} in {out}")
        return Simulated(tuple(written))
    written = _warp(from_photo, out, grade=grade, side=side, kind=kind, photo_task=photo_task)
    weak = "healthy" if grade == 1 else f"grade {grade}, weak on the patient's {side}"
    said = counted(len(written), "simulated photograph")
    print(f"{said} ({weak}) and their landmarks.csv in {out}")
    return Simulated(tuple(written))


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
