"""Codes that are what the encoder gives, as they are."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Exponential, Independent

from trine.divergences import Value
from trine.errors import ChoiceError

from ._base import Latent, latents


@latents.register("unchanged")
class Unchanged(Latent):
    """z = the encoder's features, for an encoder whose features are a code: sparse, and 0 or more.

    The prior is formal, Exponential(1) for each number: nothing draws codes to it.
    """

    formula = "Exponential(1) (formal: codes are not drawn to it)"

    one: Tensor

    def __init__(self, features: int, code: int, stochastic: bool, numbers: tuple[float, ...] = ()) -> None:
        super().__init__(features, code, stochastic, numbers)
        if numbers or stochastic or code != features:
            raise ChoiceError(
                f"Codes of image=winners are the maps' active units, {features} numbers as they are; leave out code, shape and "
                "code_prior."
            )
        self.register_buffer("one", torch.ones(code), persistent=False)

    def forward(self, features: Tensor) -> tuple[Value, Tensor]:
        return features, features

    def prior(self) -> Distribution:
        return Independent(Exponential(self.one, validate_args=False), 1, validate_args=False)
