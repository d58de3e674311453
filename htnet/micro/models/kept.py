"""Models that are kept for new clips: HTNet, ROI networks, kernel ridge; numbers and no code.

A folder holds `grader.json` (what it is, which classes it knows, and how clips must be turned into
maps) and `weights.safetensors` (networks, or the training maps and coefficients of a kernel ridge
regression).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from common.errors import UserError
from common.files import atomic_write, write_json
from common.progress import JobProgress
from common.settings import settings_from
from common.words import counted
from htnet.micro.clips.maps import FlowMaps
from htnet.micro.clips.reader import ClipMaps, FlowSettings
from htnet.micro.loso.folds import deal_folds
from htnet.micro.models.baselines import KernelRidge, membership, positive, rbf, standardised
from htnet.micro.models.htnet import FlowModel, Standardised
from htnet.micro.models.inputs import NetworkClips, mosaic, shrunk
from htnet.micro.models.recipes import FlowRecipe
from htnet.micro.models.roi import RoiConfig, RoiNetwork, build_roi
from htnet.micro.models.training import RoiModel
from htnet.recipe import recipe_from

CARD, WEIGHTS = "grader.json", "weights.safetensors"
Content = tuple[dict[str, Any], dict[str, Tensor]]
"""Settings and numbers of a grader: what `content` gives and `read` builds it from."""


@dataclass(frozen=True)
class HTNetGrader:
    """HTNet behind the standardisation of its training clips, trained on all by its recipe."""

    model: FlowModel
    network: Standardised
    classes: int
    kind: ClassVar[str] = "htnet"

    @classmethod
    def fit(
        cls, clips: FlowMaps, *, model: FlowModel, seed: int = 0, device: str = "cpu"
    ) -> HTNetGrader:
        """Train on all subjects for all epochs of the recipe."""
        data = model.clips(clips)
        fold = model.fold(data, None, seed=seed)
        number = len(clips.subjects)  # of the fold: after the last held-out subject
        title, epochs = f"epochs of {model.name}", model.recipe.training.epochs
        with JobProgress(title, total=epochs) as progress:
            trained = model.train(
                data, fold, seed=seed, number=number, device=device, progress=progress
            )
        assert isinstance(trained.network, Standardised)
        return cls(model, trained.network, len(clips.classes))

    @classmethod
    def read(cls, settings: Mapping[str, Any], state: Mapping[str, Tensor], *, source: str) -> Self:
        """Build it from its content."""
        recipe = recipe_from(
            FlowRecipe, settings["recipe"], source=source, name=settings["recipe_name"]
        )
        model = FlowModel(recipe)
        bare = model.build(num_classes=settings["classes"])
        network = Standardised(bare, torch.zeros(3), torch.ones(3))
        _load(network, state, source)
        return cls(model, network.float().eval(), settings["classes"])

    def content(self) -> Content:
        """Return the recipe and the weights."""
        recipe = self.model.recipe
        named = {"recipe": recipe.as_dict(), "recipe_name": recipe.name}
        settings = {**named, "classes": self.classes}
        return settings, _state_of(self.network)

    def seen(self, clip: ClipMaps) -> NDArray[np.floating]:
        """Return the whole map or the mosaic, `(1, 3, S, S)`."""
        assert clip.small is not None and clip.centres is not None
        maps = clip.small[None]
        if self.model.recipe.training.input == "mosaic":
            maps = mosaic(maps, clip.centres[None])
        return np.moveaxis(maps, -1, 1)

    def answers(self, maps: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return `(n, k)` of `(n, 3, S, S)`."""
        with torch.inference_mode():
            return _mean_answer([self.network(torch.from_numpy(np.array(maps, dtype=np.float32)))])


@dataclass(frozen=True)
class RoiGrader:
    """ROI networks of one configuration; their mean probability is the answer."""

    networks: tuple[RoiNetwork, ...]
    kind: ClassVar[str] = "roi"

    @classmethod
    def fit(cls, clips: NetworkClips, *, model: RoiModel, seed: int = 0) -> RoiGrader:
        """Train one network for each part of the subjects that can validate, so that all teach.

        The subjects are dealt: each validates exactly one network, and teaches the others.
        """
        parts = model.recipe.training.validation_folds
        folds = deal_folds(clips.subject, clips.label, parts=parts, seed=seed)
        networks = []
        title = f"epochs of {counted(len(folds), f'{model.kind} network')}"
        with JobProgress(title, total=len(folds) * model.recipe.training.epochs) as progress:
            for part, fold in enumerate(folds):
                own = int(np.random.SeedSequence([seed, part]).generate_state(1)[0])
                network = model.train(clips, fold, seed=own, progress=progress).network
                assert isinstance(network, RoiNetwork)
                networks.append(network)
        return cls(tuple(networks))

    @classmethod
    def read(cls, settings: Mapping[str, Any], state: Mapping[str, Tensor], *, source: str) -> Self:
        """Build it from its content."""
        config = settings_from(RoiConfig, settings["config"], source=source, section="config")
        networks = tuple(build_roi(config).eval() for _ in range(settings["networks"]))
        _load(nn.ModuleList(networks), state, source)
        return cls(networks)

    def content(self) -> Content:
        """Return the configuration and all networks' weights."""
        config = self.networks[0].config.model_dump(mode="json")
        settings = {"config": config, "networks": len(self.networks)}
        return settings, _state_of(nn.ModuleList(self.networks))  # names begin with 0., 1., ...

    def seen(self, clip: ClipMaps) -> NDArray[np.floating]:
        """Return the region windows."""
        assert clip.regions is not None
        return clip.regions[None]

    def answers(self, maps: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return `(n, k)` of `(n, windows, regions, 3, S, S)` of the model's size or larger."""
        batch = self._batch(maps)
        with torch.inference_mode():
            return _mean_answer([network(batch) for network in self.networks])

    def importance(self, maps: NDArray[np.floating]) -> dict[str, float]:
        """Return the learned weight of each region, or the attention it gets in these clips."""
        batch = self._batch(maps)
        with torch.inference_mode():
            shares = [network.region_importance(batch) for network in self.networks]
        return {name: float(np.mean([share[name] for share in shares])) for name in shares[0]}

    def _batch(self, maps: NDArray[np.floating]) -> Tensor:
        small = shrunk(maps, np.arange(len(maps)), size=self.networks[0].config.size)
        return torch.from_numpy(np.asarray(small, dtype=np.float32))


@dataclass(frozen=True)
class KernelRidgeGrader:
    """Kernel ridge regression with its training maps, which are flow of persons' faces.

    The maps are `(n, 28, 28, 3)`, standardised; the coefficients `(n, k)`.
    """

    maps: NDArray[np.float32]
    coefficients: NDArray[np.float64]
    settings: KernelRidge
    kind: ClassVar[str] = "kernel ridge"

    @classmethod
    def fit(cls, clips: FlowMaps) -> KernelRidgeGrader:
        """Solve for the coefficients on all clips, with the settings of the baseline."""
        settings = KernelRidge()
        maps = standardised(clips.maps).astype(np.float32)
        targets = membership(clips)
        kernel = _kernel(maps, maps, settings)
        kernel[np.diag_indices(len(kernel))] += settings.penalty
        return cls(maps, np.linalg.solve(kernel, targets).astype(np.float64), settings)

    @classmethod
    def read(cls, settings: Mapping[str, Any], state: Mapping[str, Tensor], *, source: str) -> Self:
        """Build it from its content."""
        arrays = {name: state[name].numpy() for name in ("maps", "coefficients")}
        known = {name: settings[name] for name in ("width", "penalty")}
        return cls(**arrays, settings=KernelRidge(**known))

    def content(self) -> Content:
        """Return settings, training maps and coefficients."""
        arrays = {"maps": self.maps, "coefficients": self.coefficients}
        state = {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in arrays.items()}
        return {"width": self.settings.width, "penalty": self.settings.penalty}, state

    def seen(self, clip: ClipMaps) -> NDArray[np.floating]:
        """Return the map of the whole face."""
        assert clip.small is not None
        return clip.small[None]

    def answers(self, maps: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return `(n, k)` of `(n, 28, 28, 3)`."""
        new = standardised(np.asarray(maps, dtype=np.float32))
        return positive(_kernel(self.maps, new, self.settings).T @ self.coefficients)


ClipGrader = HTNetGrader | RoiGrader | KernelRidgeGrader
_KINDS: dict[str, type[ClipGrader]] = {
    one.kind: one for one in (HTNetGrader, RoiGrader, KernelRidgeGrader)
}


@dataclass(frozen=True)
class KeptGrader:
    """A grader with its classes, in the order of the probabilities.

    `needs` says how clips must be turned into maps: as those that it was trained on; `notes` where
    it comes from: clips, subjects, recipe, seed.
    """

    grader: ClipGrader
    classes: tuple[str, ...]
    needs: FlowSettings
    notes: Mapping[str, Any]


def save_grader(kept: KeptGrader, folder: Path) -> None:
    """Write a grader's folder: text and numbers, no code."""
    settings, state = kept.grader.content()
    with atomic_write(folder / WEIGHTS) as temporary:
        save_file(state, temporary)
    write_json(
        folder / CARD,
        {
            "kind": kept.grader.kind,
            "classes": list(kept.classes),
            "needs": kept.needs.model_dump(mode="json"),
            "settings": settings,
            "notes": dict(kept.notes),
        },
    )


def load_grader(folder: Path) -> KeptGrader:
    """Read a grader's folder; UserError when a file is damaged or of another grader."""
    path = folder / CARD
    if not path.is_file():
        raise UserError(f"{folder} holds no {CARD}: give a folder that micro fit wrote.")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        needs = settings_from(FlowSettings, card["needs"], source=str(path), section="needs")
        if card["kind"] not in _KINDS:
            raise UserError(f'{path}: there is no grader of the kind "{card["kind"]}".')
        grader = _KINDS[card["kind"]].read(card["settings"], state, source=str(folder))
        return KeptGrader(grader, tuple(card["classes"]), needs, card["notes"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(
            f"{folder} cannot be read as a kept grader ({error}): run micro fit again."
        ) from error


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


def _mean_answer(logits: list[Tensor]) -> NDArray[np.float64]:
    """Return the mean probability `(n, k)` of several answers to the same clips."""
    return np.asarray(torch.stack(logits).double().softmax(dim=-1).mean(dim=0).numpy())


def _kernel(
    maps: NDArray[np.floating], other: NDArray[np.floating], settings: KernelRidge
) -> NDArray[np.float64]:
    """Return the baseline's kernel `(n, m)`; the one added is its intercept."""
    pair = np.asarray(maps, dtype=np.float64), np.asarray(other, dtype=np.float64)
    return rbf(*pair, width=settings.width) + 1.0
