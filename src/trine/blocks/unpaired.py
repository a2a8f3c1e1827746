"""What a translator between two piles is made of: generators that read a value and noise, and encoders of a pair."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, pad

from trine.domains import Image

from .dense import Dense
from .sequence_makers import Timeline

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


class TimelineMap(nn.Module):
    """A row over time of one pile and noise → one of the other, step for step; both as critics see them.

    Args:
        read, line: of the rows that are read, and of those that are made. name: the latter's field in a batch, e.g. ``"y.sound"``.
        network: (row, z) → numbers of ``line``'s channels, as many steps as it reads, e.g.
            :class:`~trine.blocks.temporal_translation.TemporalTranslator`.
    """

    def __init__(self, read: Timeline, line: Timeline, name: str, network: nn.Module) -> None:
        super().__init__()
        self.line, self.name, self.network = line, name, network
        self.pace = line.rate / read.rate
        self.shape = line.shape

    def forward(self, value: Tensor, z: Tensor) -> Tensor:
        steps = self.line.steps
        made: Tensor = self.network(at_pace(value, self.pace, steps), z)
        return self.line.finished(made[:, :, :steps])

    def seen(self, batch: Mapping[str, Tensor]) -> Tensor:
        """A batch's rows as critics see them."""
        return self.line.seen(batch[self.name], batch.get(f"{self.name}.length"))

    def columns(self, seen: Tensor) -> dict[str, Tensor]:
        """What critics see → column → steps in its domain's encoded units."""
        return {self.name.partition(".")[2]: self.line.encoded(seen)}


def at_pace(rows: Tensor, pace: float, least: int = 0) -> Tensor:
    """(batch, channels, steps) with ``pace`` steps for each of its own, and then ``least`` at least: what is missing is 0."""
    if pace != 1.0:
        steps = max(round(rows.shape[2] * pace), 1)
        # Of fewer steps each is the mean of those that it stands for: what turns faster would come back as something slow.
        rows = interpolate(rows, size=steps, mode="area") if pace < 1 else interpolate(rows, size=steps, mode="linear")
    return pad(rows, (0, max(least - rows.shape[2], 0)))


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
        self.stages = _strided(nn.Conv2d(before, after, 4, stride=2, padding=1) for before, after in pairwise(counts))
        self.value = nn.Linear(counts[-1], width)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        if a.shape[2:] != b.shape[2:]:
            b = interpolate(b, size=a.shape[2:], mode="bilinear", align_corners=False)
        h = torch.cat([a, b], 1)
        for stage in self.stages:
            h = leaky_relu(stage(h), SLOPE)
        code: Tensor = self.value(h.mean((2, 3)))
        return code


class TimelineCode(nn.Module):
    """The code of a pair of rows over time, (batch, width): strided convolutions over both at once, then the mean over time.

    Args:
        a, b: of the rows. width: of the code. base: maps after the first convolution.
    """

    def __init__(self, a: Timeline, b: Timeline, width: int, base: int = 32) -> None:
        super().__init__()
        self.pace = a.rate / b.rate
        stages = min(max(round(math.log2(max(a.steps, 8) / 4)), 1), 6)
        counts = [a.shape[0] + b.shape[0], *(min(base * 2**i, 4 * base) for i in range(stages))]
        self.stages = _strided(nn.Conv1d(before, after, 4, stride=2, padding=2) for before, after in pairwise(counts))
        self.value = nn.Linear(counts[-1], width)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        b = at_pace(b, self.pace, a.shape[2])
        a = at_pace(a, 1.0, b.shape[2])
        h = torch.cat([a, b], 1)
        for stage in self.stages:
            h = leaky_relu(stage(h), SLOPE)
        code: Tensor = self.value(h.mean(2))
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


def _strided(layers: Iterable[nn.Conv1d | nn.Conv2d]) -> nn.ModuleList:
    """Convolutions before leaky rectifiers, with weights that keep the scale."""
    found = list(layers)
    for layer in found:
        nn.init.kaiming_normal_(layer.weight, a=SLOPE)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
    return nn.ModuleList(found)
