"""Vectors: numbers of one kind that come together, such as sensor readings or another network's features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from trine.choices import Choices
from trine.domains import Domain, Vector

from ._base import field_encoder


class Vectorial(Protocol):
    """What a vector's domain tells, in encoded units: its size, and mean and std over rows (one number or one an
    entry).
    """

    @property
    def size(self) -> int: ...
    @property
    def mean(self) -> Any: ...
    @property
    def std(self) -> Any: ...


class Vectors(nn.Module):
    """Standardised and smoothly clipped entries, z/√(1 + (z/3)²), a missing entry at the mean: (batch, size) → (batch,
    size).
    """

    mean: Tensor
    inverse_std: Tensor

    def __init__(self, domain: Vectorial) -> None:
        super().__init__()
        self.features = domain.size
        std = torch.as_tensor(domain.std, dtype=torch.float32)
        self.register_buffer("mean", torch.as_tensor(domain.mean, dtype=torch.float32))
        self.register_buffer("inverse_std", torch.where(std > 0, 1.0 / std, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        z = ((x - self.mean) * self.inverse_std).nan_to_num(0.0).clamp(-1e6, 1e6)
        return z * torch.rsqrt(1.0 + (z / 3.0).square())

    def title(self) -> str:
        """The row of the derivation."""
        return f"vector of {self.features}, standardised"


@field_encoder.register(Vector)
def vectors(first: Vector, domains: Sequence[Domain], choices: Choices) -> Vectors:
    """The block of a vector's own field."""
    return Vectors(first)
