"""Numbers that a user gives beside the data, checked in one place: what is none, or is out of its range, is refused in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from trine.domains import Domain, Image
from trine.errors import ChoiceError, DataError

SEEDS = 2**63
"""Seeds are below it: what torch and NumPy both take."""


def count(name: str, value: Any, least: str, fewest: int = 1) -> int:
    """``value`` as a number of things.

    Args:
        name: of the argument. least: what there is at least, for the message. fewest: how many that is.

    Raises:
        ChoiceError: no whole number, or fewer.
    """
    if not _whole(value) or value < fewest:
        raise ChoiceError(f"{name} is {value!r}; it is a whole number, and {least}.")
    return int(value)


def share(name: str, value: Any) -> float:
    """``value`` as a share of the rows, in [0, 1).

    Raises:
        ChoiceError: no number, or out of that range.
    """
    if not _number(value) or not 0.0 <= value < 1.0:
        raise ChoiceError(f"{name} is {_shown(value)}; it is a share of the rows, at least 0 and less than 1.")
    return float(value)


def seed_of(value: Any, own: int | None = None, name: str = "The seed") -> int:
    """``value`` as a seed; None stands for ``own``.

    Raises:
        ChoiceError: no whole number from 0 to 2^63 - 1.
    """
    if value is None and own is not None:
        return own
    if not _whole(value) or not 0 <= value < SEEDS:
        raise ChoiceError(f"{name} is {_shown(value)}; it is a whole number from 0 to 2^63 - 1.")
    return int(value)


def seconds(value: Any) -> float:
    """``value`` as the seconds that training may take.

    Raises:
        ChoiceError: no number, not positive, or without an end.
    """
    if not _number(value) or not value > 0 or math.isinf(value):
        raise ChoiceError(
            f"The budget is {_shown(value)} seconds; it must be a positive number, e.g. 300 or `--budget 5m`, or be left out."
        )
    return float(value)


def yes_or_no(name: str, value: Any) -> bool | None:
    """``value``, which is True, False, or None for what is derived.

    Raises:
        ChoiceError: anything else.
    """
    if value is None or isinstance(value, bool | np.bool_):
        return None if value is None else bool(value)
    raise ChoiceError(f"{name} is {value!r}; it is True, False or None.")


def _whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    """A number as it reads, anything else as Python writes it."""
    return str(value) if _number(value) else repr(value)


def require_rows_of_pictures(data: Any, domains: Mapping[str, Domain]) -> None:
    """Refuse an array (height, width) where rows are one picture each.

    Raises:
        DataError: says which shape there should be.
    """
    first = next(iter(domains.values()), None)
    if len(domains) != 1 or not isinstance(first, Image) or not isinstance(data, np.ndarray | Tensor):
        return
    if data.ndim == 2 and (isinstance(data, Tensor) or data.dtype.kind in "biuf"):
        size = f"(rows, {first.height}, {first.width}{f', {first.channels}' if first.channels > 1 else ''})"
        raise DataError(
            f"The array has the shape {tuple(data.shape)}, and pictures are {size}; give a single one as picture[None]."
        )
