"""Numbers of things that a user asks for."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine.errors import ChoiceError


def count(name: str, value: Any, least: str, fewest: int = 1) -> int:
    """``value`` as a number of things.

    Args:
        name: of the argument. least: what there is at least, for the message. fewest: how many that is.

    Raises:
        ChoiceError: no whole number, or fewer.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < fewest:
        raise ChoiceError(f"{name} is {value!r}; it is a whole number, and {least}.")
    return int(value)
