"""Sets of labels as an input: the sum of a learned vector for each label that a row has."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from trine.choices import Choices
from trine.domains import Domain, Labels

from ._base import field_encoder

WIDEST = 32


class LabelSet(nn.Module):
    """(batch, labels) of 0 and 1 → (batch, features): Σ of the vectors of a row's labels, less their mean over training rows."""

    def __init__(self, domain: Labels) -> None:
        super().__init__()
        self.features = min(domain.size, WIDEST)
        self.linear = nn.Linear(domain.size, self.features)
        nn.init.normal_(self.linear.weight, std=1.0 / math.sqrt(max(domain.mean, 1.0)))
        share = self.linear.weight.new_tensor(domain.shares)
        self.linear.bias.data = -self.linear.weight.data @ share

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.linear(x)
        return found

    def title(self) -> str:
        """The row of the derivation."""
        return f"sets of {self.linear.in_features} labels, summed vectors of {self.features} features"


@field_encoder.register(Labels)
def label_sets(first: Labels, domains: Sequence[Domain], choices: Choices) -> LabelSet:
    """The block of a set of labels' own field."""
    return LabelSet(first)
