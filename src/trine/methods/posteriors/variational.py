"""Mean-field variational inference."""

from __future__ import annotations

from trine.choices import Choices
from trine.criterion import ComplexityTerm, Criterion
from trine.methods._base import Facts
from trine.models import MeanFieldDraws
from trine.priors import prior_of
from trine.procedures.variational import Variational

from ._base import Derived, Ingredients, Parts, PosteriorKind, posteriors

PRIOR = "normal(0.5)"


class MeanFieldVariational(PosteriorKind):
    """q(θ) = ∏ N(mean, scale), nearest to p(θ given X, Y) in KL(q ‖ p)."""

    exact = True
    point = False

    def defaults(self, choices: Choices, facts: Facts) -> Derived:
        """A network small enough for independent weights to fit, and no other regularisation beside the prior."""
        return {
            "draws": (32, "θ's from q(θ)"),
            "prior": (PRIOR, "weights of the size of a trained network's"),
            "weight_decay": (0.0, "the prior takes its place"),
            "dropout": (0.0, "the noise of the weights takes its place"),
            "hidden": ((64,), "independent weights fit a small network better than a large one"),
            "step_size": (1e-2, "for scales, which have far to go"),
        }

    def build(self, given: Ingredients) -> Parts:
        """The three parts."""
        model = MeanFieldDraws(given.network(), given.choices.draws or 32)
        complexity = ComplexityTerm(given.prior or prior_of(PRIOR), given.rows)
        return model, Criterion(*given.terms, complexity), given.descent(Variational)


posteriors.register("variational")(MeanFieldVariational())
