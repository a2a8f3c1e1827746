"""What a translator between two piles is made of: generators that read a value and noise, and encoders of a pair."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu

from trine.domains import Image

from .dense import Dense

SLOPE = 0.2


class PictureMap(nn.Module):
    """A picture of one pile and noise → a picture of the other, in [−1, 1]; both as critics see them.

    Args:
        domain: of the pictures that are made. name: their field in a batch, e.g. ``"y.image"``.
        network: (picture, z) → picture, e.g. :class:`~trine.blocks.translation.ResidualTranslator`; asked for contrast, with
            ``with_features`` and ``features``.
    """

    def __init__(self, domain: Image, name: str, network: nn.Module) -> None:
        super().__init__()
        self.name, self.network = name, network
        self.shape = (domain.channels, domain.height, domain.width)

    def forward(self, value: Tensor, z: Tensor) -> Tensor:
        made: Tensor = self.network(value, z)
        return made

    def features(self, value: Tensor, z: Tensor) -> list[Tensor]:
        """Of the network's own encoder, (batch, channels, height, width) each."""
        network: Any = self.network
        found: list[Tensor] = network.features(value, z)
        return found

    def with_features(self, value: Tensor, z: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What is made, and the features it is made by."""
        network: Any = self.network
        found: tuple[Tensor, list[Tensor]] = network.with_features(value, z)
        return found

    def seen(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Pixels in [0, 1] → [−1, 1]."""
        return batch[self.name] * 2 - 1

    def columns(self, seen: Tensor) -> dict[str, Tensor]:
        """[−1, 1] → column → pixels in [0, 1]."""
        return {self.name.partition(".")[2]: ((seen + 1) / 2).clamp(0.0, 1.0)}


class FieldsMap(nn.Module):
    """What critics see of a row of one pile, and noise → the same of a row of the other, by dense layers with residual paths.

    Args:
        reads: numbers that are seen of a row that is read. noise: width of z.
        made: makes all columns of the other pile from features, :class:`~trine.blocks.makers.Made`; reads ``hidden`` features.
        hidden: width of the layers. layers: how many.
    """

    def __init__(self, reads: int, noise: int, made: nn.Module, hidden: int = 256, layers: int = 4) -> None:
        super().__init__()
        self.trunk = Dense(reads + noise, (hidden,) * layers, activation="gelu", residual=True, normalization="none")
        self.made = made
        self.shape: tuple[int, ...] = tuple(made.shape)  # type: ignore[arg-type]

    def forward(self, value: Tensor, z: Tensor) -> Tensor:
        made: Tensor = self.made(self.trunk(torch.cat([value.flatten(1), z], 1)))
        return made

    def seen(self, batch: Mapping[str, Tensor]) -> Tensor:
        """A batch's columns as critics see them."""
        made: Any = self.made
        found: Tensor = made.seen(batch)
        return found

    def columns(self, seen: Tensor) -> dict[str, Tensor]:
        """What critics see → column → values in its domain's encoded units."""
        made: Any = self.made
        found: dict[str, Tensor] = made.columns(seen)
        return found


class PictureCode(nn.Module):
    """The code of a pair of pictures, (batch, width): strided convolutions over both at once, then the mean over places.

    Without normalisation, since a code may be the brightness of the whole.

    Args:
        channels: of the two pictures together. width: of the code. base: maps after the first convolution.
        side: the shorter side of the pictures, in pixels.
    """

    def __init__(self, channels: int, width: int, base: int = 32, side: int = 32) -> None:
        super().__init__()
        stages = max(round(math.log2(max(side, 8) / 4)), 1)
        counts = [channels, *(min(base * 2**i, 8 * base) for i in range(stages))]
        self.stages = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride=2, padding=1) for before, after in itertools.pairwise(counts)
        )
        for stage in self.stages:
            assert isinstance(stage, nn.Conv2d)
            nn.init.kaiming_normal_(stage.weight, a=SLOPE)
            assert stage.bias is not None
            nn.init.zeros_(stage.bias)
        self.value = nn.Linear(counts[-1], width)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        if a.shape[2:] != b.shape[2:]:
            b = interpolate(b, size=a.shape[2:], mode="bilinear", align_corners=False)
        h = torch.cat([a, b], 1)
        for stage in self.stages:
            h = leaky_relu(stage(h), SLOPE)
        code: Tensor = self.value(h.mean((2, 3)))
        return code


class FieldsCode(nn.Module):
    """The code of a pair of rows, (batch, width), from what critics see of both.

    Args:
        reads: numbers that are seen of both rows together. width: of the code. hidden: widths of the layers.
    """

    def __init__(self, reads: int, width: int, hidden: tuple[int, ...] = (128, 128)) -> None:
        super().__init__()
        self.trunk = Dense(reads, hidden, activation="gelu", normalization="none")
        self.value = nn.Linear(hidden[-1], width)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        code: Tensor = self.value(self.trunk(torch.cat([a.flatten(1), b.flatten(1)], 1)))
        return code
