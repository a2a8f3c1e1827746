"""A network's own sure answers as labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution

from trine.errors import ChoiceError

from ._base import Divergence, Value, over_members


class PseudoLabels(Divergence):
    r"""−log q(ŷ), ŷ the likeliest class under the target distribution, where that is at least ``confidence`` sure of it; else 0.

    The target has no gradient. Of weight-sharing members it is their mixture. The mean over a batch counts the rows that are not
    sure as 0, so that the term grows as the network comes to know.

    Args:
        confidence: probability, in [0, 1).

    References:
        Lee, `Pseudo-Label`, 2013 (the same view on both sides). Sohn et al., `FixMatch: Simplifying Semi-Supervised Learning with
        Consistency and Confidence`, 2020 (another view of x on the predicted side).
    """

    formula = "E[−log {p}(ŷ)], ŷ = argmax {t} where it is sure"

    def __init__(self, confidence: float = 0.95) -> None:
        super().__init__()
        if not 0.0 <= confidence < 1.0:
            raise ChoiceError(f"confidence is {confidence}; it is a probability, at least 0 and less than 1.")
        self.confidence = confidence

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        if not isinstance(predicted, Categorical) or not isinstance(target, Categorical):
            kind = type(target).__name__ if isinstance(target, Distribution) else "samples"
            raise ChoiceError(f"Pseudo-labels are classes, and the target is a {kind}; choose unlabelled=reconstruct.")
        with torch.no_grad():
            probability = target.probs.flatten(0, -3).mean(0) if target.probs.dim() > 2 else target.probs
            sure, label = probability.max(-1)
        lost: Tensor = -predicted.log_prob(label)  # type: ignore[no-untyped-call]
        return over_members(torch.where(sure >= self.confidence, lost, 0.0))

    def describe(self, predicted: str, target: str) -> str:
        """With how sure is sure."""
        return f"E[−log {predicted}(ŷ)], ŷ = argmax {target} where it has {self.confidence:g}"
