"""What a model says of each clip, by the fold in which the clip's subject was held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from htnet.micro.clips import FlowMaps

# honest: everything was chosen on subjects inside the training fold.
# published: for each held-out subject the epoch that scored best on that same subject; optimistic.
Rule = Literal["honest", "published"]


@dataclass(frozen=True)
class LosoAnswers:
    """Answers of one model, one seed and one rule to all clips.

    Attributes
    ----------
    model
        Name as printed in tables, e.g. `htnet-small whole`, `kernel ridge`.
    seed
        Seed of the training; 0 where nothing is random.
    rule
        `honest` or `published`.
    probabilities
        `(n, k)` float64, rows sum to one; the row of a clip comes from the model that was
        trained without the clip's subject.
    """

    model: str
    seed: int
    rule: Rule
    probabilities: NDArray[np.float64]

    @property
    def predicted(self) -> NDArray[np.int64]:
        """`(n,)` index of the most probable class; the first of equals."""
        first: NDArray[np.int64] = np.argmax(self.probabilities, axis=1)
        return first


class Recogniser(Protocol):
    """Anything that can answer every clip leave-one-subject-out."""

    @property
    def name(self) -> str:
        """Name as printed in tables."""
        ...

    def leave_one_subject_out(
        self, clips: FlowMaps, *, seeds: tuple[int, ...]
    ) -> list[LosoAnswers]:
        """Return the answers for each seed and each rule that the model has."""
        ...
