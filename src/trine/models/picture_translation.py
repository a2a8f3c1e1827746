"""A picture and noise → a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from trine.blocks.augmentation import Augment
from trine.blocks.paired import SeenPicture, UNet

from .generator import Generator, Noise
from .translator import around

GRAIN = 1
"""Numbers of noise at each place, beside those of a whole picture."""


class PictureTranslation(Generator):
    """y = g(u, x) of noise u and a picture x, by a network that keeps places: what is made at one depends on what is near it in x.

    Outputs are those of :class:`~trine.models.Generator`, and ``answer``: q(y given what was made), independent numbers around
    it, for the likelihood of the true picture.

    Args:
        noise: draws u. network: (x at the size of y, u) → y. made: y as networks see it. condition: x likewise, at the size of y.
        size: (height, width) of x in the data, which says how much larger y is.
        twice: as of ``Generator``.
        augment: how training changes a pair at random, both of its pictures alike; by default not at all.
    """

    def __init__(
        self,
        noise: Noise,
        network: UNet,
        made: SeenPicture,
        condition: SeenPicture,
        size: tuple[int, int],
        twice: bool = False,
        augment: Augment | None = None,
    ) -> None:
        super().__init__(noise, network, made, condition, twice)  # type: ignore[arg-type]
        self.size = size
        self.augment = augment or Augment()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what :meth:`forward` gives."""
        return (*super().outputs, "answer")

    @property
    def network(self) -> UNet:
        """The network that makes y."""
        assert isinstance(self.trunk, UNet)
        return self.trunk

    def changed(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """A batch whose pairs are moved and mirrored at random in training: x, brought to the size of y, and y by the same draw."""
        if not self.training or not self.augment.changes:
            return batch
        read: Any = self.condition
        made: Any = self.made
        pair = self.augment(torch.cat([read(batch), made(batch)], 1))
        x, y = ((part + 1) / 2 for part in pair.split([read.shape[0], made.shape[0]], 1))
        return {**batch, read.name: x, made.name: y}

    def make(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """(batch, width) noise, (batch, channels, h, w) x at the size of y → (batch, channels', h, w) y in [−1, 1].

        The first numbers of the noise are of the whole picture, those behind them of its places.
        """
        assert condition is not None, "a picture is made of a picture"
        z = self.network.noise
        grain = noise[:, z:].view(len(condition), GRAIN, *condition.shape[2:])
        found: Tensor = self.trunk(torch.cat([condition, grain], 1), noise[:, :z])
        return found

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        """Named outputs for the rows of ``batch``."""
        outputs = super().forward(batch)
        return {**outputs, "answer": around(outputs["fake"])}

    def condition_of(self, pictures: Tensor) -> Tensor:
        """(batch, channels, h, w) pixels of x in [0, 1], of any size → what :meth:`make` reads, at the size that y has for that."""
        shape = self.made.shape
        size = tuple(
            max(round(side * y / x), 1) for side, y, x in zip(pictures.shape[2:], shape[1:], self.size, strict=True)
        )
        seen = pictures * 2 - 1
        if size == tuple(pictures.shape[2:]):
            return seen
        return interpolate(seen, size=size, mode="bilinear", align_corners=False, antialias=True)
