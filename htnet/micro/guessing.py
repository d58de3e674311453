"""Guessing, to measure what a rule is worth: a network that learns nothing, by both rules.

At every epoch each clip gets a class drawn by the classes' shares among the training subjects.
The `honest` rule can only take the last epoch, and is at chance. The `published` rule keeps, for
each held-out subject, the epoch that scored best on that subject, and looks like skill: the
difference is the leak and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from htnet.micro.answers import LosoAnswers
from htnet.micro.baselines import folds_of
from htnet.micro.clips import FlowMaps
from htnet.micro.decisions import training_shares


@dataclass(frozen=True)
class Guessing:
    """Random answers at each of `epochs`, honest and published."""

    epochs: int = 80
    name: str = "guessing"

    def leave_one_subject_out(
        self, clips: FlowMaps, *, seeds: tuple[int, ...]
    ) -> list[LosoAnswers]:
        """Return random answers by both rules for each seed."""
        k = len(clips.classes)
        shares = training_shares(clips.label, clips.fold, k=k)
        answers = []
        for seed in seeds:
            rng = np.random.default_rng(seed)
            last, best = np.empty(len(clips), dtype=int), np.empty(len(clips), dtype=int)
            for number, (held_out, _) in enumerate(folds_of(clips)):
                guesses = rng.choice(k, size=(self.epochs, len(held_out)), p=shares[number])
                right = (guesses == clips.label[held_out]).sum(axis=1)
                last[held_out], best[held_out] = guesses[-1], guesses[np.argmax(right)]
            answers.append(LosoAnswers(self.name, seed, "honest", np.eye(k)[last]))
            answers.append(LosoAnswers(self.name, seed, "published", np.eye(k)[best]))
        return answers
