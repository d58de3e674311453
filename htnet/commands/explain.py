"""The command `htnet explain`: pictures of what a network looked at, and asymmetry by grade."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from common.errors import UserError, did_you_mean
from common.files import atomic_write, write_json
from common.grading.target import Target
from common.provenance import write_run_record
from common.report import figure_png
from common.tables import read_table, write_csv, write_table
from htnet.commands.train import set_threads, target_of
from htnet.network.configuration import ROI_REGIONS
from htnet.network.losses import overlap
from htnet.palsy.answering import read_trained
from htnet.palsy.asymmetry import BY_GRADE, AsymmetryReport, asymmetry_report
from htnet.palsy.cohort import ImageCohort, read_image_cohort
from htnet.palsy.faces import Faces
from htnet.palsy.maps import (
    Explanation,
    explain_faces,
    region_names,
    region_places,
    share_inside,
)
from htnet.palsy.pictures import explanation_figure, region_figure, shared_scale
from htnet.palsy.training import PATIENTS, SEEN_PATIENTS

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

    Research use only. Into `--out` go:

    - a picture for each photograph: where its sides differ (asymmetry map), what moved the grade
      (integrated gradients; also weighted to the side taken for weak) and where the network looked
      (attention roll-out); colours have one scale in all pictures of a run;
    - `regions/`: for networks with the ROI module, a picture for each photograph and region of
      what that region's map looks at, beside where the landmarks say that the region is;
    - `places.csv`: for each photograph the share of each map within the face's regions and within
      those of the palsy side, the share that an even map would have, and the overlap (Dice) of
      each ROI map with its region;
    - `asymmetry.csv`, `asymmetry_by_grade.csv`, `asymmetry.json` and `asymmetry.png`: for networks
      with micro-attention, the asymmetry of each photograph, and mean with interval, standard
      deviation, least and largest of the patients of each grade (two grades or more).

    Parameters
    ----------
    weights
        `weights.safetensors` from `htnet train`.
    manifest
        `manifest.csv`. Patients whom the network learned from, by the `patients.csv` beside its
        weights, are left out unless their photograph is named by `--image`.
    landmarks
        `landmarks.csv` of the same photographs.
    out
        Folder for pictures and tables.
    image
        `image_id` of a photograph to explain; may be given repeatedly. When none is given, one
        photograph of each grade that shows `--task`.
    task
        Movement that is shown when no image is named, as the manifest's column `task` calls it.
    features
        `features.csv` of the same photographs, for a network that was trained with it.
    threads
        Processor threads; as many as there are processors when not given.

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
        manifest, landmarks, target=target, config=network.config, features=features,
        weights=weights,
    )  # fmt: skip
    held_out = _held_out(cohort, weights)
    rows = _chosen(cohort, image, task=task, among=held_out)
    faces = subset(cohort.data.faces, rows)
    explanations = explain_faces(network, faces)
    for at, figure in enumerate(_figures(explanations, cohort, rows, target=target)):
        _write_figure(figure, out / f"{_stem(faces, at)}.png")
    if network.config.use_roi_module:
        _write_region_figures(explanations, faces, out / "regions")
    places = pd.DataFrame(
        {
            "image_id": faces.image_ids[at],
            "side": cohort.data.sides[row],
            **where_it_lies(found, faces, at, side=cohort.data.sides[row]),
        }
        for at, (row, found) in enumerate(zip(rows, explanations, strict=True))
    )
    write_csv(places, out / "places.csv")
    report = None
    grades = cohort.rows["hb_grade"].iloc[held_out] if "hb_grade" in cohort.rows else pd.Series()
    if network.config.use_micro_attention and grades.nunique() > 1:
        report = asymmetry_report(
            network, subset(cohort.data.faces, held_out), cohort.rows.iloc[held_out]
        )
        _write_report(report, out)
    files = {"weights": weights, "manifest": manifest, "landmarks": landmarks}
    write_run_record(
        out,
        command="htnet explain",
        settings={"task": task, "images": len(rows), "photographs": len(held_out)},
        files=files | ({"features": features} if features else {}),
        counts={"explained": len(rows), "left_out": len(cohort.complaints)},
        seconds={"all": time.monotonic() - began},
    )
    print(f"{len(rows)} photographs are explained in {out}.")
    if report:
        print(report.sentence())
        print(report.by_grade.to_string(index=False, float_format="{:.3f}".format))
    return ExplainResult(explanations, places, report)


def where_it_lies(found: Explanation, faces: Faces, at: int, *, side: str) -> dict[str, float]:
    """Measure where maps lie: shares of heat on the palsy side's regions, beside their area.

    `*_regions` is the share of a map within the face's regions, `*_weak_regions` that within the
    regions of the palsy side after weighting each half by the side head's probability;
    `area_*` the share that an even map would have; `overlap_*` the soft overlap (Dice, 0 to 1) of
    each ROI map with its region.
    """
    places = region_places(faces.regions[at], size=faces.size)
    everywhere = np.any(list(places.values()), axis=0)
    row: dict[str, float] = {"area_regions": float(everywhere.mean())}
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
    if found.roi is not None and len(found.roi) == len(ROI_REGIONS):
        maps = torch.from_numpy(found.roi)[None]
        dice = overlap(maps, faces.regions[at][None].to(maps) / 255)[0].tolist()
        row |= {f"overlap_{name}": one for name, one in zip(ROI_REGIONS, dice, strict=True)}
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


def _held_out(cohort: ImageCohort, weights: Path) -> list[int]:
    """Row numbers of the patients whom the network did not learn from; of all if that is nobody."""
    everyone = list(range(len(cohort.rows)))
    if not (weights.parent / PATIENTS).exists():
        return everyone
    seen = read_table(weights.parent / PATIENTS, schema=SEEN_PATIENTS)["patient_id"]
    held_out = np.flatnonzero(~np.isin(cohort.data.patients, seen.to_numpy(dtype=np.str_)))
    if not len(held_out):
        print(
            "Warning: the network learned from all these patients, so its maps look better than "
            "on new ones: give the weights of a fold, or other patients.",
            file=sys.stderr,
        )
        return everyone
    if len(held_out) < len(everyone):
        count = len(np.unique(cohort.data.patients[held_out]))
        print(f"{count} patients whom the network did not learn from are looked at.")
    return [int(row) for row in held_out]


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


def _figures(
    explanations: list[Explanation], cohort: ImageCohort, rows: list[int], *, target: Target
) -> Iterator[Figure]:
    """Draw all maps of each photograph, on one scale."""
    scale = shared_scale(explanations)
    for row, found in zip(rows, explanations, strict=True):
        about = cohort.rows.iloc[row]
        title = f"{about['image_id']}, reference {target.spoken[cohort.data.labels[row] - 1]}"
        if "side" in about:
            title += f", palsy: {about['side']}"
        answer = int(target.answers(found.probabilities[None])[0])
        yield explanation_figure(
            found, title=title, classes=target.spoken, answer=answer, scale=scale
        )


def _write_region_figures(explanations: list[Explanation], faces: Faces, out: Path) -> None:
    """Write a picture for each photograph and map of the ROI module, all on one scale."""
    scale = shared_scale(explanations)
    for at, found in enumerate(explanations):
        assert found.roi is not None
        places = region_places(faces.regions[at], size=faces.size)
        for index, name in enumerate(region_names(len(found.roi))):
            halves = [one for key, one in places.items() if key.startswith(name)]
            figure = region_figure(
                found,
                index,
                title=faces.image_ids[at],
                inside=np.any(halves, axis=0) if halves else None,
                scale=scale,
            )
            _write_figure(figure, out / f"{_stem(faces, at)}_{name}.png")


def _stem(faces: Faces, at: int) -> str:
    """Name of a photograph's pictures."""
    return faces.image_ids[at].rsplit(".", 1)[0].replace("/", "_")


def _write_figure(figure: Figure, path: Path) -> None:
    with atomic_write(path) as temporary:
        temporary.write_bytes(figure_png(figure))


def _write_report(report: AsymmetryReport, out: Path) -> None:
    write_csv(report.photographs, out / "asymmetry.csv")
    write_table(report.by_grade, out / "asymmetry_by_grade.csv", schema=BY_GRADE)
    found = {
        "spearman": report.spearman,
        "spearman_p": report.spearman_p,
        "kruskal_p": report.kruskal_p,
    }
    write_json(
        out / "asymmetry.json",
        {name: None if np.isnan(value) else value for name, value in found.items()}
        | {"by_grade": json.loads(report.by_grade.to_json(orient="records"))},
    )
    _write_figure(report.figure(), out / "asymmetry.png")
