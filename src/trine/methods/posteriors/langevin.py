"""Langevin dynamics: draws from p(θ given X, Y) by Markov chains."""

from __future__ import annotations

from trine.choices import Choices
from trine.criterion import Criterion, PriorTerm
from trine.errors import ChoiceError
from trine.methods._base import Facts
from trine.models import Chains
from trine.priors import prior_of
from trine.procedures.langevin import SHARE, Langevin

from ._base import Derived, Ingredients, Parts, PosteriorKind, posteriors

CHAINS = 4
PRIOR = "normal(0.2)"


class LangevinDynamics(PosteriorKind):
    """exp(−n U(θ)), n U(θ) = −log p(Y given X, θ) − log p(θ), sampled by stochastic-gradient Langevin dynamics."""

    exact = True

    def defaults(self, choices: Choices, facts: Facts) -> Derived:
        """A network whose posterior chains can cross, no regularisation beside the prior, and the sampler."""
        sampler = choices.sampler or "sghmc"
        return {
            "draws": (64, f"θ's, of {CHAINS} chains"),
            "prior": (
                PRIOR,
                "weights of the size of a trained network's: under wider ones predictions wander far from the rows",
            ),
            "weight_decay": (0.0, "the prior takes its place"),
            "dropout": (0.0, "the sampler's noise takes its place"),
            "hidden": ((64,), "chains cross the posterior of a small network sooner"),
            "sampler": ("sghmc", "momentum takes a chain further for the same gradients, with less error by its step"),
            "sampling_step": (SHARE[sampler], "of the largest stable step, which is measured"),
        }

    def build(self, given: Ingredients) -> Parts:
        """The three parts.

        Raises:
            ChoiceError: fewer draws than chains.
        """
        choices = given.choices
        draws = choices.draws or 64
        if draws < CHAINS:
            raise ChoiceError(
                f"posterior=langevin has {CHAINS} chains, and draws is {draws}; give draws={CHAINS} or more."
            )
        sampler = choices.sampler or "sghmc"
        model = Chains([given.network() for _ in range(CHAINS)], draws)
        prior = given.prior or prior_of(PRIOR)
        procedure = given.descent(
            Langevin,
            sampler=sampler,
            sampling_step=choices.sampling_step,
            steps=choices.sampling_steps,
            rows=given.rows,
            width=float(prior.distribution().stddev),
        )
        return model, Criterion(*given.terms, PriorTerm(prior, given.rows)), procedure


posteriors.register("langevin")(LangevinDynamics())
