"""What a posterior over θ makes of the three parts: a file each."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

from torch import nn

from trine.choices import Choices
from trine.criterion import Criterion, PriorTerm, Term
from trine.methods._base import Facts
from trine.priors import Prior, prior_of
from trine.procedures import Descent, Procedure
from trine.registry import Registry

posteriors: Registry[PosteriorKind] = Registry("posterior", "trine.methods.posteriors")

Parts = tuple[nn.Module, Criterion, Procedure]
Derived = dict[str, tuple[Any, str]]
"""Choice → (value, why)."""


@dataclasses.dataclass(frozen=True)
class Ingredients:
    """What a posterior is made of.

    Attributes:
        network: draws a network f(x, θ) with new weights, each time another.
        terms: of the likelihood: the criterion's mean over examples is −log p(Y given X, θ)/n.
        choices: resolved. facts: what the training rows told.
    """

    network: Callable[[], nn.Module]
    terms: tuple[Term, ...]
    choices: Choices
    facts: Facts

    @property
    def rows(self) -> int:
        """n, the number of training examples: it enters a posterior once, here."""
        return max(self.facts.rows, 1)

    @property
    def prior(self) -> Prior | None:
        """p(θ) of the weights, where one was chosen."""
        return None if self.choices.prior is None else prior_of(self.choices.prior)

    def prior_term(self) -> tuple[Term, ...]:
        """−log p(θ)/n, where a prior was chosen; no term without."""
        return () if self.prior is None else (PriorTerm(self.prior, self.rows),)

    def descent(self, kind: type[Descent] = Descent, **changes: Any) -> Any:
        """The procedure that the choices name, as a ``kind`` of it with some arguments changed."""
        choices = self.choices
        arguments: dict[str, Any] = {
            "optimiser": choices.optimiser or "adamw",
            "step_size": choices.step_size or 1e-3,
            "schedule": choices.schedule or "constant",
            "weight_decay": choices.weight_decay or 0.0,
            "clip": choices.clip or 0.0,
            "ema": choices.ema or 0.0,
            "autocast": choices.autocast or "none",
            "compile": choices.compile,
            "betas": (0.9, 0.99),
        }
        return kind(**(arguments | changes))


class PosteriorKind(abc.ABC):
    """(ingredients) → model, criterion, procedure, for one way to p(θ given X, Y).

    Class attributes:
        exact: whether the criterion must be the likelihood and nothing else: no term for blank rows, no weights by scale.
        mixes: whether it predicts with more than one θ.
        point: whether the prior is a term on one θ, and so the network gives its weights.
    """

    exact: ClassVar[bool] = False
    mixes: ClassVar[bool] = True
    point: ClassVar[bool] = True

    def defaults(self, choices: Choices, facts: Facts) -> Derived:
        """Choices that it derives differently from a plain run, and why; they yield to what the user chose."""
        return {}

    @abc.abstractmethod
    def build(self, given: Ingredients) -> Parts:
        """The three parts.

        Raises:
            ChoiceError: it cannot serve these choices; says what can.
        """


def common(kind: PosteriorKind, choices: Choices, facts: Facts) -> Derived:
    """What every posterior asks of the choices."""
    found: Derived = {}
    if kind.mixes:
        found["members"] = (1, "draws of θ take the place of weight-sharing members")
    if kind.exact:
        found["unknown"] = (0.0, "the posterior is of the likelihood of the rows alone")
    if choices.prior is not None:
        found["weight_decay"] = (0.0, "the prior takes its place")
    return found | kind.defaults(choices, facts)
