"""Pictures from pictures: translators with noise, and critics that judge patches."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn.functional import instance_norm, interpolate, leaky_relu, relu

SLOPE = 0.2
"""Of the rectifier below zero in critics."""
MOST = 8
"""Times ``base`` that a layer has at most."""
LEAST = 4
"""Pixels a side, at least, that the residual blocks work on."""
SPREAD = 0.3
"""Standard deviation, at initialisation, of what unit noise adds to the gain and the shift of a normalised map."""


class NoisyNorm(nn.Module):
    """Each map standardised over its places, then scaled and shifted by noise: (batch, c, h, w), (batch, noise) → (batch, c, h, w).

    Args:
        channels: maps. noise: width of z; 0: gains and shifts are learned alone.

    References:
        Dumoulin et al., `A Learned Representation for Artistic Style`, 2017. Almahairi et al., `Augmented CycleGAN`, 2018, section
        4.1 (noise through conditional instance normalisation).
    """

    def __init__(self, channels: int, noise: int = 0) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        self.modulation = nn.Linear(noise, 2 * channels, bias=False) if noise else None
        if self.modulation is not None:
            nn.init.normal_(self.modulation.weight, std=SPREAD * noise**-0.5)

    def title(self) -> str:
        """What it is, for a summary."""
        return "each map standardised" if self.modulation is None else "each map standardised, moved by noise"

    def forward(self, maps: Tensor, z: Tensor | None) -> Tensor:
        if self.modulation is None or z is None:
            return instance_norm(maps, weight=self.gain, bias=self.shift)
        gain, shift = self.modulation(z).unsqueeze(-1).unsqueeze(-1).chunk(2, 1)
        gain, shift = self.gain.view(-1, 1, 1) + gain, self.shift.view(-1, 1, 1) + shift
        return torch.addcmul(shift, instance_norm(maps), gain)


class ResidualBlock(nn.Module):
    """h + N(W₂ relu(N(W₁ h))), 3 × 3 convolutions and :class:`NoisyNorm`; (batch, c, h, w) → the same."""

    def __init__(self, channels: int, noise: int = 0) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(NoisyNorm(channels, noise) for _ in range(2))

    def title(self) -> str:
        """What it is, for a summary."""
        return (
            "residual block 3 × 3, moved by noise" if self.norms[0].modulation is not None else "residual block 3 × 3"
        )

    def forward(self, maps: Tensor, z: Tensor | None) -> Tensor:
        before, after = self.norms
        inner = relu(before(self.first(maps), z))
        out: Tensor = maps + after(self.second(inner), z)
        return out


class ResidualTranslator(nn.Module):
    """A picture, and noise, → a picture of the same size in [−1, 1]: (batch, in_channels, h, w) → (batch, out_channels, h, w).

    Convolutions that halve the sides, residual blocks, and back by nearest neighbours and convolutions (Odena et al.,
    `Deconvolution and Checkerboard Artifacts`, 2016); any height and width of at least :attr:`least`. The noise is in the
    normalisation of every residual block, where no later layer can do without it.

    Args:
        in_channels, out_channels: of the pictures. base: maps at full size; each halving doubles them.
        blocks: residual blocks. noise: width of z; 0 for none. halvings: 0 or more.

    References:
        Johnson et al., `Perceptual Losses for Real-Time Style Transfer`, 2016; Zhu et al., `Unpaired Image-to-Image Translation`,
        2017, appendix 7.2.
    """

    def __init__(
        self, in_channels: int, out_channels: int, base: int = 32, blocks: int = 6, noise: int = 0, halvings: int = 2
    ) -> None:
        super().__init__()
        counts = [min(base * 2**i, MOST * base) for i in range(halvings + 1)]
        size = 7 if halvings > 1 else 3
        edge = {"padding": size // 2, "padding_mode": "reflect"}
        self.noise, self.halvings = noise, halvings
        self.first = nn.Conv2d(in_channels, base, size, **edge)  # type: ignore[arg-type]
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(counts))
        self.blocks = nn.ModuleList(ResidualBlock(counts[-1], noise) for _ in range(blocks))
        self.up = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(counts[::-1]))
        self.last = nn.Conv2d(base, out_channels, size, **edge)  # type: ignore[arg-type]
        self.down_norms = nn.ModuleList(NoisyNorm(count) for count in counts[1:])
        self.up_norms = nn.ModuleList(NoisyNorm(count) for count in counts[-2::-1])
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        # Small, so that pixels start where tanh is steep; not tiny, or what was read would not show at all.
        nn.init.kaiming_normal_(self.last.weight, nonlinearity="linear")
        with torch.no_grad():
            self.last.weight.mul_(0.2)

    @property
    def stride(self) -> int:
        """Pixels of a place where the residual blocks work: a part of a picture begins at a multiple of it."""
        return 1 << self.halvings

    @property
    def least(self) -> int:
        """Pixels that a side has, at least."""
        return LEAST << self.halvings

    @property
    def channels(self) -> list[int]:
        """Maps of each layer that :meth:`features` gives."""
        counts = [self.first.out_channels, *(layer.out_channels for layer in self.down if isinstance(layer, nn.Conv2d))]
        return [*counts, counts[-1]] if len(self.blocks) else counts

    def forward(self, picture: Tensor, z: Tensor | None = None) -> Tensor:
        return self._made(*self._read(picture, z, None), z)

    def features(self, picture: Tensor, z: Tensor | None = None) -> list[Tensor]:
        """What its own encoder tells of each place, at several sizes: (batch, channels, height, width) each."""
        found: list[Tensor] = []
        maps, _ = self._read(picture, z, found)
        for block in self.blocks[: self._middle]:
            maps = block(maps, z)
        return [*found, maps] if self._middle else found

    def with_features(self, picture: Tensor, z: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """The picture made, and :meth:`features` of the one read, at the cost of the former."""
        found: list[Tensor] = []
        maps, sizes = self._read(picture, z, found)
        return self._made(maps, sizes, z, found), found

    @property
    def _middle(self) -> int:
        """Blocks that belong to the encoder."""
        return (len(self.blocks) + 1) // 2

    def _read(self, picture: Tensor, z: Tensor | None, found: list[Tensor] | None) -> tuple[Tensor, list[torch.Size]]:
        """The maps that residual blocks work on, and the sizes on the way."""
        maps = relu(self.first(picture))
        sizes = [maps.shape[2:]]
        if found is not None:
            found.append(maps)
        for layer, norm in zip(self.down, self.down_norms, strict=True):
            maps = relu(norm(layer(maps), None))
            sizes.append(maps.shape[2:])
            if found is not None:
                found.append(maps)
        return maps, sizes

    def _made(
        self, maps: Tensor, sizes: list[torch.Size], z: Tensor | None, found: list[Tensor] | None = None
    ) -> Tensor:
        for place, block in enumerate(self.blocks, start=1):
            maps = block(maps, z)
            if found is not None and place == self._middle:
                found.append(maps)
        for size, layer, norm in zip(sizes[-2::-1], self.up, self.up_norms, strict=True):
            maps = relu(norm(layer(interpolate(maps, size=size, mode="nearest")), None))
        return torch.tanh(self.last(maps))


class PatchCritic(nn.Module):
    """A picture → one number for each of its patches: (batch, channels, h, w) → (batch, h', w').

    Strided 4 × 4 convolutions with leaky rectifiers and no normalisation, so that penalties on its slope are each picture's
    own. With three layers a number is of 46 × 46 pixels, with two of 18 × 18.

    Args:
        channels: of the picture. base: maps after the first convolution. layers: convolutions that halve the sides.

    References:
        Isola et al., `Image-to-Image Translation with Conditional Adversarial Networks`, 2017, section 3.2.2.
    """

    def __init__(self, channels: int, base: int = 32, layers: int = 3) -> None:
        super().__init__()
        counts = [channels, *(min(base * 2**i, MOST * base) for i in range(layers))]
        self.stages = nn.ModuleList(nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in itertools.pairwise(counts))
        self.value = nn.Conv2d(counts[-1], 1, 4 if layers > 2 else 3, padding=1)
        for layer in (*self.stages, self.value):
            assert isinstance(layer, nn.Conv2d)
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, picture: Tensor, given: object = None) -> Tensor:
        maps = picture
        for stage in self.stages:
            maps = leaky_relu(stage(maps), SLOPE)
        values: Tensor = self.value(maps)
        return values.squeeze(1)
