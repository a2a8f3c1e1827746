"""What a code stands for, column by column, in the user's units."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.distributions import Distribution

from trine.domains import Audio, Domain, Image, Series, Text
from trine.estimators._answers import answer
from trine.rules import in_units, point


@functools.singledispatch
def values_of(domain: Domain, q: Distribution, noisy: bool) -> NDArray[Any]:
    """(rows, ...) of a column in the user's units: drawn from q, or its mean or likeliest value. Open by ``values_of.register``."""
    if not noisy:
        return answer(domain, in_units(domain, q))
    drawn = q.sample()
    return domain.decode(drawn.numpy() if drawn.dtype.is_floating_point else drawn.numpy().astype(np.int64))


@values_of.register
def _(domain: Image, q: Distribution, noisy: bool) -> NDArray[Any]:
    pixels = q.sample() if noisy else q.mean
    return domain.decode(pixels.float().numpy())


@values_of.register(Series)
@values_of.register(Audio)
def _(domain: Any, q: Distribution, noisy: bool) -> NDArray[Any]:
    """(rows,) object array of rows of their own lengths, which q marks by NaN beyond their ends."""
    steps = (q.sample() if noisy else q.mean).float().numpy()
    if isinstance(domain, Audio):
        steps = steps.clip(-1.0, 1.0)
    found: NDArray[Any] = domain.decode([row[~np.isnan(row[:, 0])] for row in steps])
    return found


@values_of.register
def _(domain: Text, q: Distribution, noisy: bool) -> NDArray[Any]:
    """(rows,) texts: drawn, or at each step the likeliest token."""
    return domain.decode((q.sample() if noisy else point(q)).numpy())


def cut(domain: Domain, values: NDArray[Any]) -> Any:
    """Of a ragged domain each row by itself, cut where it ends: where all of its numbers are missing."""
    if not domain.ragged:
        return values
    ended = np.isnan(values).all(axis=2)
    return [row[: int(np.argmax(end)) if end.any() else len(row)] for row, end in zip(values, ended, strict=True)]


def together(domain: Domain, rows: NDArray[Any]) -> NDArray[Any]:
    """Sequences as one array, in the order of axes that arrays came in, where all are equally long; else an array of them."""
    if isinstance(domain, Text) or len({len(row) for row in rows}) > 1:
        return rows
    stacked = np.stack(list(rows))
    return np.moveaxis(stacked, 1, 2) if getattr(domain, "channels_first", False) else stacked
