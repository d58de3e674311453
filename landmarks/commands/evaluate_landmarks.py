"""The command `evaluate-landmarks`: predicted against true points, for any manifest with truth."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from common.errors import UserError
from common.provenance import write_run_record
from common.tables import read_manifest, sort_by_image_id, write_table
from common.truth import read_truth
from common.workers import jobs_asked
from landmarks.check.errors import (
    ERRORS,
    SCORES,
    Evaluated,
    error_table,
    evaluate,
    part_errors,
    patient_intervals,
    score_table,
)
from landmarks.check.mirror import MIRROR, mirror_check
from landmarks.check.report import LandmarkEvaluation, landmark_report
from landmarks.check.settings import GRID, PLAIN, compare_settings, grid_of
from landmarks.check.tilt import TILT, tilt_check
from landmarks.exchange.imglab import read_imglab
from landmarks.find.extraction import extract_landmarks
from landmarks.find.method import DEFAULT_COPIES, DEFAULT_KIND, Method, make_method
from landmarks.points import POINT_COLUMNS
from landmarks.predictor import PredictorFile, find_predictor
from landmarks.tables import read_landmarks


@dataclass(frozen=True)
class WithTruth:
    """Photographs with true points: `manifest` rows, and `truth` as `common.truth` gives it."""

    manifest: pd.DataFrame
    truth: pd.DataFrame
    problems: tuple[str, ...] = ()

    @property
    def photos(self) -> tuple[tuple[str, Path], ...]:
        """(`image_id`, path) of the photographs whose true points are known."""
        known = (self.truth["status"] == "ok").to_numpy()
        rows = self.manifest[known]
        return tuple(
            (str(image_id), Path(path))
            for image_id, path in zip(rows["image_id"], rows["path"], strict=True)
        )


def evaluate_landmarks(
    source: Path,
    *,
    out: Path,
    predictions: Path | None = None,
    predictor: str = "ibug",
    tta: int = DEFAULT_COPIES,
    tta_kind: str = DEFAULT_KIND,
    tta_average: Literal["median", "trimmed_mean"] = "median",
    relevel: bool | None = None,
    seed: int = 0,
    grid: bool = False,
    mirror: bool = False,
    tilt: bool = False,
    jobs: int | None = None,
) -> LandmarkEvaluation:
    """Compare predicted with true landmarks: errors per region, grade and side, with a report.

    Writes landmark_errors.csv, landmark_scores.csv, landmark_grid.csv, report.html and run.json.
    Intervals are of 95 % and resample whole patients. A plain prediction is always evaluated
    beside the setting that was asked for.

    Parameters
    ----------
    source
        A manifest whose photographs have true points (column truth_file, as prepare writes it for
        neuroface, ckplus and simulated cohorts), or a dlib XML file (.xml, of imglab).
    out
        Folder for tables and report; the points of each setting are kept in OUT/settings.
    predictions
        A landmark table to evaluate in place of predicting.
    predictor
        Landmark model: ibug (installed), mee, mee2, mee3, gtx (from models/), or a .dat file.
    tta
        Altered copies of each face whose points are averaged; 0 for none.
    tta_kind
        How copies are altered: names joined by +, a strength after a colon (rotation_normal:8+box).
    tta_average
        Average of the copies: per-point median or trimmed mean.
    relevel
        Level the head by its measured tilt and predict again; done with copies and not without,
        unless it is said.
    seed
        Seed of the copies and of the intervals.
    grid
        Evaluate every combination of detection width (200 or 300 px), grey or colour, with and
        without copies, with and without levelling.
    mirror
        Predict mirrored photographs too, and report per region how far the points differ.
    tilt
        Turn photographs by -20 to 20 degrees and report the error at each angle.
    jobs
        Photographs worked on at the same time; as many as there are processors when not given.
    """
    began = time.monotonic()
    jobs = jobs_asked(jobs)
    if predictions is not None and (grid or mirror or tilt):
        raise UserError(
            "--predictions takes points as they are, so --grid, --mirror and --tilt, which "
            "predict, cannot be joined with it: leave one of them out."
        )
    method = make_method(
        tta=tta, tta_kind=tta_kind, tta_average=tta_average, relevel=relevel, seed=seed
    )
    known = read_source(source)
    if not known.photos:
        raise UserError(f"{source}: no photograph has true points ({_why(known.truth)}).")
    model = find_predictor(predictor) if predictions is None else None
    files = {"source": source}
    if predictions is not None or model is None:
        assert predictions is not None
        files["predictions"] = predictions
        found = {
            predictions.name: evaluate(read_landmarks(predictions), known.truth, known.manifest)
        }
    else:
        files["predictor"] = model.path
        methods = {PLAIN: Method(), **(grid_of(method) if grid else {})}
        if method != Method():
            methods[_name_of(method)] = method
        found = _predict(known, methods, out=out, predictor=model, jobs=jobs)
    evaluation = LandmarkEvaluation(
        settings=found,
        scores=pd.concat([score_table(e, setting=n, seed=seed) for n, e in found.items()]),
        grid=compare_settings(found, seed=seed),
        mirror=mirror_check(known.photos, predictor=model, method=method, jobs=jobs)
        if mirror and model
        else pd.DataFrame(),
        tilt=_tilt(known, method, predictor=model, seed=seed, jobs=jobs)
        if tilt and model
        else pd.DataFrame(),
        problems=known.problems,
    )
    _write(evaluation, out=out)
    chosen = evaluation.chosen.photographs
    write_run_record(
        out,
        command="evaluate-landmarks",
        settings={
            "source": source.name,
            "predictions": predictions.name if predictions else None,
            "predictor": predictor,
            **method.settings(),
            "grid": grid,
            "mirror": mirror,
            "tilt": tilt,
            "jobs": jobs,
        },
        seed=seed,
        files=files,
        counts={str(k): int(v) for k, v in chosen["status"].value_counts().sort_index().items()},
        seconds={"total": time.monotonic() - began},
        notes={"unit": "px, and percent of the outer-eye distance", "problems": known.problems},
    )
    _tell(evaluation, out=out)
    return evaluation


def read_source(source: Path) -> WithTruth:
    """Read photographs and true points from a manifest or from a dlib XML file.

    Raises
    ------
    UserError
        When the source does not exist or names no true points.
    """
    if source.suffix.lower() == ".xml":
        return _from_imglab(source)
    manifest = read_manifest(source)
    return WithTruth(manifest, read_truth(manifest))


def _from_imglab(source: Path) -> WithTruth:
    faces = read_imglab(source)
    names = [face.image for face in faces]
    manifest = pd.DataFrame(
        {"image_id": names, "path": [str(face.path) for face in faces], "patient_id": names}
    )
    points = np.array([face.points for face in faces]).reshape(len(faces), -1)
    truth = pd.DataFrame({"image_id": names})
    whole = ~np.isnan(points).any(axis=1)
    twice = truth["image_id"].duplicated(keep=False).to_numpy()
    truth["status"] = np.where(whole & ~twice, "ok", "failed")
    truth["reason"] = pd.array([None] * len(faces), dtype="str")
    truth.loc[~whole, "reason"] = "the file does not mark all 68 points of this photograph"
    truth.loc[twice, "reason"] = "the file marks several faces in this photograph"
    truth = pd.concat([truth, pd.DataFrame(points, columns=list(POINT_COLUMNS))], axis=1)
    once = ~truth["image_id"].duplicated()
    truth, manifest = truth[once], manifest[once.to_numpy()]
    return WithTruth(
        sort_by_image_id(manifest),
        sort_by_image_id(truth),
        problems=(
            f"{source.name} does not say which photographs show the same patient: each counts as "
            "a patient of its own, so the intervals are too narrow if patients come repeatedly.",
        ),
    )


def _predict(
    known: WithTruth,
    methods: Mapping[str, Method],
    *,
    out: Path,
    predictor: PredictorFile,
    jobs: int | None,
) -> dict[str, Evaluated]:
    """Predict with every method; equal methods under two names are predicted once."""
    done: dict[Method, Evaluated] = {}
    for name, method in methods.items():
        if method not in done:
            extraction = extract_landmarks(
                known.photos,
                out=out / "settings" / name.replace(", ", "_").replace(" ", ""),
                predictor=predictor,
                method=method,
                jobs=jobs,
            )
            done[method] = evaluate(extraction.table, known.truth, known.manifest)
    return {name: done[method] for name, method in methods.items()}


def _tilt(
    known: WithTruth,
    method: Method,
    *,
    predictor: PredictorFile,
    seed: int,
    jobs: int | None,
) -> pd.DataFrame:
    """NRMSE at each angle, plainly and with the method that was asked for."""
    frames = []
    for name, one in {PLAIN: Method(), _name_of(method): method}.items():
        for angle, table in tilt_check(
            known.photos, predictor=predictor, method=one, jobs=jobs
        ).items():
            turned = evaluate(table, known.truth, known.manifest)
            values = part_errors(turned)["inner"]["nrmse_eye"][:, None]
            patients = turned.photographs["patient_id"].to_numpy()
            found = patient_intervals(values, patients, seed=seed)
            found = found.rename(columns={"photographs": "found"})
            found.insert(0, "photographs", len(known.photos))
            found.insert(0, "angle_deg", angle)
            found.insert(0, "setting", name)
            frames.append(found)
    return pd.concat(frames, ignore_index=True)


def _name_of(method: Method) -> str:
    """Name a method by what it adds to a plain prediction."""
    parts = []
    if method.augmentation:
        kinds = " and ".join(name.replace("_", " ") for name, _ in method.augmentation.kinds)
        parts.append(f"{method.augmentation.copies} copies ({kinds})")
    if method.relevel:
        parts.append("levelled")
    return ", ".join(parts) or PLAIN


def _write(evaluation: LandmarkEvaluation, *, out: Path) -> None:
    write_table(error_table(evaluation.chosen), out / "landmark_errors.csv", schema=ERRORS)
    write_table(evaluation.scores, out / "landmark_scores.csv", schema=SCORES)
    write_table(evaluation.grid, out / "landmark_grid.csv", schema=GRID)
    if len(evaluation.mirror):
        write_table(evaluation.mirror, out / "landmark_mirror.csv", schema=MIRROR)
    if len(evaluation.tilt):
        write_table(evaluation.tilt, out / "landmark_tilt.csv", schema=TILT)
    landmark_report(evaluation).write(out / "report.html")


def _tell(evaluation: LandmarkEvaluation, *, out: Path) -> None:
    photographs = evaluation.chosen.photographs
    for row in photographs[photographs["status"] != "ok"].itertuples():
        print(f"{row.status}: {row.image_id}: {row.reason}", file=sys.stderr)
    for row in evaluation.grid.itertuples():
        print(
            f"{row.setting}: NRMSE {row.nrmse_eye:.2f} % ({row.nrmse_eye_low:.2f} to "
            f"{row.nrmse_eye_high:.2f}), {row.found} of {row.photographs} photographs"
        )
    print(f"Report: {out / 'report.html'}")


def _why(truth: pd.DataFrame) -> str:
    reasons = truth["reason"].dropna()
    return str(reasons.iloc[0]) if len(reasons) else "no rows"
