"""The command `htnet explain`: pictures of what a network looked at, and asymmetry by grade."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.errors import UserError, did_you_mean
from common.grading.numeric_target import of_classes
from common.grading.target import Target
from common.provenance import write_run_record
from common.tables import read_table, write_csv
from common.words import counted
from htnet.network.htnet import set_threads
from htnet.palsy.answers import read_trained, target_of
from htnet.palsy.asymmetry import AsymmetryReport, asymmetry_report
from htnet.palsy.cohort import ImageCohort, read_image_cohort
from htnet.palsy.maps import Explanation, explain_faces, where_it_lies
from htnet.palsy.pictures import explanation_figure, shared_scale, write_figure, write_regions
from htnet.palsy.training import PATIENTS, SEEN_PATIENTS


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
    network, notes = read_trained(weights)
    target = of_classes(target_of(notes), asker="htnet explain")
    cohort = read_image_cohort(
        manifest, landmarks, target=target, config=network.config, features=features,
        weights=weights,
    )  # fmt: skip
    held_out = _held_out(cohort, weights)
    rows = _chosen(cohort, image, task=task, among=held_out)
    faces = cohort.data.faces.subset(rows)
    explanations = explain_faces(network, faces)
    scale = shared_scale(explanations)
    places = []
    for at, (row, found) in enumerate(zip(rows, explanations, strict=True)):
        stem = faces.image_ids[at].rsplit(".", 1)[0].replace("/", "_")
        figure = explanation_figure(
            found,
            title=_title(cohort, row, target=target),
            classes=target.spoken,
            answer=int(target.answers(found.probabilities[None])[0]),
            scale=scale,
        )
        write_figure(figure, out / f"{stem}.png")
        if found.roi is not None:
            write_regions(found, faces, at, out / "regions", stem=stem, scale=scale)
        side = cohort.data.sides[row]
        places.append(
            {"image_id": faces.image_ids[at], "side": side}
            | where_it_lies(found, faces, at, side=side)
        )
    write_csv(pd.DataFrame(places), out / "places.csv")
    report = None
    grades = cohort.rows["hb_grade"].iloc[held_out] if "hb_grade" in cohort.rows else pd.Series()
    if network.config.use_micro_attention and grades.nunique() > 1:
        learned_by_none = cohort.data.faces.subset(held_out.tolist())
        report = asymmetry_report(network, learned_by_none, cohort.rows.iloc[held_out])
        report.write(out)
    files = {"weights": weights, "manifest": manifest, "landmarks": landmarks}
    write_run_record(
        out,
        command="htnet explain",
        settings={"task": task, "images": len(rows), "photographs": len(held_out)},
        files=files | ({"features": features} if features else {}),
        counts={
            "explained": len(rows),
            "left_out": len(cohort.complaints),
            **cohort.source.counts(),
        },
        seconds={"all": time.monotonic() - began},
    )
    told = f"Explained in {out}: {counted(len(rows), 'photograph')}."
    print(cohort.source.added_to(told))
    if report:
        print(report.sentence())
        print(report.by_grade.to_string(index=False, float_format="{:.3f}".format))
    return ExplainResult(explanations, pd.DataFrame(places), report)


def _held_out(cohort: ImageCohort, weights: Path) -> NDArray[np.intp]:
    """Row numbers of the patients whom the network did not learn from; of all if that is nobody."""
    everyone = np.arange(len(cohort.rows))
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
        count = counted(len(np.unique(cohort.data.patients[held_out])), "patient")
        print(f"The network did not learn from {count}; only they are looked at.")
    return held_out


def _chosen(
    cohort: ImageCohort, image: tuple[str, ...], *, task: str, among: NDArray[np.intp]
) -> list[int]:
    """Row numbers of the named photographs, or of one patient of each class doing the task."""
    known = list(cohort.rows["image_id"])
    for name in image:
        if name not in known:
            raise UserError(f'There is no usable photograph "{name}".{did_you_mean(name, known)}')
    if image:
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


def _title(cohort: ImageCohort, row: int, *, target: Target) -> str:
    """Say which photograph it is, with its reference grade and side."""
    about = cohort.rows.iloc[row]
    title = f"{about['image_id']}, reference {target.spoken[cohort.data.labels[row] - 1]}"
    return f"{title}, palsy: {about['side']}" if "side" in about else title
