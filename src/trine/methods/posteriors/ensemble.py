"""A deep ensemble: networks drawn and trained apart, in one vectorised pass."""

from __future__ import annotations

from trine.choices import Choices
from trine.criterion import Criterion
from trine.errors import ChoiceError
from trine.methods._base import Facts
from trine.models import Ensemble
from trine.procedures.ensemble import EnsembleDescent

from ._base import Derived, Ingredients, Parts, PosteriorKind, posteriors


class DeepEnsemble(PosteriorKind):
    """Each member's θ is a mode of p(θ given X, Y) found from its own beginning (Lakshminarayanan et al., 2017)."""

    def defaults(self, choices: Choices, facts: Facts) -> Derived:
        """Eight members."""
        return {"draws": (8, "networks; more add little")}

    def build(self, given: Ingredients) -> Parts:
        """The three parts.

        Raises:
            ChoiceError: fewer than two members.
        """
        count = given.choices.draws or 8
        if count < 2:
            raise ChoiceError(f"An ensemble of draws={count} is one network; give draws=2 or more, or posterior=none.")
        model = Ensemble([given.network() for _ in range(count)])
        return model, Criterion(*given.terms, *given.prior_term()), given.descent(EnsembleDescent)


posteriors.register("ensemble")(DeepEnsemble())
