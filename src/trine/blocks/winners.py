"""Pictures as few strokes: convolutional maps in which winners take all, and the one convolution that draws them again."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .initialisation import gain

WIDE_SIDE = 20
"""Pictures of a longer shorter side are read by three layers of 5 × 5, smaller ones by two of 3 × 3."""
CELLS = 4
"""Cells a side of the maps, in each of which one unit wins."""
MAPS = 32
"""Maps by default; the paper has 128, which take some ten times as long."""


class SpatialWinners(nn.Module):
    """Each map keeps its maximum and nothing else: (batch, maps, h, w) → the same, where nothing below 0 wins.

    Equal maxima all stay.

    References:
        Makhzani and Frey, `Winner-Take-All Autoencoders`, 2015, section 3.
    """

    def forward(self, x: Tensor) -> Tensor:
        return torch.where((x >= x.amax((2, 3), keepdim=True)) & (x > 0), x, 0.0)


class ChannelWinners(nn.Module):
    """Of each cell of the picture one unit of all maps stays, the largest: (batch, maps, h, w) → the same.

    Cells are ``stride`` × ``stride`` places, those at the lower and right rims what is left. Equal maxima all stay; nothing
    below 0 wins, so at most ⌈h/stride⌉ ⌈w/stride⌉ units are active.

    Args:
        stride: places a side of a cell, 1 or more.

    References:
        Kazakçı, Cherti and Kégl, `Digits that are not`, 2016 (the stride of their sparse convolutional autoencoder).
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        best = x.amax(1, keepdim=True)
        best = F.max_pool2d(best, self.stride, self.stride, ceil_mode=True)
        best = best.repeat_interleave(self.stride, 2).repeat_interleave(self.stride, 3)
        return torch.where((x >= best[..., : x.shape[2], : x.shape[3]]) & (x > 0), x, 0.0)


def maps_of(height: int, width: int, maps: int) -> tuple[int, int, int]:
    """(maps, height, width) of the maps of a picture, by valid convolutions."""
    layers, kernel = _layers(height, width)
    return maps, height - layers * (kernel - 1), width - layers * (kernel - 1)


def _layers(height: int, width: int) -> tuple[int, int]:
    return (3, 5) if min(height, width) >= WIDE_SIDE else (2, 3)


class WinnersReader(nn.Module):
    """Valid convolutions, and of their maps the winners: in each map one place, then in each cell one map.

    (batch, channels, height, width) pixels in [0, 1] → (batch, maps · h · w), at most 4 × 4 of them above 0.

    Args:
        channels_in, height, width: of the picture; sides of at least 8. maps: of each layer.

    References:
        Kazakçı, Cherti and Kégl, `Digits that are not`, 2016.
    """

    def __init__(self, channels_in: int, height: int, width: int, maps: int = MAPS) -> None:
        super().__init__()
        layers, kernel = _layers(height, width)
        self.shape = maps_of(height, width, maps)
        self.features = math.prod(self.shape)
        self.size = (channels_in, height, width)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels_in if i == 0 else maps, maps, kernel) for i in range(layers)
        )
        for layer in self.convolutions:
            assert isinstance(layer, nn.Conv2d)
            assert layer.bias is not None
            with torch.no_grad():
                layer.weight.normal_(0.0, gain("relu") / math.sqrt(layer.in_channels * kernel * kernel))
                layer.bias.zero_()
            layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
        self.stride = max(math.ceil(min(self.shape[1:]) / CELLS), 1)
        self.spatial, self.channel = SpatialWinners(), ChannelWinners(self.stride)

    def forward(self, images: Tensor) -> Tensor:
        x = images
        for layer in self.convolutions:
            x = torch.relu(layer(x))
        out: Tensor = self.channel(self.spatial(x))
        return out.flatten(1)

    def title(self) -> str:
        """The row of the derivation."""
        cells = " × ".join(str(math.ceil(side / self.stride)) for side in self.shape[1:])
        return (
            f"image {' × '.join(map(str, self.size))} → {len(self.convolutions)} convolutions → "
            f"{' × '.join(map(str, self.shape))}, in each map one place wins and in each of {cells} cells one map"
        )


class Strokes(nn.Module):
    """Each active unit draws its map's stroke at its place, and strokes add up: (batch, maps · h · w) → (batch, outputs, H, W).

    Args:
        shape: (maps, h, w). outputs: numbers a pixel. height, width: H and W, of the picture.
    """

    def __init__(self, shape: Sequence[int], outputs: int, height: int, width: int) -> None:
        super().__init__()
        self.shape = tuple(shape)
        maps, h, w = self.shape
        self.drawing = nn.ConvTranspose2d(maps, outputs, (height - h + 1, width - w + 1))
        with torch.no_grad():
            self.drawing.weight.normal_(0.0, 0.3 / CELLS)
            assert self.drawing.bias is not None
            self.drawing.bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.drawing(features.view(len(features), *self.shape))
        return out

    def title(self) -> str:
        """The row of the derivation."""
        kernel = " × ".join(map(str, self.drawing.kernel_size))
        return f"drawn by one stroke of {kernel} pixels for each active unit"
