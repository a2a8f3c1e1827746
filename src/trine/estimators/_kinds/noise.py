"""Noise to begin from, in each domain's own way."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from trine.domains import Domain, Image, Series


@functools.singledispatch
def noise(domain: Domain, known: Callable[[], Any], n: int, rng: np.random.Generator) -> Any:
    """``n`` values of noise, in the user's units; open by ``noise.register(DomainType)``.

    In general a value of the known rows, drawn for each column by itself, so that nothing holds the columns together.

    Args:
        domain: fitted. known: gives the column of the known rows. n: how many. rng: generator.
    """
    values = known()
    rows = rng.integers(len(values), size=n)
    return values[rows] if isinstance(values, np.ndarray) else [values[int(row)] for row in rows]


@noise.register
def _(domain: Image, known: Callable[[], Any], n: int, rng: np.random.Generator) -> Any:
    """Each pixel uniform between black and white."""
    return domain.decode(rng.random((n, domain.channels, domain.height, domain.width)).astype(np.float32))


@noise.register
def _(domain: Series, known: Callable[[], Any], n: int, rng: np.random.Generator) -> Any:
    """White noise with each channel's mean and standard deviation, of the usual number of steps."""
    steps = max(round(domain.typical), 1)
    white = rng.normal(size=(n, steps, domain.channels)) * np.array(domain.std) + np.array(domain.mean)
    return np.moveaxis(white, 1, 2) if domain.channels_first else white
