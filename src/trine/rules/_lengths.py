"""How many steps a sequence has: a distribution over 1, 2, 3, …"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.utils import broadcast_all
from torch.nn.functional import logsigmoid

from ._parameters import map_arguments, point


class LengthLogistic(Distribution):
    r"""A log-logistic distribution rounded to the whole numbers from 1 on:

    .. math:: P(L \le l) = \sigma\Bigl(\frac{\log(l + 1/2) - m}{s}\Bigr), \quad l = 1, 2, \dots

    Its spread is a share of the length, from a handful of steps to the samples of a sound, and no length is impossible.

    Args:
        loc: m, the logarithm of the median. scale: s, positive.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # noqa: RUF012
    support = constraints.positive_integer

    def __init__(self, loc: Tensor, scale: Tensor, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Distribution:
        shape = torch.Size(batch_shape)
        return LengthLogistic(self.loc.expand(shape), self.scale.expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of P(L = value), of whole numbers from 1 on."""
        length = value.to(self.loc.dtype)
        above = ((length + 0.5).log() - self.loc) / self.scale
        below = ((length - 0.5).log() - self.loc) / self.scale
        # σ(b) − σ(a) = σ(b) σ(−a) (1 − e^{a−b}): no digits are lost however far out both are. 1 has all that is below it.
        inside = logsigmoid(-below) + torch.log(-torch.expm1(below - above))
        return logsigmoid(above) + torch.where(length > 1, inside, 0.0)

    @property
    def median(self) -> Tensor:
        """(batch,) int64; its mean may be infinite."""
        return self.loc.exp().round().clamp_min(1).long()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Samples, int64."""
        with torch.no_grad():
            shape = self._extended_shape(torch.Size(sample_shape))
            uniform = torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device).clamp(1e-7, 1 - 1e-7)
            drawn = (self.loc + self.scale * torch.logit(uniform)).clamp_max(40.0)
            return drawn.exp().round().clamp_min(1).long()


@map_arguments.register
def _(q: LengthLogistic, change: Callable[[Tensor], Tensor]) -> Distribution:
    return LengthLogistic(change(q.loc), change(q.scale))


@point.register
def _(q: LengthLogistic) -> Tensor:
    return q.median
