"""Pictures from features, and what judges them: convolutional networks for generators and critics."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu

from trine.choices import Choices
from trine.domains import Domain, Image

from .bounded import bounded
from .makers import Maker, critic_for, maker_for

SLOPE = 0.2
LEAST = 4
"""A field with a shorter side than twice this is not halved again by a generator."""
CHANNELS = 32
"""Maps of either network where a picture's shorter side is about 16; see :func:`maps_at`."""
MOST = 256


def sizes(height: int, width: int) -> list[tuple[int, int]]:
    """(height, width) from the largest to the smallest: halves, rounded up, at least one, until the shorter side is below 7."""
    found = [(height, width)]
    while len(found) < 2 or min(found[-1]) >= 2 * LEAST - 1:
        h, w = found[-1]
        found.append((math.ceil(h / 2), math.ceil(w / 2)))
    return found


def maps_at(size: tuple[int, int], maps: int) -> int:
    """Channels at a size: ``maps`` at a side of about 16, twice as many at half of it, at most 256; half as many at large sizes."""
    return round(max(min(maps * 2.0 ** max(round(math.log2(16 / min(size))), -1), MOST), 1))


class PictureGenerator(nn.Module):
    """(batch, features) → (batch, channels, height, width) in [−1, 1], for any height and width from 4 on.

    A linear map gives a small field, which doubles stage by stage: nearest neighbours, then a 3 × 3 convolution (Odena et al.,
    `Deconvolution and Checkerboard Artifacts`, 2016), with leaky rectifiers and no normalisation. Weights start so that every
    stage has second moment one (He et al., 2015). Pixels are cut off at black and white, where those of drawings mostly are.

    Args:
        features: width of what is read. channels, height, width: of the picture.
        maps: see :func:`maps_at`.

    References:
        Huang et al., `The GAN is dead; long live the GAN!`, 2024, section 3 (no normalisation).
    """

    def __init__(self, features: int, channels: int, height: int, width: int, maps: int = CHANNELS) -> None:
        super().__init__()
        self.sizes = sizes(height, width)[::-1]
        counts = [maps_at(size, maps) for size in self.sizes]
        self.counts = counts
        self.first = nn.Linear(features, counts[0] * math.prod(self.sizes[0]))
        self.stages = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1) for before, after in itertools.pairwise(counts)
        )
        self.last = nn.Conv2d(counts[-1], channels, 3, padding=1)
        nn.init.normal_(self.first.weight, std=features**-0.5)
        nn.init.zeros_(self.first.bias)
        for layer in (*self.stages, self.last):
            assert isinstance(layer, nn.Conv2d)
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        h = leaky_relu(self.first(features), SLOPE).view(-1, self.counts[0], *self.sizes[0])
        for size, stage in zip(self.sizes[1:], self.stages, strict=True):
            h = leaky_relu(stage(interpolate(h, size=size, mode="nearest")), SLOPE)
        return bounded(self.last(h))


class PictureCritic(nn.Module):
    """(batch, channels, height, width) → (batch, features): strided 4 × 4 convolutions, leaky rectifiers, no normalisation.

    Args:
        channels, height, width: of the picture. maps: see :func:`maps_at`.
    """

    def __init__(self, channels: int, height: int, width: int, maps: int = CHANNELS) -> None:
        super().__init__()
        counts = [channels, *(maps_at(size, maps) for size in sizes(height, width)[1:])]
        self.stages = nn.ModuleList()
        side_h, side_w = height, width
        for before, after in itertools.pairwise(counts):
            layer = nn.Conv2d(before, after, 4, stride=2, padding=1)
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
            self.stages.append(layer)
            side_h, side_w = side_h // 2, side_w // 2
        self.mixed = nn.Conv2d(counts[-1], counts[-1], 3, padding=1)
        nn.init.kaiming_normal_(self.mixed.weight, a=SLOPE)
        self.features = counts[-1] * side_h * side_w

    def forward(self, picture: Tensor) -> Tensor:
        h = picture
        for stage in self.stages:
            h = leaky_relu(stage(h), SLOPE)
        return leaky_relu(self.mixed(h), SLOPE).flatten(1)


class PictureMaker(Maker):
    """A picture's maker: pixels in [0, 1] are seen in [−1, 1].

    Args:
        domain: of the picture. features: width of what it reads. maps: as of :class:`PictureGenerator`.
    """

    def __init__(self, domain: Image, features: int, maps: int) -> None:
        super().__init__()
        self.features = features
        self.shape = (domain.channels, domain.height, domain.width)
        self.bits = domain.bits
        self.network = PictureGenerator(features, *self.shape, maps)

    def forward(self, features: Tensor) -> Tensor:
        made: Tensor = self.network(features)
        return made

    def seen(self, value: Tensor, present: Tensor | None = None, length: Tensor | None = None) -> Tensor:
        return value * 2 - 1

    def encoded(self, seen: Tensor) -> list[Tensor]:
        return [((seen + 1) / 2).clamp(0.0, 1.0)]


@maker_for.register
def _(first: Image, domains: Sequence[Domain], features: int, choices: Choices, alone: bool) -> Maker:
    return PictureMaker(first, features, choices.channels or CHANNELS)


@critic_for.register
def _(first: Image, domains: Sequence[Domain], shape: tuple[int, ...], choices: Choices) -> Any:
    channels, height, width = shape
    return PictureCritic(channels, height, width, choices.channels or CHANNELS)
