"""The ROI models as recognisers: every subject held out once, in parallel, resumable fold by fold.

FOLDER/roi-hybrid-roi-small/
    settings.json            recipe, model, and a digest of the clips
    seed_0/fold_007.json     answers to the eighth subject's clips by both rules
"""

from __future__ import annotations

import json
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
from htnet.micro.roi_recipe import RoiRecipe
from htnet.micro.roi_training import RoiTrained, make_fold, train_roi

RULES: tuple[Rule, ...] = ("honest", "published")
SETTINGS = "settings.json"
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
            store = _FoldStore(Path(temporary))
            if self.folder is not None:
                store = _FoldStore(self.folder / self.name.replace(" ", "-"))
            store.begin(self._settings(data))
            tasks = [_Task(seed, number) for seed in seeds for number in range(len(clips.subjects))]
            waiting = [task for task in tasks if not store.path(task).exists()]
            with JobProgress(
                self.name, total=len(tasks), done=len(tasks) - len(waiting)
            ) as progress:
                for task, answers in self._trained(data, waiting, folder=Path(temporary)):
                    write_json(store.path(task), answers)
                    progress.advance(ok=True)
            return [
                LosoAnswers(self.name, seed, rule, store.pooled(data, seed=seed, rule=rule))
                for seed in seeds
                for rule in RULES
            ]

    def _settings(self, data: RoiClips) -> dict[str, Any]:
        return {"model": self.model, **self.recipe.as_dict(), "clips": data.digest()}

    def _trained(
        self, data: RoiClips, tasks: list[_Task], *, folder: Path
    ) -> Iterator[tuple[_Task, dict[str, Any]]]:
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

    def fold_answers(self, data: RoiClips, task: _Task) -> dict[str, Any]:
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
        return {
            "subject": _subject(data, task),
            "epochs": len(trained.losses),
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


@dataclass(frozen=True)
class _Task:
    """One training: a seed and the number of the subject that is held out."""

    seed: int
    number: int


@dataclass(frozen=True)
class _FoldStore:
    """Answers of finished folds on disk."""

    folder: Path

    def path(self, task: _Task) -> Path:
        return self.folder / f"seed_{task.seed}" / f"fold_{task.number:03d}.json"

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Keep the settings, or compare them with those that are there."""
        path = self.folder / SETTINGS
        plain = json.loads(json.dumps(settings))
        if not path.exists():
            write_json(path, plain)
            return
        before = json.loads(path.read_text(encoding="utf-8"))
        for name, value in plain.items():
            if before.get(name) != value:
                raise UserError(
                    f"{self.folder} holds answers of other settings ({name}): choose another "
                    "folder, or delete that one to begin anew."
                )

    def pooled(self, data: RoiClips, *, seed: int, rule: Rule) -> NDArray[np.float64]:
        """Return the answers to all clips, `(n, k)`, each from its own fold."""
        pooled = np.full((len(data), len(data.classes)), np.nan)
        for number, subject in enumerate(dict.fromkeys(data.subject.tolist())):
            path = self.path(_Task(seed, number))
            kept = json.loads(path.read_text(encoding="utf-8"))
            pooled[data.subject == subject] = kept[rule]["probabilities"]
        return pooled


def _subject(data: RoiClips, task: _Task) -> str:
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


def _work(state: _State, task: _Task) -> dict[str, Any]:
    return state.recogniser.fold_answers(state.data, task)
