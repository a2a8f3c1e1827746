"""Sequences from features, all steps at once: a coarse canvas, doubled or fourfold by transposed convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from trine.choices import Choices
from trine.domains import Audio, Series

from ._base import field_decoder
from .activations import activation_for
from .initialisation import gain, init_linear
from .narrow import ConvTranspose1d
from .sequence import own_steps
from .temporal import TemporalUnit, normalizations

PLACES = 32
"""Places of the canvas at most (of a series), and about how many (of a sound): beyond, it is upsampled."""
SERIES, SOUND = 2, 4
"""Factor of one upsampling stage."""
CHANNELS = {"series": 64, "sound": 96}
"""Width of the canvas."""
LEAST = 16
"""Width that no stage falls below."""


class UpStep(nn.Module):
    """φ(N(convᵀ x)) of stride ``factor``, padding kept at 0: (batch, channels_in, steps) → (batch, channels, factor · steps)."""

    is_layer: ClassVar[bool] = True

    def __init__(self, channels_in: int, channels: int, factor: int, activation: str, normalization: str) -> None:
        super().__init__()
        self.factor = factor
        # Twice the stride: all steps are made of equally many products.
        self.conv = ConvTranspose1d(
            channels_in, channels, 2 * factor, factor, factor // 2, bias=normalization == "none"
        )
        with torch.no_grad():
            self.conv.weight.normal_(0.0, gain(activation) / math.sqrt(2 * channels_in))
            if self.conv.bias is not None:
                self.conv.bias.zero_()
        self.norm = normalizations[normalization](channels)
        self.activation = activation_for(activation)

    def forward(self, x: Tensor, own: Tensor | None, steps: int) -> Tensor:
        """``own``: (batch, steps) bool, which of the ``steps`` that are kept are rows' own; None when all are."""
        found: Tensor = self.activation(self.norm(self.conv(x)[..., :steps], own))
        return found if own is None else found.masked_fill(~own[:, None], 0.0)


class Unrolled(nn.Module):
    """Features and lengths → ``outputs`` numbers a step, all steps at once: (batch, steps, outputs).

    A dense map to a canvas of few places and many channels that begins with the row; where rows differ in length, beside it
    another that is stretched from a row's first step to its last, so that what happens at a time and what happens at a share of
    the row can both be told. Then convolutions over time, and stages that upsample and narrow. A row's numbers are those that it
    would have alone: what is padded is held at 0. (The upsampling of Donahue et al., `Adversarial Audio Synthesis`, 2019, with
    filters of twice the stride.)

    Args:
        features: width of what comes in.
        outputs: numbers a step.
        steps: of the longest row of training; a longer one is drawn on with the canvas' last place.
        varied: whether rows differ in length.
        factors: of the upsampling stages. channels: width of the canvas; a stage halves it, down to 16.
        kernel: length of the last filters, which mix ``outputs`` from neighbouring steps.
        activation, normalization: names.
    """

    def __init__(
        self,
        features: int,
        outputs: int,
        steps: int,
        *,
        varied: bool = False,
        factors: Sequence[int] = (),
        channels: int = 64,
        kernel: int = 5,
        activation: str = "relu",
        normalization: str = "batch",
    ) -> None:
        super().__init__()
        self.factors = tuple(factors)
        self.outputs, self.steps = outputs, steps
        self.places = -(-steps // math.prod(self.factors))
        self.width = channels
        self.canvas = nn.Linear(features, self.places * channels)
        self.stretched = nn.Linear(features, self.places * channels) if varied else None
        for dense in (self.canvas, self.stretched):
            if dense is not None:
                init_linear(dense, "linear", scale=math.sqrt(0.5) if varied else 1.0)
        self.norm = normalizations[normalization](channels)
        self.activation = activation_for(activation)
        self.first = TemporalUnit(
            channels, channels, 5, activation=activation, normalization=normalization, residual=True, reads=activation
        )
        self.stages = nn.ModuleList()
        before = channels
        for factor in self.factors:
            after = max(before // 2, LEAST)
            self.stages.append(UpStep(before, after, factor, activation, normalization))
            before = after
        self.last = nn.Conv1d(before, outputs, kernel)
        self.margin = ((kernel - 1) // 2, kernel // 2)
        with torch.no_grad():
            self.last.weight.normal_(0.0, 0.3 / math.sqrt(kernel * before))
            assert self.last.bias is not None
            self.last.bias.zero_()
        self.words = f"{activation}, {normalization} norm"

    def forward(self, features: Tensor, lengths: Tensor, steps: int) -> Tensor:
        """(batch, steps, outputs), 0 beyond a row's own.

        Args:
            features: (batch, features). lengths: (batch,) int64, each at most ``steps``. steps: 1 or more.
        """
        padded = bool((lengths < steps).any())
        factor = math.prod(self.factors)
        coarse = -(-steps // factor)
        own = own_steps(-(-lengths // factor), coarse) if padded else None
        x = self._held(self.canvas(features).view(len(features), self.width, self.places), coarse)
        if self.stretched is not None:
            wide = self.stretched(features).view(len(features), self.width, self.places)
            x = x + self._along(wide, lengths, coarse)
        x = self.activation(self.norm(x, own))
        x = x if own is None else x.masked_fill(~own[:, None], 0.0)
        x = self.first(x, own)
        for stage in self.stages:
            assert isinstance(stage, UpStep)
            factor //= stage.factor
            count = -(-steps // factor)
            x = stage(x, own_steps(-(-lengths // factor), count) if padded else None, count)
        out: Tensor = self.last(functional.pad(x, self.margin)).transpose(1, 2)
        return out.masked_fill(~own_steps(lengths, steps)[..., None], 0.0) if padded else out

    def _held(self, canvas: Tensor, coarse: int) -> Tensor:
        """The first ``coarse`` places, the last one held beyond the canvas."""
        if coarse <= self.places:
            return canvas[..., :coarse]
        return functional.pad(canvas, (0, coarse - self.places), mode="replicate")

    def _along(self, canvas: Tensor, lengths: Tensor, coarse: int) -> Tensor:
        """(batch, channels, coarse): the canvas laid from a row's first step to its last, linear between places."""
        middle = (torch.arange(coarse, device=canvas.device) + 0.5) * math.prod(self.factors)
        place = (middle / lengths.clamp_min(1)[:, None] * self.places - 0.5).clamp(0, self.places - 1)
        low = place.floor().long()
        share = (place - low).to(canvas.dtype)[:, None]
        high = (low + 1).clamp_max(self.places - 1)
        shape = (-1, self.width, -1)
        return torch.lerp(
            canvas.gather(2, low[:, None].expand(shape)), canvas.gather(2, high[:, None].expand(shape)), share
        )

    def title(self) -> str:
        """The row of the derivation."""
        how = f" by {len(self.factors)} stages of {self.factors[0]}" if self.factors else ""
        two = "two canvases" if self.stretched is not None else "a canvas"
        return f"drawn from {two} of {self.width} × {self.places}{how} to {self.outputs} × {self.steps}, {self.words}"


def stages(steps: int, factor: int, places: int = PLACES) -> tuple[int, ...]:
    """Factors of the stages that bring at most ``places`` places to ``steps``."""
    return (factor,) * max(math.ceil(math.log(steps / places, factor) - 1e-9), 0)


@field_decoder.register(Series)
def series_of(domain: Series, features: int, outputs: int, choices: Choices) -> Unrolled:
    """What draws a series: a canvas of at most 32 places, doubled."""
    return Unrolled(
        features,
        outputs,
        domain.furthest,
        varied=domain.shortest < domain.furthest,
        factors=stages(domain.furthest, SERIES),
        channels=choices.channels or CHANNELS["series"],
        activation=choices.activation or "relu",
        normalization=choices.normalization or "batch",
    )


@field_decoder.register(Audio)
def sounds_of(domain: Audio, features: int, outputs: int, choices: Choices) -> Unrolled:
    """What draws a waveform: a canvas of about 32 places, made four times as long by each stage."""
    shortest, furthest = domain.samples
    return Unrolled(
        features,
        outputs,
        furthest,
        varied=shortest < furthest,
        factors=stages(furthest, SOUND),
        channels=choices.channels or CHANNELS["sound"],
        kernel=15,
        activation=choices.activation or "relu",
        normalization=choices.normalization or "batch",
    )
