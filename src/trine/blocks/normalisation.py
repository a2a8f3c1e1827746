"""Normalisation of features, by the name a user writes."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from trine.errors import unknown


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation over every dimension but the last: (..., features) → (..., features)."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.reshape(-1, input.shape[-1])).view(input.shape)


normalizations: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda features: nn.Identity(),
    "layer": nn.LayerNorm,
    "batch": BatchNorm,
    "rms": nn.RMSNorm,
}
"""Name → width → module on (..., features)."""


def normalization_for(name: str, features: int) -> nn.Module:
    """The normalisation called ``name`` over ``features``.

    Raises:
        ChoiceError: there is none; names those that there are.
    """
    try:
        return normalizations[name](features)
    except KeyError:
        raise unknown("normalization", name, normalizations) from None
