"""What a conditional gan is where its condition is a picture and what it makes is one: translation by pairs."""

from __future__ import annotations

from typing import Any

from torch import nn

from trine.blocks.augmentation import Augment
from trine.blocks.paired import PairCritic, SeenPicture, UNet, halvings_of
from trine.choices import Choices
from trine.criterion import Term
from trine.data import Schema
from trine.divergences.kl import KL
from trine.divergences.mode_seeking import ModeSeeking
from trine.divergences.spread import Spread
from trine.domains import Image
from trine.methods._base import Facts
from trine.models.generator import Noise
from trine.models.picture_translation import GRAIN, PictureTranslation

LIKELIHOOD = 5.0
"""Weight of −log q, a number."""
DIVERSITY = 0.5
"""Weight of the spread beside it: at 1 the two are a proper score, in a short training of answers too far apart for the judges."""

WIDE = 96
"""Pixels a side from which on the critic sees patches of 46 pixels; below, of 18. A quarter to a half of a side: a larger patch is
nearly the picture, of which there are few, and tells less of texture."""
SHIFT = 3 / 32
"""Of the shorter side, how far training moves a pair at most where that is chosen."""

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
        "noise": (16, "what a whole picture leaves open; what its places do, a number at each"),
        "channels": (32 if side < 48 else 16, "of the network at full size, and of its critic"),
        "diversity": (
            DIVERSITY,
            "of the spread that the data leave open: answers differ, and nearer to the likely ones",
        ),
        "likelihood": (LIKELIHOOD, "of the true picture around the made one, a number"),
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
    assert choices.channels is not None
    halvings = halvings_of(min(size))
    net = UNet(read.channels + GRAIN, made.channels, choices.channels, choices.noise, halvings, GRAIN)
    return PictureTranslation(
        Noise(choices.noise + GRAIN * made.height * made.width),
        net,
        SeenPicture(f"y.{y}", made),
        SeenPicture(f"x.{x}", read, size),
        (read.height, read.width),
        choices.diversity != 0,
        Augment(round(SHIFT * min(size)) if choices.augment else 0, choices.flip or "none"),
    )


def critic(pair: Pair, choices: Choices) -> nn.Module:
    """What judges a picture beside the one it was made of, patch by patch."""
    x, read, _, made = pair
    size = (made.height, made.width)
    assert choices.channels is not None
    return PairCritic(
        SeenPicture(f"x.{x}", read, size),
        read.channels + made.channels,
        2 * choices.channels,
        min(halvings_of(min(size)), 2 if min(size) < WIDE else 3),
        choices.critic_augment or 0.0,
    )


def terms(pair: Pair, choices: Choices) -> list[Term]:
    """−log q(y given what was made), a number, and what keeps the answers of one picture as far apart as the data do.

    With a likelihood the two make, at diversity 1, a proper score, so that neither works against the other; at less, as by
    default, answers are nearer to the median than the data are. Without one, they are kept a share of other pictures' distance
    apart.
    """
    weight, apart = choices.likelihood, choices.diversity
    made = pair[3]
    numbers = made.channels * made.height * made.width
    found = []
    if weight:
        found.append(Term(KL(), "answer", "real", weight=weight / numbers, name="likelihood", training_only=True))
    if apart and weight:
        share = apart * weight / numbers
        found.append(Term(Spread(), "fake", "other", weight=share, name="diversity", training_only=True))
    elif apart:
        term = Term(
            ModeSeeking(), "fake", "other", ("apart", "real"), weight=apart, name="diversity", training_only=True
        )
        found.append(term)
    return found
