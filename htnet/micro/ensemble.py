"""Models that answer together, by the plain mean of their probabilities.

Weights are equal and were fixed before any answer to a held-out subject was seen: learned weights
would have to be learned inside each fold from inner answers, which no network gives for free.
Ridge and logistic regression are joined on three kinds of likeness, which err apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from htnet.micro.answers import LosoAnswers
from htnet.micro.baselines import held_out_logistic, honest, membership
from htnet.micro.clips import FlowMaps
from htnet.micro.closed_form import held_out_answers
from htnet.micro.decisions import balanced, training_shares
from htnet.micro.flow_histograms import flow_histograms
from htnet.micro.loso import ModelAnswers
from htnet.micro.map_kernels import levelled, mirrored, patch_rbf, smoothed, standardised

Values = NDArray[np.float64]
_BEFORE_HISTOGRAMS = 1.0  # px of smoothing
_PATCH_CELLS = 4
ENSEMBLE = "ensemble"
_NETWORK_NAMES = ("htnet", "roi")


@dataclass(frozen=True)
class PatchEnsemble:
    """Ridge and logistic regression on three kernels of patches and their mirror images.

    The kernels say how alike two clips are, patch by patch: in smoothed standardised maps; in
    smoothed maps whose zero and whose ratio of v to u were recovered (`map_kernels.levelled`); and
    in histograms of the direction of flow. The six models answer by the mean of their
    probabilities. The settings were fixed on half of the composite's subjects.

    Attributes
    ----------
    sigma
        Of the smoothing of maps, px; that before the histograms is 1 px.
    patch, step
        Side of a patch and distance of neighbours, as shares of the side of the map.
    cells
        Cells of the histograms along each side; their patches are 4 by 4 cells.
    penalty, strength
        Of the ridge, as in `KernelRidge`.
    cost
        Of the logistic regression, as in `Logistic`.
    """

    sigma: float = 1.5
    patch: float = 0.5
    step: float = 0.25
    cells: int = 7
    penalty: float = 1.0
    strength: float = 0.5
    cost: float = 3.0
    name: str = "patch ensemble"

    def leave_one_subject_out(
        self, clips: FlowMaps, *, seeds: tuple[int, ...]
    ) -> list[LosoAnswers]:
        """Answer each clip without its subject; `seeds` change nothing."""
        fold = clips.fold
        shares = training_shares(clips.label, fold, k=len(clips.classes))[fold]
        members = []
        for kernel in self.kernels(clips):
            values = held_out_answers(
                kernel + 1.0, membership(clips), fold=fold, penalty=self.penalty
            )
            members.append(balanced(values, shares, strength=self.strength))
            members.append(held_out_logistic(kernel, clips, cost=self.cost))
        return honest(self.name, np.mean(members, axis=0))

    def kernels(self, clips: FlowMaps) -> list[Values]:
        """Return the three kernels, `(n, n)` each."""
        side = clips.maps.shape[1]
        patch, step = max(2, round(self.patch * side)), max(1, round(self.step * side))
        plain, level = standardised(clips.maps), levelled(clips.maps)
        kernels = []
        for maps in (plain, level):
            blurred = smoothed(maps, sigma=self.sigma)
            kernels.append(patch_rbf(blurred, mirrored(blurred), patch=patch, step=step))
        motion = smoothed(level[..., :2], sigma=_BEFORE_HISTOGRAMS)
        histograms, flipped = (
            flow_histograms(moved, cells=self.cells) for moved in (motion, mirrored(motion))
        )
        kernels.append(patch_rbf(histograms, flipped, patch=_PATCH_CELLS, step=1))
        return kernels


def mean_answer(name: str, members: Sequence[Sequence[LosoAnswers]]) -> list[LosoAnswers]:
    """Return the plain mean of models, each being first the mean over its own seeds.

    Only honest answers may be joined: a mean over models one of which saw the held-out subject
    would be neither.

    Parameters
    ----------
    members
        The honest answers of each model, one for each of its seeds.

    Raises
    ------
    UserError
        When an answer is not honest, or there is none.
    """
    if not members or not all(members):
        raise UserError(f"The ensemble {name} has a member without answers: run it first.")
    for answers in members:
        for one in answers:
            if one.rule != "honest":
                raise UserError(
                    f"The ensemble {name} was given the {one.rule} answers of {one.model}: only "
                    "honest answers may be joined."
                )
    means = [np.mean([one.probabilities for one in answers], axis=0) for answers in members]
    return honest(name, np.mean(means, axis=0))


def joined(models: Sequence[ModelAnswers]) -> list[ModelAnswers]:
    """Return the ensemble of the patch ensemble and of every network among the models.

    The patch ensemble has one half of the weight and the networks share the other; nothing is
    returned where either is missing.
    """
    honest_only = [model for model in models if model.rule == "honest"]
    patches = [model.by_seed for model in honest_only if model.model == PatchEnsemble().name]
    networks = [model.by_seed for model in honest_only if model.model.startswith(_NETWORK_NAMES)]
    if not patches or not networks:
        return []
    together = mean_answer("networks", networks)
    answers = mean_answer(ENSEMBLE, [*patches, together])
    return [ModelAnswers(ENSEMBLE, "honest", tuple(answers))]
