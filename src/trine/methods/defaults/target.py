"""What a column of y asks of the choices, whatever x is."""

from __future__ import annotations

import functools
import math

from trine.data import Schema
from trine.domains import Category, Domain, Text
from trine.methods._base import Facts

from ._recipe import Derived

TEXT_EXAMPLES = 250_000
"""Pairs that a decoder's training is planned to see."""
MANY_CLASSES = 1000
"""Classes beyond which the softmax is most of the network."""


@functools.singledispatch
def target_recipe(domain: Domain, schema: Schema, facts: Facts) -> Derived:
    """Choices that override those that x's columns ask for; open by ``target_recipe.register(DomainType)``."""
    return {}


@target_recipe.register
def _(domain: Category, schema: Schema, facts: Facts) -> Derived:
    if len(domain.labels) <= MANY_CLASSES:
        return {}
    return {
        "members": (1, f"a softmax over {len(domain.labels):,} classes for each member would be most of the network")
    }


@target_recipe.register
def _(domain: Text, schema: Schema, facts: Facts) -> Derived:
    """A decoder with attention: recurrent layers of like width read and write; many small steps."""
    batch = 2 ** round(math.log2(min(max(facts.rows / 100, 16), 128)))
    epochs = min(max(round(TEXT_EXAMPLES / facts.rows), 10), 100)
    return {
        "members": (1, "a decoder serves one network"),
        "unknown": (0.0, "a row with nothing known is one with no states to attend to"),
        "sequence": ("lstm", "reads and writes alike; the fastest on a CPU"),
        "bidirectional": (True, "what is attended to knows what stands around it"),
        "units": (128, "of the reading layers, each way, and of the writing ones"),
        "pooling": ("last", "the decoder starts from what both ends have read"),
        "dropout": (
            0.0 if schema.x else 0.2,
            "rules of spelling are exact" if schema.x else "y alone is soon known by heart",
        ),
        "batch_size": (batch, f"about a hundredth of {facts.rows:,} rows, a power of two from 16 to 128"),
        "epochs": (epochs, f"to see about {TEXT_EXAMPLES:,} examples, within 10 to 100 epochs"),
        "patience": (max(8, epochs // 4), "epochs without a better held-out score"),
        "step_size": (3e-3, "held on reversal, dates and sums"),
        "schedule": ("onecycle", "large steps early, small ones late"),
        "weight_decay": (0.01, "of matrices alone"),
    }
