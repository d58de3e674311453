"""The ROI models as recognisers: every subject held out once, in parallel, resumable by folds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from common.errors import UserError
from common.files import write_json
from common.progress import JobProgress
from common.workers import supervised_map
from htnet.micro.answers import LosoAnswers, Rule
from htnet.micro.clips import FlowMaps
from htnet.micro.region_windows import RegionWindows
from htnet.micro.roi_clips import RoiClips, roi_clips
from htnet.micro.roi_configuration import RoiModel
from htnet.micro.roi_fold_store import FoldStore, FoldTask
from htnet.micro.roi_folds import make_fold
from htnet.micro.roi_recipe import RoiRecipe
from htnet.micro.roi_training import RoiTrained, train_roi

RULES: tuple[Rule, ...] = ("honest", "published")
_LONGEST_FOLD_S = 24 * 3600.0


@dataclass(frozen=True)
class RoiRecogniser:
    """One ROI model with its recipe.

    Attributes
    ----------
    windows
        Region flow of the clips that will be asked for, and perhaps of others.
    model
        `temporal`, `graph` or `hybrid`.
    recipe
        Settings of network, augmentation and training.
    folder
        Where the answers of finished folds are kept, so that a run that was stopped goes on; None
        keeps nothing.
    jobs
        Folds trained at the same time, one processor thread each. The answers are the same for any
        number.
    device
        `cpu` or `cuda`.
    """

    windows: RegionWindows
    model: RoiModel
    recipe: RoiRecipe
    folder: Path | None = None
    jobs: int = 1
    device: str = "cpu"

    @property
    def name(self) -> str:
        """Name as printed in tables."""
        return f"{self.recipe.name} {self.model}"

    def leave_one_subject_out(
        self, clips: FlowMaps, *, seeds: tuple[int, ...]
    ) -> list[LosoAnswers]:
        """Hold each subject out once for each seed; both rules answer from the same trainings.

        Parameters
        ----------
        clips
            Which clips take part; their maps are not used.
        seeds
            Of weights, order, dropout, augmentation and the choice of validation subjects.

        Raises
        ------
        UserError
            When region windows are missing, there are too few subjects, or the folder holds
            answers of other settings or clips.
        """
        data = roi_clips(self.windows, clips, size=self.recipe.size)
        with tempfile.TemporaryDirectory() as temporary:
            store = FoldStore(Path(temporary))
            if self.folder is not None:
                store = FoldStore(self.folder / self.name.replace(" ", "-"))
            store.begin(self._settings(data))
            tasks = [
                FoldTask(seed, number) for seed in seeds for number in range(len(clips.subjects))
            ]
            waiting = [task for task in tasks if not store.path(task).exists()]
            with JobProgress(
                self.name, total=len(tasks), done=len(tasks) - len(waiting)
            ) as progress:
                for task, answers in self._trained(data, waiting, folder=Path(temporary)):
                    write_json(store.path(task), answers)
                    progress.advance(ok=True)
            store.write_importance(data, tasks)
            return [
                LosoAnswers(self.name, seed, rule, store.pooled(data, seed=seed, rule=rule))
                for seed in seeds
                for rule in RULES
            ]

    def _settings(self, data: RoiClips) -> dict[str, Any]:
        return {"model": self.model, **self.recipe.as_dict(), "clips": data.digest()}

    def _trained(
        self, data: RoiClips, tasks: list[FoldTask], *, folder: Path
    ) -> Iterator[tuple[FoldTask, dict[str, Any]]]:
        """Train the folds and yield the answers as they come."""
        if self.jobs == 1 or len(tasks) < 2:
            with one_thread():
                for task in tasks:
                    yield task, self.fold_answers(data, task)
            return
        stored = folder / "values.npy"  # shared by the workers instead of copied to each
        np.save(stored, data.values)
        light = replace(data, values=data.values[:0])
        # The windows stay here: a worker gets what it needs from the stored values.
        worker = replace(self, windows=replace(self.windows, values=self.windows.values[:0]))
        outcomes = supervised_map(
            _work,
            tasks,
            jobs=self.jobs,
            start=partial(_open, worker, light, stored),
            limit_s=_LONGEST_FOLD_S,
        )
        for outcome in outcomes:
            task = tasks[outcome.index]
            if outcome.error is not None:
                subject = _subject(data, task)
                raise UserError(f"{self.name}, subject {subject} held out: {outcome.error}.")
            yield task, outcome.value

    def fold_answers(self, data: RoiClips, task: FoldTask) -> dict[str, Any]:
        """Train one fold and return what is kept of it, as plain values."""
        seed = int(np.random.SeedSequence([task.seed, task.number]).generate_state(1)[0])
        fold = make_fold(
            data,
            held_out=_subject(data, task),
            validation_folds=self.recipe.training.validation_folds,
            seed=seed,
        )
        trained = train_roi(
            data, fold, model=self.model, recipe=self.recipe, seed=seed, device=self.device
        )
        epochs = chosen_epochs(trained, data.label[fold.held_out])
        held_out = data.batch(fold.held_out, device=self.device)
        with torch.inference_mode():
            importance = trained.network.region_importance(held_out)
        return {
            "subject": _subject(data, task),
            "epochs": len(trained.losses),
            "region_importance": importance,
            **{
                rule: {"epoch": epoch, "probabilities": trained.answers[epoch - 1].tolist()}
                for rule, epoch in epochs.items()
            },
        }


def chosen_epochs(trained: RoiTrained, label: NDArray[np.int64]) -> Mapping[Rule, int]:
    """Return the epoch, counted from 1, that each rule takes.

    The honest one is the validation subjects'. The published one has most of the held-out clips
    right, the first of equals; it is optimistic, for those clips chose it.
    """
    right = (trained.answers.argmax(axis=2) == label).sum(axis=1)
    return {"honest": trained.best_epoch, "published": int(np.argmax(right)) + 1}


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread, as workers do: sums in another order give other last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _subject(data: RoiClips, task: FoldTask) -> str:
    subjects: list[str] = list(dict.fromkeys(data.subject.tolist()))
    return subjects[task.number]


@dataclass(frozen=True)
class _State:
    recogniser: RoiRecogniser
    data: RoiClips


def _open(recogniser: RoiRecogniser, light: RoiClips, stored: Path) -> _State:
    """Begin a worker: the clips' maps are mapped from disk, not copied."""
    torch.set_num_threads(1)
    return _State(recogniser, replace(light, values=np.load(stored, mmap_mode="r")))


def _work(state: _State, task: FoldTask) -> dict[str, Any]:
    return state.recogniser.fold_answers(state.data, task)
