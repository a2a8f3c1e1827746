"""Priors p(θ) over weights, by the words that a user writes."""

from __future__ import annotations

import dataclasses
import math
import re

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Laplace, MixtureSameFamily, Normal

from trine.errors import ChoiceError, nearest

FORMS = {"normal": (1.0,), "laplace": (0.5,), "spike-slab": (0.5, 1.0, 0.05)}
"""Name → its numbers where none are given: a width; a width; share of the slab, its width, the spike's width."""


@dataclasses.dataclass(frozen=True)
class Prior:
    """Independent weights, each from one distribution around 0.

    Attributes:
        name: ``normal``, ``laplace`` or ``spike-slab``.
        numbers: standard deviation; scale; or (share of the slab in (0, 1), standard deviation of the slab, of the spike).

    References:
        MacKay, `A Practical Bayesian Framework for Backpropagation Networks`, 1992 (normal). Williams, `Bayesian
        Regularization and Pruning Using a Laplace Prior`, 1995. George and McCulloch, `Variable Selection via Gibbs
        Sampling`, 1993, and Blundell et al., `Weight Uncertainty in Neural Networks`, 2015 (two normals: spike and slab).
    """

    name: str
    numbers: tuple[float, ...]

    def distribution(self, like: Tensor | None = None) -> Distribution:
        """The density of one weight, batch shape (), in the dtype and on the device of ``like``."""
        number = torch.tensor(self.numbers, dtype=None if like is None else like.dtype)
        number = number if like is None else number.to(like.device)
        zero = number.new_zeros(())
        if self.name == "normal":
            return Normal(zero, number[0], validate_args=False)
        if self.name == "laplace":
            return Laplace(zero, number[0], validate_args=False)
        shares = torch.stack([number[0], 1.0 - number[0]])
        return MixtureSameFamily(
            Categorical(probs=shares, validate_args=False),
            Normal(zero, number[1:], validate_args=False),
            validate_args=False,
        )

    def log_prob(self, theta: Tensor) -> Tensor:
        """The scalar log p(θ): the sum over all entries of ``theta``, of any shape."""
        density: Tensor = self.distribution(theta).log_prob(theta)
        return density.sum()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{number:g}' for number in self.numbers)})"


def prior_of(text: str) -> Prior:
    """The prior that ``text`` names, e.g. ``"normal(0.5)"``, ``"laplace"`` or ``"spike-slab(0.3, 1, 0.02)"``.

    Raises:
        ChoiceError: no such prior, or numbers out of their range.
    """
    match = re.fullmatch(r"\s*([a-z-]+)\s*(?:\(([^()]*)\))?\s*", text)
    name = match.group(1) if match else text
    if match is None or name not in FORMS:
        known = "normal(width), laplace(width), spike-slab(share, slab, spike)"
        raise ChoiceError(f"There is no prior {text!r}.{nearest(name, FORMS)} Priors: {known}.")
    usual = FORMS[name]
    try:
        numbers = tuple(float(part) for part in match.group(2).split(",")) if match.group(2) else usual
    except ValueError:
        numbers = ()
    widths = numbers[1:] if name == "spike-slab" else numbers
    fine = len(numbers) == len(usual) and all(0 < width < math.inf for width in widths)
    if not fine or (name == "spike-slab" and not 0 < numbers[0] < 1):
        wanted = "a share between 0 and 1 and two positive widths" if name == "spike-slab" else "one positive width"
        raise ChoiceError(f"The prior {text!r} needs {wanted}, e.g. {Prior(name, usual)}.")
    return Prior(name, numbers)
