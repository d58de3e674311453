"""The models of `micro loso`, and networks among them: every subject held out once, in parallel,
resumable by folds.

FOLDER/htnet-small-whole/<key>/seed_0/fold_007.npz
    answers to the eighth subject's clips after every epoch; the key stands for clips, recipe and
    method, so that other settings never meet
FOLDER/roi-small-graph/<key>/region_importance.csv
    share of each region in each fold (graph, hybrid)
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import torch
from numpy.typing import NDArray

from common.errors import UserError, refuse_unknown
from common.files import keep, key_of, load_kept
from common.progress import JobProgress
from common.tables import number, text, write_table
from common.workers import supervised_map
from htnet.micro.clips.maps import FlowMaps, InputName, RegionWindows
from htnet.micro.loso.folds import LosoAnswers, Recogniser, published_epoch
from htnet.micro.models.baselines import Guessing, KernelRidge, Logistic, Majority, SupportVectors
from htnet.micro.models.htnet import FlowModel, flow_model, residual_model
from htnet.micro.models.inputs import NetworkClips
from htnet.micro.models.recipes import RoiRecipe
from htnet.micro.models.roi import ROI_KINDS, RoiNetwork
from htnet.micro.models.training import RoiModel
from htnet.recipe import read_recipe

METHOD = 2  # raise it when the same recipe on the same clips gives other answers
IMPORTANCE = "region_importance.csv"
_LONGEST_FOLD_S = 24 * 3600.0

GUESSING = "guessing"
WITHOUT_NETWORK: dict[str, Recogniser] = {
    "majority": Majority(),
    GUESSING: Guessing(),
    "kernel-ridge": KernelRidge(),
    "svm": SupportVectors(),
    "logistic": Logistic(),
}
CLASSICAL = tuple(name for name in WITHOUT_NETWORK if name != GUESSING)
"""Run beside every network, asked for or not: they take seconds."""

NETWORKS = (
    "residual-apex", "residual-flow", "htnet", "roi-temporal", "roi-graph", "roi-hybrid"
)  # fmt: skip
MODELS = (*WITHOUT_NETWORK, *NETWORKS)

Kept = dict[str, NDArray[Any]]  # answers (epochs, m, k), epoch, importance


def recognisers_named(
    names: tuple[str, ...],
    *,
    recipe: str = "small",
    roi_recipe: str = "roi-small",
    inputs: tuple[InputName, ...] = ("whole",),
    changes: tuple[str, ...] = (),
    roi_changes: tuple[str, ...] = (),
    windows: RegionWindows | None = None,
    folder: Path | None = None,
    jobs: int = 1,
    device: str = "auto",
) -> list[Recogniser]:
    """Return the models of these names, and the classical ones before them, in a fixed order.

    What the networks need to know is as in `micro loso`. `windows` are the region windows of the
    clips, for the ROI models; in `folder` networks keep finished folds. UserError when there is no
    such model, or something that it needs is missing.
    """
    for name in names:
        refuse_unknown(name, MODELS, what="model")

    def networks(name: str) -> list[FlowModel | RoiModel]:
        if name == "htnet":
            return [flow_model(recipe, inputs=one, changes=changes) for one in inputs]
        if name.startswith("residual-"):
            return [residual_model("apex" if name == "residual-apex" else "flow")]
        if windows is None:
            raise UserError(
                f"{name} reads flow inside regions, which these clips have not: run micro flow "
                "with --regions and give its folder."
            )
        own = read_recipe(RoiRecipe, roi_recipe, changes=roi_changes)
        return [RoiModel(kind, own, windows) for kind in ROI_KINDS if name == f"roi-{kind}"]

    made = [model for name, model in WITHOUT_NETWORK.items() if name in names or name in CLASSICAL]
    for name in NETWORKS:
        if name in names:
            made += [
                NetworkRecogniser(model, folder=folder, jobs=jobs, device=device)
                for model in networks(name)
            ]
    return made


@dataclass(frozen=True)
class FoldTask:
    """One training: a seed and the number of the subject that is held out."""

    seed: int
    number: int

    @property
    def file(self) -> str:
        """Name of the file that keeps its answers."""
        return f"seed_{self.seed}/fold_{self.number:03d}.npz"


@dataclass(frozen=True)
class NetworkRecogniser:
    """One network with its recipe, trained once for each held-out subject and seed.

    The answers of finished folds are kept in `folder`, so that a run that was stopped goes on.
    They are the same for any number of `jobs`, folds that are trained at the same time.
    """

    model: FlowModel | RoiModel
    folder: Path | None = None
    jobs: int = 1
    device: str = "auto"

    @property
    def name(self) -> str:
        """Name as printed in tables."""
        return self.model.name

    def leave_one_subject_out(
        self, clips: FlowMaps, *, seeds: tuple[int, ...]
    ) -> list[LosoAnswers]:
        """Hold each subject out once for each seed; both rules answer from the same trainings.

        `honest` are the answers after the epoch that validation subjects chose, or the recipe's
        last; the held-out subject chooses nothing. `published` are those after the epoch that has
        most of the held-out subject's own clips right: optimistic.
        """
        device = device_named(self.device)
        data = self.model.clips(clips)
        tasks = [FoldTask(seed, place) for seed in seeds for place in range(len(clips.subjects))]
        with tempfile.TemporaryDirectory() as temporary:
            store = self._store(data, device) or Path(temporary)
            found = {task: load_kept(store / task.file) for task in tasks}
            waiting = [task for task in tasks if found[task] is None]
            for task, kept in self._trained(data, waiting, device, Path(temporary), len(tasks)):
                keep(store / task.file, kept)
                found[task] = kept
            done = {task: kept for task, kept in found.items() if kept is not None}
            _write_importance(store / IMPORTANCE, clips.subjects, done)
        shape = (2, len(seeds), len(clips), len(clips.classes))
        honest, published = np.full(shape, np.nan)
        for task in tasks:
            own = seeds.index(task.seed), clips.fold == task.number
            answers = done[task]["answers"]
            honest[own] = answers[int(done[task]["epoch"])]
            best = published_epoch(answers.argmax(axis=2), clips.label[own[1]])
            published[own] = answers[best]
        return [
            LosoAnswers(self.name, "honest", seeds, honest),
            LosoAnswers(self.name, "published", seeds, published),
        ]

    def _store(self, data: NetworkClips, device: str) -> Path | None:
        if self.folder is None:
            return None
        about = {"method": METHOD, "device": device, "clips": data.digest(), **self.model.about()}
        return self.folder / self.name.replace(" ", "-") / key_of(about)

    def _trained(
        self, data: NetworkClips, tasks: list[FoldTask], device: str, folder: Path, total: int
    ) -> Iterator[tuple[FoldTask, Kept]]:
        """Train the folds and yield what is kept of each as they come."""
        if not tasks:
            return
        light = self.model
        if isinstance(light, RoiModel):  # the windows stay here: data has what is needed
            light = replace(light, windows=None)
        earlier = total - len(tasks)
        if self.jobs == 1 or len(tasks) == 1 or device != "cpu":
            each = self.model.recipe.training.epochs  # here epochs are shown, of workers the folds
            of_all = JobProgress(f"{self.name}, epochs", total=total * each, done=earlier * each)
            with one_thread(), of_all as progress:
                for task in tasks:
                    yield task, _work((light, data, device), task, progress=progress)
            return
        stored = folder / "values.npy"  # shared by the workers instead of copied to each
        np.save(stored, data.values)
        start = partial(_open, light, replace(data, values=data.values[:0]), stored)
        outcomes = supervised_map(
            _work, tasks, jobs=self.jobs, start=start, limit_s=_LONGEST_FOLD_S
        )
        with JobProgress(f"{self.name}, folds", total=total, done=earlier) as progress:
            for outcome in outcomes:
                task = tasks[outcome.index]
                if outcome.error is not None:
                    raise UserError(f"{self.name}, subject {task.number + 1}: {outcome.error}.")
                yield task, outcome.value
                progress.advance(ok=True)


def device_named(name: str) -> str:
    """Return `cpu` or `cuda` for `auto`, `cpu` or `cuda`; UserError when it is not there."""
    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f'The device is "{name}": choose auto, cpu or cuda.')
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise UserError("A GPU was asked for, but there is none here: use --device cpu.")
    return "cuda" if there and name != "cpu" else "cpu"


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread, as workers do: sums in another order give other last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_State = tuple[FlowModel | RoiModel, NetworkClips, str]


def _open(model: FlowModel | RoiModel, light: NetworkClips, stored: Path) -> _State:
    """Begin a worker: the clips' maps are mapped from disk, not copied."""
    torch.set_num_threads(1)
    return model, replace(light, values=np.load(stored, mmap_mode="r")), "cpu"


def _work(state: _State, task: FoldTask, *, progress: JobProgress | None = None) -> Kept:
    """Train one fold and return what is kept of it."""
    model, data, device = state
    subject = list(dict.fromkeys(data.subject.tolist()))[task.number]
    seed = task.seed
    if isinstance(model, RoiModel):
        seed = int(np.random.SeedSequence([task.seed, task.number]).generate_state(1)[0])
    fold = model.fold(data, subject, seed=seed)
    trained = model.train(
        data, fold, seed=seed, number=task.number, device=device, progress=progress
    )
    importance: dict[str, float] = {}
    if isinstance(trained.network, RoiNetwork):
        with torch.inference_mode():
            importance = trained.network.region_importance(data.batch(fold.held_out, device=device))
    return {
        "answers": trained.answers,
        "epoch": np.array(trained.epoch),
        "importance": np.array(json.dumps(importance)),
    }


def _write_importance(path: Path, subjects: tuple[str, ...], done: dict[FoldTask, Kept]) -> None:
    """Write the share of each region in each fold; nothing for a model that has none."""
    rows = [
        {"seed": task.seed, "subject": subjects[task.number], **json.loads(str(kept["importance"]))}
        for task, kept in done.items()
    ]
    regions = list(rows[0])[2:]
    if regions:
        schema = pa.DataFrameSchema(
            {"seed": pa.Column(int), "subject": text(), **{name: number() for name in regions}},
            name="region importance",
        )
        write_table(pd.DataFrame(rows), path, schema=schema)
