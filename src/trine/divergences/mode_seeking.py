"""What keeps a generator's answers to one condition apart under different noise."""

from __future__ import annotations

import torch
from torch import Tensor

from trine import collective
from trine.errors import ChoiceError

from ._base import Divergence, Value

LEAST = 1e-3
"""Of the distance of true rows, what that of made ones counts as at least: less than in any game that goes on."""


class ModeSeeking(Divergence):
    r"""relu(1 − ‖g(u, c) − g(u', c)‖₁ / (τ ‖u − u'‖₁ / E‖u − u'‖₁)): 1 where other noise gives the same answer, 0 from τ on; alike
    for every row, and in every process that has a share of the batch.

    τ is a share of how far made rows are from each other, whatever their conditions: what is asked is that noise matters, not that
    it matters as much as the condition. Distances are means over numbers. Where made rows have come to be all alike, they count as
    ``LEAST`` of the distance of true ones, so that the slope, one over that distance, is bounded; where no two true rows differ, as
    in a batch of one, nothing is asked, and the value is 0.

    ``predicted``: (batch, ...) answers; ``target``: (rows, ...) those of the first rows under other noise; ``given``: (rows,)
    ‖u − u'‖₁ over its expectation, and (batch, ...) true rows.

    Args:
        share: τ, above 0 and at most 1.

    Raises:
        ChoiceError: another share.

    References:
        Mao et al., `Mode Seeking Generative Adversarial Networks for Diverse Image Synthesis`, 2019 (the ratio). Yang et al.,
        `Diversity-Sensitive Conditional Generative Adversarial Networks`, 2019, equation 3 (its bound τ).
    """

    formula = "relu(1 − ‖{p} − {t}‖₁ / (τ ‖u − u'‖₁))"

    def __init__(self, share: float = 0.1) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise ChoiceError(f"share is {share}; it is above 0 and at most 1.")
        self.share = share

    def forward(self, predicted: Value, target: Value, given: Value | tuple[Value, ...] | None = None) -> Tensor:
        assert isinstance(predicted, Tensor)
        assert isinstance(target, Tensor)
        assert isinstance(given, tuple)
        noises, true = given
        assert isinstance(noises, Tensor)
        assert isinstance(true, Tensor)
        made, least = (_distance(rows.detach().flatten(1)) for rows in (predicted, true))
        scale = self.share * torch.maximum(made, LEAST * least)
        apart = (predicted[: len(target)] - target).abs().flatten(1).mean(1) / noises.clamp_min(1e-6)
        value = collective.mean(torch.relu(1 - apart / scale.clamp_min(1e-6)))
        return torch.where(least > 0, value, 0.0).expand(len(predicted))


def _distance(rows: Tensor) -> Tensor:
    """How far rows, (batch, numbers), are from each other, those of all processes: each from the one before it, the first from
    the last.
    """
    last, mine = collective.gather(rows[-1:])
    before = torch.cat([last[mine.start - 1].unsqueeze(0), rows[:-1]])
    return collective.mean((rows - before).abs())
