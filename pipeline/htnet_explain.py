"""The command `htnet explain`: pictures of what a network looked at, and asymmetry by grade."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from classifiers.plots import roman
from common.errors import UserError, did_you_mean
from common.files import atomic_write, write_json
from common.provenance import write_run_record
from common.report import figure_png
from common.tables import read_table
from htnet.answering import read_trained
from htnet.asymmetry_report import AsymmetryReport, asymmetry_report
from htnet.explanation import Explanation, explain_faces, region_places, share_inside
from htnet.explanation_pictures import explanation_figure, shared_scale
from htnet.faces import Faces
from htnet.training import PATIENTS, SEEN_PATIENTS
from pipeline.htnet import set_threads, target_of
from pipeline.htnet_cohort import ImageCohort, read_image_cohort

_MAPS = ("asymmetry", "gradients", "rollout")


@dataclass(frozen=True)
class ExplainResult:
    """The maps of each photograph, where they lie, and the asymmetry report if one was made."""

    explanations: list[Explanation]
    places: pd.DataFrame
    report: AsymmetryReport | None


def explain(
    weights: Path,
    manifest: Path,
    *,
    landmarks: Path,
    out: Path,
    image: tuple[str, ...] = (),
    task: str = "full_smile",
    features: Path | None = None,
    threads: int | None = None,
) -> ExplainResult:
    """Show what a network looked at, and how its asymmetry maps go with the grade.

    Writes one picture per photograph (asymmetry map, the same on the weak side, integrated
    gradients, attention roll-out, ROI maps), `places.csv` with the share of each map on the weak
    side's regions, and, for networks with micro-attention, `asymmetry.csv`, `asymmetry.json` and
    `asymmetry.png` over all patients of the manifest (two grades or more). Research use only.

    Parameters
    ----------
    weights
        `weights.safetensors` from `htnet train`.
    manifest
        `manifest.csv`. Patients whom the network learned from, by the `patients.csv` beside its
        weights, are left out unless named by `image`.
    landmarks
        `landmarks.csv` of the same photographs.
    out
        Folder for pictures and tables.
    image
        `image_id` of a photograph to explain; may be given repeatedly. When none is given, the
        first patient of each grade doing `task`.
    task
        Movement shown when no image is named.
    features
        `features.csv` of the same photographs, for a network that was trained with it.
    threads
        Processor threads.

    Raises
    ------
    UserError
        When there are no such photographs, or the network's input is not the face.
    """
    set_threads(threads)
    began = time.monotonic()
    network, classes = read_trained(weights)
    target = target_of(classes)
    cohort = read_image_cohort(
        manifest, landmarks, target=target, config=network.config, features=features
    )
    unseen = _unseen(cohort, weights)
    rows = _chosen(cohort, image, task=task, among=unseen)
    faces = subset(cohort.data.faces, rows)
    explanations = explain_faces(network, faces)
    scale = shared_scale(explanations)
    places = []
    for at, (row, found) in enumerate(zip(rows, explanations, strict=True)):
        about = cohort.rows.iloc[row]
        title = f"{about['image_id']}, reference {roman(target)[cohort.data.labels[row] - 1]}"
        if "side" in about:
            title += f", palsy: {about['side']}"
        answer = int(target.answers(found.probabilities[None])[0])
        figure = explanation_figure(
            found, title=title, classes=roman(target), answer=answer, scale=scale
        )
        name = str(about["image_id"]).rsplit(".", 1)[0].replace("/", "_")
        with atomic_write(out / f"{name}.png") as temporary:
            temporary.write_bytes(figure_png(figure))
        places.append(
            {"image_id": about["image_id"], "side": cohort.data.sides[row]}
            | where_it_lies(found, faces, at, side=cohort.data.sides[row])
        )
    table = pd.DataFrame(places)
    with atomic_write(out / "places.csv") as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    report = None
    grades = cohort.rows["hb_grade"].iloc[unseen] if "hb_grade" in cohort.rows else pd.Series()
    if network.config.use_micro_attention and grades.nunique() > 1:
        report = asymmetry_report(
            network, subset(cohort.data.faces, unseen), cohort.rows.iloc[unseen]
        )
        _write_report(report, out)
    write_run_record(
        out,
        command="htnet explain",
        settings={"task": task, "images": len(rows), "photographs": len(unseen)},
        files={"weights": weights, "manifest": manifest, "landmarks": landmarks},
        counts={"explained": len(rows), "left_out": len(cohort.complaints)},
        seconds={"all": time.monotonic() - began},
    )
    print(table.to_string(index=False, float_format="{:.2f}".format))
    if report:
        print(report.sentence())
    return ExplainResult(explanations, table, report)


def where_it_lies(
    found: Explanation, faces: Faces, at: int, *, side: str
) -> dict[str, float | str]:
    """Measure where maps lie: shares of heat on the palsy side's regions, beside their area.

    `*_regions` is the share of a map within the face's regions, `*_weak_regions` that within the
    regions of the palsy side after weighting each half by the side head's probability;
    `area_*` the share that an even map would have.
    """
    places = region_places(faces.regions[at], size=faces.size)
    everywhere = np.any(list(places.values()), axis=0)
    row: dict[str, float | str] = {"area_regions": float(everywhere.mean())}
    weak = None
    if side in ("right", "left"):
        weak = np.any([one for key, one in places.items() if side in key], axis=0)
        row["area_weak_regions"] = float(weak.mean())
    for name in _MAPS:
        heat = getattr(found, name)
        if heat is None:
            continue
        above = heat - heat.min()
        row[f"{name}_regions"] = share_inside(above, everywhere)
        if weak is not None:
            row[f"{name}_weak_regions"] = share_inside(found.on_weak_side(above), weak)
    return row


def subset(faces: Faces, rows: list[int]) -> Faces:
    """Return some of the faces."""
    return Faces(
        image_ids=tuple(faces.image_ids[row] for row in rows),
        pixels=faces.pixels[rows],
        regions=faces.regions[rows],
        points=faces.points[rows],
        features=None if faces.features is None else faces.features[rows],
    )


def _unseen(cohort: ImageCohort, weights: Path) -> list[int]:
    """Row numbers of the patients whom the network did not learn from; of all if that is nobody."""
    everyone = list(range(len(cohort.rows)))
    if not (weights.parent / PATIENTS).exists():
        return everyone
    seen = read_table(weights.parent / PATIENTS, schema=SEEN_PATIENTS)["patient_id"]
    unseen = np.flatnonzero(~np.isin(cohort.data.patients, seen.to_numpy(dtype=np.str_)))
    if not len(unseen):
        print(
            "Warning: the network learned from all these patients, so its maps look better than "
            "on new ones: give the weights of a fold, or other patients.",
            file=sys.stderr,
        )
        return everyone
    if len(unseen) < len(everyone):
        count = len(np.unique(cohort.data.patients[unseen]))
        print(f"{count} patients whom the network did not learn from are looked at.")
    return [int(row) for row in unseen]


def _chosen(
    cohort: ImageCohort, image: tuple[str, ...], *, task: str, among: list[int]
) -> list[int]:
    """Row numbers of the named photographs, or of one patient of each class doing the task."""
    known = list(cohort.rows["image_id"])
    if image:
        for name in image:
            if name not in known:
                raise UserError(
                    f'There is no usable photograph "{name}".{did_you_mean(name, known)}'
                )
        return [known.index(name) for name in image]
    tasks = cohort.rows["task"] if "task" in cohort.rows else pd.Series(task, cohort.rows.index)
    doing = np.intersect1d(np.flatnonzero((tasks == task).to_numpy()), among)
    if not len(doing):
        raise UserError(
            f'No photograph shows the task "{task}": give another --task or name --image.'
            + did_you_mean(task, set(tasks.dropna()))
        )
    labels = cohort.data.labels[doing]
    return [int(doing[np.flatnonzero(labels == label)[0]]) for label in np.unique(labels)]


def _write_report(report: AsymmetryReport, out: Path) -> None:
    with atomic_write(out / "asymmetry.csv") as temporary:
        report.photographs.to_csv(temporary, index=False, lineterminator="\n")
    write_json(
        out / "asymmetry.json",
        {
            "spearman": report.spearman,
            "spearman_p": report.spearman_p,
            "kruskal_p": report.kruskal_p,
            "by_grade": report.by_grade.to_dict(orient="records"),
        },
    )
    with atomic_write(out / "asymmetry.png") as temporary:
        temporary.write_bytes(figure_png(report.figure()))
