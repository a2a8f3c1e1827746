"""The nonlinearities a user may choose, in one open table."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from trine.errors import unknown

Activation = Callable[[Tensor], Tensor]

activations: dict[str, Activation] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}
"""Name → elementwise function. A new one needs no more than its entry: its gain is measured (see
``initialisation``)."""


def activation_for(name: str) -> Activation:
    """The function called ``name``.

    Raises:
        ChoiceError: there is none; names those that there are.
    """
    try:
        return activations[name]
    except KeyError:
        raise unknown("activation", name, sorted(activations)) from None
