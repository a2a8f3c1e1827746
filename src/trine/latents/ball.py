"""Codes that fill a ball."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from trine.divergences import Value
from trine.errors import ChoiceError
from trine.rules import map_arguments

from ._base import Latent, latents
from .normal import Gaussian


class UniformBall(Distribution):
    """Uniform within the ball of ``radius`` about 0.

    Args:
        width: numbers in a vector. radius: above 0.
    """

    arg_constraints = {"radius": constraints.positive}  # noqa: RUF012
    support = constraints.real_vector

    def __init__(self, width: int, radius: Tensor, validate_args: bool | None = None) -> None:
        self.width, self.radius = width, radius
        super().__init__(torch.Size(), torch.Size([width]), validate_args=False)

    @property
    def mean(self) -> Tensor:
        """0."""
        return self.radius.new_zeros(self.width)

    @property
    def variance(self) -> Tensor:
        """Of each number: radius² / (width + 2)."""
        return (self.radius**2 / (self.width + 2)).expand(self.width)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """A normal's direction, and the radius by the inverse of its distribution function."""
        shape = torch.Size(sample_shape)
        direction = torch.randn(*shape, self.width, dtype=self.radius.dtype, device=self.radius.device)
        away = torch.rand(*shape, 1, dtype=self.radius.dtype, device=self.radius.device) ** (1 / self.width)
        drawn: Tensor = self.radius * away * direction / direction.norm(dim=-1, keepdim=True)
        return drawn

    def log_prob(self, value: Tensor) -> Tensor:
        """−log of the volume inside, −∞ outside."""
        n = self.width
        volume = 0.5 * n * math.log(math.pi) - math.lgamma(0.5 * n + 1) + n * self.radius.log()
        return torch.where(value.norm(dim=-1) <= self.radius, -volume, -math.inf)


@map_arguments.register
def _(q: UniformBall, change: Callable[[Tensor], Tensor]) -> Distribution:
    return UniformBall(q.width, change(q.radius))


@latents.register("ball")
class BallLatent(Latent):
    """p(z) uniform within the ball whose numbers have variance 1; codes are numbers, shaped all together."""

    formula = "uniform in a ball"

    radius: Tensor

    def __init__(self, features: int, code: int, stochastic: bool, numbers: tuple[float, ...] = ()) -> None:
        super().__init__(features, code, stochastic, numbers)
        if numbers:
            raise ChoiceError("The prior 'ball' has no numbers: code_prior=ball.")
        if stochastic:
            raise ChoiceError(
                "A normal code reaches beyond a ball, and its divergence from it is infinite: with code_prior=ball choose "
                "shape=mmd, cramer, wasserstein or js."
            )
        self.head = Gaussian(features, code, False)
        self.register_buffer("radius", torch.tensor(math.sqrt(code + 2)), persistent=False)

    def forward(self, features: Tensor) -> tuple[Value, Tensor]:
        found: tuple[Value, Tensor] = self.head(features)
        return found

    def prior(self) -> Distribution:
        return UniformBall(self.width, self.radius)
