"""What a column of x asks of the choices."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from trine.data import Schema
from trine.methods._base import Facts

Derived = dict[str, tuple[Any, str]]
"""Choice → (value, why)."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained that reads a column of some kind.

    Where x has columns of several kinds, the recipe of the highest rank decides how long and with which steps training goes;
    each kind has its say on its own block.

    Attributes:
        rank: which recipe leads; a table's is 0.
        examples: that training is planned to see, over all epochs.
        epochs: fewest and most.
        batch: smallest and largest; within, about a hundredth of the rows.
        training: (rows, batch size) → what else concerns the procedure: step size, schedule, decay …
        own: what concerns the block of the column itself.
        alone: the rest of the network where all of x is of this kind.
        judges: fewest rows that may decide when to stop; with fewer, their score would be chance, and they are trained on.
    """

    rank: int
    examples: int
    epochs: tuple[int, int]
    batch: tuple[int, int]
    training: Callable[[int, int], Derived]
    own: Derived
    alone: Derived
    judges: int = 8


@functools.singledispatch
def recipe(domain: object, schema: Schema, facts: Facts) -> Recipe:
    """The recipe of a column of this domain; open by ``recipe.register``. Any domain without one of its own has a table's."""
    raise TypeError(f"{type(domain).__name__} is no domain")
