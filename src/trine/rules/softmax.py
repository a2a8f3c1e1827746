"""Category → softmax; two categories → sigmoid."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution
from torch.nn.functional import log_softmax

from trine.domains import Category
from trine.errors import SchemaError

from ._base import Linear, Rule, default_rule, rules
from ._links import Head


def start_shares(domain: Category) -> list[float]:
    """Shares of the categories in the training rows, none of them zero."""
    least = 0.01 / len(domain.labels)
    shares = [max(share, least) for share in domain.shares] or [1.0 / len(domain.labels)] * len(domain.labels)
    return [share / sum(shares) for share in shares]


class SoftmaxCategorical(Categorical):
    """torch's ``Categorical`` of logits, normalised by one fused operation in place of two.

    Args:
        logits: (..., categories), normalised or not.
        validate_args: whether the logits are checked.
    """

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        self.logits = self._param = log_softmax(logits, -1)
        self._num_events = logits.shape[-1]
        Distribution.__init__(self, logits.shape[:-1], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Categorical:
        """The same distribution, repeated over ``batch_shape``."""
        kind = type(self)
        new: Categorical = super().expand(batch_shape, _instance or kind.__new__(kind))  # type: ignore[no-untyped-call]
        return new


@rules.register("softmax")
class SoftmaxRule(Rule):
    r"""q(y given x) = Categorical(softmax(a(z))).

    .. math:: -\log q(y) = \log \sum_k e^{a_k} - a_y, \qquad \partial_a = \operatorname{softmax}(a) - \text{onehot}(y)
    """

    serves = (Category,)
    formula = "softmax → Categorical(probabilities)"
    identity = "−log p(y): cross-entropy"

    def __init__(self, features: int, domain: Category, linear: Linear = nn.Linear) -> None:
        super().__init__(features, domain, linear)
        self.head = Head(features, [math.log(share) for share in start_shares(domain)], linear)

    def forward(self, features: Tensor) -> Categorical:
        return SoftmaxCategorical(logits=self.head(features), validate_args=False)


@rules.register("sigmoid")
class SigmoidRule(Rule):
    r"""q(y given x) over two categories from one number: P(second) = sigmoid(a(z)).

    It is a ``Categorical`` of logits (0, a), so that two classes read like any other number of them.

    .. math:: -\log q(y) = \operatorname{softplus}(a) - y a, \qquad \partial_a = \sigma(a) - y

    Raises:
        SchemaError: the domain has not two categories.
    """

    serves = (Category,)
    formula = "sigmoid → Categorical(1 − p, p)"
    identity = "−log p(y): binary cross-entropy"

    def __init__(self, features: int, domain: Category, linear: Linear = nn.Linear) -> None:
        super().__init__(features, domain, linear)
        if len(domain.labels) != 2:
            count = len(domain.labels)
            raise SchemaError(f"The rule 'sigmoid' decides between 2 categories and y has {count}; use 'softmax'.")
        first, second = start_shares(domain)
        self.head = Head(features, [math.log(second / first)], linear)

    def forward(self, features: Tensor) -> Categorical:
        a = self.head(features)
        return SoftmaxCategorical(logits=torch.cat([torch.zeros_like(a), a], -1), validate_args=False)


@default_rule.register
def _(domain: Category) -> str:
    if len(domain.labels) == 2:
        return "sigmoid"
    return "cumulative" if domain.ordered else "softmax"
