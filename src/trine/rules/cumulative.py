"""Ordered category → cumulative logits: one score and increasing thresholds."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.nn.functional import logsigmoid, softplus

from trine.domains import Category
from trine.errors import SchemaError

from ._base import Linear, Rule, rules
from ._links import Head, inverse_softplus, logit
from .softmax import start_shares

LEAST_GAP = 1e-3


class OrderedCategorical(Categorical):
    """A categorical distribution whose codes are in order, so that the distance of two categories means something."""


@rules.register("cumulative")
class CumulativeRule(Rule):
    r"""P(y ≤ k given x) = sigmoid(c_k − score(z)), with learned thresholds c_1 < c_2 < ….

    .. math:: -\log q(y) = -\log \bigl(\sigma(c_y - s) - \sigma(c_{y-1} - s)\bigr)

    Raises:
        SchemaError: the categories have no order.

    References:
        McCullagh, `Regression Models for Ordinal Data`, 1980.
    """

    serves = (Category,)
    formula = "sigmoid of (increasing thresholds − score) → ordered Categorical"
    identity = "−log (σ(c_y − score) − σ(c_{y−1} − score)): cross-entropy that knows the order"

    def __init__(self, features: int, domain: Category, linear: Linear = nn.Linear) -> None:
        super().__init__(features, domain, linear)
        if not domain.ordered:
            raise SchemaError(
                "The rule 'cumulative' needs ordered categories. State their order in y's domain, or use 'softmax'."
            )
        below = list(itertools.accumulate(start_shares(domain)))[:-1]
        thresholds = [logit(min(max(share, 1e-6), 1 - 1e-6)) for share in below]
        gaps = [max(b - a - LEAST_GAP, 1e-3) for a, b in itertools.pairwise(thresholds)]
        start = torch.tensor([thresholds[0], *(inverse_softplus(gap) for gap in gaps)])
        self.start: Tensor
        self.register_buffer("start", start, persistent=False)
        self.thresholds = nn.Parameter(torch.zeros_like(start))
        self.head = Head(features, [0.0], linear)

    def cuts(self) -> Tensor:
        """(categories − 1,) increasing thresholds."""
        raw = self.start + self.thresholds
        return torch.cat([raw[:1], softplus(raw[1:]) + LEAST_GAP]).cumsum(0)

    def forward(self, features: Tensor) -> OrderedCategorical:
        # log(σ(b) − σ(a)) = log σ(b) + log σ(−a) + log(1 − e^{a−b}): exact in the tails, where the difference is not.
        cuts = self.cuts()
        at = cuts - self.head(features)  # (..., categories − 1)
        between = torch.log(-torch.expm1(-(cuts[1:] - cuts[:-1])))
        logits = torch.cat(
            [
                logsigmoid(at[..., :1]),
                logsigmoid(at[..., 1:]) + logsigmoid(-at[..., :-1]) + between,
                logsigmoid(-at[..., -1:]),
            ],
            -1,
        )
        return OrderedCategorical(logits=logits, validate_args=False)
