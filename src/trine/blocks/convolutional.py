"""Images through convolutions: stages of falling size and rising width, with residual paths."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from trine.errors import ChoiceError, nearest

from .activations import activation_for
from .initialisation import init_conv


class ChannelRMS(nn.Module):
    """Root-mean-square norm over the channels of each position, with a learned factor: (batch, c, h, w) → the same."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + self.eps) * self.weight


normalizations: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "layer": lambda channels: nn.GroupNorm(1, channels),
    "rms": ChannelRMS,
    "none": lambda channels: nn.Identity(),
}
"""Name → channels → module on (batch, channels, h, w)."""


class ConvUnit(nn.Module):
    """φ(N(conv x)), a 3 × 3 convolution that keeps height and width: (batch, c_in, h, w) → (batch, c_out, h, w)."""

    is_layer: ClassVar[bool] = True

    def __init__(
        self, channels_in: int, channels: int, activation: str, normalization: str, reads: str | None = None
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, 3, padding=1, bias=normalization == "none")
        init_conv(self.conv, reads or activation)
        self.norm = normalizations[normalization](channels)
        self.activation = activation_for(activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x)))


class Residual(nn.Module):
    """(x + f(x))/√2, f two units: the sum of two equal variances keeps the variance; (batch, c, h, w) → the same."""

    def __init__(self, channels: int, activation: str, normalization: str) -> None:
        super().__init__()
        self.units = nn.Sequential(
            ConvUnit(channels, channels, activation, normalization),
            ConvUnit(channels, channels, activation, normalization),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = (x + self.units(x)) * math.sqrt(0.5)
        return out


class Convolutional(nn.Module):
    """Images in [0, 1] → features: (batch, channels_in, height, width) → (batch, features).

    Input standardised by buffers; a first unit; then stages, each of a unit that widens, 2 × 2 max-pooling and, from
    the second on, a residual pair, until the shorter side is at most 4; then the mean and the maximum over positions,
    side by side. Photos first pass a strided convolution until their shorter side is at most 64. (He et al., `Deep
    Residual Learning for Image Recognition`, 2016; the shallow wide form: Page, `How to Train Your ResNet`, 2018.)

    Args:
        channels_in: colour channels of the image.
        height, width: its sides in pixels.
        channels: width of the first stage; each further stage doubles it, up to eightfold.
        mean, std: per channel, of the training images in [0, 1]; one number serves all.
        activation: name in ``activations``.
        normalization: ``batch``, ``layer`` (over channels and positions), ``rms`` (over channels) or ``none``.
        residual: whether stages have their residual pair.
        dropout: share of features zeroed while training.

    Raises:
        ChoiceError: an unknown activation or normalisation.
    """

    mean: Tensor
    inverse_std: Tensor

    def __init__(
        self,
        channels_in: int,
        height: int,
        width: int,
        channels: int = 32,
        *,
        mean: float | Sequence[float] = 0.5,
        std: float | Sequence[float] = 0.25,
        activation: str = "relu",
        normalization: str = "batch",
        residual: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if normalization not in normalizations:
            raise ChoiceError(
                f"There is no normalization called {normalization!r}.{nearest(normalization, normalizations)} "
                f"Known: {', '.join(normalizations)}."
            )
        spread = torch.as_tensor(std, dtype=torch.float32).clamp_min(1e-3).expand(channels_in)
        self.register_buffer(
            "mean", torch.as_tensor(mean, dtype=torch.float32).expand(channels_in).view(-1, 1, 1).clone()
        )
        self.register_buffer("inverse_std", (1.0 / spread).view(-1, 1, 1).clone())

        self.shape = (channels_in, height, width)
        self.words = f"{activation}, {normalization} norm" + (", residual" if residual else "")

        side = min(height, width)
        self.stages = nn.Sequential()
        before = channels_in
        while side > 64:
            stem = nn.Conv2d(before, channels, 4, stride=2, padding=1)
            init_conv(stem, "linear" if before == channels_in else activation)
            self.stages.append(nn.Sequential(stem, _Activation(activation)))
            before, side = channels, side // 2
        reads = "linear" if before == channels_in else activation
        self.stages.append(ConvUnit(before, channels, activation, normalization, reads))
        before, stage = channels, 0
        while side > 4:
            after = min(2 * before, 8 * channels)
            self.stages.append(ConvUnit(before, after, activation, normalization))
            self.stages.append(nn.MaxPool2d(2))
            if residual and stage:
                self.stages.append(Residual(after, activation, normalization))
            before, side, stage = after, side // 2, stage + 1
        self.dropout = nn.Dropout(dropout) if dropout else None
        self.features = 2 * before

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stages((images - self.mean) * self.inverse_std)
        out = torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)
        return out if self.dropout is None else self.dropout(out)

    def title(self) -> str:
        """The row of the derivation."""
        size = " × ".join(map(str, self.shape))
        convolutions = sum(isinstance(module, nn.Conv2d) for module in self.modules())
        return f"image {size}, {convolutions} convolutions, {self.words}, mean and maximum over positions"


class _Activation(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.activation = activation_for(name)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x)
