"""Random changes of what a critic sees, through which a generator's gradient passes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trine.errors import ChoiceError

SHIFT, HOLE = 8, 2
"""Largest shift as a part of a side (an eighth), and side of the hole likewise (a half)."""


class DifferentiableAugmentation(nn.Module):
    """True and made pictures shifted, holed and relit at random, each with a probability of its own; (batch, c, h, w) → the same.

    The critic never sees a picture unchanged, so that it cannot know the few true ones by heart, and the generator's gradient
    passes through the change, so that it need not make changed pictures. Draws come from torch's generator; what is shifted in, and
    the hole, is −1.

    Args:
        probability: of each change, in [0, 1].

    Raises:
        ChoiceError: a probability out of range.

    References:
        Zhao et al., `Differentiable Augmentation for Data-Efficient GAN Training`, 2020.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        if not 0 <= probability <= 1:
            raise ChoiceError(f"critic_augment is {probability}; it is a probability from 0 to 1.")
        self.probability = probability

    def forward(self, pictures: Tensor, beside: Tensor | None = None) -> Tensor:
        """Pictures changed; ``beside``, (batch, k, h, w), is moved and holed alike and follows them as further channels."""
        if self.probability:
            pictures = self._lit(pictures)
        both = pictures if beside is None else torch.cat([pictures, beside], 1)
        return self._holed(self._shifted(both)) if self.probability else both

    def _chosen(self, like: Tensor) -> Tensor:
        """(batch, 1, 1, 1) 1 where a change is made, else 0."""
        return (torch.rand(len(like), 1, 1, 1, device=like.device) < self.probability).to(like.dtype)

    def _lit(self, pictures: Tensor) -> Tensor:
        """Contrast by a factor from ½ to 3/2 about the picture's mean; of several channels also their saturation from 0 to 2."""
        chosen = self._chosen(pictures)
        factor = 1 + chosen * (torch.rand_like(chosen) - 0.5)
        mean = pictures.mean((1, 2, 3), keepdim=True)
        pictures = mean + factor * (pictures - mean)
        if pictures.shape[1] < 3:
            return pictures
        colour = 1 + self._chosen(pictures) * (2 * torch.rand_like(chosen) - 1)
        grey = pictures.mean(1, keepdim=True)
        return grey + colour * (pictures - grey)

    def _shifted(self, pictures: Tensor) -> Tensor:
        """By up to an eighth of each side."""
        batch, _, height, width = pictures.shape
        chosen = self._chosen(pictures).view(batch, 1)
        rows, rows_inside = self._places(chosen, height)
        columns, columns_inside = self._places(chosen, width)
        places = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)[:, None]
        moved = pictures.flatten(2).gather(2, places.expand(-1, pictures.shape[1], -1)).view_as(pictures)
        inside = (rows_inside[:, :, None] & columns_inside[:, None, :])[:, None]
        return torch.where(inside, moved, -1.0)

    @staticmethod
    def _places(chosen: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """(batch, side) where each place reads from, and whether that is inside the picture."""
        most = max(side // SHIFT, 1)
        shift = torch.randint(-most, most + 1, chosen.shape, device=chosen.device) * chosen.long()
        places = torch.arange(side, device=chosen.device) + shift
        return places.clamp(0, side - 1), (places >= 0) & (places < side)

    def _holed(self, pictures: Tensor) -> Tensor:
        """A rectangle of half of each side around a random place."""
        batch, _, height, width = pictures.shape
        chosen = self._chosen(pictures)
        inside = []
        for side in (height, width):
            middle = torch.randint(0, side, (batch, 1), device=pictures.device)
            away = (torch.arange(side, device=pictures.device) - middle).abs()
            inside.append(away < max(side // (2 * HOLE), 1))
        hole = (inside[0][:, :, None] & inside[1][:, None, :])[:, None] & (chosen > 0)
        return torch.where(hole, -1.0, pictures)


class AugmentedCritic(nn.Module):
    """A critic that sees pictures through a random change."""

    def __init__(self, critic: nn.Module, probability: float) -> None:
        super().__init__()
        self.critic, self.change = critic, DifferentiableAugmentation(probability)

    def forward(self, value: Tensor, given: Mapping[str, Tensor] | None = None) -> Tensor:
        rows = (
            value if value.dim() == 4 else value.flatten(0, 1)
        )  # of packs, (packs, pack, c, h, w), each picture by itself
        judged: Tensor = self.critic(self.change(rows).view_as(value), given)
        return judged


def augmented(critic: nn.Module, probability: float) -> nn.Module:
    """The critic itself where there is no change to make."""
    return AugmentedCritic(critic, probability) if probability else critic
