"""A vector as a generator makes it and a critic sees it: in standard deviations from the mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trine.choices import Choices
from trine.domains import Domain, Vector

from .makers import Maker, maker_for


class VectorMaker(Maker):
    """A vector's entries in standard deviations from their means, (batch, size).

    Args:
        domain: fitted. features: width of what it reads.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, domain: Any, features: int) -> None:
        super().__init__()
        self.features, self.shape = features, (int(domain.size),)
        std = torch.as_tensor(domain.std, dtype=torch.float32).expand(self.shape)
        self.register_buffer(
            "mean", torch.as_tensor(domain.mean, dtype=torch.float32).expand(self.shape).clone(), persistent=False
        )
        self.register_buffer("std", torch.where(std > 0, std, 1.0), persistent=False)
        self.linear = nn.Linear(features, self.shape[0])

    def forward(self, features: Tensor) -> Tensor:
        made: Tensor = self.linear(features)
        return made

    def seen(self, value: Tensor, present: Tensor | None = None, length: Tensor | None = None) -> Tensor:
        return ((value - self.mean) / self.std).nan_to_num(0.0)

    def encoded(self, seen: Tensor) -> list[Tensor]:
        return [seen * self.std + self.mean]


@maker_for.register
def _(first: Vector, domains: Sequence[Domain], features: int, choices: Choices, alone: bool) -> Maker:
    return VectorMaker(first, features)
