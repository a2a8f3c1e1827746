"""Images through convolutions: stages of falling size and rising width, with residual paths."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from trine.choices import Choices
from trine.domains import Domain, Image
from trine.errors import unknown

from ._base import field_encoder
from .activations import activation_for
from .augmentation import Augment
from .initialisation import init_conv
from .narrow import Conv2d
from .winners import MAPS, WinnersReader


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
    """φ(N(pool(conv x))), a 3 × 3 convolution; with ``pool``, maxima over 2 × 2 halve the sides before the rest.

    (batch, channels_in, h, w) → (batch, channels, h, w) or (batch, channels, h // 2, w // 2).

    Args:
        channels_in, channels: widths.
        activation, normalization: names.
        reads: the activation whose outputs come in, ``linear`` for images.
        pool: whether to pool.
    """

    is_layer: ClassVar[bool] = True

    def __init__(
        self, channels_in: int, channels: int, activation: str, normalization: str, reads: str, pool: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, 3, padding=1, bias=normalization == "none")
        init_conv(self.conv, reads)
        self.pool = pool
        self.norm = normalizations[normalization](channels)
        self.activation = activation_for(activation)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.pool:
            x = functional.max_pool2d(x, 2)
        return self.activation(self.norm(x))


class Residual(nn.Module):
    """(x + f(x))/√2, f a unit: the sum of two equal variances keeps the variance; (batch, c, h, w) → the same."""

    is_layer: ClassVar[bool] = True

    def __init__(self, channels: int, activation: str, normalization: str) -> None:
        super().__init__()
        self.unit = ConvUnit(channels, channels, activation, normalization, activation)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = (x + self.unit(x)) * math.sqrt(0.5)
        return out


class Convolutional(nn.Module):
    """Images in [0, 1] → features: (batch, channels_in, height, width) → (batch, features).

    Input standardised by buffers; a first unit; then stages until the shorter side is below 7 pixels, each a unit that
    widens and pools, and a residual unit; then the maximum over positions, or all of them. Photos first pass strided
    convolutions until their shorter side is at most 64. (He et al., `Deep Residual Learning for Image Recognition`, 2016;
    the shallow wide form: Page, `How to Train Your ResNet`, 2018.)

    Args:
        channels_in: colour channels of the image.
        height, width: its sides in pixels.
        channels: width of the first stage; each further stage doubles it, up to eightfold. By default 32 up to 64
            pixels, 16 above.
        mean, std: per channel, of the training images in [0, 1]; one number serves all.
        activation: name in ``activations``.
        normalization: ``batch``, ``layer`` (over channels and positions), ``rms`` (over channels) or ``none``.
        residual: whether stages have their residual unit.
        dropout: share of features zeroed while training.
        positional: whether the features of all positions are kept, as what draws the picture again needs them.

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
        channels: int | None = None,
        *,
        mean: float | Sequence[float] = 0.5,
        std: float | Sequence[float] = 0.25,
        activation: str = "relu",
        normalization: str = "batch",
        residual: bool = True,
        dropout: float = 0.0,
        positional: bool = False,
    ) -> None:
        super().__init__()
        if normalization not in normalizations:
            raise unknown("normalization", normalization, normalizations)
        self.shape = (channels_in, height, width)
        self.words = f"{activation}, {normalization} norm" + (", residual" if residual else "")
        self.register_buffer("mean", _per_channel(mean, channels_in))
        # A channel that never varies is left at its scale, not blown up.
        self.register_buffer("inverse_std", 1.0 / _per_channel(std, channels_in).clamp_min(1e-3))

        side = min(height, width)
        channels = channels or (32 if side <= _PHOTO else 16)
        before, reads, halvings = channels_in, "linear", 0
        self.stages = nn.Sequential()
        while side > _PHOTO:
            self.stages.append(Stem(before, channels, activation, reads))
            before, side, reads, halvings = channels, side // 2, activation, halvings + 1
        self.stages.append(ConvUnit(before, channels, activation, normalization, reads))
        before = channels
        while side >= 7:
            after = min(2 * before, 8 * channels)
            self.stages.append(ConvUnit(before, after, activation, normalization, activation, pool=True))
            if residual:
                self.stages.append(Residual(after, activation, normalization))
            before, side, halvings = after, side // 2, halvings + 1
        self.dropout = nn.Dropout(dropout) if dropout else None
        self.positional = positional
        self.features = before * (height >> halvings) * (width >> halvings) if positional else before
        for parameter in self.parameters():
            if parameter.ndim == 4:  # faster on CPUs and on tensor cores
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        x = ((images - self.mean) * self.inverse_std).contiguous(memory_format=torch.channels_last)
        states: Tensor = self.stages(x)
        out = states.flatten(1) if self.positional else states.amax((2, 3))
        return out if self.dropout is None else self.dropout(out)

    def title(self) -> str:
        """The row of the derivation."""
        size = " × ".join(map(str, self.shape))
        convolutions = sum(isinstance(module, nn.Conv2d) for module in self.modules())
        kept = "all positions" if self.positional else "maximum over positions"
        return f"image {size}, {convolutions} convolutions, {self.words}, {kept}"


class Stem(nn.Module):
    """φ(conv x), 4 × 4 with stride 2: (batch, channels_in, h, w) → (batch, channels, h // 2, w // 2)."""

    is_layer: ClassVar[bool] = True

    def __init__(self, channels_in: int, channels: int, activation: str, reads: str) -> None:
        super().__init__()
        self.conv = Conv2d(channels_in, channels, 4, stride=2, padding=1)
        init_conv(self.conv, reads)
        self.activation = activation_for(activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.conv(x))


_PHOTO = 64
"""Images of a longer shorter side are halved by strided convolutions first."""


def _per_channel(values: float | Sequence[float], channels: int) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32).expand(channels).clone().view(-1, 1, 1)


class DenseImage(nn.Module):
    """Pixels in [0, 1] side by side: (batch, channels, height, width) → (batch, channels · height · width).

    Not standardised: hundreds of inputs of size one, mostly background, make a step of the first layer many times as large as
    that of any other. The variational autoencoder 784-400-40 lost 0.8 nats by it on MNIST in six epochs.
    """

    def __init__(self, domain: Image) -> None:
        super().__init__()
        self.shape = (domain.channels, domain.height, domain.width)
        self.features = math.prod(self.shape)

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)

    def title(self) -> str:
        """The row of the derivation."""
        return f"image {' × '.join(map(str, self.shape))}, its pixels side by side"


class Pictures(nn.Sequential):
    """Augmentation, then the reader of the pixels: the block of an image's own field."""

    def __init__(self, augment: Augment, reader: Convolutional | DenseImage | WinnersReader) -> None:
        super().__init__(augment, reader)
        self.features = reader.features
        self.changes = augment.shift > 0 or augment.flip != "none"

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) → (batch, features)."""
        augment, reader = self
        out: Tensor = reader(augment(images) if self.changes else images)
        return out


SHIFT = 3 / 32
"""Largest shift of a training image, as a share of its shorter side."""


@field_encoder.register(Image)
def pictures(first: Image, domains: Sequence[Domain], choices: Choices) -> Pictures:
    """The block of an image's own field; by default batch-normalised, residual, shifted while training."""
    shift = round(SHIFT * min(first.height, first.width)) if choices.augment is not False else 0
    augment = Augment(shift, choices.flip or "none")
    if choices.image == "dense":
        return Pictures(augment, DenseImage(first))
    if choices.image == "winners":
        return Pictures(augment, WinnersReader(first.channels, first.height, first.width, choices.channels or MAPS))
    convolutional = Convolutional(
        first.channels,
        first.height,
        first.width,
        choices.channels,
        mean=first.mean,
        std=first.std,
        activation=choices.activation or "relu",
        normalization=choices.normalization or "batch",
        residual=choices.residual is not False,
        dropout=choices.dropout or 0.0,
        positional=choices.image == "positional",
    )
    return Pictures(augment, convolutional)
