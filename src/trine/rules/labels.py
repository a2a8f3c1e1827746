"""Labels → a Bernoulli for each."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent

from trine.domains import Labels

from ._base import Linear, Rule, default_rule, rules
from ._links import Head, logit
from ._mixture import mixture


@rules.register("bernoulli-set")
class BernoulliSetRule(Rule):
    r"""q(y given x) = Π_k Bernoulli(sigmoid(a_k(z))): each label is in the set or not.

    Given x the labels are independent; what they share they share through z.

    .. math:: -\log q(y) = \sum_k \operatorname{softplus}(a_k) - y_k a_k, \qquad \partial_a = \sigma(a) - y
    """

    serves = (Labels,)
    formula = "sigmoid → independent Bernoullis(probability), one a label"
    identity = "Σ −y log p − (1 − y) log(1 − p): binary cross-entropy, summed over the labels"

    def __init__(self, features: int, domain: Labels, linear: Linear = nn.Linear) -> None:
        super().__init__(features, domain, linear)
        least = 0.5 / max(domain.rows, 1)
        self.head = Head(features, [logit(min(max(share, least), 1 - least)) for share in domain.shares], linear)

    def forward(self, features: Tensor) -> Distribution:
        return Independent(Bernoulli(logits=self.head(features), validate_args=False), 1, validate_args=False)


@mixture.register(Independent)
def _(q: Independent[Any]) -> Distribution:
    """Of sets the members' probabilities are averaged label by label: labels stay independent, and n × labels numbers."""
    if isinstance(q.base_dist, Bernoulli):
        return Independent(mixture(q.base_dist), q.reinterpreted_batch_ndims, validate_args=False)
    return mixture.dispatch(Distribution)(q)


@default_rule.register
def _(domain: Labels) -> str:
    return "bernoulli-set"
