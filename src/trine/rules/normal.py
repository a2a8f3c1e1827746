"""Real → normal, with a scale for each x or one for all."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from trine.domains import Real

from ._base import Linear, Rule, default_reconstruction, default_rule, rules
from ._links import Head, inverse_softplus, positive, spread


@rules.register("normal")
class NormalRule(Rule):
    r"""q(y given x) = N(location(z), scale(z)), location linear and scale by softplus.

    .. math:: -\log q(y) = \log s + \frac{(y - m)^2}{2 s^2} + \tfrac12 \log 2\pi

    The squared error, weighed by how sure q is of this x.

    References:
        Nix and Weigend, `Estimating the Mean and Variance of the Target Probability Distribution`, 1994.
    """

    serves = (Real,)
    formula = "linear, softplus → Normal(location, scale)"
    identity = "(y − location)² / (2 scale²) + log scale: squared error, weighed by a learned scale for each x"
    beta = 0.5

    def __init__(self, features: int, domain: Real, linear: Linear = nn.Linear) -> None:
        super().__init__(features, domain, linear)
        self.centre, self.unit = domain.mean, spread(domain.std)
        self.head = Head(features, [0.0, inverse_softplus(1.0)], linear)

    def forward(self, features: Tensor) -> Normal:
        location, scale = self.head(features).unbind(-1)
        return Normal(self.centre + self.unit * location, self.unit * positive(scale, low=-9.0), validate_args=False)


@rules.register("normal-fixed")
class NormalFixedRule(Rule):
    """q(y given x) = N(location(z), scale) with one learned scale: squared error is derived, not chosen."""

    serves = (Real,)
    formula = "linear → Normal(location, one learned scale)"
    identity = "(y − location)² / (2 scale²) + log scale: squared error, with one learned scale"

    def __init__(self, features: int, domain: Real, linear: Linear = nn.Linear) -> None:
        super().__init__(features, domain, linear)
        self.unit = spread(domain.std)
        self.head = Head(features, [domain.mean], linear)
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Normal:
        location = self.head(features).squeeze(-1)
        scale = self.unit * positive(self.scale + inverse_softplus(1.0), low=-9.0)
        return Normal(location, scale, validate_args=False)


@default_rule.register
def _(domain: Real) -> str:
    return "normal"


@default_reconstruction.register
def _(domain: Real) -> str:
    return "normal-fixed"
