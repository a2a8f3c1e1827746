"""What a conditional gan is where its condition is a picture and what it makes is one: translation by pairs."""

from __future__ import annotations

from typing import Any

from torch import nn

from trine.blocks.paired import PairCritic, SeenPicture, UNet, halvings_of
from trine.choices import Choices
from trine.criterion import Term
from trine.data import Schema
from trine.divergences.kl import KL
from trine.domains import Image
from trine.methods._base import Facts
from trine.models.generator import Noise
from trine.models.picture_translation import PictureTranslation

SHARE = 0.25
"""How far a picture's answers are kept apart, of how far answers to different pictures are."""

Pair = tuple[str, Image, str, Image]


def pair_of(schema: Schema) -> Pair | None:
    """(column, domain) of the only x and of the only y where both are pictures; else None."""
    if len(schema.x) != 1 or len(schema.y) != 1:
        return None
    (x, read), (y, made) = (next(iter(side.items())) for side in (schema.x, schema.y))
    return (x, read, y, made) if isinstance(read, Image) and isinstance(made, Image) else None


def derived(pair: Pair, facts: Facts) -> dict[str, tuple[Any, str]]:
    """Choice → (value, why), where it differs from pictures made of noise."""
    side = min(pair[3].height, pair[3].width)
    epochs = min(max(round(100_000 / facts.rows), 5), 200)
    return {
        "noise": (16, "what one picture leaves open"),
        "channels": (32 if side < 48 else 16, "of the network at full size, and of its critic"),
        "likelihood": (5.0, "of the true picture around the made one, a number"),
        "critic_augment": (0.0, "patches are many, if pictures are few"),
        "batch_size": (min(16 if side < 48 else 4, max(facts.rows // 4, 2)), "of pictures with many places each"),
        "epochs": (epochs, "to see about 100,000 pairs, within 5 to 200 epochs"),
        "step_size": (1e-3, "held on maps and digits"),
    }


def network(pair: Pair, choices: Choices) -> PictureTranslation:
    """The generator that resolved choices describe."""
    x, read, y, made = pair
    size = (made.height, made.width)
    assert choices.noise is not None
    net = UNet(read.channels, made.channels, choices.channels or 16, choices.noise, halvings_of(min(size)))
    return PictureTranslation(
        Noise(choices.noise),
        net,
        SeenPicture(f"y.{y}", made),
        SeenPicture(f"x.{x}", read, size),
        (read.height, read.width),
        choices.diversity != 0,
    )


def critic(pair: Pair, choices: Choices) -> nn.Module:
    """What judges a picture beside the one it was made of, patch by patch."""
    x, read, _, made = pair
    size = (made.height, made.width)
    return PairCritic(
        SeenPicture(f"x.{x}", read, size),
        read.channels + made.channels,
        2 * (choices.channels or 16),
        min(halvings_of(min(size)), 3),
        choices.critic_augment or 0.0,
    )


def likelihood_term(pair: Pair, choices: Choices) -> Term:
    """−log q(y given what was made), a number."""
    weight = 5.0 if choices.likelihood is None else choices.likelihood
    made = pair[3]
    numbers = made.channels * made.height * made.width
    return Term(KL(), "answer", "real", weight=weight / numbers, name="likelihood", training_only=True)
