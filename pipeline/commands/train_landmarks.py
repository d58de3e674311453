"""The command `train-landmarks`: a landmark model for one's own patients, and whether it helps."""

from __future__ import annotations

import functools
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import UserError
from common.files import write_json
from common.provenance import package_versions, write_run_record
from common.tables import photos_of, read_manifest
from common.truth import read_truth
from common.words import counted, spoken
from common.workers import jobs_asked
from landmarks.check.training import compare_models, training_report
from landmarks.exchange.tables import is_of_other_tool, named_as, read_points
from landmarks.find.extraction import extract_landmarks
from landmarks.find.method import DEFAULT_COPIES, Method, Points, make_method
from landmarks.points import N_POINTS, POINT_COLUMNS
from landmarks.predictor import PREDICTORS, find_predictor
from landmarks.refinement import SUFFIX
from landmarks.review.remaining import (
    POINT_LIMIT,
    Remaining,
    needs_correction,
    read_raters,
    read_reviewed,
    remaining_work,
)
from landmarks.tables import points_of, points_source, read_landmarks
from landmarks.training import (
    TrainingFace,
    TrainingOptions,
    box_of,
    held_out_patients,
    train_predictor,
)
from pipeline.refining import refine_predictor

MODEL_FILE, CARD_FILE, REPORT_FILE = "predictor.dat", "predictor.json", "report.html"
REFINEMENT_FILE = Path(MODEL_FILE).stem + SUFFIX
LICENCE_NOTE = (
    "Made from your photographs: whether it may be shared depends on their consent and terms. "
    "Research software; it does not diagnose."
)


@dataclass(frozen=True)
class TrainedLandmarks:
    """What was trained: the model's file and its JSON card, and the errors on held-out patients.

    `errors` has a row per part of the face: `before`, `after`, `change`, % of the outer-eye
    distance; `left_out` counts photographs with points in which no face was found; `remaining` is
    what is left to correct, None where the points come from no review.
    """

    model: Path
    card: Path
    errors: pd.DataFrame
    left_out: int
    remaining: Remaining | None = None

    @property
    def exit_code(self) -> int:
        """0 all photographs were used, 3 some were not."""
        return 3 if self.left_out else 0


def train_landmarks(
    manifest: Path,
    *,
    out: Path,
    points: Path | None = None,
    all_points: bool = False,
    raters: Path | None = None,
    predictor: str = "ibug",
    refine: Points | None = None,
    held_out: float = 0.25,
    cascades: int = TrainingOptions.cascades,
    trees: int = TrainingOptions.trees,
    depth: int = TrainingOptions.depth,
    nu: float = TrainingOptions.nu,
    oversampling: int = TrainingOptions.oversampling,
    jitter: float = TrainingOptions.jitter,
    test_splits: int = TrainingOptions.test_splits,
    feature_pool: int = TrainingOptions.feature_pool,
    mirror: bool = TrainingOptions.mirror,
    seed: int = TrainingOptions.seed,
    jobs: int | None = None,
) -> TrainedLandmarks:
    """Train a landmark model on your own photographs with corrected points.

    Writes OUT/predictor.dat (with --refine: predictor.safetensors), for --predictor of extract, and
    OUT/predictor.json, which says what it was made from and its errors before and after on patients
    that were held out, with 95 % intervals over patients. Whole patients are held out, always.
    After a review, OUT/report.html says how many photographs would still need correction, and how
    long that takes.

    Parameters
    ----------
    manifest
        The photographs and their patients.
    out
        Folder for the model, its card, errors.csv and run.json.
    points
        Corrected points: the folder of a review (landmarks.csv with corrections.csv), one rater's
        corrections-NAME.csv, a landmark table (.csv), or points of another tool, as for features.
        Without it, the true points that the manifest names (column truth_file).
    all_points
        After a review, take photographs that nobody corrected or called right for truth too.
    raters
        agreement_points.csv of agreement: a point is off when it lies further away than 95 % of
        two raters' points; beyond 5 % of the outer-eye distance when not given.
    predictor
        Model to compare with, and to refine: ibug (installed), mee, mee2, mee3, gtx, or a .dat
        file.
    refine
        Learn how to move points that this model finds, from some ten corrected photographs on, in
        place of a model from nothing: those of the whole face, or of halves, own or joined, as
        --points of extract finds them. Palsies imposed on the photographs teach it too. The options
        from --cascades to --mirror are for a model from nothing.
    held_out
        Share of the patients that are held out to measure the error.
    cascades
        Cascades of regression trees.
    trees
        Trees in each cascade; more learn more and make a larger file.
    depth
        Depth of a tree; less for fewer photographs.
    nu
        Learning rate, above 0 to 1; less for fewer photographs.
    oversampling
        Start shapes tried for each face; more for fewer photographs.
    jitter
        How far start boxes are moved, as a fraction of their size.
    test_splits
        Random splits compared at every node.
    feature_pool
        Pixels compared in each cascade.
    mirror
        Learn from every face mirrored too, so that neither side is favoured.
    seed
        Seed of the choice of patients and of the training.
    jobs
        Photographs in which faces are sought at the same time; the training itself takes one
        processor, because dlib's model depends on their number.
    """
    began = time.monotonic()
    options = TrainingOptions(
        cascades=cascades, trees=trees, depth=depth, nu=nu, oversampling=oversampling,
        jitter=jitter, test_splits=test_splits, feature_pool=feature_pool, mirror=mirror, seed=seed,
    )  # fmt: skip
    jobs = jobs_asked(jobs)
    base = find_predictor(predictor)
    if refine and base.name not in PREDICTORS:
        raise UserError(
            "--refine moves the points of a model that is known by its name: give one of "
            f"{', '.join(PREDICTORS)} by --predictor."
        )
    people = everybody = read_manifest(manifest)
    reviewed = None if points is None else read_reviewed(points)
    limits = np.full(N_POINTS, POINT_LIMIT) if raters is None else read_raters(raters)
    if points is not None and reviewed is not None:
        table = reviewed.table if all_points else reviewed.truth()
        truth = points_of_manifest(people, table, source=points)
    else:
        truth = corrected_points(people, points)
    people = people[people["image_id"].isin(truth.loc[truth["status"] == "ok", "image_id"])]
    apart = held_out_patients(list(people["patient_id"]), share=held_out, seed=seed)
    tested = people["patient_id"].isin(apart)
    method = make_method(tta=DEFAULT_COPIES, points=refine) if refine else Method()
    predict = functools.partial(extract_landmarks, jobs=jobs, method=method)
    before = predict(photos_of(people), out=out / "before", predictor=base).table
    found = people["image_id"].isin(before.loc[before["status"] == "ok", "image_id"])
    prepared = time.monotonic()
    learners = people[found & ~tested]
    model = out / (REFINEMENT_FILE if refine else MODEL_FILE)
    about = None
    if refine:
        about = refine_predictor(
            learners, truth, before, base=base, method=method, out=model, seed=seed, jobs=jobs
        )
        if not about["rounds"]:
            print("The corrections teach nothing that holds for other patients: no point is moved.")
    else:
        train_predictor(_faces(learners, truth=truth, boxes=before), out=model, options=options)
    trained = time.monotonic()
    ours = find_predictor(str(model))
    examined = people[tested]
    after = predict(photos_of(examined), out=out / "after", predictor=ours).table
    errors = compare_models(examined, truth=truth, before=before, after=after, out=out, seed=seed)
    left = None
    if reviewed is not None:
        seen = examined[examined["image_id"].isin(reviewed.looked_at)]
        true, *drawn = (
            points_of(one.set_index("image_id").reindex(seen["image_id"]))
            for one in (truth, before, after)
        )
        needed, needing = (needs_correction(one, true, limits=limits) for one in drawn)
        left = remaining_work(
            reviewed,
            list(seen["image_id"]),
            needing,
            needed=needed,
            patients=dict(zip(everybody["image_id"], everybody["patient_id"], strict=True)),
            seed=seed,
        )
    source = points_source(reviewed.table) if reviewed else None
    counts = {
        "photographs_to_learn_from": int((found & ~tested).sum()),
        "patients_to_learn_from": int(people.loc[found & ~tested, "patient_id"].nunique()),
        "photographs_held_out": int((found & tested).sum()),
        "patients_held_out": int(people.loc[found & tested, "patient_id"].nunique()),
        "without_face": int((~found).sum()),
        **(source.counts() if source else {}),
    }
    settings = {
        **({"seed": seed} if refine else asdict(options)),
        "refine": refine, "held_out": held_out, "compared_with": predictor,
        "all_points": all_points, "limits": "two raters" if raters else f"{POINT_LIMIT:g} %",
    }  # fmt: skip
    card = {
        "what": (f"refinement of the points of {base.name}" if refine else "dlib shape predictor")
        + ", 68 points, patient's right is image-left",
        "sha256": ours.sha256,
        "counts": counts,
        "held_out_patients": sorted(apart),
        "options": settings,
        **({"refinement": about} if refine else {}),
        "error": "NRMSE by outer-eye distance, %, mean over held-out photographs, 95 % interval "
        "over patients",
        "errors": {
            part: {k: round(v, 4) if np.isfinite(v) else None for k, v in row.items()}
            for part, row in errors.iterrows()
        },
        "remaining": left.sentences() if left else None,
        "versions": package_versions(),
        "licence": LICENCE_NOTE,
    }
    write_json(out / CARD_FILE, card)
    write_run_record(
        out,
        command="train-landmarks",
        settings=settings,
        seed=seed,
        files={"manifest": manifest, "predictor": base.path, "model": model, "raters": raters},
        counts=counts,
        seconds={
            "detect": prepared - began,
            "train": trained - prepared,
            "compare": time.monotonic() - trained,
        },
        notes={"remaining": left.sentences() if left else None},
    )
    result = TrainedLandmarks(
        model=model,
        card=out / CARD_FILE,
        errors=errors,
        left_out=counts["without_face"],
        remaining=left,
    )
    training_report(
        errors,
        learned=source.added_to(_learned(counts)) if source else _learned(counts),
        limits=(
            "95 % of two raters' points do"
            if raters
            else f"{POINT_LIMIT:g} % of the outer-eye distance"
        ),
        remaining=left,
    ).write(out / REPORT_FILE)
    _tell(result, counts)
    return result


def corrected_points(people: pd.DataFrame, points: Path | None) -> pd.DataFrame:
    """Read the corrected points of a manifest's photographs, one row for each of them.

    `image_id`, `status`, `reason`, `x_0` ... `y_67`; points are NaN unless `ok`. `points`: landmark
    table, or points of another tool; None for the manifest's own truth. UserError when the file
    cannot be read or knows none of the photographs.
    """
    if points is None:
        truth = read_truth(people)
    elif is_of_other_tool(points):
        truth = named_as(read_points(points)[0], people["image_id"])
    else:
        truth = read_landmarks(points)
    return points_of_manifest(people, truth, source=points)


def points_of_manifest(
    people: pd.DataFrame, truth: pd.DataFrame, *, source: Path | None
) -> pd.DataFrame:
    """Return the points of a manifest's photographs, as `corrected_points` does, from a table."""
    columns = ["image_id", "status", "reason", *POINT_COLUMNS]
    truth = truth.reindex(columns=columns)
    # A row that says ok but lacks a point cannot teach or test.
    whole = truth[list(POINT_COLUMNS)].notna().all(axis="columns")
    truth.loc[~whole & (truth["status"] == "ok"), "status"] = "failed"
    known = truth[truth["image_id"].isin(people["image_id"])]
    if not (known["status"] == "ok").any():
        raise UserError(
            f"{source or 'The manifest'} has points of none of the manifest's photographs (first "
            f'"image_id" "{next(iter(people["image_id"]), "")}"): check that the names agree.'
        )
    rest = people.loc[~people["image_id"].isin(known["image_id"]), "image_id"]
    missing = pd.DataFrame({"image_id": rest, "status": "failed", "reason": "has no points"})
    return pd.concat([known, missing], ignore_index=True).reindex(columns=columns)


def _faces(people: pd.DataFrame, *, truth: pd.DataFrame, boxes: pd.DataFrame) -> list[TrainingFace]:
    ids = list(people["image_id"])
    points = points_of(truth.set_index("image_id").reindex(ids))
    found = boxes.set_index("image_id").reindex(ids)
    return [
        TrainingFace(path=Path(path), box=box_of(row), points=face)
        for path, (_, row), face in zip(people["path"], found.iterrows(), points, strict=True)
    ]


def _learned(counts: dict[str, int]) -> str:
    (learned, teachers), (tested, others) = (
        (counted(counts[f"photographs_{part}"], "photograph"), counts[f"patients_{part}"])
        for part in ("to_learn_from", "held_out")
    )
    return (
        f"Learned from {learned} of {counted(teachers, 'patient')}; tested on {tested} of "
        f"{counted(others, 'other patient')}."
    )


def _tell(result: TrainedLandmarks, counts: dict[str, int]) -> None:
    print(_learned(counts))
    for part, row in result.errors.iterrows():
        print(
            f"{spoken(part)}: {row['before']:.2f} % before, {row['after']:.2f} % after, change "
            f"{row['change']:+.2f} ({row['change_low']:+.2f} to {row['change_high']:+.2f}) of the "
            "outer-eye distance"
        )
    for sentence in result.remaining.sentences() if result.remaining else []:
        print(sentence)
    print(f"Model in {result.model}; use it with --predictor {result.model}")
