"""Texts."""

from __future__ import annotations

from trine.data import Schema
from trine.domains import Text
from trine.methods._base import Facts

from ._recipe import Derived, Recipe, recipe

ALONE: Derived = {
    "hidden": ((), "pooled features go to the rule directly"),
    "activation": ("relu", "cheap, and He initialisation keeps its scale"),
    "dropout": (0.5, "texts are few beside their words; half held on names and sentences"),
    "members": (1, "members pay for tables"),
    "prenorm": (False, "as usual without deep residual stacks"),
    "residual": (False, "one layer needs no shortcut"),
}


@recipe.register
def texts(domain: Text, schema: Schema, facts: Facts) -> Recipe:
    """Tokens of texts, read from scratch."""
    return Recipe(
        rank=5,
        examples=100_000,
        epochs=(6, 40),
        batch=(32, 128),
        training=_training,
        own={
            "sequence": (
                ("gru", "a name is read letter by letter, both ways")
                if domain.unit == "characters"
                else ("convolutional", "phrases of 3 to 5 words decide, wherever they stand")
            ),
        },
        alone=ALONE,
    )


def _training(rows: int, batch: int) -> Derived:
    return {
        "step_size": (1e-3, "held on names and sentences"),
        "schedule": ("onecycle", "large steps early, small ones late"),
        "weight_decay": (0.1, "of matrices and vectors of tokens"),
    }
