"""A critic: what is seen of a row → one number, or one a patch; of a condition it has an encoder of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from trine.choices import Choices
from trine.domains import Domain

from .encoder import Encoder
from .makers import Made, critic_for, parts_of

SLOPE = 0.2
"""Of the rectifier below zero: a critic without it loses the gradient that a generator needs."""
HIDDEN = (256, 256)


class Critic(nn.Module):
    """(batch, *shape)[, a condition] → (batch,): v = w · h(x) + b, and of a condition c also ⟨h(x), V e(c)⟩ (projection).

    No normalisation over the batch: a row's value is its own, and penalties on its slope are what they say. Each field goes
    through its block, the features of several fields or of a table through dense layers with leaky rectifiers.

    Args:
        made: the columns that are judged. domains: of these, field by field.
        choices: resolved. condition: column → domain of x, where what is judged has a condition.

    References:
        Miyato and Koyama, `cGANs with Projection Discriminator`, 2018.
    """

    def __init__(
        self,
        made: Made,
        domains: Mapping[str, Domain],
        choices: Choices,
        condition: Mapping[str, Domain] | None = None,
    ) -> None:
        super().__init__()
        self.shapes = list(made.shapes)
        groups = [[domains[column] for column in columns] for columns in made.fields.values()]
        self.blocks = nn.ModuleList(
            critic_for(group[0], group, shape, choices) for group, shape in zip(groups, self.shapes, strict=True)
        )
        width = sum(_features(block) for block in self.blocks)
        drawn = len(self.blocks) == 1 and len(self.shapes[0]) > 1
        hidden = () if drawn else (choices.hidden or HIDDEN)
        self.dense = nn.ModuleList()
        for features in hidden:
            self.dense.append(nn.Linear(width, features))
            width = features
        self.value = nn.Linear(width, 1)
        self.condition = Encoder(condition, choices) if condition else None
        self.projection = nn.Linear(self.condition.features, width, bias=False) if self.condition is not None else None
        for layer in self.dense:
            assert isinstance(layer, nn.Linear)
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            nn.init.zeros_(layer.bias)

    def features(self, value: Tensor) -> Tensor:
        """(batch, width) h(x)."""
        parts = [block(part) for block, part in zip(self.blocks, parts_of(value, self.shapes), strict=True)]
        h = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        for layer in self.dense:
            h = leaky_relu(layer(h), SLOPE)
        return h

    def forward(self, value: Tensor, given: Mapping[str, Tensor] | None = None) -> Tensor:
        h = self.features(value)
        judged: Tensor = self.value(h).squeeze(1)
        if self.condition is not None and self.projection is not None:
            assert given is not None, "a critic with a condition is asked without one"
            projected = self.projection(self.condition(given))
            judged = judged + (h * projected).sum(1) / projected.shape[1] ** 0.5
        return judged


def _features(block: Any) -> int:
    return int(block.features)
