"""Random changes of images that leave their meaning as it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trine.errors import ChoiceError, nearest

flips = ("none", "horizontal", "vertical", "both")
"""Which mirror images a user may declare harmless."""


class Augment(nn.Module):
    """Each image shifted and mirrored at random while training, left alone in evaluation: (batch, c, h, w) → the same.

    One gather for the whole batch. What a shift uncovers is filled by reflection at the edge. Draws come from torch's
    global generator.

    Args:
        shift: largest shift in pixels in either direction, less than the image's sides. flip: ``none``, ``horizontal``
        (left-right), ``vertical`` (up-down) or ``both``; each is done with probability ½.

    Raises:
        ChoiceError: an unknown flip or a negative shift.
    """

    def __init__(self, shift: int = 0, flip: str = "none") -> None:
        super().__init__()
        if flip not in flips:
            raise ChoiceError(f"flip is {flip!r}.{nearest(flip, flips)} Known: {', '.join(flips)}.")
        if shift < 0:
            raise ChoiceError(f"An image cannot be shifted by {shift} pixels; give 0 or more.")
        self.shift = shift
        self.flip = flip

    @property
    def changes(self) -> bool:
        """Whether there is any change to make."""
        return self.shift > 0 or self.flip != "none"

    def forward(self, images: Tensor) -> Tensor:
        if not self.training or not self.changes:
            return images
        batch, channels, height, width = images.shape
        rows = self._positions(batch, height, self.flip in ("vertical", "both"), images.device)
        columns = self._positions(batch, width, self.flip in ("horizontal", "both"), images.device)
        places = rows[:, :, None] * width + columns[:, None, :]  # (batch, h, w) into an image
        places = places.flatten(1)[:, None].expand(batch, channels, height * width)
        return images.flatten(2).gather(2, places).view(images.shape)

    def _positions(self, batch: int, side: int, mirrored: bool, device: torch.device) -> Tensor:
        """Where each image reads its rows or columns from, (batch, side)."""
        positions = torch.arange(side, device=device).expand(batch, side)
        if mirrored:
            mirror = torch.rand(batch, 1, device=device) < 0.5
            positions = torch.where(mirror, side - 1 - positions, positions)
        shift = min(self.shift, side - 1)
        if shift:
            moved = positions + torch.randint(-shift, shift + 1, (batch, 1), device=device)
            moved = moved.abs()
            positions = torch.where(moved >= side, 2 * (side - 1) - moved, moved)
        return positions

    def title(self) -> str:
        """The row of the derivation."""
        parts = [f"shift ±{self.shift}"] if self.shift else []
        if self.flip != "none":
            parts.append(f"mirror {self.flip}")
        return "augmentation: " + (", ".join(parts) or "none")
