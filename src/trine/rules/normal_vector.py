"""Vector → independent normals."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from trine.domains import Vector

from ._base import Linear, Rule, default_rule, rules
from ._links import Head, inverse_softplus, positive, spread


@rules.register("normal-vector")
class NormalVectorRule(Rule):
    r"""q(y given x) = Π_i N(location_i(z), scale_i(z)), locations linear and scales by softplus.

    Given x the entries are independent; what they share they share through z.

    .. math:: -\log q(y) = \sum_i \log s_i + \frac{(y_i - m_i)^2}{2 s_i^2} + \tfrac12 \log 2\pi
    """

    serves = (Vector,)
    formula = "linear, softplus → independent Normals(location, scale)"
    identity = (
        "Σ (y − location)² / (2 scale²) + log scale: squared error, weighed by a learned scale for each entry and x"
    )

    unit: Tensor

    def __init__(self, features: int, domain: Vector, linear: Linear = nn.Linear) -> None:
        super().__init__(features, domain, linear)
        self.register_buffer("unit", torch.tensor([spread(std) for std in domain.std]), persistent=False)
        self.head = Head(features, [*domain.mean, *(inverse_softplus(1.0) for _ in domain.std)], linear)

    def forward(self, features: Tensor) -> Distribution:
        location, scale = self.head(features).chunk(2, -1)
        normals = Normal(location, self.unit * positive(scale, low=-9.0), validate_args=False)
        return Independent(normals, 1, validate_args=False)


@default_rule.register
def _(domain: Vector) -> str:
    return "normal-vector"
