"""A distribution over many rows, put together from batches of rows or reduced to some of them."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.functional import pad

from trine.data import Field, Schema, Store
from trine.domains import Category, Domain, Labels
from trine.rules import map_arguments, tensors_of
from trine.rules.autoregressive import Autoregressive

LARGEST, SMALLEST, NUMBERS = 2048, 64, 200_000
"""Rows of a chunk, and the numbers of x that it holds at most: pictures take fewer rows, as their activations are large."""
WIDEST = 8_000_000
"""The numbers of x that a chunk holds where a row has very many: minutes of sound."""
OUTPUTS = 8_000_000
"""The numbers of q(y given x) that a chunk holds at most."""


def chunk_of(store: Store, schema: Schema | None = None) -> int:
    """Rows whose outputs are computed at a time: enough for full speed, few enough for memory."""
    outputs = sum(map(breadth, schema.y.values())) if schema is not None else 1
    most = max(OUTPUTS // max(outputs, 1), 1)
    numbers = max(numbers_of(store), 1)
    fewest = max(min(SMALLEST, WIDEST // numbers), 1)
    return min(max(NUMBERS // numbers, fewest), most, LARGEST)


def numbers_of(store: Store) -> int:
    """Numbers in a row of the widest field."""
    return max(map(_widest, store.fields.values())) if store.rows else 1


@functools.singledispatch
def breadth(domain: Domain) -> int:
    """Numbers that q of one row is made of, for each member; open by ``breadth.register(DomainType)``."""
    return 1


@breadth.register(Category)
@breadth.register(Labels)
def _(domain: Category | Labels) -> int:
    return len(domain.labels)


def _widest(field: Field) -> int:
    """Numbers in a row of a batch, of a ragged field in the longest."""
    if field.lengths is None:
        return field.data[0].numel()
    return int(field.lengths.max()) * field.data[:1].numel()


def concatenate(parts: Sequence[Distribution]) -> Distribution:
    """The distributions of consecutive batches of rows, all of one family, as one distribution over all rows."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], Autoregressive):
        return _sequences([part for part in parts if isinstance(part, Autoregressive)])
    found = [tensors_of(part) for part in parts]
    joined = iter([torch.cat(values) for values in zip(*found, strict=True)])
    return map_arguments(parts[0], lambda _: next(joined))


def _sequences(parts: Sequence[Autoregressive]) -> Autoregressive:
    """Distributions over sequences; what they attend to is padded to the longest of all."""
    memory = []
    for i in range(len(parts[0].memory)):
        longest = max(part.memory[i][0].shape[1] for part in parts)
        states = [pad(part.memory[i][0], (0, 0, 0, longest - part.memory[i][0].shape[1])) for part in parts]
        memory.append((torch.cat(states), torch.cat([part.memory[i][1] for part in parts])))
    first = parts[0]
    return Autoregressive(
        first.decoder, torch.cat([part.z for part in parts]), memory, first.longest, first.offset, first.withheld
    )


def select(q: Distribution, rows: Tensor) -> Distribution:
    """The distribution at ``rows``, an index tensor."""
    return map_arguments(q, lambda value: value[rows])
