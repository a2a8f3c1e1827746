"""Positive → gamma, by softplus or exp."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import Gamma

from trine.domains import Positive

from ._base import Linear, Rule, rules
from ._links import Head, bounded, inverse_softplus, level, positive, spread

SHAPES = (0.05, 1e4)
"""Least and greatest concentration: coefficients of variation between 4.5 and 1 %, exact in float32."""


def concentration_of(domain: Positive) -> float:
    """Concentration whose coefficient of variation is that of the training values, within reason."""
    ratio: float = level(domain.mean) / spread(domain.std)
    return min(max(ratio * ratio, 0.1), 1e3)


@rules.register("gamma")
class GammaRule(Rule):
    r"""q(y given x) = Gamma(concentration(z), concentration(z) / mean(z)), both by softplus.

    With the mean m and the concentration a, rate a/m,

    .. math:: -\log q(y) = a (y / m + \log m) - (a - 1) \log y - a \log a + \log \Gamma(a)

    whose minimum in m is the mean of y: for a fixed concentration it is half the gamma deviance times a.
    """

    serves = (Positive,)
    formula = "softplus → Gamma(concentration, rate = concentration / mean)"
    identity = "concentration · (y / mean + log mean) + …: gamma deviance, weighed by one for each x"

    def __init__(self, features: int, domain: Positive, linear: Linear = nn.Linear) -> None:
        super().__init__(features, domain, linear)
        self.head = Head(
            features, [inverse_softplus(level(domain.mean)), inverse_softplus(concentration_of(domain))], linear
        )

    def forward(self, features: Tensor) -> Gamma:
        mean, concentration = self.head(features).unbind(-1)
        mean = positive(mean, low=-20.0, high=1e8)
        concentration = positive(concentration, low=math.log(SHAPES[0]), high=SHAPES[1])
        return Gamma(concentration, concentration / mean, validate_args=False)


@rules.register("gamma-exp")
class GammaExpRule(Rule):
    """As ``gamma``, with the logarithms of mean and concentration linear in z: effects multiply."""

    serves = (Positive,)
    formula = "exp → Gamma(concentration, rate = concentration / mean)"
    identity = GammaRule.identity

    def __init__(self, features: int, domain: Positive, linear: Linear = nn.Linear) -> None:
        super().__init__(features, domain, linear)
        self.head = Head(features, [math.log(level(domain.mean)), math.log(concentration_of(domain))], linear)

    def forward(self, features: Tensor) -> Gamma:
        log_mean, log_concentration = self.head(features).unbind(-1)
        concentration = bounded(log_concentration, math.log(SHAPES[0]), math.log(SHAPES[1])).exp()
        return Gamma(concentration, concentration / bounded(log_mean, -20.0, 18.0).exp(), validate_args=False)


@rules.register("gamma-fixed")
class GammaFixedRule(Rule):
    """As ``gamma-exp``, with one learned concentration: the gamma regression of generalised linear models."""

    serves = (Positive,)
    formula = "exp → Gamma(one learned concentration, rate = concentration / mean)"
    identity = "concentration · (y / mean + log mean) + …: gamma deviance"

    def __init__(self, features: int, domain: Positive, linear: Linear = nn.Linear) -> None:
        super().__init__(features, domain, linear)
        self.start = math.log(concentration_of(domain))
        self.head = Head(features, [math.log(level(domain.mean))], linear)
        self.log_concentration = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Gamma:
        log_mean = bounded(self.head(features).squeeze(-1), -20.0, 18.0)
        concentration = bounded(self.log_concentration + self.start, math.log(SHAPES[0]), math.log(SHAPES[1])).exp()
        return Gamma(concentration, concentration / log_mean.exp(), validate_args=False)
