"""Distributions that torch has not, on the line: the logistic, and mixtures of components of any families."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from trine.errors import ChoiceError
from trine.rules import Logistic as Logistic
from trine.rules import map_arguments

from . import line


@line.below.register
def _(q: Logistic, x: Tensor) -> Tensor:
    return torch.sigmoid((x - q.loc) / q.scale)


@line.above.register
def _(q: Logistic, x: Tensor) -> Tensor:
    return torch.sigmoid((q.loc - x) / q.scale)


@line.lower_quantile.register
def _(q: Logistic, u: Tensor) -> Tensor:
    return q.loc + q.scale * (u.log() - torch.log1p(-u))


@line.upper_quantile.register
def _(q: Logistic, u: Tensor) -> Tensor:
    return q.loc - q.scale * (u.log() - torch.log1p(-u))


class Blend(Distribution):
    """A mixture whose components need not be of one family.

    Args:
        weights: above 0; they are divided by their sum.
        parts: distributions without a batch shape, all over the line or all over counts, of one event shape.

    Raises:
        ChoiceError: components over different kinds of values.
    """

    arg_constraints = {}  # noqa: RUF012

    def __init__(self, weights: Sequence[float] | Tensor, parts: Sequence[Distribution]) -> None:
        kinds = {(line.kind(part), part.event_shape) for part in parts}
        if len(kinds) > 1:
            names = ", ".join(type(part).__name__ for part in parts)
            raise ChoiceError(f"A mixture of {names} has components over different kinds of values; mix one kind.")
        self.parts = list(parts)
        self.probs = torch.as_tensor(weights, dtype=torch.float64)
        self.probs = self.probs / self.probs.sum()
        super().__init__(torch.Size(), self.parts[0].event_shape, validate_args=False)

    @property
    def support(self) -> Any:
        return self.parts[0].support

    @property
    def mean(self) -> Tensor:
        return self._mixed([part.mean for part in self.parts])

    @property
    def variance(self) -> Tensor:
        return self._mixed([part.variance + part.mean**2 for part in self.parts]) - self.mean**2

    def expand(self, batch_shape: Any, _instance: Any = None) -> Blend:
        if torch.Size(batch_shape):
            raise NotImplementedError("a blend has no batch shape")
        return self

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        each = [part.log_prob(value) for part in self.parts]
        return torch.logsumexp(torch.stack(each, -1) + self.probs.log(), -1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws, without a gradient."""
        shape = torch.Size(sample_shape)
        which = torch.multinomial(self.probs, shape.numel(), replacement=True).reshape(shape)
        drawn = torch.stack([part.sample(shape) for part in self.parts], len(shape))
        at = which.reshape(*shape, *(1,) * (drawn.dim() - len(shape))).expand(*shape, 1, *drawn.shape[len(shape) + 1 :])
        return drawn.gather(len(shape), at).squeeze(len(shape))

    def _mixed(self, values: list[Tensor]) -> Tensor:
        return (torch.stack(values, -1) * self.probs).sum(-1)


@map_arguments.register
def _(q: Blend, change: Callable[[Tensor], Tensor]) -> Distribution:
    return Blend(change(q.probs), [map_arguments(part, change) for part in q.parts])


@line.components.register
def _(q: Blend) -> list[Distribution]:
    return [part for part in q.parts for part in line.components(part)]


@line.weights.register
def _(q: Blend) -> Tensor:
    each = [share * line.weights(part) for share, part in zip(q.probs, q.parts, strict=True)]
    return torch.cat(each, -1)
