"""Models that can be kept and asked about new clips: HTNet, ROI networks, kernel ridge."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from common.errors import UserError
from common.progress import JobProgress
from common.settings import settings_from
from htnet.micro.clips.maps import FlowMaps
from htnet.micro.clips.results import ClipMaps
from htnet.micro.loso.folds import deal_folds
from htnet.micro.models.baselines import KernelRidge, membership
from htnet.micro.models.configurations import RoiConfig
from htnet.micro.models.htnet import FlowModel
from htnet.micro.models.inputs import NetworkClips, mirrored, mosaic, shrunk
from htnet.micro.models.kernels import balanced, rbf, standardised
from htnet.micro.models.recipes import FlowRecipe, recipe_from
from htnet.micro.models.roi import RoiNetwork, build_roi
from htnet.micro.models.roi_training import RoiModel
from htnet.micro.models.training import Standardised, each_epoch

Content = tuple[dict[str, Any], dict[str, Tensor]]


@dataclass(frozen=True)
class HTNetGrader:
    """HTNet, trained on all clips by its recipe.

    Attributes
    ----------
    model
        With its recipe.
    network
        Behind the standardisation of its training clips.
    scaling
        Of the maps.
    classes
        Number of classes.
    """

    model: FlowModel
    network: Standardised
    scaling: str
    classes: int
    kind: str = "htnet"

    @classmethod
    def fit(cls, clips: FlowMaps, *, model: FlowModel, seed: int = 0) -> HTNetGrader:
        """Train on all subjects for all epochs of the recipe."""
        data = model.clips(clips)
        fold = model.fold(data, None, seed=seed)
        number = len(clips.subjects)  # of the fold: after the last held-out subject
        with (
            JobProgress(f"epochs of {model.name}", total=model.epochs) as progress,
            each_epoch(progress, at_most=model.epochs) as told,
        ):
            trained = model.train(data, fold, seed=seed, number=number, told=told)
        assert isinstance(trained.network, Standardised)
        return cls(model, trained.network, clips.scaling, len(clips.classes))

    @classmethod
    def read(
        cls, settings: Mapping[str, Any], state: Mapping[str, Tensor], *, source: str
    ) -> HTNetGrader:
        """Build what `content` gave."""
        recipe = recipe_from(
            FlowRecipe, settings["recipe"], source=source, name=settings["recipe_name"]
        )
        model = FlowModel(recipe)
        bare = model.build(num_classes=settings["classes"])
        network = Standardised(bare, torch.zeros(3), torch.ones(3))
        _load(network, state, source)
        return cls(model, network.float().eval(), settings["scaling"], settings["classes"])

    def seen(self, clip: ClipMaps) -> NDArray[np.floating]:
        """Return the whole map or the mosaic, `(1, 3, S, S)`."""
        assert clip.small is not None and clip.centres is not None
        maps = clip.small[None]
        if self.model.recipe.training.input == "mosaic":
            maps = mosaic(maps, clip.centres[None])
        return np.moveaxis(maps, -1, 1)

    def answers(self, maps: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return `(n, k)` of `(n, 3, S, S)`."""
        shown = torch.from_numpy(np.array(maps, dtype=np.float32))
        ways = [shown]
        if self.model.recipe.augmentation.mirror:
            ways.append(mirrored(shown, scaling=self.scaling))
        with torch.inference_mode():
            logits = torch.stack([self.network(way) for way in ways])
        return np.asarray(logits.double().softmax(dim=-1).mean(dim=0).numpy())

    def importance(self, maps: NDArray[np.floating]) -> dict[str, float]:
        """Return nothing: it has no regions."""
        return {}

    def content(self) -> Content:
        """Return the recipe and the weights."""
        recipe = self.model.recipe
        settings = {
            "recipe": recipe.as_dict(),
            "recipe_name": recipe.name,
            "scaling": self.scaling,
            "classes": self.classes,
        }
        return settings, _state_of(self.network)


@dataclass(frozen=True)
class RoiGrader:
    """ROI networks of one configuration; their mean probability is the answer."""

    networks: tuple[RoiNetwork, ...]
    kind: str = "roi"

    @classmethod
    def fit(cls, clips: NetworkClips, *, model: RoiModel, seed: int = 0) -> RoiGrader:
        """Train one network for each part of the subjects that can validate, so that all teach.

        The subjects are dealt: each validates exactly one network, and teaches the others.

        Parameters
        ----------
        clips
            Region maps at the recipe's size.
        model
            With its recipe.
        seed
            Of the dealing and the trainings.
        """
        parts = model.recipe.training.validation_folds
        folds = deal_folds(clips.subject, clips.label, parts=parts, seed=seed)
        networks = []
        title, total = f"epochs of {len(folds)} {model.kind} networks", len(folds) * model.epochs
        with JobProgress(title, total=total) as progress:
            for part, fold in enumerate(folds):
                own = int(np.random.SeedSequence([seed, part]).generate_state(1)[0])
                with each_epoch(progress, at_most=model.epochs) as told:
                    network = model.train(clips, fold, seed=own, told=told).network
                assert isinstance(network, RoiNetwork)
                networks.append(network)
        return cls(tuple(networks))

    @classmethod
    def read(
        cls, settings: Mapping[str, Any], state: Mapping[str, Tensor], *, source: str
    ) -> RoiGrader:
        """Build what `content` gave."""
        config = settings_from(RoiConfig, settings["config"], source=source, section="config")
        networks = []
        for number in range(settings["networks"]):
            start = f"{number}."
            own = {
                name.removeprefix(start): v for name, v in state.items() if name.startswith(start)
            }
            network = build_roi(config)
            _load(network, own, source)
            networks.append(network.eval())
        return cls(tuple(networks))

    def seen(self, clip: ClipMaps) -> NDArray[np.floating]:
        """Return the region windows."""
        assert clip.regions is not None
        return clip.regions[None]

    def answers(self, maps: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return `(n, k)` of `(n, windows, regions, 3, S, S)` of the model's size or larger."""
        batch = self._batch(maps)
        with torch.inference_mode():
            logits = torch.stack([network(batch) for network in self.networks])
        return np.asarray(logits.double().softmax(dim=-1).mean(dim=0).numpy())

    def importance(self, maps: NDArray[np.floating]) -> dict[str, float]:
        """Return the learned weight of each region, or the attention it gets in these clips."""
        batch = self._batch(maps)
        with torch.inference_mode():
            shares = [network.region_importance(batch) for network in self.networks]
        return {name: float(np.mean([share[name] for share in shares])) for name in shares[0]}

    def content(self) -> Content:
        """Return the configuration and all networks' weights."""
        settings = {
            "config": self.networks[0].config.model_dump(mode="json"),
            "networks": len(self.networks),
        }
        state = {
            f"{number}.{name}": value
            for number, network in enumerate(self.networks)
            for name, value in _state_of(network).items()
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
    kind: str = "kernel ridge"

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

    def seen(self, clip: ClipMaps) -> NDArray[np.floating]:
        """Return the map of the whole face."""
        assert clip.small is not None
        return clip.small[None]

    def answers(self, maps: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return `(n, k)` of `(n, 28, 28, 3)`."""
        new = standardised(np.asarray(maps, dtype=np.float32))
        values = _kernel(self.maps, new, self.settings).T @ self.coefficients
        return balanced(values, self.shares, strength=self.settings.strength)

    def importance(self, maps: NDArray[np.floating]) -> dict[str, float]:
        """Return nothing: it has no regions."""
        return {}

    def content(self) -> Content:
        """Return settings, training maps and coefficients."""
        arrays = {"maps": self.maps, "coefficients": self.coefficients, "shares": self.shares}
        state = {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in arrays.items()}
        return dataclasses.asdict(self.settings), state


def _load(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    try:
        network.load_state_dict(dict(state))
    except RuntimeError as error:
        raise UserError(
            f"{source}: the weights are those of another configuration than its card: copy both "
            "files from one training."
        ) from error


def _state_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().contiguous() for name, value in network.state_dict().items()}


def _kernel(
    maps: NDArray[np.floating], other: NDArray[np.floating], settings: KernelRidge
) -> NDArray[np.float64]:
    """Return the baseline's kernel `(n, m)`; the one added is its intercept."""
    pair = np.asarray(maps, dtype=np.float64), np.asarray(other, dtype=np.float64)
    return rbf(*pair, width=settings.width) + 1.0
