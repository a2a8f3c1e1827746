"""Numbers, categories, dates, vectors: columns of a table."""

from __future__ import annotations

from trine.data import Schema
from trine.domains import Domain
from trine.methods._base import Facts

from ._recipe import Derived, Recipe, recipe

TRUNK: Derived = {
    "hidden": ((256, 256), "a wide shallow trunk serves most tables"),
    "activation": ("relu", "cheap, and He initialisation keeps its scale"),
    "dropout": (0.1, "against overfitting; 0.1 held on all tables measured"),
    "members": (8, "weight-sharing members average out each other's errors (TabM)"),
}
"""What joins the columns."""


def _training(rows: int, batch: int) -> Derived:
    return {
        "step_size": (2e-3, "held on all tables measured"),
        "schedule": ("cosine", "large steps early, small ones late"),
        "weight_decay": (0.02, "of matrices alone"),
    }


TABLE = Recipe(
    rank=0,
    examples=600_000,
    epochs=(15, 150),
    batch=(32, 1024),
    training=_training,
    own={
        "numbers": ("piecewise", "piecewise-linear bins at quantiles: heavy tails and spikes do no harm"),
        "categories": ("embedding", "a learned vector for each category"),
    },
    alone={
        **TRUNK,
        "normalization": ("none", "of the dense layers"),
        "prenorm": (False, "as usual without deep residual stacks"),
        "residual": (False, "two dense layers need no shortcut"),
    },
)


@recipe.register
def columns(domain: Domain, schema: Schema, facts: Facts) -> Recipe:
    """A table's, for every domain that has none of its own."""
    return TABLE
