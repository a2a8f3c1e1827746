"""Integrals over distribution functions where no closed form is known."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, MixtureSameFamily

from trine.rules import Recalibrated, cdf, double, quantile

LEVELS = (1e-8, 1e-6, 1e-4, 2e-3, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1 - 2e-3, 1 - 1e-4, 1 - 1e-6, 1 - 1e-8)
ORDER = 12
MOST_COUNTS = 4096
MOST_ENDS = 60
"""Ends of panels for a recalibrated mixture, however many its components: a node costs a look at each of them."""
HELD = 1 << 22
"""Values of a distribution function that are held at a time, but where a gradient keeps them all."""


@functools.cache
def _gauss_legendre() -> tuple[Tensor, Tensor]:
    """Nodes and weights on (0, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(ORDER)
    return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)


def crps_continuous(q: Distribution, y: Tensor) -> Tensor:
    """∫ (F(t) − 1{t ≥ y})² dt by Gauss-Legendre quadrature, in float64; differentiable in the parameters of ``q``.

    The panels end at quantiles of ``q``, of every component where it is a mixture, and at y, so that neither scale nor
    number of humps matters. What lies beyond the outermost quantiles counts less than 1e-15 of their distance.

    Args:
        q: continuous, events of one number, batch shape (..., batch).
        y: broadcasts with it.
    """
    exact = double(q)
    y = y.double().expand(q.batch_shape)
    return _integral(exact, y, lambda below, right: (below - right.double()) ** 2).to(q.mean.dtype)


def _integral(q: Distribution, y: Tensor, function: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """∫ function(F(t), whether t > y) dt, over so many panels at a time as may be held in memory."""
    ends = _ends(q, y)
    nodes, weights = (value.to(y.device).reshape(-1, 1, *(1,) * y.dim()) for value in _gauss_legendre())
    each = _parts(q)
    members = each.batch_shape[-1] if len(each.batch_shape) > y.dim() else 1
    size = max(1, HELD // (ORDER * members * max(1, y.numel())))
    total = torch.zeros((), dtype=torch.float64, device=y.device)
    for first in range(0, len(ends) - 1, size):
        some = ends[first : first + size + 1]
        widths = some.diff(dim=0)
        at = some[:-1] + nodes * widths  # (order, panels, *batch)
        total = total + (weights * widths * function(cdf(q, at), at > y)).sum((0, 1))
    return total


def _parts(q: Distribution) -> Distribution:
    """What has quantiles at little cost: a mixture's components, of what a recalibrated distribution is made of too."""
    q = q.base if isinstance(q, Recalibrated) else q
    return q.component_distribution if isinstance(q, MixtureSameFamily) else q


@torch.no_grad()
def _ends(q: Distribution, y: Tensor) -> Tensor:
    """Where panels end, (ends, *batch): at quantiles of ``q``, or of all its components, and at ``y``."""
    levels = torch.tensor(LEVELS, dtype=torch.float64, device=y.device)
    # (levels, *batch[, members])
    ends = q.places(levels) if isinstance(q, Recalibrated) else quantile(_parts(q), levels)
    ends = ends.movedim(0, -1).reshape(*q.batch_shape, -1)
    if isinstance(q, Recalibrated) and ends.shape[-1] > MOST_ENDS:
        some = torch.linspace(0, ends.shape[-1] - 1, MOST_ENDS, dtype=torch.float64, device=y.device).round().long()
        ends = ends.sort(-1).values[..., some]
    return torch.cat([ends, y.unsqueeze(-1)], -1).sort(-1).values.movedim(-1, 0)


def crps_counts(q: Distribution, y: Tensor) -> Tensor:
    """Σ over k of (F(k) − 1{k ≥ y})², in float64; differentiable in the parameters of ``q``.

    Exact while the counts that matter are fewer than 4096; beyond, F is sampled at that many counts, evenly spaced, and
    the sum is their trapezoid rule.

    Args:
        q: over counts, batch shape (..., batch).
        y: counts, broadcasts with it.
    """
    exact = double(q)
    y = y.double().expand(q.batch_shape)
    at, weights = _counts(exact, y)
    gap = cdf(exact, at) - (at >= y).double()
    return (weights * gap**2).sum(0).to(q.mean.dtype)


@torch.no_grad()
def _counts(q: Distribution, y: Tensor) -> tuple[Tensor, Tensor]:
    """Counts and weights, (counts, *batch), from the least to the greatest that matters, ``y`` among them."""
    each = q.component_distribution if isinstance(q, MixtureSameFamily) else q
    low, high = quantile(each, torch.tensor([1e-8, 1 - 1e-8], dtype=torch.float64, device=y.device))
    if isinstance(q, MixtureSameFamily):
        low, high = low.amin(-1), high.amax(-1)
    low, high = torch.minimum(low, y), torch.maximum(high, y)
    stride = ((high - low + 1) / MOST_COUNTS).ceil().clamp_min(1.0)
    steps = int(((high - low) / stride).max().ceil()) + 1
    index = torch.arange(steps, dtype=torch.float64, device=y.device).reshape(-1, *(1,) * y.dim())
    at = low + index * stride
    return at, stride * (at <= high)


def absolute_continuous(q: Distribution, y: Tensor) -> Tensor:
    """E |Y − y| = ∫ F below y + ∫ (1 − F) above it, by the panels of :func:`crps_continuous`, in float64.

    Args:
        q: continuous, events of one number, batch shape (..., batch).
        y: broadcasts with it.
    """
    exact = double(q)
    y = y.double().expand(q.batch_shape)
    value = _integral(exact, y, lambda below, right: torch.where(right, 1 - below, below))
    return value.to(q.mean.dtype)


def absolute_counts(q: Distribution, y: Tensor) -> Tensor:
    """E |Y − y| over counts, a sum in the manner of :func:`crps_counts`."""
    exact = double(q)
    y = y.double().expand(q.batch_shape)
    at, weights = _counts(exact, y)
    below = cdf(exact, at)
    return (weights * torch.where(at >= y, 1 - below, below)).sum(0).to(q.mean.dtype)
