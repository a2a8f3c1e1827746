"""A distribution over many rows, put together from batches of rows or reduced to some of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

from trine.rules import map_arguments


def concatenate(parts: Sequence[Distribution]) -> Distribution:
    """The distributions of consecutive batches of rows, all of one family, as one distribution over all rows."""
    if len(parts) == 1:
        return parts[0]
    found = [_arguments(part) for part in parts]
    joined = iter([torch.cat(values) for values in zip(*found, strict=True)])
    return map_arguments(parts[0], lambda _: next(joined))


def _arguments(q: Distribution) -> list[Tensor]:
    """The tensors that a distribution is made of, in the order in which ``map_arguments`` visits them."""
    found: list[Tensor] = []

    def note(value: Tensor) -> Tensor:
        found.append(value)
        return value

    map_arguments(q, note)
    return found


def select(q: Distribution, rows: Tensor) -> Distribution:
    """The distribution at ``rows``, an index tensor."""
    return map_arguments(q, lambda value: value[rows])
