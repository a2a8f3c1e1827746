"""Positive → softplus-normal: multiplicative near zero, additive above."""

from __future__ import annotations

import math
from typing import Any

import scipy.optimize
import torch
from torch import Tensor, nn
from torch.distributions import (
    AffineTransform,
    Distribution,
    Normal,
    SoftplusTransform,
    TransformedDistribution,
    constraints,
)
from torch.distributions.utils import broadcast_all
from torch.nn.functional import softplus

from trine.domains import Positive

from ._base import Linear, Rule, default_rule, rules
from ._cdf import cdf
from ._links import Head, bounded, level, spread
from ._quadrature import normal_mean
from ._units import affine


class SoftplusNormal(TransformedDistribution):
    """Y = unit · log(1 + e^X), X ~ N(loc, scale): near zero log Y is normal, well above ``unit`` Y itself is.

    Mean and variance by Gauss-Hermite quadrature with 64 nodes.

    Args:
        loc: mean of X. scale: its standard deviation, positive.
        unit: where the one behaviour passes into the other, positive, in the units of Y.
    """

    arg_constraints = {  # noqa: RUF012
        "loc": constraints.real,
        "scale": constraints.positive,
        "unit": constraints.positive,
    }
    support = constraints.positive
    has_rsample = True
    base_dist: Normal

    def __init__(
        self, loc: Tensor | float, scale: Tensor | float, unit: Tensor | float, validate_args: bool | None = None
    ) -> None:
        loc, scale, unit = broadcast_all(loc, scale, unit)
        super().__init__(
            Normal(loc, scale, validate_args=validate_args),
            [SoftplusTransform(), AffineTransform(0.0, unit)],
            validate_args=validate_args,
        )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Distribution:
        new = self._get_checked_instance(SoftplusNormal, _instance)  # type: ignore[no-untyped-call]
        expanded: Distribution = super().expand(batch_shape, _instance=new)  # type: ignore[no-untyped-call]
        return expanded

    @property
    def loc(self) -> Tensor:
        """Mean of X."""
        return self.base_dist.loc

    @property
    def scale(self) -> Tensor:
        """Standard deviation of X."""
        return self.base_dist.scale

    @property
    def unit(self) -> Tensor:
        """The unit of Y, of the batch shape."""
        last = self.transforms[-1]
        assert isinstance(last, AffineTransform)
        return torch.as_tensor(last.scale).expand(self.batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density, for values above zero."""
        ratio = value / self.unit
        low = torch.log(-torch.expm1(-ratio))  # log dY/dX, up to the unit
        normal: Tensor = self.base_dist.log_prob(ratio + low)  # type: ignore[no-untyped-call]
        return normal - low - self.unit.log()

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Samples, kept from coming to zero in floating point."""
        return _above_zero(super().rsample(torch.Size(sample_shape)))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """As :meth:`rsample`, without a gradient."""
        with torch.no_grad():
            return self.rsample(sample_shape)

    def icdf(self, value: Tensor) -> Tensor:
        """The quantile at probability ``value``."""
        return _above_zero(self.unit * softplus(self.base_dist.icdf(value)))  # type: ignore[no-untyped-call]

    @property
    def mean(self) -> Tensor:
        """E Y."""
        return self.unit * normal_mean(self.base_dist, softplus)

    @property
    def variance(self) -> Tensor:
        """Var Y."""
        middle = normal_mean(self.base_dist, softplus).unsqueeze(-1)
        return self.unit**2 * normal_mean(self.base_dist, lambda x: (softplus(x) - middle) ** 2)


def _mean(loc: float, scale: float) -> float:
    """E softplus(X) for X ~ N(loc, scale)."""
    return float(normal_mean(Normal(*torch.tensor([loc, scale], dtype=torch.float64)), softplus))


def _above_zero(value: Tensor) -> Tensor:
    return value.clamp_min(torch.finfo(value.dtype).tiny)


@cdf.register
def _(q: SoftplusNormal, value: Tensor) -> Tensor:
    ratio = _above_zero(value / q.unit)
    inside = cdf(q.base_dist, ratio + torch.log(-torch.expm1(-ratio)))
    return torch.where(value > 0, inside, 0.0)


@affine.register
def _(q: SoftplusNormal, shift: float | Tensor, factor: float | Tensor) -> Distribution:
    if bool((torch.as_tensor(shift) != 0).any()):
        raise ValueError("a SoftplusNormal that is shifted is none")
    return SoftplusNormal(q.loc, q.scale, q.unit * factor, validate_args=False)


@rules.register("softplus-normal")
class SoftplusNormalRule(Rule):
    r"""y = m softplus(u), u given x ~ N(location(z), scale(z)), location linear, scale by exp, m the mean of y.

    With :math:`t = y / m` and :math:`u = t + \log(1 - e^{-t})`,

    .. math:: -\log q(y) = \log m + \log(1 - e^{-t}) + \log s + \frac{(u - l)^2}{2 s^2} + \tfrac12 \log 2\pi

    Effects multiply where y is small, as prices do, and add where it is large, so that a slip of the location does not
    blow up a prediction as it does under a log-normal.
    """

    serves = (Positive,)
    formula = "linear, exp → mean of y · softplus(Normal(location, scale))"
    identity = "(u − location)² / (2 scale²) + log scale, y = mean · softplus(u): squared error, of log y near zero"
    beta = 0.5

    def __init__(self, features: int, domain: Positive, linear: Linear = nn.Linear) -> None:
        super().__init__(features, domain, linear)
        self.unit = level(domain.mean)
        # Deviations of y, seen through the slope of softplus at the mean, 1 − 1/e.
        self.spread = min(max(spread(domain.std) / self.unit / -math.expm1(-1.0), 0.01), 3.0)
        self.start = scipy.optimize.brentq(lambda start: _mean(start, self.spread) - 1.0, -40.0, 10.0)
        self.head = Head(features, [0.0, 0.0], linear)

    def forward(self, features: Tensor) -> SoftplusNormal:
        location, log_scale = self.head(features).unbind(-1)
        location = bounded(self.start + self.spread * location, -40.0, 1e6)
        return SoftplusNormal(
            location, self.spread * bounded(log_scale, -7.0, 7.0).exp(), self.unit, validate_args=False
        )


@default_rule.register
def _(domain: Positive) -> str:
    return "softplus-normal"
