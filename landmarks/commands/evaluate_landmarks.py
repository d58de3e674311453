"""The command `evaluate-landmarks`: predicted against true points, for any manifest with truth."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pandas as pd

from common.errors import UserError
from common.files import sha256_of
from common.provenance import write_run_record
from common.tables import write_table
from common.words import counted
from common.workers import jobs_asked
from landmarks.check.altered import MIRROR, TILT, mirror_check, tilt_scores
from landmarks.check.asymmetry import ASYMMETRY, asymmetry_kept
from landmarks.check.errors import ERRORS, Evaluated, error_table, evaluate
from landmarks.check.report import LandmarkEvaluation, landmark_report
from landmarks.check.scores import GRID, SCORES, compare_settings, score_table
from landmarks.exchange.tables import WithTruth, named_as, read_points, read_with_truth
from landmarks.find.extraction import extract_landmarks
from landmarks.find.method import (
    DEFAULT_COPIES,
    DEFAULT_KIND,
    POINTS,
    Average,
    Method,
    Points,
    make_method,
)
from landmarks.predictor import PredictorFile, find_predictor
from landmarks.tables import failure_lines, points_source, with_slips_failed

PLAIN = "plain"
WIDTHS = (200, 300)  # px, to which a photograph is reduced to find faces


def evaluate_landmarks(
    source: Path,
    *,
    out: Path,
    predictions: tuple[Path, ...] = (),
    predictor: str = "ibug",
    tta: int = DEFAULT_COPIES,
    tta_kind: str = DEFAULT_KIND,
    tta_average: Average = "median",
    relevel: bool | None = None,
    points: Points = "whole",
    seed: int = 0,
    asymmetry: bool = False,
    seen: Literal["yes", "no", "unknown"] = "unknown",
    grid: bool = False,
    mirror: bool = False,
    tilt: bool = False,
    jobs: int | None = None,
) -> LandmarkEvaluation:
    """Compare predicted with true landmarks: errors per region, grade and side, with a report.

    Writes landmark_errors.csv, landmark_scores.csv, landmark_grid.csv, landmark_asymmetry.csv,
    report.html and run.json.
    Intervals are of 95 % and resample whole patients. A plain prediction is always evaluated
    beside the setting that was asked for.

    Parameters
    ----------
    source
        A manifest whose photographs have true points (column truth_file, as prepare writes it for
        neuroface, ckplus and simulated cohorts); or points of another tool beside their
        photographs: a folder of .pts or of Emotrics files, or a file of imglab, CVAT or COCO.
    out
        Folder for tables and report; the points of each setting are kept in OUT/settings.
    predictions
        Landmark tables, or points of other tools, to evaluate in place of predicting; with
        --asymmetry, beside it.
    predictor
        Landmark model: ibug (installed), mee, mee2, mee3, gtx (from models/), or a file; one of
        train-landmarks --refine is evaluated beside the model whose points it moves.
    tta
        Altered copies of each face whose points are averaged; 0 for none.
    tta_kind
        How copies are altered: names joined by +, a strength after a colon (rotation_normal:8+box).
    tta_average
        Average of the copies: per-point median or trimmed mean.
    relevel
        Level the head by its measured tilt and predict again; done with copies and not without,
        unless it is said.
    points
        Of the whole face, also of its mirrored halves, of this project's own network, or of both
        joined; the whole face is evaluated beside it.
    seed
        Seed of the copies and of the intervals.
    asymmetry
        Say of each of --points how much of a known asymmetry it keeps; best on palsies imposed on
        your own portraits (simulate --from-photos).
    seen
        Whether the model has learned from these very photographs; it is said beside its figures.
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
    if predictions and (grid or mirror or tilt):
        raise UserError(
            "--predictions takes points as they are, so --grid, --mirror and --tilt, which "
            "predict, cannot be joined with it: leave one of them out."
        )
    method = make_method(
        tta=tta, tta_kind=tta_kind, tta_average=tta_average, relevel=relevel, points=points,
        seed=seed,
    )  # fmt: skip
    known = read_with_truth(source)
    if not known.photos:
        raise UserError(
            f"{source}: no photograph has true points ({known.truth['reason'].iat[0]})."
        )
    files = {"source": source} if source.is_file() else {}
    altered: dict[str, pd.DataFrame] = {}
    found: dict[str, Evaluated] = {}
    learned: dict[str, str] = {}
    for name, path in _named(predictions).items():
        files |= {name: path} if path.is_file() else {}
        table = with_slips_failed(named_as(read_points(path)[0], known.manifest["image_id"]))
        if points_source(table).corrected:
            sentence = f"{name}: {points_source(table).sentence()}"
            known = replace(known, problems=(*known.problems, sentence))
        found[name] = evaluate(table, known.truth, known.manifest)
        learned[name] = "not known: the points are given"
    if asymmetry or not predictions:
        model = find_predictor(predictor)
        files["predictor"] = model.path
        methods = {PLAIN: Method(), **(grid_of(method) if grid else {})}
        beside = tuple(POINTS) if asymmetry else ("whole",)
        for one in (*(replace(method, points=p) for p in beside), method):
            methods.pop(_name_of(one), None)  # what was asked for comes last
            methods[_name_of(one)] = one
        shown: list[str] = []
        if model.base is not None:  # beside the model whose points are moved
            shown = [sha256_of(path) for _, path in known.photos if path.is_file()]
            own = {f"{name}, {model.base.name}": one for name, one in methods.items()}
            found |= _predict(known, own, out=out, predictor=model.base, jobs=jobs)
            said = model.base.learned_from(seen=seen)
            learned |= {name: _learned(one, said) for name, one in own.items()}
        found |= _predict(known, methods, out=out, predictor=model, jobs=jobs)
        said = model.learned_from(seen=seen, photographs=shown)
        learned |= {name: _learned(one, said) for name, one in methods.items()}
        if mirror:
            altered["mirror"] = mirror_check(
                known.photos, predictor=model, method=method, jobs=jobs
            )
        if tilt:
            turned = [
                tilt_scores(
                    known.photos, known.manifest, known.truth, setting=_name_of(one), method=one,
                    predictor=model, seed=seed, jobs=jobs,
                )
                for one in dict.fromkeys((Method(), method))
            ]  # fmt: skip
            altered["tilt"] = pd.concat(turned, ignore_index=True)
    evaluation = LandmarkEvaluation(
        settings=found,
        scores=pd.concat([score_table(e, setting=n, seed=seed) for n, e in found.items()]),
        grid=compare_settings(found, seed=seed),
        asymmetry=pd.concat(
            [asymmetry_kept(e, seed=seed).assign(setting=n) for n, e in found.items()],
            ignore_index=True,
        ),
        learned=learned,
        problems=known.problems,
        **altered,
    )
    _write(evaluation, out=out)
    chosen = evaluation.chosen.photographs
    write_run_record(
        out,
        command="evaluate-landmarks",
        settings={
            "source": source.name,
            "predictions": [path.name for path in predictions],
            "predictor": predictor,
            **method.settings(),
            "asymmetry": asymmetry,
            "seen": seen,
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
    _tell(evaluation, out=out, asymmetry=asymmetry)
    return evaluation


def _named(predictions: tuple[Path, ...]) -> dict[str, Path]:
    """Tables by their file's name, with the folder's before it where two are called alike."""
    names = [path.name for path in predictions]
    named = {
        name if names.count(name) == 1 else f"{path.absolute().parent.name}/{name}": path
        for name, path in zip(names, predictions, strict=True)
    }
    if len(named) < len(names):
        raise UserError("--predictions names one table twice, or two of one name: rename one.")
    return named


def grid_of(method: Method) -> dict[str, Method]:
    """Return the settings that an earlier study compared, by name.

    Detection width, grey or colour, with and without levelling, and with and without the copies of
    `method` where it has any.
    """
    grid = {}
    no_or_yes = (False, True)
    copies = no_or_yes if method.augmentation else (False,)
    for tta, relevel, colour, width in itertools.product(copies, no_or_yes, no_or_yes, WIDTHS):
        name = [f"{width} px", "colour" if colour else "grey"]
        name += ["copies"] * tta + ["levelled"] * relevel
        grid[", ".join(name)] = replace(
            method,
            detection_width=width,
            colour=colour,
            augmentation=method.augmentation if tta else None,
            relevel=relevel,
        )
    return grid


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
            folder = out / "settings" / name.replace(", ", "_").replace(" ", "")
            extraction = extract_landmarks(
                known.photos, out=folder, predictor=predictor, method=method, jobs=jobs
            )
            done[method] = evaluate(extraction.table, known.truth, known.manifest)
    return {name: done[method] for name, method in methods.items()}


def _name_of(method: Method) -> str:
    """Name a method by what it adds to a plain prediction."""
    parts = []
    if method.augmentation:
        kinds = " and ".join(name.replace("_", " ") for name, _ in method.augmentation.kinds)
        parts.append(f"{counted(method.augmentation.copies, 'copy', 'copies')} ({kinds})")
    if method.relevel:
        parts.append("levelled")
    if method.points != "whole":
        parts.append(POINTS[method.points])
    return ", ".join(parts) or PLAIN


def _learned(method: Method, said: str) -> str:
    """Say whether the points of a method may come from these photographs; `said` of the model."""
    if method.points == "own":
        return "no (own network: renderings alone)"
    return f"{said}; own network: no" if method.asks_network else said


def _write(evaluation: LandmarkEvaluation, *, out: Path) -> None:
    write_table(error_table(evaluation.chosen), out / "landmark_errors.csv", schema=ERRORS)
    write_table(evaluation.scores, out / "landmark_scores.csv", schema=SCORES)
    write_table(evaluation.grid, out / "landmark_grid.csv", schema=GRID)
    kept = evaluation.asymmetry[list(ASYMMETRY.columns)]
    write_table(kept, out / "landmark_asymmetry.csv", schema=ASYMMETRY)
    if len(evaluation.mirror):
        write_table(evaluation.mirror, out / "landmark_mirror.csv", schema=MIRROR)
    if len(evaluation.tilt):
        write_table(evaluation.tilt, out / "landmark_tilt.csv", schema=TILT)
    landmark_report(evaluation).write(out / "report.html")


def _tell(evaluation: LandmarkEvaluation, *, out: Path, asymmetry: bool) -> None:
    for line in failure_lines(evaluation.chosen.photographs):
        print(line, file=sys.stderr)
    for row in evaluation.grid.to_dict("records"):
        print(
            f"{row['setting']}: NRMSE {row['nrmse_eye']:.2f} % ({row['nrmse_eye_low']:.2f} to "
            f"{row['nrmse_eye_high']:.2f}), {row['found']} of "
            f"{counted(row['photographs'], 'photograph')}"
        )
    if asymmetry:
        for name, own in evaluation.asymmetry.groupby("setting", sort=False):
            parts = [
                f"{row['region']} {row['kept']:.2f} (r {row['r']:.2f})" for _, row in own.iterrows()
            ]
            print(
                f"{name}: asymmetry kept {', '.join(parts)}; learned from these photographs: "
                f"{evaluation.learned[str(name)]}"
            )
    print(f"Report: {out / 'report.html'}")
