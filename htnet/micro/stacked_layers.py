"""The layers of a stack of networks, with gradients written where the optimiser wants them.

Every layer takes a weight together with the place of its gradient. Each weight is used once in a
pass, so that its gradient is written, not added: nothing has to be cleared or copied.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.autograd import Function

_EPS = 1e-5  # of torch's layer norm


def product(
    x: Tensor,
    weight: Tensor,
    weight_gradient: Tensor,
    bias: Tensor | None = None,
    bias_gradient: Tensor | None = None,
) -> Tensor:
    """Map `(rows, n, in)` by each row's own matrix `(rows, out, in)` and bias `(rows, out)`."""
    out: Tensor = _Product.apply(x, weight, weight_gradient, bias, bias_gradient)
    return out


def norm(
    x: Tensor, weight: Tensor, weight_gradient: Tensor, bias: Tensor, bias_gradient: Tensor
) -> Tensor:
    """Layer norm of `(rows, n, c)` with each row's own scale and offset `(rows, c)`."""
    out: Tensor = _Norm.apply(x, weight, weight_gradient, bias, bias_gradient)
    return out


def offset(x: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
    """Add each row's own number `(rows, 1, 1)` to `(rows, n, c)`."""
    out: Tensor = _Offset.apply(x, value, gradient)
    return out


def windows(x: Tensor) -> Tensor:
    """Lay the 3 x 3 surroundings of each place of `(rows, b, h, w, c)` side by side.

    Returns
    -------
    Tensor
        `(rows, b h w, 9 c)`, zeros outside the map.
    """
    out: Tensor = _Windows.apply(x)
    return out


class _Product(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        weight_gradient: Tensor,
        bias: Tensor | None,
        bias_gradient: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.places = weight_gradient, bias_gradient
        if bias is None:
            return torch.bmm(x, weight.mT)
        return torch.baddbmm(bias[:, None], x, weight.mT)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        weight_place, bias_place = ctx.places
        torch.bmm(gradient.mT, x, out=weight_place)
        if bias_place is not None:
            torch.sum(gradient, dim=1, out=bias_place)
        back = torch.bmm(gradient, weight) if ctx.needs_input_grad[0] else None
        return back, None, None, None, None


class _Norm(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        weight_gradient: Tensor,
        bias: Tensor,
        bias_gradient: Tensor,
    ) -> Tensor:
        plain, mean, scale = torch.native_layer_norm(x, x.shape[-1:], None, None, _EPS)
        ctx.save_for_backward(x, plain, mean, scale, weight)
        ctx.places = weight_gradient, bias_gradient
        return torch.addcmul(bias[:, None], plain, weight[:, None])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, plain, mean, scale, weight = ctx.saved_tensors
        weight_place, bias_place = ctx.places
        torch.sum(gradient * plain, dim=1, out=weight_place)
        torch.sum(gradient, dim=1, out=bias_place)
        back = torch.ops.aten.native_layer_norm_backward(
            gradient * weight[:, None],
            x,
            x.shape[-1:],
            mean,
            scale,
            None,
            None,
            [True, False, False],
        )[0]
        return back, None, None, None, None


class _Offset(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        ctx.place = gradient
        return x + value

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        torch.sum(gradient, dim=(1, 2), keepdim=True, out=ctx.place)
        return gradient, None, None


class _Windows(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        rows, b, h, w, c = x.shape
        ctx.shape = x.shape
        padded = F.pad(x, (0, 0, 1, 1, 1, 1))
        along = padded.stride()
        # Three neighbours of a line lie side by side in memory: copied three runs a place.
        runs = padded.as_strided(
            (rows, b, h, w, 3, 3 * c), (along[0], along[1], along[2], c, along[2], 1)
        )
        return runs.reshape(rows, b * h * w, 9 * c)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        rows, b, h, w, c = ctx.shape
        back = gradient.new_zeros(rows, b, h + 2, w + 2, c)
        of_tap = gradient.view(rows, b, h, w, 3, 3, c)
        for line in range(3):
            for column in range(3):
                place = back[:, :, line : line + h, column : column + w]
                place += of_tap[..., line, column, :]
        return back[:, :, 1 : 1 + h, 1 : 1 + w].contiguous()
