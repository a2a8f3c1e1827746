"""Many columns of real numbers at once: one linear map and one kernel for all, as a table of fifty columns wants it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Normal, constraints
from torch.distributions.utils import broadcast_all

from trine.domains import Numeric

from ._links import Head, inverse_softplus, positive, spread

LEAST_SCALE = math.log(1e-2)
"""Logarithm of the least scale, in standard deviations of the column: a column that can be told exactly, a constant one or a
sum of others, would else take all of the criterion."""


class KnownNormal(Distribution):
    """Independent normals over the numbers of a row, of which some may be missing: a NaN adds nothing to ``log_prob``.

    Args:
        loc: (..., numbers). scale: positive, likewise.
    """

    arg_constraints = {"loc": constraints.real_vector, "scale": constraints.positive}  # noqa: RUF012
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape[:-1], self.loc.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """E Y."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """Of each number."""
        return self.scale.square()

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Samples with a gradient."""
        shape = self._extended_shape(torch.Size(sample_shape))
        return self.loc + self.scale * torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)

    def log_prob(self, value: Tensor) -> Tensor:
        """Of the numbers that are known, summed."""
        known = ~value.isnan()
        z = (torch.where(known, value, self.loc) - self.loc) / self.scale
        each = -0.5 * z.square() - self.scale.log() - 0.5 * math.log(2 * math.pi)
        return torch.where(known, each, 0.0).sum(-1)

    def column(self, index: int) -> Normal:
        """The distribution of one of the numbers."""
        return Normal(self.loc[..., index], self.scale[..., index], validate_args=False)


class NormalColumns(nn.Module):
    r"""q(x given z) = Π_j N(location_j(z), scale_j) over the columns j of real numbers, one learned scale a column.

    Args:
        features: width of what is read.
        domains: of the columns, fitted.
    """

    formula = "linear → Normal(location, one learned scale a column)"
    identity = "Σ (x − location)² / (2 scale²) + log scale: squared error, each column in units of a learned scale"

    centre: Tensor
    unit: Tensor

    def __init__(self, features: int, domains: Sequence[Numeric]) -> None:
        super().__init__()
        self.register_buffer("centre", torch.tensor([domain.mean for domain in domains]), persistent=False)
        self.register_buffer("unit", torch.tensor([spread(domain.std) for domain in domains]), persistent=False)
        self.head = Head(features, [0.0] * len(domains))
        self.scale = nn.Parameter(torch.zeros(len(domains)))

    def forward(self, features: Tensor) -> KnownNormal:
        scale = positive(self.scale + inverse_softplus(1.0), low=LEAST_SCALE)
        return KnownNormal(self.centre + self.unit * self.head(features), self.unit * scale)
