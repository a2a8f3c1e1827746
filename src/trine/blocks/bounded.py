"""Numbers between two ends that a generator cannot be driven past."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def bounded(value: Tensor) -> Tensor:
    """Numbers cut off at −1 and 1, with a gradient that brings back those beyond: it is zero only where it would push farther.

    A tanh in its place has no gradient left once steps have driven it to one end, as an absolute error does where most pixels are
    black, or a critic that is ahead in the first steps, and the network stays there.
    """
    made: Tensor = _Bounded.apply(value)  # type: ignore[no-untyped-call]
    return made


class _Bounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        ctx.save_for_backward(value)
        return value.clamp(-1.0, 1.0)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        (value,), (slope,) = ctx.saved_tensors, slopes
        outward = ((value > 1) & (slope < 0)) | ((value < -1) & (slope > 0))
        return slope.masked_fill(outward, 0.0)
