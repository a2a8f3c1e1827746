"""Texts."""

from __future__ import annotations

import functools

from trine.data import Schema
from trine.domains import Text
from trine.methods._base import Facts

from ._recipe import Derived, Recipe, recipe

ALONE: Derived = {
    "sequence": ("gru", "read both ways, beside the sum of n-grams"),
    "hidden": ((), "pooled features go to the rule directly"),
    "activation": ("relu", "cheap, and He initialisation keeps its scale"),
    "dropout": (0.5, "texts are few beside their words; half held on names and sentences"),
    "members": (8, "weight-sharing members average out each other's errors, at next to no cost"),
    "prenorm": (False, "as usual without deep residual stacks"),
    "residual": (False, "one layer needs no shortcut"),
}


@recipe.register
def texts(domain: Text, schema: Schema, facts: Facts) -> Recipe:
    """Few epochs of a recurrent layer and n-grams: more would learn the training texts by heart."""
    units = {column.unit for column in schema.x.values() if isinstance(column, Text)}
    spelt = units == {"characters"}
    return Recipe(
        rank=5,
        examples=75_000 if spelt else 50_000,
        epochs=(6, 30),
        batch=(32, 128) if spelt else (32, 64),
        training=functools.partial(_training, spelt),
        own={},
        alone=ALONE,
    )


def _training(spelt: bool, rows: int, batch: int) -> Derived:
    return {
        "step_size": (6e-3, "spelling takes large steps")
        if spelt
        else (1e-3, "small steps, so that rare words stay small"),
        "schedule": ("onecycle", "large steps early, small ones late"),
        "weight_decay": (0.1, "of matrices and of tokens' vectors"),
    }
