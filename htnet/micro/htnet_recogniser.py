"""HTNet leave-one-subject-out: all folds trained together, two rules from one training.

FOLDER/htnet-small-whole/<key>/0.000-0.003.npz
    answers after every epoch of a group of networks, first and last named by seed and fold; the
    key stands for clips, recipe and method, so that other settings never meet.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from common.class_scores import balanced_accuracy, confusion_counts, macro_f1
from common.errors import UserError
from common.files import atomic_write
from common.progress import JobProgress
from htnet.micro.answers import LosoAnswers
from htnet.micro.clips import FlowMaps
from htnet.micro.inputs import InputName
from htnet.micro.recipe import MicroRecipe, read_micro_recipe, with_micro_changes
from htnet.micro.stacked_batches import Member
from htnet.micro.stacked_clips import ClipTable
from htnet.micro.stacked_folds import PairMembers, pair_members, subject_members
from htnet.micro.stacked_training import stack_steps, train_stack
from htnet.region_fusion import build_network
from htnet.weights import save_weights

METHOD = 1  # raise it when the same recipe on the same clips gives other answers
WEIGHTS = "network.safetensors"
EpochAnswers = NDArray[np.float32]  # (epochs, clips, k)


@dataclass(frozen=True)
class HTNetRecogniser:
    """HTNet with a recipe.

    Attributes
    ----------
    recipe
        Settings of network, augmentation and training.
    folder
        Where the answers of finished groups are kept, so that a run that was stopped goes on;
        None keeps nothing.
    device
        `auto`, `cpu` or `cuda`.
    """

    recipe: MicroRecipe
    folder: Path | None = None
    device: str = "auto"

    @property
    def name(self) -> str:
        """Name as printed in tables."""
        return f"htnet-{self.recipe.name} {self.recipe.training.input}"

    def leave_one_subject_out(
        self, clips: FlowMaps, *, seeds: tuple[int, ...]
    ) -> list[LosoAnswers]:
        """Hold each subject out once for each seed; both rules answer from the same trainings.

        `honest` are the answers after the recipe's last epoch or, with `stop: inner`, after the
        epoch that was best for other subjects; the held-out subject chooses nothing. `published`
        are those after the epoch that has most of the held-out subject's own clips right, the
        first of equals: the way in which the published figures were made, and optimistic.

        Parameters
        ----------
        clips
            Maps of the recipe's image_size.
        seeds
            Of weights, order, augmentation and dropout.

        Raises
        ------
        UserError
            When the clips do not suit the recipe, or a GPU was asked for that is not there.
        """
        found = []
        members = [member for seed in seeds for member in subject_members(clips, seed=seed)]
        answers = self._trained(clips, members)
        for seed in seeds:
            every = _every_clip(clips, seed, members, answers)
            last = self.recipe.training.epochs - 1
            epochs = np.full(len(clips), last)
            if self.recipe.training.stop == "inner":
                epochs = self.inner_epochs(clips, seed=seed)
            honest = trailing_mean(every, self.recipe.training.average)
            rows = np.arange(len(clips))
            found.append(self._answers(seed, "honest", honest[epochs, rows]))
            best = published_epochs(every, label=clips.label, fold=clips.fold)
            found.append(self._answers(seed, "published", every[best, rows]))
        return found

    def inner_epochs(self, clips: FlowMaps, *, seed: int) -> NDArray[np.int64]:
        """Return, for each clip, the epoch that is best for subjects of the other groups.

        The networks that tell were trained without the clip's group and without the group that
        they answer. Best is the highest mean of UF1 and UAR of the pooled inner clips, the first
        of equals.
        """
        pairs = pair_members(clips, groups=self.recipe.training.inner_groups, seed=seed)
        answers = self._trained(clips, pairs.members)
        epochs = np.zeros(len(clips), dtype=np.int64)
        for group in pairs.groups:
            inside = trailing_mean(pairs.inside(answers, group), self.recipe.training.average)
            others = pairs.group != group
            scores = epoch_scores(inside[:, others], clips.label[others], k=len(clips.classes))
            epochs[~others] = int(np.argmax(scores))
        return epochs

    def inner_answers(
        self, clips: FlowMaps, *, seed: int
    ) -> tuple[PairMembers, NDArray[np.float32]]:
        """Return the last epoch's answers inside each group, for choices between models.

        Returns
        -------
        tuple
            The pairs, and `(groups, n, k)`: answers to all clips but the group's own (NaN) by
            networks that have seen neither the group nor the clip's own group.
        """
        pairs = pair_members(clips, groups=self.recipe.training.inner_groups, seed=seed)
        answers = self._trained(clips, pairs.members)
        average = self.recipe.training.average
        inside = [
            trailing_mean(pairs.inside(answers, group), average)[-1] for group in pairs.groups
        ]
        return pairs, np.stack(inside)

    def keep_weights(self, clips: FlowMaps, out: Path, *, seed: int = 0) -> Path:
        """Train on all subjects and keep the last epoch's weights, for `htnet train --pretrained`.

        Returns
        -------
        Path
            `network.safetensors` in the folder `out`, with the configuration inside.
        """
        everybody = Member(
            fold=len(clips.subjects),  # after the last held-out subject
            seed=seed,
            train=np.arange(len(clips)),
            answered=np.arange(0),
        )
        table = ClipTable(clips, self.recipe, device=self._device())
        steps = stack_steps([everybody], self.recipe.training)
        trained = train_stack(table, [everybody], self.recipe, steps=steps)
        network = build_network(table.config)
        network.load_state_dict(trained.weights.state(0, kept=trained.kept))
        notes = {
            "classes": list(clips.classes),
            "recipe": self.recipe.name,
            "epoch": self.recipe.training.epochs,
            "channels": "u, v, strain",
        }
        save_weights(network, out / WEIGHTS, notes=notes)
        return out / WEIGHTS

    def _trained(self, clips: FlowMaps, members: Sequence[Member]) -> list[EpochAnswers]:
        """Train the members group by group, or read what an earlier run has finished."""
        device = self._device()
        group = self.recipe.training.group
        steps = stack_steps(members, self.recipe.training)
        store = None
        if self.folder is not None:
            store = self.folder / self.name.replace(" ", "-") / self._key(clips, device)
        groups = [members[at : at + group] for at in range(0, len(members), group)]
        paths = [store / _file_name(some) if store else None for some in groups]
        missing = [path is None or not path.exists() for path in paths]
        table = ClipTable(clips, self.recipe, device=device) if any(missing) else None
        done = sum(len(some) for some, left in zip(groups, missing, strict=True) if not left)
        answers: list[EpochAnswers] = []
        with JobProgress(self.name, total=len(members), done=done) as progress:
            for some, path, left in zip(groups, paths, missing, strict=True):
                if table is None or (path is not None and not left):
                    assert path is not None
                    answers += _read(path, some)
                    continue
                found = train_stack(table, some, self.recipe, steps=steps).answers
                if path is not None:
                    _keep(path, found)
                answers += found
                for _ in some:
                    progress.advance(ok=True)
        return answers

    def _answers(self, seed: int, rule: str, probabilities: NDArray[np.float32]) -> LosoAnswers:
        values = probabilities.astype(np.float64)
        values /= values.sum(axis=1, keepdims=True)
        return LosoAnswers(self.name, seed, "honest" if rule == "honest" else "published", values)

    def _key(self, clips: FlowMaps, device: torch.device) -> str:
        """Return what stands for clips, recipe, method and arithmetic.

        How an epoch is chosen afterwards does not count: the trainings are the same.
        """
        recipe = self.recipe.as_dict()
        for after in ("stop", "average"):
            del recipe["training"][after]
        about = {
            "method": METHOD,
            "recipe": recipe,
            "precision": self.recipe.training.products(device.type),
            "device": device.type,
            "scaling": clips.scaling,
            "classes": clips.classes,
        }
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
        for values in (clips.maps, clips.centres, clips.label, clips.fold):
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()[:16]

    def _device(self) -> torch.device:
        if self.device not in ("auto", "cpu", "cuda"):
            raise UserError(f'The device is "{self.device}": choose auto, cpu or cuda.')
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UserError("A GPU was asked for, but there is none here: use --device cpu.")
        there = self.device != "cpu" and torch.cuda.is_available()
        return torch.device("cuda" if there else "cpu")


def htnet_recogniser(
    recipe: str | Path,
    *,
    inputs: InputName | None = None,
    folder: Path | None = None,
    device: str = "auto",
    changes: Sequence[str] = (),
) -> HTNetRecogniser:
    """Make a recogniser of a recipe by name or file.

    Parameters
    ----------
    recipe
        `small`, `paper`, or a YAML file.
    inputs
        `whole`, `mosaic` or `both`; the recipe's own when None.
    folder, device
        As in `HTNetRecogniser`.
    changes
        Settings to replace, each `section.key=value`.
    """
    read = with_micro_changes(read_micro_recipe(recipe), list(changes))
    if inputs is not None:
        read = replace(read, training=replace(read.training, input=inputs))
    return HTNetRecogniser(read, folder=folder, device=device)


def trailing_mean(answers: EpochAnswers, epochs: int) -> EpochAnswers:
    """Return, after each epoch, the mean answer of the last `epochs` epochs (of fewer at first)."""
    total = np.cumsum(answers, axis=0, dtype=np.float64)
    total[epochs:] = total[epochs:] - total[:-epochs]
    count = np.minimum(np.arange(1, len(answers) + 1), epochs)
    return (total / count[:, None, None]).astype(np.float32)


def published_epochs(
    answers: EpochAnswers, *, label: NDArray[np.int64], fold: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return, for each clip, the epoch with most of its own subject's clips right.

    The first of equals. Optimistic: the held-out clips choose the network that answers them.
    """
    right = answers.argmax(axis=2) == label
    epochs = np.zeros(len(label), dtype=np.int64)
    for subject in np.unique(fold):
        own = fold == subject
        epochs[own] = int(np.argmax(right[:, own].sum(axis=1)))
    return epochs


def epoch_scores(answers: EpochAnswers, label: NDArray[np.int64], *, k: int) -> NDArray[np.float64]:
    """Return the mean of UF1 and UAR after each epoch, the clips pooled."""
    counts = np.stack([confusion_counts(label, epoch.argmax(axis=1), k=k) for epoch in answers])
    scores: NDArray[np.float64] = (macro_f1(counts) + balanced_accuracy(counts)) / 2
    return scores


def _every_clip(
    clips: FlowMaps, seed: int, members: Sequence[Member], answers: Sequence[EpochAnswers]
) -> EpochAnswers:
    """Put the answers of one seed's networks together, `(epochs, n, k)`."""
    every = np.full((len(answers[0]), len(clips), len(clips.classes)), np.nan, dtype=np.float32)
    for member, found in zip(members, answers, strict=True):
        if member.seed == seed:
            every[:, member.answered] = found
    return every


def _file_name(members: Sequence[Member]) -> str:
    first, last = members[0], members[-1]
    return f"{first.seed}.{first.fold:03d}-{last.seed}.{last.fold:03d}.npz"


def _keep(path: Path, answers: Sequence[EpochAnswers]) -> None:
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, *answers)


def _read(path: Path, members: Sequence[Member]) -> list[EpochAnswers]:
    try:
        with np.load(path, allow_pickle=False) as kept:
            return [kept[f"arr_{at}"] for at in range(len(members))]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise UserError(
            f"{path} is damaged: delete it, and its networks are trained again."
        ) from error
