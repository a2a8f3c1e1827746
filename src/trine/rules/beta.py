"""Unit → beta."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Beta

from trine.domains import Unit

from ._base import Linear, Rule, default_rule, rules
from ._links import Head, bounded, inverse_softplus, logit, positive


@rules.register("beta")
class BetaRule(Rule):
    r"""q(y given x) = Beta(m k, (1 − m) k): mean m(z) by sigmoid, precision k(z) by softplus.

    .. math:: -\log q(y) = -(m k - 1) \log y - ((1 - m) k - 1) \log (1 - y) + \log B(m k, (1 - m) k)

    References:
        Ferrari and Cribari-Neto, `Beta Regression for Modelling Rates and Proportions`, 2004.
    """

    serves = (Unit,)
    formula = "sigmoid, softplus → Beta(mean · precision, (1 − mean) · precision)"
    identity = "−log Beta density: no squared error; errors near 0 and 1 count more"

    def __init__(self, features: int, domain: Unit, linear: Linear = nn.Linear) -> None:
        super().__init__(features, domain, linear)
        mean = min(max(domain.mean, 1e-3), 1 - 1e-3)
        precision = min(max(mean * (1 - mean) / max(domain.std**2, 1e-6) - 1, 0.1), 1e3)
        self.head = Head(features, [logit(mean), inverse_softplus(precision)], linear)

    def forward(self, features: Tensor) -> Beta:
        mean, precision = self.head(features).unbind(-1)
        mean = bounded(mean, -9.0, 9.0)
        precision = positive(precision, low=-3.0, high=1e4)
        return Beta(torch.sigmoid(mean) * precision, torch.sigmoid(-mean) * precision, validate_args=False)


@default_rule.register
def _(domain: Unit) -> str:
    # Values of 0 and 1 alone have the greatest variance there can be for their mean.
    return "bernoulli" if domain.std**2 > 0.999 * domain.mean * (1 - domain.mean) else "beta"
