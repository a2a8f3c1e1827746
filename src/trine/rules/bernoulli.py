"""Unit → Bernoulli, for values of 0 and 1 (or shares of successes)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.distributions import Bernoulli

from trine.domains import Unit

from ._base import Linear, Rule, rules
from ._links import Head, logit


@rules.register("bernoulli")
class BernoulliRule(Rule):
    r"""q(y given x) = Bernoulli(sigmoid(a(z))).

    .. math:: -\log q(y) = \operatorname{softplus}(a) - y a, \qquad \partial_a = \sigma(a) - y
    """

    serves = (Unit,)
    formula = "sigmoid → Bernoulli(probability)"
    identity = "−y log p − (1 − y) log(1 − p): binary cross-entropy"

    def __init__(self, features: int, domain: Unit, linear: Linear = nn.Linear) -> None:
        super().__init__(features, domain, linear)
        self.head = Head(features, [logit(min(max(domain.mean, 1e-3), 1 - 1e-3))], linear)

    def forward(self, features: Tensor) -> Bernoulli:
        return Bernoulli(logits=self.head(features).squeeze(-1), validate_args=False)
