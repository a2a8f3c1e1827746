"""Wasserstein distances in closed form, by pairs of families."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Distribution,
    Exponential,
    Geometric,
    Laplace,
    LogNormal,
    MultivariateNormal,
    Normal,
    Poisson,
    Uniform,
)

from ._pairs import Pairs

first = Pairs()
"""(family, family) → W₁ in closed form; open by ``first.register(P, Q)``."""
second = Pairs()
"""(family, family) → W₂² in closed form; open by ``second.register(P, Q)``."""


@first.register(Normal, Normal)
def _(p: Normal, q: Normal) -> Tensor:
    d, s = p.loc - q.loc, (p.scale - q.scale).abs()
    z = (d / s.clamp_min(torch.finfo(s.dtype).tiny)).clamp(-1e3, 1e3)
    return d * torch.erf(z / math.sqrt(2.0)) + s * math.sqrt(2 / math.pi) * torch.exp(-0.5 * z * z)


@first.register(Exponential, Exponential)
@first.register(Poisson, Poisson)
@first.register(Geometric, Geometric)
@first.register(Bernoulli, Bernoulli)
def _(p: Distribution, q: Distribution) -> Tensor:
    return (p.mean - q.mean).abs()  # one lies above the other in every quantile


def _standard(d: Tensor, s: Tensor, variance: float | Tensor) -> Tensor:
    """W₂² of two of a location-scale family: locations ``d`` apart, scales ``s``, of variance ``variance`` at scale 1."""
    return d**2 + s**2 * variance


@second.register(Normal, Normal)
def _(p: Normal, q: Normal) -> Tensor:
    return _standard(p.loc - q.loc, p.scale - q.scale, 1.0)


@second.register(Laplace, Laplace)
def _(p: Laplace, q: Laplace) -> Tensor:
    return _standard(p.loc - q.loc, p.scale - q.scale, 2.0)


@second.register(Uniform, Uniform)
def _(p: Uniform, q: Uniform) -> Tensor:
    return _standard(0.5 * (p.low + p.high - q.low - q.high), p.high - p.low - q.high + q.low, 1 / 12)


@second.register(Exponential, Exponential)
def _(p: Exponential, q: Exponential) -> Tensor:
    return 2 * (p.mean - q.mean) ** 2


@second.register(Bernoulli, Bernoulli)
def _(p: Bernoulli, q: Bernoulli) -> Tensor:
    return (p.probs - q.probs).abs()


@second.register(LogNormal, LogNormal)
def _(p: LogNormal, q: LogNormal) -> Tensor:
    # E X² + E Y² − 2 E X Y with one normal behind both.
    a, b = p.loc + p.scale**2, q.loc + q.scale**2
    middle = p.loc + q.loc + 0.5 * (p.scale + q.scale) ** 2
    short = torch.expm1(2 * a - middle) + torch.expm1(2 * b - middle)
    return torch.where(short > 0, torch.exp(middle) * short, 0.0)


@second.register(MultivariateNormal, MultivariateNormal)
def _(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    d = p.loc - q.loc
    a, b = p.scale_tril, q.scale_tril
    cross = a.mT @ (b @ b.mT) @ a  # of the same eigenvalues as A^½ B A^½
    roots: Tensor = torch.linalg.eigvalsh(0.5 * (cross + cross.mT)).clamp_min(torch.finfo(d.dtype).tiny).sqrt()
    traces: Tensor = (a * a).sum((-2, -1)) + (b * b).sum((-2, -1))
    return (d * d).sum(-1) + traces - 2 * roots.sum(-1)
