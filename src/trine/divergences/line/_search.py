"""Where a condition turns."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def bisect(short: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, steps: int = 80) -> Tensor:
    """Where ``short`` turns from true to false between ``low`` and ``high``."""
    for _ in range(steps):
        middle = 0.5 * low + 0.5 * high
        before = short(middle)
        low, high = torch.where(before, middle, low), torch.where(before, high, middle)
    return high
