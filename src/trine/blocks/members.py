"""Weight-sharing members: an ensemble for the price of little more than one network.

References:
    Gorishniy, Kotelnikov and Babenko, `TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling`,
    2025, arXiv 2410.24210 (TabM-mini: an adapter per member before a shared trunk, a head per member after it).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from trine.errors import ChoiceError


class Members(nn.Module):
    """Each member sees the shared input through a vector of its own: (batch, features) → (count, batch, features).

    Args:
        count: number of members, 1 or more.
        features: width of the input.
        initial: ``sign``: ±1 with equal odds; ``normal``: N(0, 1). Both keep the variance.
        sees: (count, features) of 0 and 1, which members see which part of the input, where blocks have parts for some
            members alone; None: each sees all.

    Raises:
        ChoiceError: ``count`` is less than 1, or ``initial`` is not one of the two.
    """

    sees: Tensor | None

    def __init__(self, count: int, features: int, initial: str = "sign", sees: Tensor | None = None) -> None:
        super().__init__()
        if count < 1:
            raise ChoiceError(f"members is {count}; a network has 1 or more.")
        if initial not in ("sign", "normal"):
            raise ChoiceError(f"A member's initial vector is 'sign' or 'normal', not {initial!r}.")
        drawn = torch.randn(count, features)
        self.scale = nn.Parameter(torch.where(drawn < 0, -1.0, 1.0) if initial == "sign" else drawn)
        self.register_buffer("sees", sees, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.scale if self.sees is None else self.scale * self.sees
        return x * scale.unsqueeze(1)

    def title(self) -> str:
        """The row of the derivation."""
        return f"{len(self.scale)} weight-sharing members"


class MemberLinear(nn.Module):
    """A linear map for each member, (count, batch, features_in) → (count, batch, features_out), in one batched product.

    Weights are drawn N(0, 1/features_in) (LeCun et al. 1998), biases are zero; ``weight`` is (count, features_in,
    features_out), ``bias`` (count, features_out).
    """

    def __init__(self, count: int, features_in: int, features_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(count, features_in, features_out) / math.sqrt(features_in))
        self.bias = nn.Parameter(torch.zeros(count, features_out))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias.unsqueeze(1), x, self.weight)

    def extra_repr(self) -> str:
        count, features_in, features_out = self.weight.shape
        return f"{count}, {features_in}, {features_out}"
