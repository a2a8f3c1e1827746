"""Convolutions over time, whose padding changes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from trine import collective
from trine.errors import unknown

from .activations import activation_for
from .initialisation import init_conv
from .narrow import Conv1d
from .pooling import pooling_for
from .sequence import SequenceBlock, own_steps

WIDTHS, KERNELS = (1.0, 2.0, 1.0), (8, 5, 3)
"""Layers of the fully convolutional net of Wang et al.: relative widths and lengths of the filters."""


class OwnBatchNorm(nn.BatchNorm1d):
    """Batch normalisation over the steps that are rows' own: (batch, channels, steps) → the same."""

    def forward(self, x: Tensor, own: Tensor | None = None) -> Tensor:
        """``own``: (batch, steps) bool; None when all steps are."""
        if not self.training or own is None:
            return super().forward(x)
        # One value has no variance; among several processes the others' steps count too.
        if collective.processes() == 1 and int(own.sum()) < 2:
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        steps = x.transpose(1, 2)
        normed = torch.zeros_like(steps)
        normed[own] = super().forward(steps[own]).to(steps.dtype)
        return normed.transpose(1, 2)


class StepLayerNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each step: (batch, channels, steps) → the same."""

    def forward(self, x: Tensor, own: Tensor | None = None) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class StepRMSNorm(nn.RMSNorm):
    """Root-mean-square normalisation over the channels of each step: (batch, channels, steps) → the same."""

    def forward(self, x: Tensor, own: Tensor | None = None) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class Unnormalised(nn.Module):
    """No normalisation."""

    def forward(self, x: Tensor, own: Tensor | None = None) -> Tensor:
        return x


normalizations: dict[str, Callable[[int], nn.Module]] = {
    "batch": OwnBatchNorm,
    "layer": StepLayerNorm,
    "rms": StepRMSNorm,
    "none": lambda channels: Unnormalised(),
}
"""Name → channels → module on (batch, channels, steps) and which steps are rows' own."""


class TemporalUnit(nn.Module):
    """φ(N(conv x)), of stride ``stride``, with what is padded kept at 0: (batch, channels_in, steps) → (batch, channels, …).

    With ``residual`` the input is added, through a linear map of each step where widths differ, and the sum is scaled to keep
    its variance.

    Args:
        channels_in, channels: widths. kernel: length of the filters. stride: of the convolution.
        activation, normalization: names. reads: the activation whose outputs come in.
    """

    is_layer: ClassVar[bool] = True

    def __init__(
        self,
        channels_in: int,
        channels: int,
        kernel: int,
        *,
        stride: int = 1,
        activation: str = "relu",
        normalization: str = "batch",
        residual: bool = False,
        reads: str = "relu",
    ) -> None:
        super().__init__()
        self.conv = Conv1d(channels_in, channels, kernel, stride, bias=normalization == "none")
        init_conv(self.conv, reads)
        self.norm = normalizations[normalization](channels)
        self.activation = activation_for(activation)
        # As many zeros before a row as after it, one more after where the filter's length is even.
        self.margin = ((kernel - 1) // 2, kernel // 2)
        self.stride = stride
        self.residual = residual
        self.shortcut = nn.Conv1d(channels_in, channels, 1) if residual and channels_in != channels else None

    def lengths(self, lengths: Tensor) -> Tensor:
        """(batch,) steps that come out of as many."""
        return (lengths + self.stride - 1) // self.stride

    def forward(self, x: Tensor, own: Tensor | None) -> Tensor:
        """``own``: (batch, steps out) bool, which steps of the output are rows' own; None when all are."""
        found = self.activation(self.norm(self.conv(functional.pad(x, self.margin)), own))
        if self.residual:
            kept = x[:, :, :: self.stride]
            found = (found + (kept if self.shortcut is None else self.shortcut(kept))) * math.sqrt(0.5)
        return found if own is None else found.masked_fill(~own[:, None], 0.0)


class Temporal(SequenceBlock):
    """Series of vectors → states by convolutions over time → pooled: (batch, longest, channels_in) → (batch, features).

    By default the fully convolutional net of Wang et al. (`Time Series Classification from Scratch with Deep Neural Networks`,
    2017, section II-B): filters of 8, 5 and 3 steps, 128, 256 and 128 of them, batch normalisation, ReLU, the mean over time. A
    row's states are those that it would have alone: what is padded is held at 0, as beyond a row's ends, and counts in no
    statistic.

    Args:
        channels_in: width of a step.
        channels: filters of the first layer.
        widths: of the layers, relative to ``channels``. kernels: lengths of their filters. strides: theirs, 1 by default.
        activation: name in ``activations``.
        normalization: ``batch``, ``layer``, ``rms`` or ``none``.
        residual: whether a layer adds its input.
        dropout: share of features zeroed while training, after pooling.
        pooling: ``mean``, ``max``, ``last`` or ``attention``.

    Raises:
        ChoiceError: an unknown name.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int = 128,
        *,
        widths: tuple[float, ...] = WIDTHS,
        kernels: tuple[int, ...] = KERNELS,
        strides: tuple[int, ...] | None = None,
        activation: str = "relu",
        normalization: str = "batch",
        residual: bool = False,
        dropout: float = 0.0,
        pooling: str = "mean",
    ) -> None:
        super().__init__()
        if normalization not in normalizations:
            raise unknown("normalization", normalization, normalizations)
        self.units = nn.ModuleList()
        before = channels_in
        for i, (width, kernel) in enumerate(zip(widths, kernels, strict=True)):
            self.units.append(
                TemporalUnit(
                    before, round(width * channels), kernel, stride=strides[i] if strides else 1, activation=activation,
                    normalization=normalization, residual=residual and i > 0, reads=activation if i else "linear",
                )
            )  # fmt: skip
            before = round(width * channels)
        self.width = before
        self.pooling = pooling_for(pooling, before)
        self.features = self.pooling.features
        self.dropout = nn.Dropout(dropout)
        self.words = f"{len(kernels)} convolutions over time, {activation}, {normalization} norm, {pooling} over time"

    def states(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x = values.transpose(1, 2)
        padded = bool((lengths < x.shape[2]).any())
        if padded:
            x = x.masked_fill(~own_steps(lengths, x.shape[2])[:, None], 0.0)
        for unit in self.units:
            assert isinstance(unit, TemporalUnit)
            lengths = unit.lengths(lengths)
            own = own_steps(lengths, -(-x.shape[2] // unit.stride)) if padded else None
            x = unit(x, own)
        return x.transpose(1, 2), lengths

    def pool(self, states: Tensor, lengths: Tensor) -> Tensor:
        pooled: Tensor = self.dropout(self.pooling(states, lengths))
        return pooled

    def title(self) -> str:
        """The row of the derivation."""
        return self.words
