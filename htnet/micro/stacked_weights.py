"""The weights of many networks in one buffer, their gradients in another, and one optimiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from htnet.configuration import HTNetConfig

State = Mapping[str, Tensor]
_QKV, _CONV, _FUSION = "to_qkv.weight", "conv.weight", "fusion."
_PARTS = {"face": ("",), "regions": ("mosaic.", "whole.")}


class StackedWeights:
    """Weights of `folds` networks.

    Parameters
    ----------
    config
        Of every network.
    states
        State dictionary of each fold, as `build_network(config)` has them.
    products
        Precision of the products and of everything between them. Below float32, the optimiser
        changes a float32 `master` copy.
    device
        Where to keep the weights.

    Attributes
    ----------
    master
        `(size,)` the one parameter that an optimiser sees: each weight `(rows, ...)` after the
        other. Rows are the folds; for the regions input, the folds' mosaic networks and then
        their whole-map networks. `collect` fills its `grad`.
    value, gradient
        Views by the names of `HTNet`, for the products. Of `to_qkv` the values alone; of a
        convolution `(rows, out, 9 in)`.
    """

    def __init__(
        self,
        config: HTNetConfig,
        states: Sequence[State],
        *,
        products: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.folds, self.products = config, len(states), products
        self._untouched = [
            {name: value[: -(len(value) // 3)] for name, value in state.items() if _QKV in name}
            for state in states
        ]
        stacks = _stacks(states, parts=_PARTS[config.input])
        self._shapes = {name: stack.shape for name, stack in stacks.items()}
        flat = torch.cat([stack.reshape(-1) for stack in stacks.values()])
        precision = torch.float64 if products == torch.float64 else torch.float32
        self.master = flat.to(device, precision).requires_grad_()
        self.master.grad = torch.zeros_like(self.master)
        self._master = self.master.detach()
        same = products == precision
        self._working = self._master if same else self._master.to(products)
        self._gradient = self.master.grad if same else torch.zeros_like(self._working)
        self.value = self._views(self._working)
        for view in self.value.values():
            view.requires_grad_()  # so that autograd passes through the layers
        self.gradient = self._views(self._gradient)

    def pair(self, name: str) -> tuple[Tensor, Tensor]:
        """Return a weight and the place of its gradient."""
        return self.value[name], self.gradient[name]

    @torch.no_grad()
    def collect(self, *, clip: float = 0.0) -> None:
        """Hand the gradients to `master.grad`; above 0, `clip` limits each fold's norm."""
        gradient = self.master.grad
        assert gradient is not None
        if gradient is not self._gradient:
            gradient.copy_(self._gradient)
        if not clip:
            return
        pieces = self._views(gradient).values()
        squares = torch.zeros(self.folds, dtype=gradient.dtype, device=gradient.device)
        for piece in pieces:  # one row a fold, or its mosaic's and its whole map's
            squares += piece.flatten(1).square().sum(1).view(-1, self.folds).sum(0)
        # as torch.nn.utils.clip_grad_norm_ does for one network
        factor = (clip / (squares.sqrt() + 1e-6)).clamp(max=1.0)
        for piece in pieces:
            rows = factor.repeat(len(piece) // self.folds)
            piece *= rows.view(-1, *[1] * (piece.ndim - 1))

    @torch.no_grad()
    def refresh(self) -> None:
        """Bring the weights of the products up to date after the optimiser's step."""
        if self._working is not self._master:
            self._working.copy_(self._master)

    def state(self, fold: int, *, kept: float = 1.0) -> dict[str, Tensor]:
        """Return one fold's weights as a state dictionary of `build_network(config)`.

        Parameters
        ----------
        fold
            Place in the stack.
        kept
            What weight decay has left of queries and keys, which no gradient reaches.
        """
        views, found = self._views(self._master), {}
        for number, part in enumerate(_PARTS[self.config.input]):
            for name, stack in views.items():
                if name.startswith(_FUSION):
                    found[name] = stack[fold].cpu().clone()
                    continue
                value = stack[number * self.folds + fold].cpu().clone()
                if name.endswith(_QKV):
                    queries_and_keys = self._untouched[fold][part + name].to(value)
                    value = torch.cat([kept * queries_and_keys, value])
                if name.endswith(_CONV):
                    value = value.unflatten(1, (3, 3, -1)).permute(0, 3, 1, 2).contiguous()
                found[part + name] = value
        return found

    def _views(self, buffer: Tensor) -> dict[str, Tensor]:
        pieces = buffer.split([shape.numel() for shape in self._shapes.values()])
        return {
            name: piece.view(shape)
            for (name, shape), piece in zip(self._shapes.items(), pieces, strict=True)
        }


def _stacks(states: Sequence[State], *, parts: Sequence[str]) -> dict[str, Tensor]:
    """Stack the folds' weights by name, in the layout of the products."""
    names = [name.removeprefix(parts[0]) for name in states[0] if name.startswith(parts[0])]
    names = [name for name in names if not name.startswith(_FUSION)]
    stacks = {
        name: torch.stack([_laid(state[part + name], name) for part in parts for state in states])
        for name in names
    }
    for name in states[0]:
        if name.startswith(_FUSION):
            stacks[name] = torch.stack([state[name] for state in states])
    return stacks


def _laid(value: Tensor, name: str) -> Tensor:
    if name.endswith(_QKV):
        return value[-(len(value) // 3) :]
    if name.endswith(_CONV):  # (out, in, 3, 3) -> (out, 9 in), as `windows` lays them
        return value.permute(0, 2, 3, 1).flatten(1)
    return value
