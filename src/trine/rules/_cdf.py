"""Distribution and quantile functions of every family that a rule gives, also where PyTorch has none."""

from __future__ import annotations

import functools
from typing import Any

import scipy.special
import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Distribution,
    Gamma,
    Independent,
    LogNormal,
    MixtureSameFamily,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
    constraints,
)

from ._parameters import double, map_arguments
from .special import betainc, gammainc, scipy_elementwise, stdtr


@functools.singledispatch
def cdf(q: Distribution, value: Tensor) -> Tensor:
    """P(Y ≤ value) under ``q``, differentiable in the parameters of ``q``; open by ``cdf.register(Family)``.

    Args:
        q: a distribution.
        value: broadcasts with its batch (and event) shape; more leading dimensions are allowed.

    Returns:
        Values in [0, 1]. Events of more than one number give the marginals, one for each element of the event.
    """
    return q.cdf(value)


@cdf.register(Independent)
def _(q: Independent[Any], value: Tensor) -> Tensor:
    return cdf(q.base_dist, value)


@cdf.register
def _(q: Normal, value: Tensor) -> Tensor:
    below: Tensor = torch.special.ndtr((value - q.loc) / q.scale)
    return below


@cdf.register
def _(q: LogNormal, value: Tensor) -> Tensor:
    inside = value.clamp_min(torch.finfo(q.loc.dtype).tiny).log()
    return torch.where(value > 0, cdf(q.base_dist, inside), 0.0)


@cdf.register
def _(q: Gamma, value: Tensor) -> Tensor:
    return gammainc(q.concentration, q.rate * value)


@cdf.register
def _(q: Beta, value: Tensor) -> Tensor:
    return betainc(q.concentration1, q.concentration0, value)


@cdf.register
def _(q: StudentT, value: Tensor) -> Tensor:
    return stdtr(q.df, (value - q.loc) / q.scale)


@cdf.register
def _(q: Poisson, value: Tensor) -> Tensor:
    k = value.double().floor()
    below = 1 - gammainc(k.clamp_min(0.0) + 1, q.rate.double())
    return torch.where(k >= 0, below, 0.0).to(q.rate.dtype)


@cdf.register
def _(q: NegativeBinomial, value: Tensor) -> Tensor:
    k = value.double().floor()
    below = betainc(q.total_count.double(), k.clamp_min(0.0) + 1, torch.sigmoid(-q.logits.double()))
    return torch.where(k >= 0, below, 0.0).to(q.logits.dtype)


@cdf.register
def _(q: Bernoulli, value: Tensor) -> Tensor:
    return torch.where(value < 0, 0.0, torch.where(value < 1, torch.sigmoid(-q.logits), 1.0))


@cdf.register
def _(q: Categorical, value: Tensor) -> Tensor:
    cumulative = q.probs.cumsum(-1)
    code = value.floor().long()
    shape = torch.broadcast_shapes(code.shape, q.batch_shape)  # type: ignore[no-untyped-call]
    last = cumulative.shape[-1] - 1
    at = cumulative.expand(*shape, last + 1).gather(-1, code.expand(shape).clamp(0, last).unsqueeze(-1)).squeeze(-1)
    return torch.where(code < 0, 0.0, torch.where(code >= last, 1.0, at))


@cdf.register
def _(q: MixtureSameFamily, value: Tensor) -> Tensor:
    at = -1 - len(q.event_shape)
    weights = q.mixture_distribution.probs.reshape(*q.mixture_distribution.probs.shape, *(1,) * len(q.event_shape))
    return (weights * cdf(q.component_distribution, value.unsqueeze(at))).sum(at)


def quantile(q: Distribution, p: float | Tensor) -> Tensor:
    """The smallest value v with P(Y ≤ v) ≥ p under ``q``, for every p and every element of ``q``.

    Args:
        q: a distribution of a rule, or a mixture of them.
        p: probabilities in (0, 1), of any shape.

    Returns:
        (*p.shape, *batch shape[, *event shape]), in the dtype of the parameters and inside the support of ``q``; of the
        marginals where an event has more than one number. It has no gradient.
    """
    each = torch.as_tensor(p, dtype=torch.float64)
    return icdf(q, each.reshape(*each.shape, *(1,) * len(q.batch_shape + q.event_shape)))


@torch.no_grad()
def icdf(q: Distribution, p: Tensor) -> Tensor:
    """:func:`quantile` element by element: ``p`` broadcasts with the batch (and event) shape of ``q``."""
    dtype, device = _kind(q)
    shape = torch.broadcast_shapes(p.shape, q.batch_shape + q.event_shape)  # type: ignore[no-untyped-call]
    values = _quantile(double(q), p.to(device, torch.float64).expand(shape)).to(dtype)
    support = _support(q)
    if support is constraints.positive or support is constraints.nonnegative:
        return values.clamp_min(torch.finfo(dtype).tiny)
    if support is constraints.unit_interval:
        return values.clamp(torch.finfo(dtype).tiny, 1 - torch.finfo(dtype).eps / 2)
    return values


def _kind(q: Distribution) -> tuple[torch.dtype, torch.device]:
    if isinstance(q, Categorical):
        return torch.int64, q.logits.device
    # Of an argument: the mean of some families is an integral.
    found: list[Tensor] = []

    def see(value: Tensor) -> Tensor:
        found.append(value)
        return value

    map_arguments(q, see)
    return found[0].dtype, found[0].device


def _support(q: Distribution) -> object:
    while isinstance(q, Independent | MixtureSameFamily):
        q = q.base_dist if isinstance(q, Independent) else q.component_distribution
    return type(q).support


@functools.singledispatch
def _quantile(q: Distribution, p: Tensor) -> Tensor:
    return q.icdf(p)


@_quantile.register(Independent)
def _(q: Independent[Any], p: Tensor) -> Tensor:
    return _quantile(q.base_dist, p)


@_quantile.register
def _(q: Gamma, p: Tensor) -> Tensor:
    return scipy_elementwise(scipy.special.gammaincinv, q.concentration, p) / q.rate


@_quantile.register
def _(q: Beta, p: Tensor) -> Tensor:
    return scipy_elementwise(scipy.special.betaincinv, q.concentration1, q.concentration0, p)


@_quantile.register
def _(q: StudentT, p: Tensor) -> Tensor:
    return q.loc + q.scale * scipy_elementwise(scipy.special.stdtrit, q.df, p)


@_quantile.register(Poisson)
@_quantile.register(NegativeBinomial)
def _(q: Distribution, p: Tensor) -> Tensor:
    # Cantelli's inequality bounds every quantile by the mean and sqrt(p / (1 - p)) standard deviations.
    low = torch.full_like(p, -1.0)
    high = (q.mean + q.stddev * (p / (1 - p)).sqrt()).ceil() + 1
    return _search_counts(q, p, low, high)


@_quantile.register
def _(q: Bernoulli, p: Tensor) -> Tensor:
    return (p > torch.sigmoid(-q.logits)).double()


@_quantile.register
def _(q: Categorical, p: Tensor) -> Tensor:
    cumulative = q.probs.cumsum(-1)[..., :-1]
    return (cumulative < p.unsqueeze(-1)).sum(-1)


@_quantile.register
def _(q: MixtureSameFamily, p: Tensor) -> Tensor:
    # A mixture's quantile lies between the least and the greatest of its components'.
    at = -1 - len(q.event_shape)
    component = q.component_distribution
    shape = [*p.unsqueeze(at).shape]
    shape[at] = component.batch_shape[-1]
    each = _quantile(component, p.unsqueeze(at).expand(shape))
    low, high = each.amin(at), each.amax(at)
    if _support(q) is constraints.nonnegative_integer:
        return _search_counts(q, p, low - 1, high)
    for _ in range(64):
        middle = (low + high) / 2
        above = cdf(q, middle) >= p
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return high


def _search_counts(q: Distribution, p: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Bisection on integers with cdf(low) < p ≤ cdf(high)."""
    while bool((high - low > 1).any()):
        middle = ((low + high) / 2).floor()
        above = cdf(q, middle) >= p
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return high
