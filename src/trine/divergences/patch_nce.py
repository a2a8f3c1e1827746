"""Places of a picture that tell where they came from: contrast in the place of a cycle."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from trine.divergences._base import Divergence, Value
from trine.errors import ChoiceError

TEMPERATURE = 0.07
"""τ of Park et al. (2020)."""


class PatchNCE(Divergence):
    r"""How well each place of a translated picture tells the place that it came from among others of the same picture.

    For features v_i of place i of what was made and u_j of place j of what it was made from, all of length one,

    .. math:: -\frac1n \sum_i \log \frac{\exp(v_i \cdot u_i/\tau)}{\sum_j \exp(v_i \cdot u_j/\tau)}

    a bound on what the two tell of each other: log n less the value bounds their mutual information from below (van den Oord et
    al., 2018). It is between 0 and, at chance, log n; no cycle and no second generator are needed. No gradient passes through u.

    Domain: features, (batch, ..., places, width), not all zero, of several layers in the dimensions between; the value is the mean
    of the layers' own, (batch,). Where a layer has fewer places NaN fills it up, alike in both and in every row, which is no place.

    Args:
        temperature: τ, positive.

    Raises:
        ChoiceError: another temperature, a single place, or shapes that differ.

    References:
        Park et al., `Contrastive Learning for Unpaired Image-to-Image Translation`, 2020, section 3.
    """

    formula = "NCE({p}, {t})"

    def __init__(self, temperature: float = TEMPERATURE) -> None:
        super().__init__()
        if not temperature > 0:
            raise ChoiceError(f"temperature is {temperature}; it is positive.")
        self.temperature = temperature

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        assert isinstance(predicted, Tensor)
        assert isinstance(target, Tensor)
        if predicted.shape != target.shape or predicted.dim() < 3 or predicted.shape[-2] < 2:
            raise ChoiceError(
                f"Features of shape {tuple(predicted.shape)} and {tuple(target.shape)} are contrasted; both are (batch, ..., "
                "places, width), of at least 2 places."
            )
        place = ~predicted.detach().isnan().any(-1)
        made, source = (normalize(v.nan_to_num(), dim=-1) for v in (predicted, target.detach()))
        logits = made @ source.mT / self.temperature
        # What fills up is never taken for a place, and its own row, which has none to be taken for, is 0 whatever it holds.
        logits = logits.masked_fill(~place.unsqueeze(-2), -math.inf).masked_fill(~place.unsqueeze(-1), 0.0)
        own = torch.arange(logits.shape[-1], device=logits.device).expand(logits.shape[:-1])
        values = cross_entropy(logits.flatten(0, -2), own.flatten(), reduction="none").view(place.shape)
        each = torch.where(place, values, 0.0).sum(-1) / place.sum(-1)
        return each.view(len(predicted), -1).mean(1)

    def describe(self, predicted: str, target: str) -> str:
        """As a formula, with τ."""
        return f"E[−log softmax_j({predicted}_i · {target}_j / {self.temperature:g})_i]"
