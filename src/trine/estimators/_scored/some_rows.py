"""Some of many rows, where all would take too long."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SEED = 3_511


def some_rows(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most ``most`` of ``rows``, (n,) or pairs (n, 2), in their order; the same each time.

    The first ones would not do: a folder with a subfolder for each class has the rows of one class after those of another.
    """
    if len(rows) <= most:
        return rows
    chosen: NDArray[np.int64] = rows[np.sort(np.random.default_rng(SEED).permutation(len(rows))[:most])]
    return chosen
