"""The command `htnet predict`: grade new photographs, a folder, a manifest or a camera's frame."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pandera.pandas as pa

from classifiers.tasks import Target
from common.errors import UserError
from common.exit_codes import exit_code_for
from common.files import atomic_write
from common.provenance import write_run_json
from common.tables import STATUSES, choice, number, text, write_table
from htnet.answering import Precision, answer, read_trained
from htnet.configuration import SIDE_CLASSES
from htnet.faces import read_faces, refused
from htnet.training import WEIGHTS
from landmarks.extraction import extract_landmarks
from landmarks.predictor import find_predictor
from pipeline.extract import find_source
from pipeline.htnet import set_threads, target_of
from pipeline.htnet_cohort import read_measured, with_measured
from pipeline.htnet_folds import trained_files


@dataclass(frozen=True)
class PredictResult:
    """Answers, one row per photograph, with a status and a reason where there is none."""

    grades: pd.DataFrame

    @property
    def exit_code(self) -> int:
        """0 all were graded, 3 some were not, 4 none was."""
        ok = int((self.grades["status"] == "ok").sum())
        return exit_code_for(ok=ok, failed=len(self.grades) - ok)


def grades_schema(target: Target) -> pa.DataFrameSchema:
    """Return the schema of `grades.csv`: an answer and probabilities, or a status and a reason."""
    return pa.DataFrameSchema(
        {
            "image_id": text(unique=True),
            "status": choice(STATUSES),
            "reason": text(nullable=True),
            "predicted": text(nullable=True),
            **{name: number() for name in target.probability_columns},
            **{f"p_{side}": number() for side in SIDE_CLASSES},
        },
        name="grades",
    )


def predict(
    source: Path | None = None,
    *,
    weights: tuple[Path, ...],
    out: Path,
    camera: int | None = None,
    features: Path | None = None,
    predictor: str = "ibug",
    jobs: int | None = None,
    precision: Precision = "fp32",
    threads: int | None = None,
) -> PredictResult:
    """Grade photographs that the network has not seen.

    Every photograph gets one row in `grades.csv`; one without a face gets its status and reason
    and no grade. With several weights, the mean of their probabilities is the answer. Research use
    only: this is no diagnosis.

    Parameters
    ----------
    source
        A photograph, a folder (searched with all its subfolders), or a manifest (.csv).
    weights
        `weights.safetensors`, or a folder of `htnet train`; may be given repeatedly.
    out
        Folder for `grades.csv`, `landmarks.csv` and `run.json`.
    camera
        Number of a camera whose frame is graded in place of a source; 0 is the first.
    features
        `features.csv` of the same photographs, for networks that were trained with it.
    predictor
        Landmark model, as for `extract`.
    jobs
        Photographs worked on at the same time.
    precision
        Of the matrix products: `fp32`, or `bf16`, which is faster for large networks where the
        processor knows it.
    threads
        Processor threads of the network.

    Raises
    ------
    UserError
        When there is no source, no camera, or no such weights.
    """
    set_threads(threads)
    began = time.monotonic()
    files = _weight_files(weights)
    networks = [read_trained(file) for file in files]
    network, classes = networks[0]
    if any(other != classes for _, other in networks):
        raise UserError("The weights answer different questions: give those of one target.")
    if any(other.config.features != network.config.features for other, _ in networks):
        raise UserError("The weights read different features: give those of one training.")
    target = target_of(classes)
    measured = read_measured(features, network.config)
    with tempfile.TemporaryDirectory() as temporary:
        if camera is not None:
            source = camera_frame(camera, Path(temporary))
        if source is None:
            raise UserError("Give a photograph, a folder, a manifest, or --camera 0.")
        photos = find_source(source).photos
        table = extract_landmarks(
            photos, out=out, predictor=find_predictor(predictor), jobs=jobs
        ).table
        paths = dict(photos)
        usable = table[table["status"] == "ok"].reset_index(drop=True)
        grades = table[["image_id", "status", "reason"]].copy()
        columns = [*target.probability_columns, *(f"p_{side}" for side in SIDE_CLASSES)]
        grades = grades.assign(predicted=None, **dict.fromkeys(columns, np.nan))
        if len(usable):
            faces = read_faces(
                usable,
                [paths[image_id] for image_id in usable["image_id"]],
                size=network.config.image_size,
                kind=network.config.input,
            )
            faces = with_measured(faces, measured)
            answers = np.mean(
                [answer(one, faces, precision=precision) for one, _ in networks], axis=0
            )
            ok = (table["status"] == "ok").to_numpy()
            grades.loc[ok, list(target.probability_columns)] = answers
            names = [str(name) for name in target.named(target.answers(answers))]
            grades.loc[ok, "predicted"] = pd.Series(names, index=grades.index[ok], dtype=object)
    write_table(grades, out / "grades.csv", schema=grades_schema(target))
    write_run_json(
        out / "run.json",
        command="htnet predict",
        settings={"source": source.name if camera is None else "camera", "predictor": predictor},
        files={f"weights_{number}": file for number, file in enumerate(files, start=1)},
        counts={str(status): int(n) for status, n in grades["status"].value_counts().items()},
        seconds={"all": time.monotonic() - began},
    )
    for sentence in refused(table):
        print(sentence, file=sys.stderr)
    for row in grades[grades["status"] == "ok"].itertuples():
        print(f"{row.image_id}: {row.predicted}")
    return PredictResult(grades)


def camera_frame(number: int, folder: Path) -> Path:
    """Take one frame from a camera.

    Raises
    ------
    UserError
        When there is no such camera.
    """
    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        capture = cv2.VideoCapture(number)
        read, frame = capture.read() if capture.isOpened() else (False, None)
        capture.release()
    finally:
        cv2.utils.logging.setLogLevel(before)
    if not read or frame is None:
        raise UserError(
            f"Camera {number} gives no picture: connect a camera, choose another --camera, or "
            "give a photograph."
        )
    path = folder / "camera.png"
    with atomic_write(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", frame)[1].tobytes())
    return path


def _weight_files(weights: tuple[Path, ...]) -> list[Path]:
    files: list[Path] = []
    for path in weights:
        found = trained_files(path) if path.is_dir() else [path]
        if not found:
            raise UserError(f"{path} holds no {WEIGHTS}: run htnet train first.")
        files += found
    if not files:
        raise UserError("Give the weights of a trained network (--weights).")
    return files
