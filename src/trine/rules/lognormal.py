"""Positive → log-normal: the squared error of the logarithm."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.distributions import LogNormal

from trine.domains import Positive

from ._base import Linear, Rule, rules
from ._links import Head, bounded, inverse_softplus, level, positive, spread


@rules.register("lognormal")
class LogNormalRule(Rule):
    r"""log y given x is N(location(z), scale(z)), location linear and scale by softplus.

    .. math:: -\log q(y) = \log y + \log s + \frac{(\log y - m)^2}{2 s^2} + \tfrac12 \log 2\pi

    The mean exists: exp(m + s²/2). Locations stay within ±20 and scales below 4, so that it and the variance are finite
    in float32.
    """

    serves = (Positive,)
    formula = "linear, softplus → LogNormal(location, scale)"
    identity = "(log y − location)² / (2 scale²) + log scale: squared error of log y, weighed by a learned scale"

    def __init__(self, features: int, domain: Positive, linear: Linear = nn.Linear) -> None:
        super().__init__(features, domain, linear)
        variance = math.log1p((spread(domain.std) / level(domain.mean)) ** 2)
        self.unit = max(math.sqrt(variance), 1e-3)
        self.head = Head(features, [math.log(level(domain.mean)) - variance / 2, inverse_softplus(1.0)], linear)

    def forward(self, features: Tensor) -> LogNormal:
        location, scale = self.head(features).unbind(-1)
        scale = self.unit * positive(scale, low=-7.0, high=4.0 / self.unit)
        return LogNormal(bounded(location, -20.0, 20.0), scale, validate_args=False)
