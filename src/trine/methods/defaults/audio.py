"""Sound."""

from __future__ import annotations

import math

from trine.data import Schema
from trine.domains import Audio
from trine.methods._base import Facts

from ._precision import precision
from ._recipe import Derived, Recipe, recipe

ALONE: Derived = {
    "hidden": ((), "the convolutions' features go to the rule directly"),
    "activation": ("relu", "cheap, and He initialisation keeps its scale"),
    "members": (1, "members pay for tables"),
    "dropout": (0.2, "of the pooled features"),
}


@recipe.register
def sounds(domain: Audio, schema: Schema, facts: Facts) -> Recipe:
    """As for images: one cycle of large steps, on clips that are changed as another voice or room would change them."""
    return Recipe(
        rank=20,
        examples=60_000,
        epochs=(10, 120),
        batch=(16, 128),
        training=_training,
        own={
            "audio": ("mel", "log-mel spectrograms need fewer clips than waveforms"),
            "augment": (True, "another vocal tract, tempo or noise leaves a sound's meaning"),
            "autocast": precision(),
        },
        alone=ALONE,
    )


def _training(rows: int, batch: int) -> Derived:
    size = round(2e-3 * math.sqrt(batch / 32), 6)
    return {
        "step_size": (size, "2e-3 at batch 32, by the square root of the batch"),
        "schedule": ("onecycle", "large steps early, small ones late"),
        "weight_decay": (0.05, "of matrices and filters alone"),
    }
