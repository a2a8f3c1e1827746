"""Batch normalisation over the rows of all ranks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from trine import collective


@contextlib.contextmanager
def whole_statistics(*modules: nn.Module) -> Iterator[None]:
    """Inside, batch normalisation takes its statistics over the whole batch, all ranks' rows, as one process would."""
    changed: list[tuple[nn.Module, type[nn.Module]]] = []
    if collective.processes() > 1:
        for module in (part for whole in modules for part in whole.modules()):
            kind = type(module)
            if isinstance(module, _BatchNorm) and not isinstance(module, nn.SyncBatchNorm):
                changed.append((module, kind))
                # Behind the module's own class, which may lay out its input, and before torch's.
                module.__class__ = type(kind.__name__, (kind, WholeBatchNorm), {})
    try:
        yield
    finally:
        for module, kind in changed:
            module.__class__ = kind


class WholeBatchNorm(_BatchNorm):
    """``torch.nn.BatchNorm*d`` whose statistics are of the rows of all ranks, on any device."""

    def forward(self, input: Tensor) -> Tensor:
        """(batch, channels, …) → the same."""
        own = self.training or self.running_mean is None
        if not own or collective.processes() == 1:
            return super().forward(input)
        result, mean, variance, count = _Normalise.apply(input, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        if self.training and self.track_running_stats and self.running_mean is not None:
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                rate = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), rate)
                unbiased = variance * (count / (count - 1).clamp_min(1))
                self.running_var.lerp_(unbiased.to(self.running_var.dtype), rate)
        out: Tensor = result
        return out


class _Normalise(torch.autograd.Function):
    """(x − mean)/√(variance + eps) · weight + bias over all ranks' rows; also the mean, the variance and the count."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, ...]:
        over = [0, *range(2, x.dim())]
        rows = x.numel() // x.shape[1]
        kind = torch.promote_types(x.dtype, torch.float32)
        variance, mean = torch.var_mean(x.to(kind), over, correction=0)
        # In double precision, since the variance is the difference of two sums.
        mean, variance = mean.double(), variance.double()
        if not rows:
            mean, variance = torch.zeros_like(mean), torch.zeros_like(variance)
        sums = torch.cat([mean * rows, (variance + mean.square()) * rows, mean.new_tensor([rows])])
        collective.add(sums)
        count = sums[-1]
        mean, square = (sums[:-1] / count).chunk(2)
        variance = (square - mean.square()).clamp_min(0)
        rounded = mean.to(kind), variance.to(kind)
        ctx.save_for_backward(x, weight, *rounded, count)
        ctx.eps = eps
        result = functional.batch_norm(x, *rounded, weight, bias, False, 0.0, eps)
        ctx.mark_non_differentiable(mean, variance, count)
        return result, mean, variance, count

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance, count = ctx.saved_tensors
        over = [0, *range(2, x.dim())]
        shape = [1, -1, *(1,) * (x.dim() - 2)]
        inverse = torch.rsqrt(variance + ctx.eps)
        centred = (x - mean.view(shape)) * inverse.view(shape)
        by_bias, by_weight = slope.to(mean.dtype).sum(over), (slope * centred).sum(over)
        means = collective.add(torch.cat([by_bias, by_weight]).double()) / count
        level, tilt = means.to(mean.dtype).chunk(2)
        gain = inverse if weight is None else inverse * weight
        gradient = (slope - level.view(shape)).addcmul_(centred, tilt.view(shape), value=-1).mul_(gain.view(shape))
        return (
            gradient.to(x.dtype),
            by_weight if weight is not None else None,
            by_bias if weight is not None else None,
            None,
        )
