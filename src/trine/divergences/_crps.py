r"""The continuous ranked probability score in closed form, a function for each family.

.. math:: \mathrm{CRPS}(F, y) = \int (F(t) - 1\{t \ge y\})^2 dt = E|X - y| - \tfrac12 E|X - X'|

Closed forms after Jordan, Krüger and Lerch, `Evaluating Probabilistic Forecasts with scoringRules`, 2019. They are
arranged so that no difference of large numbers is left: value and gradient hold in float32 at any distance from y.
Families with incomplete gamma or beta functions are computed in float64 and returned in the dtype of the parameters.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Distribution,
    Exponential,
    Gamma,
    Laplace,
    LogNormal,
    MixtureSameFamily,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
    Uniform,
)
from torch.nn.functional import one_hot, softplus

from trine.errors import ChoiceError
from trine.rules import Logistic, LogitNormal, OrderedCategorical, Recalibrated, SoftplusNormal

from . import _crps_shaped as shaped
from . import _crps_warped as warped
from ._quadrature import crps_continuous, crps_counts
from ._slopes import with_slopes

SQRT2 = math.sqrt(2.0)


@functools.singledispatch
def crps(q: Distribution, y: Tensor) -> Tensor:
    """CRPS of ``q`` at ``y``, of the batch shape of ``q``, in the units of y; open by ``crps.register(Family)``.

    A family without a function of its own is integrated numerically over its distribution function.
    """
    return crps_continuous(q, y)


def normal_distance(d: Tensor, scale: Tensor) -> Tensor:
    """E|d + scale · Z| for Z ~ N(0, 1), that is d erf(d / (√2 scale)) + scale √(2/π) exp(−d² / (2 scale²))."""
    z = d / scale
    return d * torch.erf(z / SQRT2) + scale * math.sqrt(2 / math.pi) * torch.exp(-0.5 * z * z)


@crps.register
def _(q: Normal, y: Tensor) -> Tensor:
    return normal_distance(y - q.loc, q.scale) - q.scale / math.sqrt(math.pi)


@crps.register
def _(q: Laplace, y: Tensor) -> Tensor:
    d = (y - q.loc).abs()
    return d + q.scale * torch.exp(-d / q.scale) - 0.75 * q.scale


@crps.register
def _(q: Logistic, y: Tensor) -> Tensor:
    z = (y - q.loc) / q.scale
    return q.scale * (softplus(z) + softplus(-z) - 1)


@crps.register
def _(q: StudentT, y: Tensor) -> Tensor:
    if not bool((q.df > 1).all()):
        raise ChoiceError("The CRPS of a Student distribution exists for df above 1; there is no mean below.")
    return with_slopes(shaped.student, q.df, q.loc, q.scale, y, numpy=True)


@crps.register
def _(q: Exponential, y: Tensor) -> Tensor:
    # |y| − (2/λ)(1 − e^(−λ y)) + 1/(2λ), of y ≥ 0; below, y is as far from all of it as 0 and |y| more.
    return y.abs() + (2 * torch.expm1(-q.rate * y.clamp_min(0.0)) + 0.5) / q.rate


@crps.register
def _(q: Uniform, y: Tensor) -> Tensor:
    inside = torch.minimum(torch.maximum(y, q.low), q.high)
    width = q.high - q.low
    share = (inside - q.low) / width
    return (y - inside).abs() + width * (share * (share - 1) + 1 / 3)


@crps.register
def _(q: LogNormal, y: Tensor) -> Tensor:
    # y (2Φ(z) − 1) + 2 E Y · (Φ(−s/√2) − Φ(z − s)), the products by their logarithms: E Y alone may be too large.
    z = (y.clamp_min(torch.finfo(q.loc.dtype).tiny).log() - q.loc) / q.scale
    log_mean = q.loc + q.scale**2 / 2
    spread = torch.exp(log_mean + torch.special.log_ndtr(q.scale / -SQRT2))
    below = torch.exp(log_mean + torch.special.log_ndtr((z - q.scale).clamp_min(-1e3)))
    return y * torch.erf(z / SQRT2) + 2 * (spread - below)


@crps.register
def _(q: SoftplusNormal, y: Tensor) -> Tensor:
    return with_slopes(warped.softplus_normal, q.loc, q.scale, q.unit, y)


@crps.register
def _(q: LogitNormal, y: Tensor) -> Tensor:
    return with_slopes(warped.logit_normal, q.loc, q.scale, y)


@crps.register
def _(q: Gamma, y: Tensor) -> Tensor:
    return with_slopes(shaped.gamma, q.concentration, q.rate, y, numpy=True)


@crps.register
def _(q: Beta, y: Tensor) -> Tensor:
    return with_slopes(shaped.beta, q.concentration1, q.concentration0, y, numpy=True)


@crps.register
def _(q: Poisson, y: Tensor) -> Tensor:
    return with_slopes(shaped.poisson, q.rate, y, numpy=True)


@crps.register
def _(q: NegativeBinomial, y: Tensor) -> Tensor:
    return with_slopes(shaped.negative_binomial, q.total_count, q.logits, y, numpy=True)


@crps.register
def _(q: Bernoulli, y: Tensor) -> Tensor:
    p = torch.sigmoid(q.logits)
    return y * (1 - p) ** 2 + (1 - y) * p**2


@crps.register
def _(q: Categorical, y: Tensor) -> Tensor:
    # Without an order all categories are equally far apart: the energy score in the metric 1{i ≠ j}, half of Brier's.
    hit = one_hot(y.long(), q.logits.shape[-1])
    return 0.5 * ((q.probs - hit) ** 2).sum(-1)


@crps.register
def _(q: OrderedCategorical, y: Tensor) -> Tensor:
    codes = torch.arange(q.logits.shape[-1], device=y.device)
    reached = (codes >= y.unsqueeze(-1)).to(q.logits.dtype)
    return ((q.probs.cumsum(-1) - reached)[..., :-1] ** 2).sum(-1)


@crps.register
def _(q: Recalibrated, y: Tensor) -> Tensor:
    return crps_counts(q, y) if q.discrete else crps_continuous(q, y)


@crps.register
def _(q: MixtureSameFamily, y: Tensor) -> Tensor:
    return crps_mixture(q.component_distribution, q, y)


@functools.singledispatch
def crps_mixture(component: Distribution, q: MixtureSameFamily, y: Tensor) -> Tensor:
    """CRPS of a mixture, by the type of its components; numerical where none is registered."""
    return crps_continuous(q, y)


@crps_mixture.register(Poisson)
@crps_mixture.register(NegativeBinomial)
def _(component: Distribution, q: MixtureSameFamily, y: Tensor) -> Tensor:
    return crps_counts(q, y)


@crps_mixture.register
def _(component: Normal, q: MixtureSameFamily, y: Tensor) -> Tensor:
    weight, loc, scale = q.mixture_distribution.probs, component.loc, component.scale
    near = (weight * normal_distance(y.unsqueeze(-1) - loc, scale)).sum(-1)
    apart = normal_distance(
        loc.unsqueeze(-1) - loc.unsqueeze(-2), (scale.unsqueeze(-1) ** 2 + scale.unsqueeze(-2) ** 2).sqrt()
    )
    return near - 0.5 * (weight.unsqueeze(-1) * weight.unsqueeze(-2) * apart).sum((-2, -1))
