"""The command `micro loso`: leave-one-subject-out recognition of micro-expressions."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError, exit_code_for
from common.provenance import write_run_record
from common.tables import write_table
from common.workers import default_jobs
from htnet.micro.clips.maps import InputName
from htnet.micro.clips.sources import ClassSetName, ClipSource, class_set_named, read_clips
from htnet.micro.clips.store import FLOW_FILE, MAPS_FILE
from htnet.micro.loso.driver import LosoRun, Protocol, run_loso, scored_run
from htnet.micro.loso.networks import GUESSING, recognisers_named
from htnet.micro.loso.report import loso_report
from htnet.micro.loso.results import (
    CONFUSION,
    CONFUSION_FILE,
    RESULTS_FILE,
    SUBJECTS,
    SUBJECTS_FILE,
    SUMMARY,
    SUMMARY_FILE,
    confusion_table,
    results_schema,
    results_table,
    subjects_table,
    summary_table,
)

FLOW_FOLDER, NETWORKS_FOLDER, REPORT_FILE = "flow", "networks", "report.html"


@dataclass(frozen=True)
class MicroLosoResult:
    """Answers and scores, and the sentences about clips that were left out."""

    run: LosoRun
    n_failed: int
    complaints: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 every clip was used, 3 some have no flow."""
        return exit_code_for(ok=len(self.run.clips), failed=self.n_failed)


def loso(
    source: Path,
    *,
    out: Path,
    models: tuple[str, ...] = (),
    classes: ClassSetName = "composite3",
    protocol: Protocol = "honest",
    recipe: str = "small",
    roi_recipe: str = "roi-small",
    inputs: tuple[InputName, ...] = ("whole",),
    change: tuple[str, ...] = (),
    roi_change: tuple[str, ...] = (),
    seeds: int = 5,
    seed: int = 0,
    jobs: int | None = None,
    device: str = "auto",
) -> MicroLosoResult:
    """Evaluate models of micro-expressions by leave-one-subject-out cross-validation.

    Each model classifies a subject's clips after training on all other subjects. The classical
    models always run as baselines. A run that was stopped continues with the folds that are
    missing. Research use only.

    Parameters
    ----------
    source
        A folder made by `micro flow`, a manifest of clips (.csv; its flow is computed first), or
        published flow maps (.npz).
    out
        Folder for `report.html`, the tables `loso_results.csv`, `loso_subjects.csv`,
        `loso_confusion.csv` and `loso_summary.csv`, and `run.json`.
    models
        Any of `htnet`, `roi-temporal`, `roi-graph`, `roi-hybrid`, `residual-flow` (a small residual
        network on the whole map), `residual-apex` (the same on the picture of the apex alone),
        `kernel-ridge`, `svm`, `logistic`; the last three always run. Default: `htnet`.
    classes
        `composite3` (negative, positive, surprise), `casme2-4` (happiness, disgust, surprise,
        repression), `casme3-3`, `casme3-4` or `casme3-7`.
    protocol
        `honest`: every choice is made on subjects inside the training fold. `published`: the
        epoch with the best score on the held-out subject; optimistic, marked as such, and only for
        networks. `both`: side by side.
    recipe
        Recipe of HTNet: `small`, `paper`, or a YAML file.
    roi_recipe
        Recipe of the ROI models: `roi-small`, `roi`, or a YAML file.
    inputs
        Input of HTNet: the `whole` map, or the `mosaic` of eyes and mouth corners. With both, one
        network is trained for each.
    change
        Settings of HTNet's recipe to replace, such as `training.epochs=40`.
    roi_change
        The same for the ROI models.
    seeds
        Number of trainings of each network, each with another seed.
    seed
        First seed; the others are the next whole numbers.
    jobs
        Worker processes for flow and networks. Default: the number of processors.
    device
        `auto`, `cpu` or `cuda`.
    """
    if seeds < 1:
        raise UserError(f"--seeds is {seeds}: give 1 or more.")
    models = models or ("htnet",)
    began = time.monotonic()
    read = _read(source, out=out, classes=classes, models=models, jobs=jobs or default_jobs())
    for sentence in read.complaints:
        print(sentence, file=sys.stderr)
    recognisers = recognisers_named(
        models if protocol == "honest" else (*models, GUESSING),
        recipe=recipe,
        roi_recipe=roi_recipe,
        inputs=inputs,
        changes=change,
        roi_changes=roi_change,
        windows=None if read.folder is None else read.folder.regions,
        folder=out / NETWORKS_FOLDER,
        jobs=jobs or default_jobs(),
        device=device,
    )
    answers, seconds = run_loso(
        read.maps, recognisers, seeds=tuple(range(seed, seed + seeds)), protocol=protocol
    )
    run = scored_run(read.maps, answers, seconds=seconds, seed=seed)
    _write(run, read, source=source, out=out)
    write_run_record(
        out,
        command="micro loso",
        settings={
            "models": models, "classes": classes, "protocol": protocol, "recipe": recipe,
            "roi_recipe": roi_recipe, "inputs": inputs, "change": change, "roi_change": roi_change,
            "seeds": seeds, "device": device,
        },
        seed=seed,
        files=_files(source, out),
        counts={
            "clips": len(read.maps), "subjects": len(read.maps.subjects),
            "without_flow": read.n_failed,
        },
        seconds={**seconds, "all": time.monotonic() - began},
        notes={"scaling": read.maps.scaling},
    )  # fmt: skip
    print(_closing_words(run, out), file=sys.stderr)
    return MicroLosoResult(run, read.n_failed, read.complaints)


def _read(
    source: Path, *, out: Path, classes: str, models: tuple[str, ...], jobs: int
) -> ClipSource:
    """Read the clips; of a manifest the flow is computed first, in a folder of the output."""
    class_set = class_set_named(classes)
    if source.suffix == ".csv":
        from htnet.micro.commands.flow import flow

        regions = any(name.startswith("roi-") for name in models)
        flow(source, out=out / FLOW_FOLDER, regions=regions, jobs=jobs)
        source = out / FLOW_FOLDER
    return read_clips(source, class_set=class_set)


def _write(run: LosoRun, read: ClipSource, *, source: Path, out: Path) -> None:
    write_table(results_table(run), out / RESULTS_FILE, schema=results_schema(run.clips.classes))
    write_table(subjects_table(run), out / SUBJECTS_FILE, schema=SUBJECTS)
    write_table(confusion_table(run), out / CONFUSION_FILE, schema=CONFUSION)
    write_table(summary_table(run), out / SUMMARY_FILE, schema=SUMMARY)
    report = loso_report(run, source=source.name, complaints=read.complaints)
    report.write(out / REPORT_FILE)


def _files(source: Path, out: Path) -> dict[str, Path]:
    """Return what went in, by role."""
    if source.is_dir():
        return {"flow": source / FLOW_FILE, "maps": source / MAPS_FILE}
    if source.suffix == ".csv":
        return {"manifest": source, "maps": out / FLOW_FOLDER / MAPS_FILE}
    return {"maps": source}


def _closing_words(run: LosoRun, out: Path) -> str:
    """Return the scores of every model as lines for the terminal, the honest ones first."""
    lines = []
    for rule in ("honest", "published"):
        for one in run.on():
            if one.answers.rule == rule:
                uf1, uar = one.scores.uf1, one.scores.uar
                lines.append(
                    f"UF1 {uf1.value:.3f} ({uf1.low:.3f} to {uf1.high:.3f})  UAR {uar.value:.3f}  "
                    f"{one.answers.label}"
                )
    return "\n".join([*lines, f"See {out / REPORT_FILE}."])
