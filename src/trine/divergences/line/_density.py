"""Logarithms of densities, where large numbers would cancel by series of their own."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.distributions import Beta, Distribution, Gamma, NegativeBinomial, Poisson
from torch.nn.functional import logsigmoid

from ._parts import components, ends, mixed, somewhere, weights

TINY = torch.finfo(torch.float64).tiny
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def log_density(q: Distribution, x: Tensor) -> Tensor:
    """The logarithm of q(x), −∞ outside the support; of counts also between whole numbers, where Γ continues it."""
    if mixed(q):
        each = [log_density(part, x) for part in components(q)]
        return torch.logsumexp(torch.stack(each, -1) + weights(q).log(), -1)
    low, high = ends(q)
    inside = (x >= low) & (x <= high)
    values = _log_density(q, torch.where(inside, x, somewhere(q, x)))
    return torch.where(inside, values, -math.inf)


@functools.singledispatch
def _log_density(q: Distribution, x: Tensor) -> Tensor:
    return q.log_prob(x)


@_log_density.register
def _(q: Poisson, x: Tensor) -> Tensor:
    return log_poisson(x, q.rate)


@_log_density.register
def _(q: Gamma, x: Tensor) -> Tensor:
    at = x.clamp_min(TINY)
    return log_poisson(q.concentration, q.rate * at) + q.concentration.log() - at.log()


@_log_density.register
def _(q: Beta, x: Tensor) -> Tensor:
    # Next to 1 there is no number between; what a spike holds there is missing, and the error says so.
    value: Tensor = q.log_prob(x.clamp(TINY, 1 - 2.0**-53))  # type: ignore[no-untyped-call]
    return value


@_log_density.register
def _(q: NegativeBinomial, x: Tensor) -> Tensor:
    n, stop, more = q.total_count, logsigmoid(-q.logits), logsigmoid(q.logits)
    k = x.clamp_min(1e-9)
    whole = n + k
    spread = relative_entropy(n, whole * stop.exp()) + relative_entropy(k, whole * more.exp())
    value = _stirling(whole) - _stirling(n) - _stirling(k) - spread - HALF_LOG_2PI + 0.5 * (n / (whole * k)).log()
    return torch.where(x > 0, value, n * stop)


def log_poisson(x: Tensor, rate: Tensor) -> Tensor:
    """The value x log rate − rate − log Γ(x + 1) without the cancellation of large numbers (Loader, 2000)."""
    at = x.clamp_min(1e-300)
    value = -_stirling(at) - relative_entropy(at, rate) - HALF_LOG_2PI - 0.5 * at.log()
    return torch.where(x > 0, value, -rate)


def relative_entropy(x: Tensor, mean: Tensor) -> Tensor:
    """The value x log(x / mean) + mean − x, at least 0."""
    mean = mean.clamp_min(torch.finfo(mean.dtype).tiny)
    near = (x - mean).abs() < 0.5 * mean
    # Where it is not near, a quotient may overflow, if only in its gradient.
    safe = torch.where(near, mean, 1.0)
    off = (torch.where(near, x, 1.0) - safe) / safe
    far = x * (x.clamp_min(torch.finfo(x.dtype).tiny).log() - mean.log()) + mean - x
    return torch.where(near, safe * ((1 + off) * torch.log1p(off) - off), far)


def _stirling(n: Tensor) -> Tensor:
    """By how much log Γ(n + 1) exceeds Stirling's (n + ½) log n − n + ½ log 2π."""
    large = n > 16
    m = torch.where(large, n, 17.0)
    m2 = m * m
    series = (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / m2) / m2) / m2) / m2) / m
    k = torch.where(large, 1.0, n)
    return torch.where(large, series, torch.lgamma(k + 1) - (k + 0.5) * k.log() + k - HALF_LOG_2PI)
