"""Domains reduced to what the blocks read of them."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Number:
    """A numeric column in encoded units."""

    knots: Any = (-2.0, -0.5, 0.0, 0.5, 2.0)
    atoms: Any = ()
    mean: Any = 0.0
    std: Any = 1.0
    width: int = 1


@dataclasses.dataclass(frozen=True)
class Labelled:
    """A categorical column."""

    labels: tuple[str, ...] = ("a", "b", "c")
    shares: tuple[float, ...] = ()
    rows: int = 0


@dataclasses.dataclass(frozen=True)
class Readings:
    """A vector column."""

    size: int = 4
    mean: Any = 0.0
    std: Any = 1.0
