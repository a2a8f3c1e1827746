"""Both tails of a distribution and their inverses, each to full precision: continuous families.

``1 − F`` has no digits left where F is within 1e-16 of 1, and integrals over heavy tails live there; so each tail has a
function of its own. All are differentiable in the parameters but for the inverses, and open by ``.register(Family)``.
"""

from __future__ import annotations

import functools
import math

import scipy.special
import torch
from torch import Tensor
from torch.distributions import (
    Beta,
    Cauchy,
    Distribution,
    Exponential,
    Gamma,
    HalfCauchy,
    HalfNormal,
    Laplace,
    Normal,
    StudentT,
    Uniform,
)

from trine.rules import cdf, special
from trine.rules.special import scipy_elementwise


@functools.singledispatch
def below(q: Distribution, x: Tensor) -> Tensor:
    """P(Y ≤ x), to relative precision also where it is tiny."""
    return cdf(q, x)


@functools.singledispatch
def above(q: Distribution, x: Tensor) -> Tensor:
    """P(Y > x), to relative precision also where it is tiny."""
    return 1 - below(q, x)


@functools.singledispatch
def lower_quantile(q: Distribution, u: Tensor) -> Tensor:
    """The x with P(Y ≤ x) = u, for u in (0, ½]; no gradient."""
    return q.icdf(u)


@functools.singledispatch
def upper_quantile(q: Distribution, u: Tensor) -> Tensor:
    """The x with P(Y > x) = u, for u in (0, ½]; no gradient."""
    return q.icdf((1 - u).clamp_max(1 - 2.0**-53))


@below.register
def _(q: Normal, x: Tensor) -> Tensor:
    value: Tensor = torch.special.ndtr((x - q.loc) / q.scale)
    return value


@above.register
def _(q: Normal, x: Tensor) -> Tensor:
    value: Tensor = torch.special.ndtr((q.loc - x) / q.scale)
    return value


@lower_quantile.register
def _(q: Normal, u: Tensor) -> Tensor:
    z: Tensor = torch.special.ndtri(u)
    return q.loc + q.scale * z


@upper_quantile.register
def _(q: Normal, u: Tensor) -> Tensor:
    z: Tensor = torch.special.ndtri(u)
    return q.loc - q.scale * z


def _laplace_below(z: Tensor) -> Tensor:
    far = 0.5 * torch.exp(-z.abs())
    return torch.where(z < 0, far, 1 - far)


@below.register
def _(q: Laplace, x: Tensor) -> Tensor:
    return _laplace_below((x - q.loc) / q.scale)


@above.register
def _(q: Laplace, x: Tensor) -> Tensor:
    return _laplace_below((q.loc - x) / q.scale)


@lower_quantile.register
def _(q: Laplace, u: Tensor) -> Tensor:
    return q.loc + q.scale * (2 * u).log()


@upper_quantile.register
def _(q: Laplace, u: Tensor) -> Tensor:
    return q.loc - q.scale * (2 * u).log()


@above.register
def _(q: StudentT, x: Tensor) -> Tensor:
    return special.stdtr(q.df, (q.loc - x) / q.scale)


def _student_quantile(df: Tensor, u: Tensor) -> Tensor:
    """Of the lower tail; far out, where SciPy's search fails, by the power that the density has become."""
    log_norm = torch.lgamma((df + 1) / 2) - torch.lgamma(df / 2) - 0.5 * (df * math.pi).log()
    far = (log_norm + 0.5 * (df + 1) * df.log() - df.log() - u.log()) / df
    value = scipy_elementwise(scipy.special.stdtrit, *torch.broadcast_tensors(df, u))  # type: ignore[no-untyped-call]
    return torch.where(far > 18.0 + df.log(), -far.clamp_max(345.0).exp(), value)


@lower_quantile.register
def _(q: StudentT, u: Tensor) -> Tensor:
    return q.loc + q.scale * _student_quantile(q.df, u)


@upper_quantile.register
def _(q: StudentT, u: Tensor) -> Tensor:
    return q.loc - q.scale * _student_quantile(q.df, u)


@below.register
def _(q: Cauchy, x: Tensor) -> Tensor:
    return torch.atan2(torch.ones_like(x), (q.loc - x) / q.scale) / math.pi


@above.register
def _(q: Cauchy, x: Tensor) -> Tensor:
    return torch.atan2(torch.ones_like(x), (x - q.loc) / q.scale) / math.pi


@lower_quantile.register
def _(q: Cauchy, u: Tensor) -> Tensor:
    return q.loc - q.scale / torch.tan(math.pi * u)


@upper_quantile.register
def _(q: Cauchy, u: Tensor) -> Tensor:
    return q.loc + q.scale / torch.tan(math.pi * u)


@below.register
def _(q: Exponential, x: Tensor) -> Tensor:
    return -torch.expm1(-q.rate * x.clamp_min(0.0))


@above.register
def _(q: Exponential, x: Tensor) -> Tensor:
    return torch.exp(-q.rate * x.clamp_min(0.0))


@lower_quantile.register
def _(q: Exponential, u: Tensor) -> Tensor:
    return -torch.log1p(-u) / q.rate


@upper_quantile.register
def _(q: Exponential, u: Tensor) -> Tensor:
    return -u.log() / q.rate


@below.register
def _(q: Uniform, x: Tensor) -> Tensor:
    return ((x - q.low) / (q.high - q.low)).clamp(0.0, 1.0)


@above.register
def _(q: Uniform, x: Tensor) -> Tensor:
    return ((q.high - x) / (q.high - q.low)).clamp(0.0, 1.0)


@lower_quantile.register
def _(q: Uniform, u: Tensor) -> Tensor:
    return q.low + u * (q.high - q.low)


@upper_quantile.register
def _(q: Uniform, u: Tensor) -> Tensor:
    return q.high - u * (q.high - q.low)


def valued(value: Tensor, differentiable: Tensor) -> Tensor:
    """``value`` with the gradient of ``differentiable``."""
    return value + (differentiable - differentiable.detach())


@above.register
def _(q: Gamma, x: Tensor) -> Tensor:
    x = x.clamp_min(0.0)
    value = scipy_elementwise(scipy.special.gammaincc, *torch.broadcast_tensors(q.concentration, q.rate * x))  # type: ignore[no-untyped-call]
    return valued(value, -below(q, x))


@lower_quantile.register
def _(q: Gamma, u: Tensor) -> Tensor:
    return scipy_elementwise(scipy.special.gammaincinv, q.concentration, u) / q.rate


@upper_quantile.register
def _(q: Gamma, u: Tensor) -> Tensor:
    return scipy_elementwise(scipy.special.gammainccinv, q.concentration, u) / q.rate


@above.register
def _(q: Beta, x: Tensor) -> Tensor:
    return special.betainc(q.concentration0, q.concentration1, 1 - x)


@lower_quantile.register
def _(q: Beta, u: Tensor) -> Tensor:
    return scipy_elementwise(scipy.special.betaincinv, q.concentration1, q.concentration0, u)


@upper_quantile.register
def _(q: Beta, u: Tensor) -> Tensor:
    return 1 - scipy_elementwise(scipy.special.betaincinv, q.concentration0, q.concentration1, u)


@below.register
def _(q: HalfNormal, x: Tensor) -> Tensor:
    return torch.erf(x.clamp_min(0.0) / (q.scale * math.sqrt(2.0)))


@above.register
def _(q: HalfNormal, x: Tensor) -> Tensor:
    return torch.erfc(x.clamp_min(0.0) / (q.scale * math.sqrt(2.0)))


@upper_quantile.register
def _(q: HalfNormal, u: Tensor) -> Tensor:
    z: Tensor = torch.special.ndtri(u / 2)
    return -q.scale * z


@below.register
def _(q: HalfCauchy, x: Tensor) -> Tensor:
    return torch.atan(x.clamp_min(0.0) / q.scale) * (2 / math.pi)


@above.register
def _(q: HalfCauchy, x: Tensor) -> Tensor:
    return torch.atan2(torch.ones_like(x), x.clamp_min(0.0) / q.scale) * (2 / math.pi)


@upper_quantile.register
def _(q: HalfCauchy, u: Tensor) -> Tensor:
    return q.scale / torch.tan(math.pi / 2 * u)
