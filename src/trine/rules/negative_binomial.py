"""Count → negative binomial: a Poisson whose rate varies."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import NegativeBinomial

from trine.domains import Count

from ._base import Linear, Rule, default_rule, rules
from ._links import Head, bounded, level


def total_of(domain: Count) -> float:
    """The dispersion r at which the variance is that of the training values, within reason."""
    mean = level(domain.mean)
    excess = domain.std**2 - mean
    return min(max(mean**2 / excess, 0.05), 1e3) if excess > 0 else 1e3


@rules.register("negative-binomial")
class NegativeBinomialRule(Rule):
    r"""q(y given x) of mean m(z) and variance m + m²/r(z), both m and r by exp.

    In PyTorch's terms ``total_count`` is r and ``logits`` is log m − log r. As r grows it becomes Poisson(m).

    .. math:: -\log q(y) = (y + r) \log (1 + m / r) - y \log (m / r) + \log \frac{\Gamma(r)\, y!}{\Gamma(r + y)}
    """

    serves = (Count,)
    formula = "exp → NegativeBinomial(mean, dispersion)"
    identity = "(y + r) log(1 + mean/r) − y log(mean/r) + …: Poisson deviance that forgives overdispersion 1/r"

    def __init__(self, features: int, domain: Count, linear: Linear = nn.Linear) -> None:
        super().__init__(features, domain, linear)
        self.head = Head(features, [math.log(level(domain.mean)), math.log(total_of(domain))], linear)

    def forward(self, features: Tensor) -> NegativeBinomial:
        log_mean, log_total = self.head(features).unbind(-1)
        log_mean, log_total = bounded(log_mean, -15.0, 20.0), bounded(log_total, -4.0, 9.0)
        return NegativeBinomial(log_total.exp(), logits=log_mean - log_total, validate_args=False)


@rules.register("negative-binomial-fixed")
class NegativeBinomialFixedRule(Rule):
    """As ``negative-binomial``, with one learned dispersion r: the regression of generalised linear models.

    A dispersion for each x would let the model excuse a poor mean by a large variance.
    """

    serves = (Count,)
    formula = "exp → NegativeBinomial(mean, one learned dispersion)"
    identity = NegativeBinomialRule.identity

    def __init__(self, features: int, domain: Count, linear: Linear = nn.Linear) -> None:
        super().__init__(features, domain, linear)
        mean = level(domain.mean)
        self.start = math.log(total_of(domain))
        self.head = Head(features, [math.log(mean)], linear)
        self.log_total = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> NegativeBinomial:
        log_mean = bounded(self.head(features).squeeze(-1), -15.0, 20.0)
        log_total = bounded(self.log_total + self.start, -4.0, 9.0)
        return NegativeBinomial(log_total.exp(), logits=log_mean - log_total, validate_args=False)


@default_rule.register
def _(domain: Count) -> str:
    return "negative-binomial-fixed"
