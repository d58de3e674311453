"""Who learns and who is answered: each subject held out, and pairs of subject groups inside."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from htnet.micro.clips import FlowMaps
from htnet.micro.stacked_batches import Member

_INNER = 1_000_000  # numbers of inner networks begin here, far from those of subjects


def subject_members(clips: FlowMaps, *, seed: int) -> list[Member]:
    """Return one network for each subject, who is held out."""
    fold = clips.fold
    return [
        Member(
            fold=number,
            seed=seed,
            train=np.flatnonzero(fold != number),
            answered=np.flatnonzero(fold == number),
        )
        for number in range(len(clips.subjects))
    ]


def subject_groups(clips: FlowMaps, *, groups: int) -> NDArray[np.int64]:
    """Deal subjects into groups with about the same classes, the largest subjects first.

    Returns
    -------
    numpy.ndarray
        `(subjects,)` group of each, in the order of `clips.subjects`.
    """
    classes, fold = len(clips.classes), clips.fold
    counts = np.zeros((len(clips.subjects), classes))
    np.add.at(counts, (fold, clips.label), 1.0)
    shares = counts / np.maximum(counts.sum(axis=0), 1.0)
    filled = np.zeros((groups, classes))
    group = np.zeros(len(counts), dtype=np.int64)
    for subject in np.argsort(-counts.sum(axis=1), kind="stable"):
        would_be = np.square(filled + shares[subject]).sum(axis=1) - np.square(filled).sum(axis=1)
        group[subject] = np.argmin(would_be)
        filled[group[subject]] += shares[subject]
    return group


@dataclass(frozen=True, eq=False)
class PairMembers:
    """Networks trained without two groups of subjects.

    The network without the groups a and b answers the clips of both: those of b as an inner answer
    for the subjects of a, and the other way round. Nothing in the choice for a subject has then
    seen the subject's group, at a tenth of the price of leaving two subjects out.

    Attributes
    ----------
    group
        `(n,)` group of each clip.
    pairs
        The two groups that each network has not seen.
    members
        The networks.
    """

    group: NDArray[np.int64]
    pairs: tuple[tuple[int, int], ...]
    members: tuple[Member, ...]

    @property
    def groups(self) -> tuple[int, ...]:
        """Every group once."""
        return tuple(sorted({group for pair in self.pairs for group in pair}))

    def inside(self, answers: list[NDArray[np.float32]], outer: int) -> NDArray[np.float32]:
        """Gather what is answered to the other groups without group `outer`.

        Parameters
        ----------
        answers
            Of each member, `(epochs, answered, k)`.
        outer
            The group for which something is to be chosen.

        Returns
        -------
        numpy.ndarray
            `(epochs, n, k)`; NaN for the clips of the group `outer` itself.
        """
        epochs, _, k = answers[0].shape
        found = np.full((epochs, len(self.group), k), np.nan, dtype=np.float32)
        for pair, member, answer in zip(self.pairs, self.members, answers, strict=True):
            if outer in pair:
                other = pair[0] if pair[1] == outer else pair[1]
                at = self.group[member.answered] == other
                found[:, member.answered[at]] = answer[:, at]
        return found


def pair_members(clips: FlowMaps, *, groups: int, seed: int) -> PairMembers:
    """Return the networks that choose for each group of subjects on the other groups."""
    group = subject_groups(clips, groups=groups)[clips.fold]
    pairs = tuple(combinations(range(groups), 2))
    members = tuple(
        Member(
            fold=_INNER + number,
            seed=seed,
            train=np.flatnonzero(~np.isin(group, pair)),
            answered=np.flatnonzero(np.isin(group, pair)),
        )
        for number, pair in enumerate(pairs)
    )
    return PairMembers(group=group, pairs=pairs, members=members)
