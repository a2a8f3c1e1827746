"""Convolutions that are right in bfloat16 on maps one column wide as well.

Where the processor multiplies bfloat16 in tiles (AMX), kernels of torch 2.13 leave parts of outputs and of gradients unwritten if a
stride above one leaves, or a transposed convolution reads, a single column: what was in memory is taken for the result. Under
autocast such maps, which are small, are convolved in float32. Everything else is torch's own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class _Narrow:
    """Before a convolution of torch: what it does where one column is left."""

    def forward(self, x: Tensor, *more: Any) -> Tensor:
        own: Any = super()
        conv: Any = self
        narrow = max(conv.stride) > 1 and x.device.type == "cpu" and self._columns(x) == 1
        if not (narrow and torch.is_autocast_enabled("cpu")):
            return own.forward(x, *more)  # type: ignore[no-any-return]
        with torch.autocast("cpu", enabled=False):
            found: Tensor = own.forward(x.float(), *more)
        return found.to(torch.get_autocast_dtype("cpu"))

    def _columns(self, x: Tensor) -> int:
        """Those that are left; here those that are read."""
        return x.shape[-1]


class _Strided(_Narrow):
    def _columns(self, x: Tensor) -> int:
        conv: Any = self
        reach = conv.dilation[-1] * (conv.kernel_size[-1] - 1) + 1
        return int((x.shape[-1] + 2 * conv.padding[-1] - reach) // conv.stride[-1]) + 1


class Conv1d(_Strided, nn.Conv1d):
    """As torch's, its padding in numbers."""


class Conv2d(_Strided, nn.Conv2d):
    """As torch's, its padding in numbers."""


class ConvTranspose1d(_Narrow, nn.ConvTranspose1d):
    """As torch's."""


class ConvTranspose2d(_Narrow, nn.ConvTranspose2d):
    """As torch's."""
