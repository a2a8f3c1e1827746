"""The recipes of all columns of x, put together."""

from __future__ import annotations

import math
from typing import Any

from trine.choices import Choices
from trine.data import Schema
from trine.methods._base import Facts

from ._recipe import Recipe, recipe
from .table import TABLE, TRUNK
from .target import target_recipe


def resolve(schema: Schema, choices: Choices, facts: Facts) -> tuple[Choices, dict[str, str]]:
    """The choices with nothing left open that matters, and a reason for each that was left open.

    Where x mixes kinds, what each block is by itself (its normalisation, its residual path) stays open: every block has its
    own documented default.
    """
    recipes = [recipe(domain, schema, facts) for domain in schema.x.values()] or [TABLE]
    lead = max(recipes, key=lambda found: found.rank)
    rows = facts.rows
    size = _size(lead, rows)
    batch = int(size["batch_size"][0])
    values: dict[str, tuple[Any, str]] = {
        "unknown": (0.02, "so that a row with nothing known is answered by the prior")
    }
    if all(found.rank == lead.rank for found in recipes):
        values |= lead.alone
    else:
        values |= TRUNK
    for found in sorted(recipes, key=lambda found: found.rank):
        values |= found.own
    values |= size
    values |= lead.training(rows, batch)
    for domain in schema.y.values():
        values |= target_recipe(domain, schema, facts)
    values.setdefault("autocast", ("none", "the products of a table's network are small"))
    open_ = {name: value for name, value in values.items() if getattr(choices, name) is None}
    resolved = choices.replace(**{name: value for name, (value, _) in open_.items()})
    return resolved, {name: why for name, (_, why) in open_.items()}


def _size(lead: Recipe, rows: int) -> dict[str, tuple[Any, str]]:
    """What depends on the number of training rows: batch, epochs, average, patience."""
    fewest_rows, most_rows = lead.batch
    batch = 2 ** round(math.log2(min(max(rows / 100, fewest_rows), most_rows)))
    fewest, longest = lead.epochs
    epochs = min(max(round(lead.examples / rows), fewest), longest)
    a_epoch = max(1, rows // batch)
    average = round(1.0 - min(max(1.0 / a_epoch, 0.002), 0.05), 4)
    return {
        "batch_size": (batch, f"about a hundredth of {rows:,} rows, a power of two from {fewest_rows} to {most_rows}"),
        "epochs": (epochs, f"to see about {lead.examples:,} examples, within {fewest} to {longest} epochs"),
        "patience": (max(8, epochs // 5), "epochs without a better held-out score"),
        "ema": (average, "the average spans about an epoch"),
        "clip": (1.0, "one bad batch cannot throw the weights far"),
        "optimiser": ("adamw", "one step size serves weights of any scale"),
    }
