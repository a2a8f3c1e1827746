"""Expected distances of a distribution from a data point, E |Y − y| and E (Y − y)²."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Gamma,
    Laplace,
    LogNormal,
    MixtureSameFamily,
    Normal,
)

from trine.rules import OrderedCategorical, special

from . import line
from ._crps import normal_distance
from ._quadrature import absolute_continuous, absolute_counts


@functools.singledispatch
def distance_to(q: Distribution, y: Tensor) -> Tensor:
    """E |Y − y| for Y ~ ``q``, of its batch shape; open by ``distance_to.register(Family)``, else by quadrature."""
    return absolute_counts(q, y) if line.kind(q) == "counts" else absolute_continuous(q, y)


@distance_to.register
def _(q: Normal, y: Tensor) -> Tensor:
    return normal_distance(y - q.loc, q.scale)


@distance_to.register
def _(q: Laplace, y: Tensor) -> Tensor:
    d = (y - q.loc).abs()
    return d + q.scale * torch.exp(-d / q.scale)


@distance_to.register
def _(q: LogNormal, y: Tensor) -> Tensor:
    z = (y.clamp_min(torch.finfo(q.loc.dtype).tiny).log() - q.loc) / q.scale
    mean = (q.loc + q.scale**2 / 2).exp()
    return y * torch.erf(z / math.sqrt(2.0)) - mean * torch.erf((z - q.scale) / math.sqrt(2.0))


@distance_to.register
def _(q: Gamma, y: Tensor) -> Tensor:
    a, rate, y = q.concentration.double(), q.rate.double(), y.double()
    x, mean = (rate * y).clamp_min(line.TINY), a / rate
    step = torch.exp(a * x.log() - x - torch.lgamma(a + 1))  # P(a, x) − P(a + 1, x)
    return ((y - mean) * (2 * special.gammainc(a, x) - 1) + 2 * mean * step).to(q.rate.dtype)


@distance_to.register
def _(q: Bernoulli, y: Tensor) -> Tensor:
    return (torch.sigmoid(q.logits) - y).abs()


@distance_to.register
def _(q: Categorical, y: Tensor) -> Tensor:
    code = y.long().expand(q.batch_shape).unsqueeze(-1)
    return 1 - q.logits.softmax(-1).gather(-1, code).squeeze(-1)


@distance_to.register
def _(q: OrderedCategorical, y: Tensor) -> Tensor:
    codes = torch.arange(q.logits.shape[-1], device=y.device, dtype=q.logits.dtype)
    return (q.probs * (codes - y.unsqueeze(-1)).abs()).sum(-1)


@distance_to.register
def _(q: MixtureSameFamily, y: Tensor) -> Tensor:
    return (q.mixture_distribution.probs * distance_to(q.component_distribution, y.unsqueeze(-1))).sum(-1)


def square_to(q: Categorical, y: Tensor) -> Tensor:
    """E d(Y, y)² over categories: of their places where they have an order, else of the metric 1{i ≠ j}."""
    if not isinstance(q, OrderedCategorical):
        return distance_to(q, y)
    codes = torch.arange(q.logits.shape[-1], device=y.device, dtype=q.logits.dtype)
    return (q.probs * (codes - y.unsqueeze(-1)) ** 2).sum(-1)
