"""What a column of y asks of the choices, whatever x is."""

from __future__ import annotations

import functools

from trine.data import Schema
from trine.domains import Category, Domain
from trine.methods._base import Facts

from ._recipe import Derived

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
