"""Unit → logit-normal: a normal seen through the sigmoid."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Normal, SigmoidTransform, TransformedDistribution, constraints

from trine.domains import Unit

from ._base import Linear, Rule, rules
from ._cdf import cdf
from ._links import Head, bounded, inverse_softplus, logit, positive
from ._quadrature import normal_mean


class LogitNormal(TransformedDistribution):
    """Y = sigmoid(X), X ~ N(loc, scale); mean and variance by Gauss-Hermite quadrature with 64 nodes.

    Args:
        loc: mean of logit Y. scale: its standard deviation, positive.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # noqa: RUF012
    support = constraints.unit_interval
    has_rsample = True
    base_dist: Normal

    def __init__(self, loc: Tensor | float, scale: Tensor | float, validate_args: bool | None = None) -> None:
        super().__init__(
            Normal(loc, scale, validate_args=validate_args), SigmoidTransform(), validate_args=validate_args
        )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Distribution:
        new = self._get_checked_instance(LogitNormal, _instance)  # type: ignore[no-untyped-call]
        expanded: Distribution = super().expand(batch_shape, _instance=new)  # type: ignore[no-untyped-call]
        return expanded

    @property
    def loc(self) -> Tensor:
        """Mean of logit Y."""
        return self.base_dist.loc

    @property
    def scale(self) -> Tensor:
        """Standard deviation of logit Y."""
        return self.base_dist.scale

    def _moment(self, power: int) -> Tensor:
        return normal_mean(self.base_dist, lambda x: torch.sigmoid(x) ** power)

    @property
    def mean(self) -> Tensor:
        """E Y."""
        return self._moment(1)

    @property
    def variance(self) -> Tensor:
        """Var Y."""
        return (self._moment(2) - self._moment(1) ** 2).clamp_min(0.0)


@cdf.register
def _(q: LogitNormal, value: Tensor) -> Tensor:
    limits = torch.finfo(q.loc.dtype)
    inside = cdf(q.base_dist, torch.logit(value.clamp(limits.tiny, 1 - limits.eps)))
    return torch.where(value <= 0, 0.0, torch.where(value < 1, inside, 1.0))


@rules.register("logit-normal")
class LogitNormalRule(Rule):
    r"""logit y given x is N(location(z), scale(z)), location linear and scale by softplus.

    .. math:: -\log q(y) = \log y (1 - y) + \log s + \frac{(\operatorname{logit} y - m)^2}{2 s^2} + \tfrac12 \log 2\pi
    """

    serves = (Unit,)
    formula = "linear, softplus → LogitNormal(location, scale)"
    identity = "(logit y − location)² / (2 scale²) + log scale: squared error of logit y, weighed by a learned scale"

    def __init__(self, features: int, domain: Unit, linear: Linear = nn.Linear) -> None:
        super().__init__(features, domain, linear)
        mean = min(max(domain.mean, 1e-3), 1 - 1e-3)
        self.unit = min(max(domain.std / (mean * (1 - mean)), 0.05), 5.0)
        self.head = Head(features, [logit(mean), inverse_softplus(1.0)], linear)

    def forward(self, features: Tensor) -> LogitNormal:
        location, scale = self.head(features).unbind(-1)
        scale = self.unit * positive(scale, low=-7.0, high=10.0 / self.unit)
        return LogitNormal(bounded(location, -12.0, 12.0), scale, validate_args=False)
