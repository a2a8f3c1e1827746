"""Pictures from features: maps of rising size and falling width, the way of the convolutions back."""

from __future__ import annotations

import itertools
import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from trine.choices import Choices
from trine.domains import Image

from ._base import field_decoder
from .activations import activation_for
from .convolutional import normalizations
from .initialisation import gain, init_linear
from .narrow import ConvTranspose2d
from .winners import MAPS, Strokes, maps_of

LEAST_SIDE = 7
"""The first map's shorter side is at most so many places: beyond, it is doubled by a stage."""


class UpUnit(nn.Module):
    """φ(N(convᵀ x)), 4 × 4 with stride 2, which doubles the sides: (batch, channels_in, h, w) → (batch, channels, 2h, 2w).

    The kernel is a multiple of the stride, so that all places are made of equally many products.
    """

    is_layer: ClassVar[bool] = True

    def __init__(self, channels_in: int, channels: int, activation: str, normalization: str) -> None:
        super().__init__()
        self.conv = ConvTranspose2d(channels_in, channels, 4, 2, 1, bias=normalization == "none")
        with torch.no_grad():  # four of the sixteen weights of a channel meet at a place
            self.conv.weight.normal_(0.0, gain(activation) / math.sqrt(4 * channels_in))
            if self.conv.bias is not None:
                self.conv.bias.zero_()
        self.norm = normalizations[normalization](channels)
        self.activation = activation_for(activation)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(self.norm(self.conv(x)))
        return out


class Deconvolutional(nn.Module):
    """Features → ``outputs`` numbers a pixel: (batch, features) → (batch, outputs, height, width).

    A dense map to a first picture of at most 7 places a side and many channels, stages that double the sides and halve the
    channels, and a 3 × 3 convolution to the outputs, at first small, beside a number of each pixel's own, since a picture is
    not the same everywhere before anything is known of it. What lies beyond the frame is cut off.
    (Radford et al., `Unsupervised Representation Learning with Deep Convolutional GANs`, 2016, without its batch
    normalisation by choice.)

    Args:
        features: width of what comes in.
        outputs: numbers a pixel.
        height, width: of the picture, in pixels.
        channels: width of the last stage; each stage before it has twice as many, up to eightfold.
        activation, normalization: names.
    """

    def __init__(
        self,
        features: int,
        outputs: int,
        height: int,
        width: int,
        channels: int = 32,
        activation: str = "relu",
        normalization: str = "batch",
    ) -> None:
        super().__init__()
        halvings = max(math.ceil(math.log2(min(height, width) / LEAST_SIDE)), 0)
        self.size = (height, width)
        widths = [min(channels * 2**i, 8 * channels) for i in range(halvings, -1, -1)]
        self.first = (widths[0], math.ceil(height / 2**halvings), math.ceil(width / 2**halvings))
        self.dense = nn.Linear(features, math.prod(self.first), bias=normalization == "none")
        init_linear(self.dense, "linear")
        self.norm = normalizations[normalization](widths[0])
        self.activation = activation_for(activation)
        self.stages = nn.Sequential(*(UpUnit(a, b, activation, normalization) for a, b in itertools.pairwise(widths)))
        self.last = nn.Conv2d(widths[-1], outputs, 3, padding=1)
        with torch.no_grad():
            self.last.weight.normal_(0.0, 0.3 / math.sqrt(9 * widths[-1]))
            assert self.last.bias is not None
            self.last.bias.zero_()
        self.bias = nn.Parameter(torch.zeros(outputs, height, width))
        for parameter in self.parameters():
            if parameter.ndim == 4:  # faster on CPUs and on tensor cores
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.words = f"{activation}, {normalization} norm"

    def forward(self, features: Tensor) -> Tensor:
        x = self.dense(features).view(len(features), *self.first).contiguous(memory_format=torch.channels_last)
        out: Tensor = self.last(self.stages(self.activation(self.norm(x))))
        return out[..., : self.size[0], : self.size[1]].float() + self.bias

    @torch.no_grad()
    def begin(self, level: Tensor) -> None:
        """Start from these numbers, (outputs, height, width), beside which what is drawn is small at first."""
        self.bias.copy_(level)

    def title(self) -> str:
        """The row of the derivation."""
        first = " × ".join(map(str, self.first))
        size = " × ".join(map(str, (self.last.out_channels, *self.size)))
        return f"drawn from {first} by {len(self.stages)} doublings to {size}, {self.words}"


class DensePicture(nn.Module):
    """A dense map to all pixels: (batch, features) → (batch, outputs, height, width)."""

    def __init__(self, features: int, outputs: int, height: int, width: int) -> None:
        super().__init__()
        self.shape = (outputs, height, width)
        self.linear = nn.Linear(features, math.prod(self.shape))
        init_linear(self.linear, "linear", scale=0.3)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.linear(features)
        return out.view(len(features), *self.shape)

    @torch.no_grad()
    def begin(self, level: Tensor) -> None:
        """Start from these numbers, (outputs, height, width), beside which what is drawn is small at first."""
        self.linear.bias.copy_(level.flatten())

    def title(self) -> str:
        """The row of the derivation."""
        return f"drawn by a dense map to {' × '.join(map(str, self.shape))}"


@field_decoder.register(Image)
def pictures_of(domain: Image, features: int, outputs: int, choices: Choices) -> nn.Module:
    """What draws an image's field: as it is read, dense, convolutional or by strokes."""
    if choices.image == "dense":
        return DensePicture(features, outputs, domain.height, domain.width)
    if choices.image == "winners":
        return Strokes(
            maps_of(domain.height, domain.width, choices.channels or MAPS), outputs, domain.height, domain.width
        )
    return Deconvolutional(
        features,
        outputs,
        domain.height,
        domain.width,
        choices.channels or 32,
        activation=choices.activation or "relu",
        normalization=choices.normalization or "batch",
    )
