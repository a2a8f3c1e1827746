"""Convolutions that are right in bfloat16 on maps one column wide as well.

Where the processor multiplies bfloat16 in tiles (AMX), kernels of torch 2.13 leave parts of outputs and of gradients unwritten if a
stride above one leaves, or a transposed convolution reads, a single column: what was in memory is taken for the result. Such maps
are small, and are convolved in float32. Everything else is torch's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def _rounded(x: Tensor) -> bool:
    """Whether products with x are in bfloat16, on a processor."""
    return x.device.type == "cpu" and (x.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu"))


def _in_float32(convolve: Callable[..., Any], x: Tensor, *weights: Tensor | None) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        found: Tensor = convolve(x.float(), *(None if weight is None else weight.float() for weight in weights))
    return found.to(torch.bfloat16)


def _leaves_one(conv: nn.Conv1d | nn.Conv2d, x: Tensor) -> bool:
    if max(conv.stride) == 1 or isinstance(conv.padding, str) or not _rounded(x):
        return False
    reach = conv.dilation[-1] * (conv.kernel_size[-1] - 1) + 1
    return bool((x.shape[-1] + 2 * conv.padding[-1] - reach) // conv.stride[-1] == 0)


class Conv1d(nn.Conv1d):
    """As torch's."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        own: Callable[..., Tensor] = super()._conv_forward
        return _in_float32(own, input, weight, bias) if _leaves_one(self, input) else own(input, weight, bias)


class Conv2d(nn.Conv2d):
    """As torch's."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        own: Callable[..., Tensor] = super()._conv_forward
        return _in_float32(own, input, weight, bias) if _leaves_one(self, input) else own(input, weight, bias)


class ConvTranspose1d(nn.ConvTranspose1d):
    """As torch's."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if output_size is not None or input.shape[-1] > 1 or max(self.stride) == 1 or not _rounded(input):
            return super().forward(input, output_size)
        return _in_float32(self._of, input, self.weight, self.bias)

    def _of(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        how: Any = (self.stride, self.padding, self.output_padding, self.groups, self.dilation)
        return nn.functional.conv_transpose1d(x, weight, bias, *how)


class ConvTranspose2d(nn.ConvTranspose2d):
    """As torch's."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if output_size is not None or input.shape[-1] > 1 or max(self.stride) == 1 or not _rounded(input):
            return super().forward(input, output_size)
        return _in_float32(self._of, input, self.weight, self.bias)

    def _of(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        how: Any = (self.stride, self.padding, self.output_padding, self.groups, self.dilation)
        return nn.functional.conv_transpose2d(x, weight, bias, *how)
