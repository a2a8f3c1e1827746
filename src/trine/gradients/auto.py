"""The estimator that fits, by what is known of q."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Distribution

from ._base import Estimator, Integrand, estimators
from ._support import points
from .exact import Exact
from .pathwise import Pathwise
from .score import Score

FEW = 64
"""Points of a support that are enumerated rather than drawn."""


@estimators.register("auto")
class Auto(Estimator):
    """Pathwise where draws move with θ; else the exact sum over at most 64 points; else the score, leave-one-out.

    All three are unbiased. The score draws at least 2.
    """

    needs = "as pathwise, exact or score need"

    def __init__(self) -> None:
        super().__init__()
        self.pathwise, self.exact, self.score = Pathwise(), Exact(), Score("leave-one-out")

    def chosen(self, q: Distribution) -> Estimator:
        """The one that serves ``q``."""
        if not self.pathwise.refusal(q, 2):
            return self.pathwise
        return self.exact if points(q) <= FEW else self.score

    def refusal(self, q: Distribution, samples: int) -> str:
        return self.chosen(q).refusal(q, max(samples, 2))

    def surrogate(self, q: Distribution, f: Integrand, samples: int) -> Tensor:
        chosen = self.chosen(q)
        return chosen.surrogate(q, f, max(samples, 2) if chosen is self.score else samples)
