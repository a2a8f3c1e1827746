"""Pictures."""

from __future__ import annotations

import math

from trine.data import Schema
from trine.domains import Image
from trine.methods._base import Facts

from ._precision import precision
from ._recipe import Derived, Recipe, recipe

SMALL_SIDE = 64
"""Pictures of at most this shorter side get the full width."""

ALONE: Derived = {
    "hidden": ((), "the convolutions' features go to the rule directly"),
    "activation": ("relu", "cheap, and He initialisation keeps its scale"),
    "dropout": (0.0, "shifting the images regularises"),
    "members": (1, "members pay for tables"),
    "normalization": ("batch", "of the convolutions"),
    "prenorm": (False, "as usual without deep residual stacks"),
    "residual": (True, "pairs of convolutions add their input"),
}


@recipe.register
def images(domain: Image, schema: Schema, facts: Facts) -> Recipe:
    """Few epochs of large steps on one cycle; shifted, and mirrored where that leaves the meaning."""
    adopted = facts.invariances or ()
    mirror = "both" if len(adopted) == 2 else adopted[0] if adopted else "none"
    return Recipe(
        rank=10,
        examples=360_000,
        epochs=(7, 60),
        batch=(32, 256),
        training=_training,
        own={
            "channels": _channels(schema),
            "augment": (True, "shifts by up to an eighth of the side leave a picture's meaning"),
            "flip": (mirror, facts.evidence or "not measured"),
            "autocast": precision(),
        },
        alone=ALONE,
    )


def _training(rows: int, batch: int) -> Derived:
    size = round(5e-3 * math.sqrt(batch / 256), 6)
    return {
        "step_size": (size, "5e-3 at batch 256, by the square root of the batch"),
        "schedule": ("onecycle", "large steps early, small ones late"),
        "weight_decay": (0.05, "of matrices and filters alone"),
    }


def _channels(schema: Schema) -> tuple[int, str]:
    """Width of the first stage, which works at full size."""
    side = max(min(d.height, d.width) for d in schema.x.values() if isinstance(d, Image))
    if side <= SMALL_SIDE:
        return 32, "width of the first stage; each stage doubles it"
    return 16, f"narrower than for small pictures, since the first stages work on {side} pixels a side"
