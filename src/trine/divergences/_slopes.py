"""Functions that give their own slopes: a value and its derivatives in one pass, one node of the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Function = Callable[..., tuple[Any, Sequence[Any]]]
"""(wanted, *arguments) → value, and for each argument its elementwise derivative, None where it was not wanted.

Of arguments that are vectors, (..., k), with a value for each vector, (...,), a derivative is (..., k).
"""


def with_slopes(function: Function, *arguments: Tensor, numpy: bool = False) -> Tensor:
    """``function`` of the arguments, which broadcast, on tensors or, in float64, on NumPy's arrays.

    What the backward pass needs is found together with the value, where most of it is shared; PyTorch's own graph of some
    twenty small operations costs several times as much. Differentiable once.

    Returns:
        The value, in the dtype and on the device of the first argument.
    """
    wanted = [torch.is_grad_enabled() and argument.requires_grad for argument in arguments]
    value: Tensor = _WithSlopes.apply(function, wanted, numpy, *arguments)  # type: ignore[no-untyped-call]
    return value


def _one(argument: Tensor) -> Tensor:
    """The one value that an argument was expanded from, without dimension; else the argument itself."""
    if argument.dim() and argument.numel() > 1 and not any(argument.stride()):
        return argument[(0,) * argument.dim()]
    return argument


class _WithSlopes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Function, wanted: list[bool], numpy: bool, *arguments: Tensor) -> Tensor:
        first = arguments[0]
        given: list[Any] = [_one(argument) for argument in arguments]
        if numpy:
            given = [np.asarray(argument.detach().cpu(), dtype=np.float64) for argument in given]
        value, slopes = function(wanted, *given)
        kept = [slope for slope, needed in zip(slopes, wanted, strict=True) if needed]
        if numpy:
            value, *kept = (torch.as_tensor(found, dtype=first.dtype, device=first.device) for found in (value, *kept))
        ctx.save_for_backward(*kept)
        ctx.wanted = wanted
        ctx.like = [(argument.shape, argument.dtype) for argument in arguments]
        result: Tensor = value
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,), slopes = grads, iter(ctx.saved_tensors)
        found: list[Tensor | None] = [None, None, None]
        for needed, (shape, dtype) in zip(ctx.wanted, ctx.like, strict=True):
            if not needed:
                found.append(None)
                continue
            slope = next(slopes)
            part = grad * slope if slope.dim() <= grad.dim() else grad.unsqueeze(-1) * slope
            part = part if part.shape == shape else part.sum_to_size(shape)
            found.append(part if part.dtype == dtype else part.to(dtype))
        return tuple(found)
