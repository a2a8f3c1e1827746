"""Tails of counts and their inverses.

They are continued smoothly between whole numbers, so that long sums can be integrals.
"""

from __future__ import annotations

import scipy.special
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Binomial, Distribution, Geometric, NegativeBinomial, Poisson
from torch.nn.functional import logsigmoid

from trine.rules import special
from trine.rules.special import scipy_elementwise

from ._search import bisect
from ._tails import above, below, lower_quantile, upper_quantile, valued


@below.register
def _(q: Poisson, x: Tensor) -> Tensor:
    k, rate = torch.broadcast_tensors(x.clamp_min(0.0) + 1, q.rate)  # type: ignore[no-untyped-call]
    value = scipy_elementwise(scipy.special.gammaincc, k, rate)
    return torch.where(x >= 0, valued(value, -special.gammainc(k, rate)), 0.0)


@above.register
def _(q: Poisson, x: Tensor) -> Tensor:
    return torch.where(x >= 0, special.gammainc(x.clamp_min(0.0) + 1, q.rate), 1.0)


@below.register
def _(q: NegativeBinomial, x: Tensor) -> Tensor:
    value = special.betainc(q.total_count, x.clamp_min(0.0) + 1, torch.sigmoid(-q.logits))
    return torch.where(x >= 0, value, 0.0)


@above.register
def _(q: NegativeBinomial, x: Tensor) -> Tensor:
    value = special.betainc(x.clamp_min(0.0) + 1, q.total_count, torch.sigmoid(q.logits))
    return torch.where(x >= 0, value, 1.0)


@below.register
def _(q: Binomial, x: Tensor) -> Tensor:
    left = (q.total_count - x).clamp_min(0.5)
    value = special.betainc(left, x.clamp_min(0.0) + 1, torch.sigmoid(-q.logits))
    return torch.where(x < 0, 0.0, torch.where(x >= q.total_count, 1.0, value))


@above.register
def _(q: Binomial, x: Tensor) -> Tensor:
    left = (q.total_count - x).clamp_min(0.5)
    value = special.betainc(x.clamp_min(0.0) + 1, left, torch.sigmoid(q.logits))
    return torch.where(x < 0, 1.0, torch.where(x >= q.total_count, 0.0, value))


@below.register
def _(q: Geometric, x: Tensor) -> Tensor:
    return -torch.expm1((x + 1).clamp_min(0.0) * logsigmoid(-q.logits))


@above.register
def _(q: Geometric, x: Tensor) -> Tensor:
    return torch.exp((x + 1).clamp_min(0.0) * logsigmoid(-q.logits))


@above.register
def _(q: Bernoulli, x: Tensor) -> Tensor:
    return torch.where(x < 0, 1.0, torch.where(x < 1, torch.sigmoid(q.logits), 0.0))


@lower_quantile.register(Poisson)
@lower_quantile.register(NegativeBinomial)
@lower_quantile.register(Binomial)
@lower_quantile.register(Geometric)
def _(q: Distribution, u: Tensor) -> Tensor:
    low, high = _counted(q, u)
    return bisect(lambda x: below(q, x) < u, low, high, 46)


@lower_quantile.register
def _(q: Bernoulli, u: Tensor) -> Tensor:
    return (u > torch.sigmoid(-q.logits)).double()


@upper_quantile.register
def _(q: Bernoulli, u: Tensor) -> Tensor:
    return (u < torch.sigmoid(q.logits)).double()


@upper_quantile.register(Poisson)
@upper_quantile.register(NegativeBinomial)
@upper_quantile.register(Binomial)
@upper_quantile.register(Geometric)
def _(q: Distribution, u: Tensor) -> Tensor:
    low, high = _counted(q, u)
    return bisect(lambda x: above(q, x) > u, low, high, 46)


def _counted(q: Distribution, u: Tensor) -> tuple[Tensor, Tensor]:
    """Counts between which all quantiles of tails of 1e-300 lie."""
    low, high = torch.zeros_like(u), (q.mean + 40 * q.stddev + 10).expand(u.shape)
    for _ in range(20):
        high = torch.where(above(q, high) > 1e-300, 2 * high, high)
    return low, high
