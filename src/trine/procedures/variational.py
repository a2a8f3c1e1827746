"""Variational inference: descent of the negative evidence lower bound, and draws from what it finds."""

from __future__ import annotations

from torch import nn

from trine.criterion import Criterion
from trine.models import MeanFieldDraws
from trine.procedures._base import Feed, State, procedures
from trine.procedures.descent import Descent


@procedures.register("variational")
class Variational(Descent):
    """Descent of −ELBO/n in the means and scales of q(θ); at the end θ's are drawn from it."""

    def conclude(self, state: State, model: nn.Module, criterion: Criterion, batches: Feed) -> None:
        """Draw θ's from q(θ)."""
        assert isinstance(model, MeanFieldDraws)
        model.draw()

    def describe(self) -> str:
        """The procedure with its step sizes."""
        return f"{super().describe()}\nin means and scales of independent normal weights; noise drawn for outputs, not weights"
