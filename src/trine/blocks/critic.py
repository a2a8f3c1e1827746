"""A critic: what is seen of a row → one number, several, or one a patch; of a condition it has an encoder of its own."""

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
    """(batch, *shape)[, a condition] → (batch,): v = w · h(x) + b, and of a condition c also ⟨h(x), V e(c)⟩/√width (projection).

    Where a divergence compares rows by several numbers, (batch, numbers): W h(x) + b, of a condition W (h(x) ⊙ (1 + V e(c))) + b.

    No normalisation over the batch: a row's value is its own, and penalties on its slope are what they say. Each field goes
    through its block, the features of several fields or of a table through dense layers with leaky rectifiers.

    Args:
        made: the columns that are judged. domains: of these, field by field.
        choices: resolved. condition: column → domain of x, where what is judged has a condition.
        pack: rows that are judged at once. Where it is 2 or more (packs, pack, *shape) → (packs,), a picture's channels one after
            the other, other features likewise; and of rows, (batch, *shape) → (batch,), each has the value of its pack.
        numbers: that it gives.

    References:
        Miyato and Koyama, `cGANs with Projection Discriminator`, 2018. Lin et al., `PacGAN`, 2018.
    """

    def __init__(
        self,
        made: Made,
        domains: Mapping[str, Domain],
        choices: Choices,
        condition: Mapping[str, Domain] | None = None,
        pack: int = 1,
        numbers: int = 1,
    ) -> None:
        super().__init__()
        self.shapes, self.pack = list(made.shapes), pack
        groups = [[domains[column] for column in columns] for columns in made.fields.values()]
        drawn = len(groups) == 1 and len(self.shapes[0]) > 1
        # A single field with places is stacked before its block, which so compares rows place by place.
        self.stacked = drawn and pack > 1
        read = [(pack * shape[0], *shape[1:]) if self.stacked else shape for shape in self.shapes]
        self.blocks = nn.ModuleList(
            critic_for(group[0], group, shape, choices) for group, shape in zip(groups, read, strict=True)
        )
        width = sum(_features(block) for block in self.blocks) * (1 if self.stacked else pack)
        hidden = () if drawn else (choices.hidden or HIDDEN)
        self.dense = nn.ModuleList()
        for features in hidden:
            self.dense.append(nn.Linear(width, features))
            width = features
        self.value = nn.Linear(width, numbers)
        self.rows = len(made.shape) + 1
        self.condition = Encoder(condition, choices) if condition else None
        self.projection = nn.Linear(self.condition.features, width, bias=False) if self.condition is not None else None
        for layer in self.dense:
            assert isinstance(layer, nn.Linear)
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            nn.init.zeros_(layer.bias)

    def features(self, value: Tensor) -> Tensor:
        """(batch, width) h(x), of packs (packs, width)."""
        packs = len(value) if self.pack > 1 else None
        if packs is not None:
            value = value.flatten(1, 2) if self.stacked else value.flatten(0, 1)
        parts = [block(part) for block, part in zip(self.blocks, parts_of(value, self.shapes), strict=True)]
        h = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        if packs is not None and not self.stacked:
            h = h.reshape(packs, -1)
        for layer in self.dense:
            h = leaky_relu(layer(h), SLOPE)
        return h

    def forward(self, value: Tensor, given: Mapping[str, Tensor] | None = None) -> Tensor:
        if self.pack > 1 and value.dim() == self.rows:
            each: Tensor = self(packs(value, self.pack), given)
            return each.repeat_interleave(self.pack)[: len(value)]
        h = self.features(value)
        projected = None
        if self.condition is not None and self.projection is not None:
            assert given is not None, "a critic with a condition is asked without one"
            projected = self.projection(self.condition(given))
        if self.value.out_features > 1:
            judged: Tensor = self.value(h if projected is None else h * (1 + projected))
            return judged
        judged = self.value(h).squeeze(1)
        return judged if projected is None else judged + (h * projected).sum(1) / projected.shape[1] ** 0.5


def packs(rows: Tensor, pack: int) -> Tensor:
    """(batch, ...) → (⌈batch / pack⌉, pack, ...); what the last lacks are the first rows over again."""
    count = -(-len(rows) // pack) * pack
    if count != len(rows):
        rows = rows[torch.arange(count, device=rows.device) % len(rows)]
    return rows.reshape(count // pack, pack, *rows.shape[1:])


def _features(block: Any) -> int:
    return int(block.features)
