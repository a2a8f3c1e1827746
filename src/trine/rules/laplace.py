"""Real → Laplace: the absolute error."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.distributions import Laplace

from trine.domains import Real

from ._base import Linear, Rule, rules
from ._links import Head, inverse_softplus, positive, spread


@rules.register("laplace")
class LaplaceRule(Rule):
    r"""q(y given x) = Laplace(location(z), scale(z)), location linear and scale by softplus.

    .. math:: -\log q(y) = \log 2 b + |y - m| / b
    """

    serves = (Real,)
    formula = "linear, softplus → Laplace(location, scale)"
    identity = "|y − location| / scale + log scale: absolute error, weighed by a learned scale for each x"

    def __init__(self, features: int, domain: Real, linear: Linear = nn.Linear) -> None:
        super().__init__(features, domain, linear)
        self.unit = spread(domain.std) / math.sqrt(2.0)
        self.head = Head(features, [domain.mean, inverse_softplus(1.0)], linear)

    def forward(self, features: Tensor) -> Laplace:
        location, scale = self.head(features).unbind(-1)
        return Laplace(location, self.unit * positive(scale, low=-9.0), validate_args=False)
