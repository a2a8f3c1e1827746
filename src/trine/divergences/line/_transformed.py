"""Tails of a transformed distribution, from those of what it transforms."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, TransformedDistribution

from ._parts import ends, somewhere
from ._tails import above, below, lower_quantile, upper_quantile


def _increasing(q: TransformedDistribution) -> bool:
    sign = 1
    for transform in q.transforms:
        step = transform.sign
        sign = sign * (step if isinstance(step, int) else int(torch.as_tensor(step).flatten()[0].item()))
    return sign > 0


def _back(q: TransformedDistribution, x: Tensor) -> Tensor:
    for transform in reversed(q.transforms):
        x = transform.inv(x)
    return x


def _onward(q: TransformedDistribution, x: Tensor) -> Tensor:
    for transform in q.transforms:
        x = transform(x)
    return x


@below.register
def _(q: TransformedDistribution, x: Tensor) -> Tensor:
    value = (below if _increasing(q) else above)(q.base_dist, _back(q, _held(q, x)))
    return _inside(q, x, value)


@above.register
def _(q: TransformedDistribution, x: Tensor) -> Tensor:
    value = (above if _increasing(q) else below)(q.base_dist, _back(q, _held(q, x)))
    return _inside(q, x, value, upper=True)


def _held(q: Distribution, x: Tensor) -> Tensor:
    """``x`` where it is inside the support, else a point that is."""
    low, high = ends(q)
    return torch.where((x > low) & (x < high), x, somewhere(q, x))


def _inside(q: Distribution, x: Tensor, value: Tensor, *, upper: bool = False) -> Tensor:
    """A tail's value, 0 or 1 beyond the ends of the support."""
    low, high = ends(q)
    value = torch.where(x <= low, 1.0 if upper else 0.0, value)
    return torch.where(x >= high, 0.0 if upper else 1.0, value)


@lower_quantile.register
def _(q: TransformedDistribution, u: Tensor) -> Tensor:
    return _onward(q, (lower_quantile if _increasing(q) else upper_quantile)(q.base_dist, u))


@upper_quantile.register
def _(q: TransformedDistribution, u: Tensor) -> Tensor:
    return _onward(q, (upper_quantile if _increasing(q) else lower_quantile)(q.base_dist, u))
