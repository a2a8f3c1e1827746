"""Count → Poisson, by exp."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.distributions import Poisson

from trine.domains import Count

from ._base import Linear, Rule, rules
from ._links import Head, bounded, level


@rules.register("poisson")
class PoissonRule(Rule):
    r"""q(y given x) = Poisson(e^{a(z)}).

    .. math:: -\log q(y) = e^a - y a + \log y!, \qquad \partial_a = e^a - y

    Its variance is its mean; counts that vary more want ``negative-binomial``.
    """

    serves = (Count,)
    formula = "exp → Poisson(rate)"
    identity = "rate − y log rate: Poisson deviance / 2"

    def __init__(self, features: int, domain: Count, linear: Linear = nn.Linear) -> None:
        super().__init__(features, domain, linear)
        self.head = Head(features, [math.log(level(domain.mean))], linear)

    def forward(self, features: Tensor) -> Poisson:
        return Poisson(bounded(self.head(features).squeeze(-1), -15.0, 20.0).exp(), validate_args=False)
