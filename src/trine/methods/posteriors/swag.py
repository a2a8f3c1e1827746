"""SWAG: a normal through the iterates of stochastic descent."""

from __future__ import annotations

from trine.choices import Choices
from trine.criterion import Criterion
from trine.methods._base import Facts
from trine.models import Draws
from trine.procedures.swag import SWAG

from ._base import Derived, Ingredients, Parts, PosteriorKind, posteriors


class StochasticWeightAverage(PosteriorKind):
    """The noise of minibatches, under a constant step, moves θ about a mode (Mandt et al., 2017; Maddox et al., 2019)."""

    def defaults(self, choices: Choices, facts: Facts) -> Derived:
        """How many θ's."""
        return {"draws": (32, "θ's from N(mean, covariance) of the iterates")}

    def build(self, given: Ingredients) -> Parts:
        """The three parts."""
        model = Draws(given.network(), given.choices.draws or 32)
        return model, Criterion(*given.terms, *given.prior_term()), given.descent(SWAG)


posteriors.register("swag")(StochasticWeightAverage())
