"""What every kind of code shares."""

from __future__ import annotations

import abc
import re
from typing import ClassVar

from torch import Tensor, nn
from torch.distributions import Distribution

from trine.divergences import Value
from trine.errors import ChoiceError
from trine.registry import Registry

latents: Registry[type[Latent]] = Registry("prior of codes", "trine.latents")


class Latent(nn.Module, abc.ABC):
    """Features of the encoder → code and z, beside the prior p(z).

    A code is q(z given x), a distribution of batch shape (batch,) over vectors of ``width`` numbers, where it is stochastic;
    else it is z itself, (batch, width).

    Class attributes:
        formula: p(z), as the derivation prints it.

    Attributes:
        width: numbers in z, which the decoder reads.
        stochastic: whether codes are distributions.

    Args:
        features: width of the encoder's features.
        code: numbers in a code.
        stochastic: whether codes are to be distributions.
        numbers: what stands in the parentheses of the prior's name, e.g. 10 of ``mixture(10)``.

    Raises:
        ChoiceError: numbers that this prior has no use for.
    """

    formula: ClassVar[str]

    def __init__(self, features: int, code: int, stochastic: bool, numbers: tuple[float, ...] = ()) -> None:
        super().__init__()
        self.width = code
        self.stochastic = stochastic

    @abc.abstractmethod
    def forward(self, features: Tensor) -> tuple[Value, Tensor]:
        """(code, z) of (batch, features): z is a reparameterised draw in training; in evaluation the code's mean, of categories
        the likeliest.
        """

    @abc.abstractmethod
    def prior(self) -> Distribution:
        """p(z): without batch shape, over vectors of ``width`` numbers, on the device of the parameters."""

    def title(self) -> str:
        """The row of the derivation."""
        return f"code of {self.width} numbers, p(z) = {self.formula}"


_WORD = re.compile(r"([a-z_-]+)(?:\(([^()]*)\))?")


def latent_for(word: str, features: int, code: int, stochastic: bool) -> Latent:
    """The latent called by ``word``: a name, or a name with numbers, e.g. ``mixture(10)``.

    Raises:
        ChoiceError: no prior has that name, or its numbers are none.
    """
    found = _WORD.fullmatch(word.strip())
    if found is None:
        raise ChoiceError(
            f"code_prior is {word!r}; it is a name, or a name with numbers such as mixture(10). Known: {', '.join(latents)}."
        )
    name, inside = found.groups()
    try:
        numbers = tuple(float(part) for part in inside.split(",")) if inside else ()
    except ValueError:
        raise ChoiceError(f"code_prior is {word!r}; in the parentheses stand numbers, e.g. mixture(10).") from None
    return latents[name](features, code, stochastic, numbers)
