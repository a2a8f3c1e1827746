"""Series and sounds made of series and sounds: translators that keep places in time."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

MOST = 4
"""Times ``base`` that a layer has at most."""
SPREAD = 0.3
"""Standard deviation, at initialisation, of what unit noise adds to the gain and the shift of a map."""
KERNEL, WIDE = 3, 7
"""Steps that a convolution within the network reads, and the first and the last."""
DILATIONS = (1, 3, 9)
"""Of one residual block after the other, over and over."""


class TemporalBlock(nn.Module):
    """h + W₂ relu((1 + A z) W₁ relu(h) + B z), W₁ dilated over time: (batch, c, steps), (batch, noise) → (batch, c, steps).

    Nothing is standardised over time: how loud a sound is, or how high a series, is content.

    Args:
        channels: maps. noise: width of z; 0 for none. dilation: steps from one that the first convolution reads to the next.
        scale: of the second convolution at initialisation, 1/√blocks, so that a stack neither fades nor explodes.

    References:
        Kumar et al., `MelGAN: Generative Adversarial Networks for Conditional Waveform Synthesis`, 2019, section 2.1 (stacks of
        dilated residual blocks). Perez et al., `FiLM: Visual Reasoning with a General Conditioning Layer`, 2018.
    """

    def __init__(self, channels: int, noise: int = 0, dilation: int = 1, scale: float = 1.0) -> None:
        super().__init__()
        self.first = nn.Conv1d(channels, channels, KERNEL, padding=dilation, dilation=dilation)
        self.second = nn.Conv1d(channels, channels, 1)
        self.modulation = nn.Linear(noise, 2 * channels, bias=False) if noise else None
        for layer in (self.first, self.second):
            nn.init.kaiming_normal_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.second.weight.mul_(scale)
        if self.modulation is not None:
            nn.init.normal_(self.modulation.weight, std=SPREAD * noise**-0.5)

    def title(self) -> str:
        """What it is, for a summary."""
        return f"residual block over time, dilation {self.first.dilation[0]}" + (
            "" if self.modulation is None else ", moved by noise"
        )

    def forward(self, maps: Tensor, z: Tensor | None) -> Tensor:
        inner: Tensor = self.first(relu(maps))
        if self.modulation is not None and z is not None:
            gain, shift = self.modulation(z).unsqueeze(-1).chunk(2, 1)
            inner = torch.addcmul(shift, inner, 1 + gain)
        out: Tensor = maps + self.second(relu(inner))
        return out


class TemporalTranslator(nn.Module):
    """Rows over time, and noise, → rows of as many steps: (batch, in_channels, steps) → (batch, out_channels, steps).

    Strided convolutions, dilated residual blocks, and back by nearest neighbours and convolutions: what happens when in a row
    decides what happens then in its translation. How far a step is into the row is read beside it, since hours of a day, or the
    beginning of a sound, are not like the others.

    Args:
        in_channels, out_channels: of the rows. base: maps at all steps; each halving doubles them, up to four times.
        blocks: residual blocks. noise: width of z; 0 for none. halvings: of the steps, 0 or more.

    References:
        Kaneko and Kameoka, `CycleGAN-VC: Non-parallel Voice Conversion Using Cycle-Consistent Adversarial Networks`, 2018.
    """

    def __init__(
        self, in_channels: int, out_channels: int, base: int = 32, blocks: int = 6, noise: int = 0, halvings: int = 2
    ) -> None:
        super().__init__()
        counts = [min(base * 2**i, MOST * base) for i in range(halvings + 1)]
        self.first = nn.Conv1d(in_channels + 1, base, WIDE, padding=WIDE // 2)
        self.down = nn.ModuleList(
            nn.Conv1d(before, after, KERNEL, stride=2, padding=1) for before, after in itertools.pairwise(counts)
        )
        self.blocks = nn.ModuleList(
            TemporalBlock(counts[-1], noise, DILATIONS[place % len(DILATIONS)], max(blocks, 1) ** -0.5)
            for place in range(blocks)
        )
        self.up = nn.ModuleList(
            nn.Conv1d(before, after, KERNEL, padding=1) for before, after in itertools.pairwise(counts[::-1])
        )
        self.last = nn.Conv1d(base, out_channels, WIDE, padding=WIDE // 2)
        for layer in (self.first, *self.down, *self.up, self.last):
            assert isinstance(layer, nn.Conv1d)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear" if layer is self.last else "relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, rows: Tensor, z: Tensor | None = None) -> Tensor:
        into = torch.linspace(-1.0, 1.0, rows.shape[2], device=rows.device, dtype=rows.dtype)
        maps = relu(self.first(torch.cat([rows, into.expand(len(rows), 1, -1)], 1)))
        sizes = [maps.shape[2]]
        for layer in self.down:
            maps = relu(layer(maps))
            sizes.append(maps.shape[2])
        for block in self.blocks:
            maps = block(maps, z)
        for size, layer in zip(sizes[-2::-1], self.up, strict=True):
            maps = relu(layer(interpolate(maps, size=size, mode="nearest")))
        made: Tensor = self.last(maps)
        return made
