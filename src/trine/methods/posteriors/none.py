"""One θ: maximum likelihood, or, with a prior, the mode of p(θ given X, Y)."""

from __future__ import annotations

from trine.criterion import Criterion

from ._base import Ingredients, Parts, PosteriorKind, posteriors


class One(PosteriorKind):
    """θ* = argmin −log p(Y given X, θ)/n [− log p(θ)/n]."""

    mixes = False

    def build(self, given: Ingredients) -> Parts:
        """The three parts."""
        return given.network(), Criterion(*given.terms, *given.prior_term()), given.descent()


posteriors.register("none")(One())
