"""A picture made of a picture: an encoder-decoder with skips that noise modulates, and what judges pairs patch by patch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, linear, pad

from trine.domains import Image

from .bounded import bounded
from .differentiable_augmentation import DifferentiableAugmentation
from .translation import MOST, PatchCritic

SLOPE = 0.2
"""Of the rectifiers below zero."""
GAIN = math.sqrt(2 / (1 + SLOPE**2))
"""What keeps the second moment of unit numbers through the rectifier."""
SPREAD = 0.1
"""Standard deviation, at initialisation, of what unit noise adds to a map's scale and shift: answers begin nearly alike, for what
makes them differ is learned sooner than tints of chance are unlearned."""
GRAINED = 0.5
"""Weight, at initialisation, of noise at a place beside that of a pixel."""
LEAST = 4
"""Pixels that the shorter side is halved to, at least."""
EDGE: Literal["replicate"] = "replicate"
"""What lies beyond a picture: its last pixels again, since a border of zeros shows as a frame until long training removes it."""
HALVINGS = 4
"""At most: with more of them a picture's parts could no longer be made one by one."""


def halvings_of(side: int) -> int:
    """How often an encoder halves pictures whose shorter side has so many pixels: 1 to 4 times."""
    return min(max(int(math.log2(max(side, 1) / LEAST)), 1), HALVINGS)


class ModulatedConvolution(nn.Module):
    r"""3 × 3 convolution whose maps noise scales where they enter and shifts where they leave.

    .. math:: y_j = \frac{\sum_i w_{ji} * s_i(z) x_i}{\sqrt{\sum_i \|w_{ji}\|^2 s_i(z)^2}} + t_j(z),
              \qquad s = 1 + A z, \; t = t_0 + B z

    The root keeps the second moment of unit maps without looking at the picture. So unlike a normalisation by a picture's own mean
    and spread, what is made at a place depends on what is near it alone, and a picture may be made in parts.
    (batch, before, h, w), (batch, noise) → (batch, after, h, w).

    Maps of half the size may come along, the first of the ``before``: their part of the sum is made at their own size, for a
    quarter of the cost, and enlarged.

    Args:
        before, after: maps. noise: width of z; 0 for none.

    References:
        Karras et al., `Analyzing and Improving the Image Quality of StyleGAN`, 2020, section 2.2.
    """

    def __init__(self, before: int, after: int, noise: int = 0) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, 3, padding=1, padding_mode=EDGE)
        assert self.convolution.bias is not None
        nn.init.normal_(self.convolution.weight, std=(9 * before) ** -0.5)
        nn.init.zeros_(self.convolution.bias)
        self.scale = nn.Linear(noise, before, bias=False) if noise else None
        self.shift = nn.Linear(noise, after, bias=False) if noise else None
        for layer in (self.scale, self.shift):
            if layer is not None:
                nn.init.normal_(layer.weight, std=(SPREAD * noise**-0.5) ** 0.5)
        # Half of the size is a constant, the other half the weights': with all of it in the weights steps of the optimiser drive
        # what noise does too far, with all in the constant they hardly move it.
        self.heard = (SPREAD * noise**-0.5) ** 0.5 if noise else 0.0

    def title(self) -> str:
        """What it is, for a summary."""
        return "Conv2d" if self.scale is None else "Conv2d, modulated by noise"

    def forward(self, maps: Tensor, z: Tensor | None = None, half: Tensor | None = None) -> Tensor:
        squares = self.convolution.weight.square().sum((2, 3))
        if self.scale is None or self.shift is None or z is None:
            root = (squares.sum(1) + 1e-8).rsqrt()[:, None, None]
            assert self.convolution.bias is not None
            return torch.addcmul(self.convolution.bias[:, None, None], self._sum(maps, half), root)
        z = self.heard * z
        scale = 1 + self.scale(z)
        root = (linear(scale.square(), squares) + 1e-8).rsqrt()
        places = scale[:, :, None, None]
        if half is not None:
            of_half, places = places.split([half.shape[1], maps.shape[1]], 1)
            half = half * of_half
        shift = self.shift(z) + self.convolution.bias
        return torch.addcmul(shift[:, :, None, None], self._sum(maps * places, half), root[:, :, None, None])

    def _sum(self, maps: Tensor, half: Tensor | None) -> Tensor:
        """What is convolved, before it is scaled."""
        layer = self.convolution
        if half is None:
            made: Tensor = layer._conv_forward(maps, layer.weight, None)
            return made
        first, second = layer.weight[:, : half.shape[1]], layer.weight[:, half.shape[1] :]
        small = layer._conv_forward(half, first, None)
        made = layer._conv_forward(maps, second, None)
        return made + interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)


class UNet(nn.Module):
    """A picture and noise → a picture of the same size: (batch, in_channels, h, w), (batch, noise) → (batch, out_channels, h, w).

    Of the ``in_channels`` the last ``grain`` are noise, a number at each place: of a flat picture a network that keeps places could
    else make nothing but a flat one.

    Strided convolutions halve the sides; :class:`ModulatedConvolution` doubles them again, each beside the maps of its size on the
    way down. Noise modulates every layer from the smallest size on. Any height and width: sides that
    are no multiple of :attr:`stride` are lengthened by their last pixels and cut again. What is made at a place, in [−1, 1],
    depends on no pixel farther than :attr:`reach`.

    Args:
        in_channels, out_channels: of the pictures. base: maps at full size; each halving doubles them, up to eight times.
        noise: width of z; 0 for none. halvings: at least 1. grain: of the ``in_channels``, those that are noise.

    References:
        Ronneberger et al., `U-Net`, 2015. Isola et al., `Image-to-Image Translation with Conditional Adversarial Networks`, 2017,
        section 3.2.1. Karras et al., `A Style-Based Generator Architecture`, 2019, section 3.2 (noise at each place).
    """

    def __init__(
        self, in_channels: int, out_channels: int, base: int = 16, noise: int = 0, halvings: int = 3, grain: int = 0
    ) -> None:
        super().__init__()
        counts = [min(base * 2**i, MOST * base) for i in range(halvings + 1)]
        self.noise, self.halvings = noise, halvings
        self.first = nn.Conv2d(in_channels, base, 3, padding=1, padding_mode=EDGE)
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 4, stride=2, padding=1, padding_mode=EDGE) for a, b in itertools.pairwise(counts)
        )
        self.middle = nn.ModuleList(ModulatedConvolution(counts[-1], counts[-1], noise) for _ in range(2))
        self.up = nn.ModuleList(
            ModulatedConvolution(small + skip, skip, noise) for small, skip in itertools.pairwise(counts[::-1])
        )
        self.last = nn.Conv2d(base, out_channels, 3, padding=1, padding_mode=EDGE)
        for layer in (self.first, *self.down, self.last):
            assert isinstance(layer, nn.Conv2d)
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        with torch.no_grad():  # pixels start inside their bounds
            self.last.weight.mul_(0.3)
            if grain:
                self.first.weight[:, -grain:].mul_(GRAINED)
        for parameter in self.parameters():
            if parameter.dim() == 4:  # a quarter of the time
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    @property
    def stride(self) -> int:
        """Pixels that sides are a multiple of inside."""
        return 1 << self.halvings

    @property
    def reach(self) -> int:
        """Pixels, at most, from a place to what decides it."""
        steps = self.stride - 1
        # Down: two pixels of the larger size each; up: two of the smaller, to convolve and to enlarge; the middle's two; both ends.
        return 6 * steps + 2 * self.stride + 2

    def forward(self, picture: Tensor, z: Tensor | None = None) -> Tensor:
        height, width = picture.shape[2:]
        more = (-height) % self.stride, (-width) % self.stride
        maps = pad(picture, (0, more[1], 0, more[0]), mode="replicate") if any(more) else picture
        maps = leaky_relu(self.first(maps.contiguous(memory_format=torch.channels_last)), SLOPE)
        skips = []
        for layer in self.down:
            skips.append(maps)
            maps = leaky_relu(layer(maps), SLOPE)
        for layer in self.middle:
            maps = leaky_relu(layer(maps, z), SLOPE) * GAIN
        for layer in self.up:
            maps = leaky_relu(layer(skips.pop(), z, maps), SLOPE) * GAIN
        made = bounded(self.last(maps))
        return made[:, :, :height, :width]


class SeenPicture(nn.Module):
    """One picture of a batch as networks see it: pixels in [0, 1] → (batch, channels, height, width) in [−1, 1].

    Args:
        name: of the field, e.g. ``"x.photo"``. domain: of the picture.
        size: (height, width) that it is brought to; None: its own.
    """

    def __init__(self, name: str, domain: Image, size: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.name = name
        self.shape = (domain.channels, *(size or (domain.height, domain.width)))
        self.shapes = [self.shape]

    @property
    def column(self) -> Tensor:
        """(numbers,) zeros: all are of one column."""
        return torch.zeros(math.prod(self.shape), dtype=torch.int64)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        picture = batch[self.name] * 2 - 1
        if picture.shape[2:] == self.shape[1:]:
            return picture
        return interpolate(picture, size=self.shape[1:], mode="bilinear", align_corners=False, antialias=True)

    def seen(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The same, by the name that makers have for it."""
        found: Tensor = self(batch)
        return found

    def columns(self, seen: Tensor) -> dict[str, Tensor]:
        """[−1, 1] → column → pixels in [0, 1]."""
        return {self.name.partition(".")[2]: ((seen + 1) / 2).clamp(0.0, 1.0)}


class PairCritic(nn.Module):
    """A picture, (batch, channels, h, w), and a batch with the one it is made of → a number for each patch, (batch, h', w').

    Args:
        condition: gives the picture that was read, at the size of the one that is judged.
        channels: of both pictures together. base, layers: as of :class:`~trine.blocks.translation.PatchCritic`.
        augment: probability of each random change of what it sees, which moves and holes both pictures alike, and relights the
            judged one.
    """

    def __init__(
        self, condition: SeenPicture, channels: int, base: int = 32, layers: int = 3, augment: float = 0.0
    ) -> None:
        super().__init__()
        self.condition = condition
        self.patches = PatchCritic(channels, base, layers)
        self.change = DifferentiableAugmentation(augment)

    def forward(self, value: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        judged: Tensor = self.patches(self.change(value, self.condition(given)))
        return judged
