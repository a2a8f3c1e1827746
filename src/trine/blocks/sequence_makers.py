"""Series and sounds as a generator makes them and a critic sees them: all steps at once, with a channel for where a row ends."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, pad

from trine.choices import Choices
from trine.domains import Audio, Domain, Series
from trine.errors import SchemaError

from .makers import Maker, critic_for, maker_for

SLOPE = 0.2
LEAST = 8
"""Steps at which a generator begins, about."""
CHANNELS = 32
MOST = 128
KERNEL = 5
LONGEST = 16_384
"""Most steps of a row that is made: all of them are made at once."""


def lengths(steps: int) -> list[int]:
    """Steps from the most to the fewest: halves, rounded up, until about ``LEAST``."""
    found = [steps]
    while len(found) < 2 or found[-1] >= 2 * LEAST:
        found.append(math.ceil(found[-1] / 2))
    return found


def maps_at(stage: int, maps: int) -> int:
    """Channels after ``stage`` halvings: twice as many every other one, at most 128."""
    return int(min(maps * 2 ** (stage // 2), max(MOST, maps)))


class SequenceGenerator(nn.Module):
    """(batch, features) → (batch, channels, steps): few steps, doubled stage by stage, then a convolution over 5.

    Args:
        features: width of what is read. channels, steps: of a row. maps: see :func:`maps_at`.

    References:
        Donahue, McAuley and Puckette, `Adversarial Audio Synthesis` (WaveGAN), 2019; nearest neighbours in the place of their
        transposed convolutions, whose checkerboards are heard as pitched noise.
    """

    def __init__(self, features: int, channels: int, steps: int, maps: int = CHANNELS) -> None:
        super().__init__()
        self.lengths = lengths(steps)[::-1]
        counts = [maps_at(stage, maps) for stage in range(len(self.lengths))][::-1]
        self.maps = counts[0]
        self.first = nn.Linear(features, counts[0] * self.lengths[0])
        self.stages = nn.ModuleList(
            nn.Conv1d(before, after, KERNEL, padding=KERNEL // 2) for before, after in itertools.pairwise(counts)
        )
        self.last = nn.Conv1d(counts[-1], channels, KERNEL, padding=KERNEL // 2)
        nn.init.normal_(self.first.weight, std=features**-0.5)
        nn.init.zeros_(self.first.bias)
        for layer in (*self.stages, self.last):
            assert isinstance(layer, nn.Conv1d)
            assert layer.bias is not None
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        h = leaky_relu(self.first(features), SLOPE).view(-1, self.maps, self.lengths[0])
        for steps, stage in zip(self.lengths[1:], self.stages, strict=True):
            h = leaky_relu(stage(interpolate(h, size=steps, mode="nearest")), SLOPE)
        made: Tensor = self.last(h)
        return made


class SequenceCritic(nn.Module):
    """(batch, channels, steps) → (batch, features): strided convolutions over 5 steps, leaky rectifiers, no normalisation.

    Args:
        channels, steps: of a row. maps: see :func:`maps_at`.
    """

    def __init__(self, channels: int, steps: int, maps: int = CHANNELS) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        before, left = channels, steps
        for stage in range(len(lengths(steps))):
            after = maps_at(stage, maps)
            stride = 1 if stage == 0 else 2
            layer = nn.Conv1d(before, after, KERNEL, stride=stride, padding=KERNEL // 2)
            assert layer.bias is not None
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            nn.init.zeros_(layer.bias)
            self.stages.append(layer)
            before, left = after, left if stride == 1 else (left + 1) // 2
        self.features = before * left

    def forward(self, rows: Tensor) -> Tensor:
        h = rows
        for stage in self.stages:
            h = leaky_relu(stage(h), SLOPE)
        return h.flatten(1)


@dataclass(frozen=True)
class Timeline:
    """How a critic sees rows over time, (batch, channels, steps): all as long as the longest row of training; where rows differ in
    length a last channel is 1 within a row and −1 beyond its end, and the numbers beyond are 0.

    Attributes:
        width: numbers of a step as the domain encodes them. steps: of the longest row. shortest: steps of the shortest one.
        bounded: whether values lie in [−1, 1], as sound does. name: of such a row, for sentences. rate: steps a second, where they
            are known.

    Raises:
        SchemaError: rows of more than 16,384 steps.
    """

    width: int
    steps: int
    shortest: int
    bounded: bool = False
    name: str = "series"
    rate: int = 1

    def __post_init__(self) -> None:
        if self.steps > LONGEST:
            raise SchemaError(
                f"A generator makes at most {LONGEST:,} steps of a {self.name} at once, and the longest row has {self.steps:,}; "
                "cut rows, or lower their rate, e.g. `trine fit --domain COL=audio(rate=8000)`."
            )

    @property
    def ends(self) -> bool:
        """Whether rows differ in length, so that a channel tells where each ends."""
        return max(self.shortest, 1) < self.steps

    @property
    def shape(self) -> tuple[int, int]:
        """(channels, steps) of a row."""
        return self.width + int(self.ends), self.steps

    def finished(self, made: Tensor) -> Tensor:
        """(batch, channels, steps) of any numbers → the same as rows: within bounds, and 0 beyond their ends."""
        values = made[:, : self.width]
        values = torch.tanh(values) if self.bounded else values
        if not self.ends:
            return values
        there = torch.tanh(made[:, self.width :])
        return torch.cat([values * (there + 1) / 2, there], 1)

    def seen(self, value: Tensor, length: Tensor | None = None) -> Tensor:
        """A batch's (batch, steps, …) with the steps of each row → (batch, channels, steps)."""
        rows = value.view(len(value), value.shape[1], -1).transpose(1, 2).to(torch.float32)
        rows = pad(rows[:, :, : self.steps], (0, max(self.steps - rows.shape[2], 0)))
        if not self.ends:
            return rows
        assert length is not None, "rows of different lengths come with them"
        inside = torch.arange(self.steps, device=rows.device) < length.clamp_max(self.steps)[:, None]
        return torch.cat([rows * inside[:, None], torch.where(inside, 1.0, -1.0)[:, None]], 1)

    def encoded(self, seen: Tensor) -> Tensor:
        """(batch, channels, steps) → (batch, steps, width), NaN beyond a row's end."""
        values = seen[:, : self.width].transpose(1, 2)
        if self.bounded:
            values = values.clamp(-1.0, 1.0)
        if not self.ends:
            return values
        inside = (seen[:, self.width] > 0).to(torch.int8)
        inside[:, : max(self.shortest, 1)] = 1
        return values.masked_fill(inside.cumprod(1)[:, :, None] == 0, float("nan"))


@functools.singledispatch
def timeline_of(domain: Domain) -> Timeline | None:
    """How a critic sees a column of rows over time; None of any other domain."""
    return None


@timeline_of.register
def _(domain: Series) -> Timeline:
    width = domain.channels * (2 if domain.gaps else 1) + int(domain.interval > 0)
    return Timeline(width, domain.furthest, domain.shortest)


@timeline_of.register
def _(domain: Audio) -> Timeline:
    shortest, steps = domain.samples
    return Timeline(domain.channels, steps, shortest, bounded=True, name="sound", rate=domain.rate)


class SequenceMaker(Maker):
    """Rows over time of features, by :class:`SequenceGenerator`.

    Args:
        features: width of what it reads. line: of the rows. maps: see :func:`maps_at`.
    """

    def __init__(self, features: int, line: Timeline, maps: int) -> None:
        super().__init__()
        self.features, self.line, self.shape = features, line, line.shape
        self.network = SequenceGenerator(features, *self.shape, maps)

    def forward(self, features: Tensor) -> Tensor:
        return self.line.finished(self.network(features))

    def seen(self, value: Tensor, present: Tensor | None = None, length: Tensor | None = None) -> Tensor:
        return self.line.seen(value, length)

    def encoded(self, seen: Tensor) -> list[Tensor]:
        """(batch, steps, width), NaN beyond a row's end."""
        return [self.line.encoded(seen)]


def _maker(first: Any, domains: Sequence[Domain], features: int, choices: Choices, alone: bool) -> Maker:
    line = timeline_of(first)
    assert line is not None
    return SequenceMaker(features, line, choices.channels or CHANNELS)


maker_for.register(Series, _maker)
maker_for.register(Audio, _maker)


def _critic(first: Any, domains: Sequence[Domain], shape: tuple[int, ...], choices: Choices) -> Any:
    channels, steps = shape
    return SequenceCritic(channels, steps, choices.channels or CHANNELS)


critic_for.register(Series, _critic)
critic_for.register(Audio, _critic)
