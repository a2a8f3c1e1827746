"""From raw features to parameters that are always legal: smooth bounds, positive links, and the last linear map."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ._base import Linear

SMALL = 0.3
"""The last linear map starts at this share of its usual size: q starts near the marginal of y, members apart."""


class Head(nn.Module):
    """The last linear map, (..., features) → (..., outputs), starting small around ``start``.

    ``start`` is constant and the map's bias begins at zero, so that weight decay pulls q towards the marginal of y.

    Args:
        features: width of z.
        start: raw values that give the marginal of y, one for each output.
        linear: makes the map.
    """

    start: Tensor

    def __init__(self, features: int, start: list[float], linear: Linear = nn.Linear) -> None:
        super().__init__()
        self.linear = linear(features, len(start))
        with torch.no_grad():
            for name, parameter in self.linear.named_parameters():
                parameter.mul_(0.0 if name.endswith("bias") else SMALL)
        self.register_buffer("start", torch.tensor(start, dtype=torch.float32), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """(..., outputs)."""
        raw: Tensor = self.linear(features)
        return raw + self.start


def bounded(raw: Tensor, low: float, high: float) -> Tensor:
    """``raw`` inside [low, high]: the identity well inside, flat far outside, smooth throughout."""
    capped = raw - softplus(raw - high)
    return capped + softplus(low - capped)


def positive(raw: Tensor, low: float = -12.0, high: float = 1e6) -> Tensor:
    """Softplus of ``raw``, kept smoothly above e^low (where float32 would come to zero) and below ``high``."""
    return softplus(bounded(raw, low, high))


def inverse_softplus(value: float) -> float:
    """The raw value whose softplus is ``value`` > 0."""
    return value + math.log(-math.expm1(-value))


def spread(std: float) -> float:
    """A standard deviation to start from, in encoded units: 1 where the training values have none."""
    return std if math.isfinite(std) and std > 0 else 1.0


def level(mean: float) -> float:
    """A mean to start from for numbers above zero: away from zero, where its logarithm is not finite."""
    return max(mean, 1e-3)


def logit(p: float) -> float:
    """log(p / (1 − p)), for p in (0, 1)."""
    return math.log(p) - math.log1p(-p)
