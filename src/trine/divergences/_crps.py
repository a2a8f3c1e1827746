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
    Gamma,
    Laplace,
    LogNormal,
    MixtureSameFamily,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)
from torch.nn.functional import logsigmoid, one_hot, softplus

from trine.rules import OrderedCategorical, special

from ._quadrature import crps_continuous, crps_counts

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
def _(q: StudentT, y: Tensor) -> Tensor:
    df, scale, d = q.df.double(), q.scale.double(), (y - q.loc).double()
    z = d / scale
    log_norm = torch.lgamma((df + 1) / 2) - torch.lgamma(df / 2) - 0.5 * (df * math.pi).log()
    density = df * torch.exp(log_norm - (df - 1) / 2 * torch.log1p(z * z / df))  # t(z) (df + z²)
    half = torch.full_like(df, 0.5)
    spread = (special.lbeta(half, df - 0.5) - 2 * special.lbeta(half, df / 2)).exp() * df.sqrt()
    value = d * (2 * special.stdtr(df, z) - 1) + 2 * scale / (df - 1) * (density - spread)
    return value.to(q.loc.dtype)


@crps.register
def _(q: LogNormal, y: Tensor) -> Tensor:
    z = (y.clamp_min(torch.finfo(q.loc.dtype).tiny).log() - q.loc) / q.scale
    mean = (q.loc + q.scale**2 / 2).exp()
    return y * torch.erf(z / SQRT2) - mean * (torch.erf((z - q.scale) / SQRT2) + torch.erf(q.scale / 2))


@crps.register
def _(q: Gamma, y: Tensor) -> Tensor:
    a, rate, y = q.concentration.double(), q.rate.double(), y.double()
    x, mean = (rate * y).clamp_min(torch.finfo(torch.float64).tiny), a / rate
    step = torch.exp(a * x.log() - x - torch.lgamma(a + 1))  # P(a, x) − P(a + 1, x)
    spread = torch.exp(-special.lbeta(torch.full_like(a, 0.5), a)) / a
    value = (y - mean) * (2 * special.gammainc(a, x) - 1) + mean * (2 * step - spread)
    return value.to(q.rate.dtype)


@crps.register
def _(q: Beta, y: Tensor) -> Tensor:
    a, b, y = q.concentration1.double(), q.concentration0.double(), y.double()
    x, mean, norm = y.clamp(1e-300, 1 - 1e-16), a / (a + b), special.lbeta(a, b)
    step = torch.exp(a * x.log() + b * torch.log1p(-x) - norm) / a  # I_x(a, b) − I_x(a + 1, b)
    spread = torch.exp(special.lbeta(2 * a, 2 * b) - 2 * norm) / a
    value = (y - mean) * (2 * special.betainc(a, b, y) - 1) + 2 * mean * (step - spread)
    return value.to(q.concentration1.dtype)


@crps.register
def _(q: Poisson, y: Tensor) -> Tensor:
    rate, y = q.rate.double(), y.double()
    below = 1 - special.gammainc(y + 1, rate)
    at = torch.exp(y * rate.log() - rate - torch.lgamma(y + 1))
    spread = torch.special.i0e(2 * rate) + torch.special.i1e(2 * rate)
    value: Tensor = (y - rate) * (2 * below - 1) + rate * (2 * at - spread)
    return value.to(q.rate.dtype)


@crps.register
def _(q: NegativeBinomial, y: Tensor) -> Tensor:
    n, logits, y = q.total_count.double(), q.logits.double(), y.double()
    log_p, log_1p, mean = logsigmoid(-logits), logsigmoid(logits), n * logits.exp()
    below = special.betainc(n, y + 1, log_p.exp())
    step = torch.exp(n * log_p + y * log_1p + torch.lgamma(n + y + 1) - torch.lgamma(n + 1) - torch.lgamma(y + 1))
    value = (y - mean) * (2 * below - 1) + 2 * mean * step - _half_spread(n, log_p, log_1p)
    return value.to(q.logits.dtype)


def _half_spread(n: Tensor, log_p: Tensor, log_1p: Tensor) -> Tensor:
    """½ E|X − X'| of a negative binomial, n (1−p)/p² · ₂F₁(n + 1, ½; 2; −w) with w = 4 (1−p)/p².

    Euler's integral of ₂F₁, with s the tangent of its angle, is (4/π) ∫ (1 + s²)^(n−1) (1 + (1 + w) s²)^(−n−1) ds over
    s > 0. The trapezoid rule in v = log s converges exponentially, whatever the scale of the integrand. Below the first
    node the integrand is e^v to 1e-8, a geometric series; past its bend, at about 1/√(1 + (n + 1) w),
    it falls at least as fast as e^(−(1 + 2n) v) or e^(−3v).
    """
    log_w = math.log(4.0) + log_1p - 2 * log_p
    wide = softplus(log_w)  # log(1 + w)
    step, first = 0.25, -9.0
    last = 2 + 18 / min(3.0, 1 + 2 * n.detach().amin().item())
    v = torch.arange(first, last, step, dtype=torch.float64, device=n.device)
    log_s = v - 0.5 * softplus(torch.log1p(n) + log_w).unsqueeze(-1)
    s2, u2 = (2 * log_s).exp(), (2 * log_s + wide.unsqueeze(-1)).exp()
    a = n.unsqueeze(-1) + 1
    integrand = torch.exp((a - 2) * torch.log1p(s2) - a * torch.log1p(u2) + log_s)
    integral = step * (integrand.sum(-1) + integrand[..., 0] / math.expm1(step))
    return n * (log_1p - 2 * log_p).exp() * (4 / math.pi) * integral


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
