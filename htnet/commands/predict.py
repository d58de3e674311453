"""The command `htnet predict`: grade new photographs, a folder, a manifest or a camera's frame."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import pandas as pd
import torch

from common.arrays import Places
from common.errors import UserError, exit_code_for
from common.files import atomic_write
from common.films import quiet_opencv
from common.grading.numeric_target import NumericTarget
from common.provenance import RUN_FILE, write_run_record
from common.shards import ShardOption, dealt
from common.tables import STATUSES, write_table
from htnet.network.htnet import GradingNetwork, set_threads
from htnet.palsy.answers import read_trained, target_of
from htnet.palsy.asking import Answers, Precision, answer, answer_sets
from htnet.palsy.cohort import read_measured, with_measured, with_tasks
from htnet.palsy.faces import Faces, Sets, read_faces, refused
from htnet.palsy.folds import trained_files
from htnet.palsy.new_patients import (
    SeenInTraining,
    Together,
    patient_grades,
    patient_grades_schema,
    patients_of,
    photograph_grades,
    photograph_grades_schema,
    summary,
    visits_of,
    warning_of_seen,
)
from htnet.palsy.points import points_like_training
from htnet.palsy.sureness import read_sureness
from htnet.palsy.training import WEIGHTS
from landmarks.find.extraction import extract_landmarks
from landmarks.find.source import find_source

PHOTOGRAPH_GRADES, PATIENT_GRADES = "photograph_grades.csv", "patient_grades.csv"
_NAMED = 5  # photographs that were left out and are named on the screen


@dataclass(frozen=True)
class PredictResult:
    """Answers by photograph, with a status and a reason where there is none, and by patient."""

    grades: pd.DataFrame
    patients: pd.DataFrame

    @property
    def exit_code(self) -> int:
        """0 all were graded, 3 some were not, 4 none was."""
        ok = int((self.grades["status"] == "ok").sum())
        return exit_code_for(ok=ok, failed=len(self.grades) - ok)


def predict(
    source: Path | None = None,
    *,
    weights: tuple[Path, ...],
    out: Path,
    camera: int | None = None,
    features: Path | None = None,
    predictor: str | None = None,
    tta: int | None = None,
    jobs: int | None = None,
    precision: Precision = "fp32",
    threads: int | None = None,
    shard: ShardOption = None,
) -> PredictResult:
    """Grade photographs that the network has not seen.

    Every photograph gets one row in `photograph_grades.csv`; one without a face gets its status
    and reason and no grade. A single photograph says little: `patient_grades.csv` has one answer
    from all photographs of a patient (as a manifest names them, else each folder is a patient).
    With several weights, the mean of their probabilities is the answer; of a score it comes with
    its 90 % interval, for each visit that a manifest names. Points are found as they
    were for the training, and patients from whom a network learned are named. Research use only:
    this is no diagnosis.

    Parameters
    ----------
    source
        A photograph, a folder (searched with all its subfolders), or a manifest (.csv).
    weights
        `weights.safetensors`, or a folder of `htnet train`; may be given repeatedly.
    out
        Folder for `photograph_grades.csv`, `patient_grades.csv`, `landmarks.csv` and `run.json`.
    camera
        Number of a camera whose frame is graded in place of a source; 0 is the first.
    features
        `features.csv` of the same photographs, for networks that were trained with it.
    predictor
        Landmark model, as for `extract`; that of the training when not given.
    tta
        Altered copies of each face, as for `extract`; as in the training when not given.
    jobs
        Photographs worked on at the same time.
    precision
        Of the matrix products: `fp32`, or `bf16`, which is faster for large networks where the
        processor knows it.
    threads
        Processor threads of the network.
    shard
        Do one part of the patients, 3/20 the third of twenty, into OUT/shard-03-of-20; merge
        joins the parts.

    Raises
    ------
    UserError
        When there is no source, no camera, or no such weights.
    """
    given = dict(locals())
    set_threads(threads)
    if camera is not None and shard is not None:
        raise UserError("A camera gives one photograph, which has no parts: leave out --shard.")
    began = time.monotonic()
    files = _weight_files(weights)
    networks = [read_trained(file) for file in files]
    network, notes = networks[0]
    target = target_of(notes)
    if any(target_of(other) != target for _, other in networks):
        raise UserError("The weights answer different questions: give those of one target.")
    if any(other.config.features != network.config.features for other, _ in networks):
        raise UserError("The weights read different features: give those of one training.")
    if any(other.config.pooling != network.config.pooling for other, _ in networks):
        raise UserError("The weights are of different networks: give those of one recipe.")
    if shard is not None and isinstance(target, NumericTarget):
        raise UserError(
            f"merge joins tables of classes, and {target.name} is a number: leave out --shard."
        )
    for file in files:
        measured = read_measured(features, network.config, weights=file)
    points = points_like_training([kept for _, kept in networks], predictor=predictor, tta=tta)
    seen = SeenInTraining.by(files)
    with tempfile.TemporaryDirectory() as temporary:
        if camera is not None:
            source = camera_frame(camera, Path(temporary))
        if source is None:
            raise UserError("Give a photograph, a folder, a manifest, or --camera 0.")
        found = find_source(source)
        patients_by_photo = patients_of(source, found)
        if shard is not None:
            out = shard.folder(out)
            found = found.only(
                dealt(
                    patients_by_photo,
                    shard, out=out, command="htnet predict", call=predict, given=given,
                )
            )  # fmt: skip
        table = extract_landmarks(
            found.photos, out=out, predictor=points.predictor, method=points.way.method(), jobs=jobs
        ).table
        usable = table[table["status"] == "ok"].reset_index(drop=True)
        answers, together = [], []
        if len(usable):
            paths = dict(found.photos)
            faces = read_faces(
                usable,
                [paths[image_id] for image_id in usable["image_id"]],
                size=network.config.image_size,
                kind=network.config.input,
                quiet=False,
            )
            seen = replace(seen, given=dict(zip(faces.image_ids, faces.sha256, strict=True)))
            faces = with_measured(with_tasks(faces, found.manifest), measured)
            # One by one, so that an answer does not depend, in its last digits, on its neighbours.
            answers = [answer(one, faces, precision=precision, batch=1) for one, _ in networks]
            if network.config.pooling == "patient":
                together = [_asked_together(one, faces, precision) for one, _ in networks]
        grades = photograph_grades(
            table,
            answers,
            patients=patients_by_photo,
            seen=seen,
            target=target,
            visits=visits_of(found),
        )
    patients = patient_grades(
        grades,
        answers,
        sureness=[read_sureness(file.parent, target=target) for file in files],
        target=target,
        together=together,
    )
    # A stop between the tables and their record must not leave the record of other tables.
    (out / RUN_FILE).unlink(missing_ok=True)
    write_table(grades, out / PHOTOGRAPH_GRADES, schema=photograph_grades_schema(target))
    write_table(patients, out / PATIENT_GRADES, schema=patient_grades_schema(target))
    write_run_record(
        out,
        command="htnet predict",
        settings={
            "source": source.name if camera is None else "camera",
            **points.way.as_note(),
            "precision": precision,
            "shard": shard and str(shard),
        },
        files={
            **{f"weights_{number}": file for number, file in enumerate(files, start=1)},
            **({} if features is None else {"features": features}),
        },
        counts={status: int((grades["status"] == status).sum()) for status in STATUSES},
        seconds={"all": time.monotonic() - began},
    )
    left_out = refused(table)
    for sentence in left_out[:_NAMED]:
        print(sentence, file=sys.stderr)
    if len(left_out) > _NAMED:
        print(
            f"{len(left_out) - _NAMED} more are left out: see photograph_grades.csv.",
            file=sys.stderr,
        )
    for warning in (*points.sentences, warning_of_seen(patients)):
        if warning:
            print(warning, file=sys.stderr)
    print(f"{summary(grades, patients, target=target)} Tables in {out}")
    return PredictResult(grades, patients)


def _asked_together(network: GradingNetwork, faces: Faces, precision: Precision) -> Together:
    """Return what asks a network about some photographs of a patient together."""

    def ask(rows: Places) -> Answers:
        some = torch.from_numpy(rows)[None]
        sets = Sets(some, torch.ones_like(some, dtype=torch.bool))
        return answer_sets(network, faces, sets, precision=precision, batch=1)

    return ask


def camera_frame(number: int, folder: Path) -> Path:
    """Take one frame from a camera. UserError when there is no such camera."""
    with quiet_opencv():
        capture = cv2.VideoCapture(number)
        read, frame = capture.read() if capture.isOpened() else (False, None)
        capture.release()
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
