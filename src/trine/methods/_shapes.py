"""The term that shapes codes to their prior, by the name of a divergence."""

from __future__ import annotations

from trine.choices import Choices
from trine.criterion import Term
from trine.divergences import KL

BY_ROW = ("kl",)
"""Shapes that compare each row's code with the prior: codes are distributions. The others compare all codes of a batch."""


def stochastic(shape: str) -> bool:
    """Whether codes are distributions under this shape."""
    return shape in BY_ROW


def shape_terms(choices: Choices) -> list[Term]:
    """The terms that follow from ``shape`` and its weight; none for a plain autoencoder."""
    weight = 1.0 if choices.shape_weight is None else choices.shape_weight
    if choices.shape in (None, "none"):
        return []
    return [Term(KL(), "prior", "code", weight=weight, name="shape")]
