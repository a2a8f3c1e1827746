r"""log ∫ p^α q^(1−α) in closed form: of it Hellinger's (α = ½), Pearson's (α = 2) and Rényi's divergences are made.

For an exponential family with log-normaliser A it is A(α a + (1 − α) b) − α A(a) − (1 − α) A(b), and infinite where α a +
(1 − α) b is no parameter of the family. After Gil, Alajaji and Linder, `Rényi Divergence Measures for Commonly Used
Univariate Continuous Distributions`, 2013.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import (
    Beta,
    Distribution,
    Exponential,
    Gamma,
    LogNormal,
    MultivariateNormal,
    Normal,
    Poisson,
)

from trine.rules import special

from ._pairs import Pairs

overlap = Pairs()
"""(family, family) → log ∫ p^α q^(1−α) as a function of (p, q, α); open by ``overlap.register(P, Q)``."""


def log_overlap(p: Distribution, q: Distribution, alpha: float) -> Tensor | None:
    """Log ∫ p^α q^(1−α), of the batch shape, +∞ where the integral diverges; None where no closed form is known."""
    return overlap.value(p, q, alpha)


def _between(a: Tensor, b: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """α a + (1 − α) b, 1 where it is not above 0, and where it is above 0."""
    mixed = alpha * a + (1 - alpha) * b
    return torch.where(mixed > 0, mixed, 1.0), mixed > 0


@overlap.register(Normal, Normal)
def _(p: Normal, q: Normal, alpha: float) -> Tensor:
    # Variances in units of q's, so that tiny and huge scales have squares.
    s2 = (p.scale / q.scale) ** 2
    mixed, finite = _between(torch.ones_like(s2), s2, alpha)
    d2 = ((p.loc - q.loc) / q.scale) ** 2
    value = 0.5 * ((1 - alpha) * s2.log() - mixed.log()) + 0.5 * alpha * (alpha - 1) * d2 / mixed
    return torch.where(finite, value, math.inf)


@overlap.register(LogNormal, LogNormal)
def _(p: LogNormal, q: LogNormal, alpha: float) -> Tensor:
    value = log_overlap(p.base_dist, q.base_dist, alpha)
    assert value is not None
    return value


@overlap.register(MultivariateNormal, MultivariateNormal)
def _(p: MultivariateNormal, q: MultivariateNormal, alpha: float) -> Tensor:
    a, b = p.covariance_matrix, q.covariance_matrix
    root, failed = torch.linalg.cholesky_ex(alpha * b + (1 - alpha) * a)
    size = root.shape[-1]
    root = torch.where((failed == 0)[..., None, None], root, torch.eye(size, dtype=root.dtype, device=root.device))
    z = torch.linalg.solve_triangular(root, (p.loc - q.loc).unsqueeze(-1), upper=False).squeeze(-1)

    def half_log_det(lower: Tensor) -> Tensor:
        return lower.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    volume = (1 - alpha) * half_log_det(p.scale_tril) + alpha * half_log_det(q.scale_tril) - half_log_det(root)
    value = volume + 0.5 * alpha * (alpha - 1) * (z * z).sum(-1)
    return torch.where(failed == 0, value, math.inf)


def _gamma(a: Tensor, b: Tensor, r: Tensor, s: Tensor, alpha: float) -> Tensor:
    """Of Gamma(a, r) and Gamma(b, s)."""
    shape, one = _between(a, b, alpha)
    rate, other = _between(torch.ones_like(r), s / r, alpha)  # in units of r
    value = torch.lgamma(shape) - alpha * torch.lgamma(a) - (1 - alpha) * torch.lgamma(b) - shape * rate.log()
    return torch.where(one & other, value + (1 - alpha) * b * (s / r).log(), math.inf)


@overlap.register(Gamma, Gamma)
def _(p: Gamma, q: Gamma, alpha: float) -> Tensor:
    return _gamma(p.concentration, q.concentration, p.rate, q.rate, alpha)


@overlap.register(Exponential, Exponential)
def _(p: Exponential, q: Exponential, alpha: float) -> Tensor:
    one = torch.ones_like(p.rate)
    return _gamma(one, one, p.rate, q.rate, alpha)


@overlap.register(Beta, Beta)
def _(p: Beta, q: Beta, alpha: float) -> Tensor:
    a, one = _between(p.concentration1, q.concentration1, alpha)
    b, other = _between(p.concentration0, q.concentration0, alpha)
    each = (special.lbeta(d.concentration1, d.concentration0) for d in (p, q))
    value = special.lbeta(a, b) - alpha * next(each) - (1 - alpha) * next(each)
    return torch.where(one & other, value, math.inf)


@overlap.register(Poisson, Poisson)
def _(p: Poisson, q: Poisson, alpha: float) -> Tensor:
    # λ_p times g(log(λ_q / λ_p)), g(t) = e^((1−α)t) − α − (1 − α) e^t, which is small of second order where rates are near.
    off = (q.rate - p.rate) / p.rate
    near = off.abs() < 0.5
    t = torch.where(near, torch.log1p(torch.where(near, off, 0.0)), q.rate.log() - p.rate.log())
    return p.rate * (torch.expm1((1 - alpha) * t) - (1 - alpha) * torch.expm1(t))
