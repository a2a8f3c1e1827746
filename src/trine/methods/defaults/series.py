"""Numbers over time."""

from __future__ import annotations

import math

from trine.data import Schema
from trine.domains import Series
from trine.methods._base import Facts

from ._precision import precision
from ._recipe import Derived, Recipe, recipe

ALONE: Derived = {
    "hidden": ((), "what is pooled over time goes to the rule directly"),
    "activation": ("relu", "cheap, and He initialisation keeps its scale"),
    "normalization": ("batch", "of the convolutions"),
    "dropout": (0.2, "of the pooled features"),
    "members": (3, "members average out each other's errors; convolutional ones have filters of their own"),
    "channels": (64, "filters of each reader's first layer"),
}


@recipe.register
def series(domain: Series, schema: Schema, facts: Facts) -> Recipe:
    """Many epochs on small batches, since sets of series are small; nothing is held out to stop by where there are few rows."""
    return Recipe(
        rank=5,
        examples=100_000,
        epochs=(10, 300),
        batch=(16, 128),
        training=_training,
        own={"autocast": precision()},
        alone=ALONE,
        judges=200 if schema.y else 3,  # a row given again has a score of many numbers, a label's is one
    )


def _training(rows: int, batch: int) -> Derived:
    size = round(2e-3 * math.sqrt(batch / 16), 6)
    return {
        "step_size": (size, "2e-3 at batch 16, by the square root of the batch"),
        "schedule": ("onecycle", "large steps early, small ones late"),
        "weight_decay": (0.02, "of matrices and filters alone"),
    }
