"""Laplace's approximation."""

from __future__ import annotations

from torch import nn

from trine.choices import Choices
from trine.criterion import Criterion
from trine.errors import ChoiceError
from trine.methods._base import Facts
from trine.models import Draws, LinearisedDraws
from trine.procedures._curvature import linear_of, rules_of
from trine.procedures.laplace import Laplace, factored

from ._base import Derived, Ingredients, Parts, PosteriorKind, posteriors


class LaplaceApproximation(PosteriorKind):
    """N(θ*, (H + δ)⁻¹) about the mode that a plain run finds."""

    exact = True

    def defaults(self, choices: Choices, facts: Facts) -> Derived:
        """Draws, and which weights they are of."""
        return {
            "draws": (32, "θ's from the normal about the mode"),
            "curvature": ("last", "of the last linear map: exact there, for one pass over the rows"),
        }

    def build(self, given: Ingredients) -> Parts:
        """The three parts.

        Raises:
            ChoiceError: the criterion is no likelihood, the prior is not normal, or a rule does not end in a linear map.
        """
        choices = given.choices
        if choices.divergence not in (None, "kl"):
            raise ChoiceError(
                f"posterior=laplace is the curvature of a likelihood, and divergence is {choices.divergence!r}; choose "
                "divergence=kl, or posterior=ensemble, dropout or swag."
            )
        if given.prior is not None and given.prior.name != "normal":
            raise ChoiceError(
                f"posterior=laplace has a normal prior, and prior is {given.prior}; give e.g. prior=normal(1)."
            )
        network = given.network()
        linear = [linear_of(rule) for rule in rules_of(network).values()]
        named = {id(module): name for name, module in network.named_modules()}
        last = (choices.curvature or "last") == "last"
        layers: list[nn.Module] = [*linear] if last else [module for module in network.modules() if factored(module)]
        names = tuple(
            f"{named[id(layer)]}.{part}" for layer in layers for part, _ in layer.named_parameters(recurse=False)
        )
        model = (Draws if last else LinearisedDraws)(network, choices.draws or 32, names)
        precision = None if given.prior is None else given.prior.numbers[0] ** -2.0
        procedure = given.descent(Laplace, curvature=choices.curvature or "last", prior_precision=precision)
        return model, Criterion(*given.terms, *given.prior_term()), procedure


posteriors.register("laplace")(LaplaceApproximation())
