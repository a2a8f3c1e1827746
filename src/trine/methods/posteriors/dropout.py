"""Monte-Carlo dropout."""

from __future__ import annotations

from trine.choices import Choices
from trine.criterion import Criterion
from trine.errors import ChoiceError
from trine.methods._base import Facts
from trine.models import DropoutDraws

from ._base import Derived, Ingredients, Parts, PosteriorKind, posteriors


class MonteCarloDropout(PosteriorKind):
    """q(θ): weights whose columns are switched off at random, fitted by descending with dropout (Gal and Ghahramani, 2016)."""

    def defaults(self, choices: Choices, facts: Facts) -> Derived:
        """A share of units, and masks."""
        return {
            "dropout": (0.1, "the share of units that a draw of θ leaves out"),
            "draws": (32, "masks; the error of a mean over them falls as 1/√draws"),
        }

    def build(self, given: Ingredients) -> Parts:
        """The three parts.

        Raises:
            ChoiceError: nothing is dropped.
        """
        model = DropoutDraws(given.network(), given.choices.draws or 32)
        if not model.layers:
            raise ChoiceError(
                "posterior=dropout draws θ by its dropout, and the network has none: give dropout a share above 0 and at "
                "least one hidden layer."
            )
        return model, Criterion(*given.terms, *given.prior_term()), given.descent()


posteriors.register("dropout")(MonteCarloDropout())
