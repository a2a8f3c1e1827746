"""Samples as a distribution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from ._tails import below, lower_quantile, upper_quantile


class Empirical(Distribution):
    """Samples of a number as a distribution: each of the same mass.

    Args:
        samples: (n,) or (n, 1).
    """

    arg_constraints = {}  # noqa: RUF012
    support = constraints.real

    def __init__(self, samples: Tensor) -> None:
        super().__init__(validate_args=False)
        self.samples = samples.flatten().double().sort().values

    def expand(self, batch_shape: Any, _instance: Any = None) -> Empirical:
        if torch.Size(batch_shape):
            raise NotImplementedError("samples have no batch shape")
        return self

    @property
    def mean(self) -> Tensor:
        """Of the samples."""
        return self.samples.mean()


@below.register
def _(q: Empirical, x: Tensor) -> Tensor:
    return torch.searchsorted(q.samples, x.contiguous(), right=True).double() / len(q.samples)


def _ranked(q: Empirical, level: Tensor) -> Tensor:
    return q.samples[level.ceil().long().clamp(1, len(q.samples)) - 1]


@lower_quantile.register
def _(q: Empirical, u: Tensor) -> Tensor:
    return _ranked(q, u * len(q.samples))


@upper_quantile.register
def _(q: Empirical, u: Tensor) -> Tensor:
    return _ranked(q, (1 - u) * len(q.samples))
