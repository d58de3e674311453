"""Models that can be kept and asked about new clips: ROI networks, and kernel ridge regression."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.errors import UserError
from common.progress import JobProgress
from htnet.micro.baselines import KernelRidge, membership
from htnet.micro.clips import FlowMaps
from htnet.micro.decisions import balanced
from htnet.micro.map_kernels import rbf, standardised
from htnet.micro.roi_clips import RoiClips, shrunk
from htnet.micro.roi_configuration import RoiModel, roi_config_from
from htnet.micro.roi_folds import make_fold
from htnet.micro.roi_models import RoiNetwork, build_roi
from htnet.micro.roi_recipe import RoiRecipe
from htnet.micro.roi_training import train_roi

Kind = Literal["roi", "kernel ridge"]


@dataclass(frozen=True)
class RoiGrader:
    """ROI networks of one configuration; their mean probability is the answer."""

    networks: tuple[RoiNetwork, ...]
    kind: Kind = "roi"

    @classmethod
    def fit(
        cls, clips: RoiClips, *, model: RoiModel, recipe: RoiRecipe, seed: int = 0
    ) -> RoiGrader:
        """Train one network for each part of the subjects that can validate, so that all teach.

        Parameters
        ----------
        clips
            Region maps at the recipe's size.
        model, recipe, seed
            As for `train_roi`.
        """
        count = min(recipe.training.validation_folds, len(set(clips.subject.tolist())))
        networks = []
        with JobProgress(f"networks of {model}", total=count) as progress:
            for part in range(count):
                own = int(np.random.SeedSequence([seed, part]).generate_state(1)[0])
                fold = make_fold(clips, held_out=None, validation_folds=count, seed=own)
                trained = train_roi(clips, fold, model=model, recipe=recipe, seed=own)
                networks.append(trained.network)
                progress.advance(ok=True)
        return cls(tuple(networks))

    @classmethod
    def read(
        cls, settings: Mapping[str, Any], state: Mapping[str, Tensor], *, source: str
    ) -> RoiGrader:
        """Build what `content` gave."""
        config = roi_config_from(settings["config"], source=source)
        networks = []
        for number in range(settings["networks"]):
            start = f"{number}."
            own = {
                name.removeprefix(start): v for name, v in state.items() if name.startswith(start)
            }
            network = build_roi(config)
            try:
                network.load_state_dict(own)
            except RuntimeError as error:
                raise UserError(
                    f"{source}: the weights are those of another configuration than its card: "
                    "copy both files from one training."
                ) from error
            networks.append(network.eval())
        return cls(tuple(networks))

    def answers(self, maps: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return `(n, k)` of `(n, windows, regions, 3, S, S)` of the model's size or larger."""
        batch = self._batch(maps)
        with torch.inference_mode():
            logits = torch.stack([network(batch) for network in self.networks])
        found: NDArray[np.float64] = logits.double().softmax(dim=-1).mean(dim=0).numpy()
        return found

    def importance(self, maps: NDArray[np.floating]) -> dict[str, float]:
        """Return the learned weight of each region, or the attention it gets in these clips."""
        batch = self._batch(maps)
        with torch.inference_mode():
            shares = [network.region_importance(batch) for network in self.networks]
        return {name: float(np.mean([share[name] for share in shares])) for name in shares[0]}

    def content(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return the configuration and all networks' weights."""
        settings = {
            "config": dataclasses.asdict(self.networks[0].config),
            "networks": len(self.networks),
        }
        state = {
            f"{number}.{name}": value.detach().contiguous()
            for number, network in enumerate(self.networks)
            for name, value in network.state_dict().items()
        }
        return settings, state

    def _batch(self, maps: NDArray[np.floating]) -> Tensor:
        size = self.networks[0].config.size
        small = shrunk(maps, np.arange(len(maps)), size=size)
        return torch.from_numpy(np.asarray(small, dtype=np.float32))


@dataclass(frozen=True)
class KernelRidgeGrader:
    """Kernel ridge regression with its training maps.

    Attributes
    ----------
    maps
        `(n, 28, 28, 3)` float32 of the training clips, standardised; flow of persons' faces.
    coefficients
        `(n, k)`.
    shares
        `(k,)` of the classes among the training clips.
    settings
        Width, penalty and strength.
    """

    maps: NDArray[np.float32]
    coefficients: NDArray[np.float64]
    shares: NDArray[np.float64]
    settings: KernelRidge
    kind: Kind = "kernel ridge"

    @classmethod
    def fit(cls, clips: FlowMaps, *, settings: KernelRidge | None = None) -> KernelRidgeGrader:
        """Solve for the coefficients on all clips, with the settings of the baseline."""
        settings = settings or KernelRidge()
        maps = standardised(clips.maps).astype(np.float32)
        targets = membership(clips)
        kernel = _kernel(maps, maps, settings)
        kernel[np.diag_indices(len(kernel))] += settings.penalty
        counts = np.maximum(targets.sum(axis=0), 1.0)
        solved = np.asarray(np.linalg.solve(kernel, targets), dtype=np.float64)
        return cls(maps, solved, counts / counts.sum(), settings)

    @classmethod
    def read(
        cls, settings: Mapping[str, Any], state: Mapping[str, Tensor], *, source: str
    ) -> KernelRidgeGrader:
        """Build what `content` gave."""
        try:
            maps, coefficients, shares = (
                state[name].numpy() for name in ("maps", "coefficients", "shares")
            )
        except KeyError as error:
            raise UserError(f"{source} lacks {error}: it is damaged.") from error
        return cls(maps, coefficients, shares, KernelRidge(**settings))

    def answers(self, maps: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return `(n, k)` of `(n, 28, 28, 3)`."""
        new = standardised(np.asarray(maps, dtype=np.float32))
        values = _kernel(self.maps, new, self.settings).T @ self.coefficients
        return balanced(values, self.shares, strength=self.settings.strength)

    def importance(self, maps: NDArray[np.floating]) -> dict[str, float]:
        """Return nothing: it has no regions."""
        return {}

    def content(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return settings, training maps and coefficients."""
        arrays = {"maps": self.maps, "coefficients": self.coefficients, "shares": self.shares}
        state = {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in arrays.items()}
        return dataclasses.asdict(self.settings), state


def _kernel(
    maps: NDArray[np.floating], other: NDArray[np.floating], settings: KernelRidge
) -> NDArray[np.float64]:
    """Return the baseline's kernel `(n, m)`; the one added is its intercept."""
    pair = np.asarray(maps, dtype=np.float64), np.asarray(other, dtype=np.float64)
    return rbf(*pair, width=settings.width) + 1.0
