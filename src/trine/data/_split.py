"""Rows held back from training."""

from __future__ import annotations

import numpy as np

from trine.errors import ChoiceError


def split(
    rows: int | np.ndarray, fraction: float, seed: int, strata: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Divide rows at random into those to train on and those held back.

    Args:
        rows: their number n, or (n,) indices.
        fraction: share to hold back, in [0, 1); round(n·fraction) rows, at least one when it is above 0 and n ≥ 2.
        seed: the same seed gives the same rows.
        strata: (n,) labels: each is divided in the same proportion (largest remainders), and keeps at least one row to
            train on.

    Returns:
        (train, held), sorted int64 arrays.

    Raises:
        ChoiceError: ``fraction`` is not in [0, 1).
    """
    if not 0.0 <= fraction < 1.0:
        raise ChoiceError(f"The share of rows to hold back is {fraction}; it must be at least 0 and less than 1.")
    index = np.arange(rows) if isinstance(rows, int | np.integer) else np.asarray(rows, dtype=np.int64)
    count = min(max(round(len(index) * fraction), 1), len(index) - 1) if fraction > 0 and len(index) > 1 else 0
    order = np.random.default_rng([seed % 2**64, 0]).permutation(len(index))
    held = np.zeros(len(index), dtype=bool)
    if strata is None:
        held[order[:count]] = True
    else:
        labels = np.unique(np.asarray(strata), return_inverse=True)[1].reshape(-1)
        sizes = np.bincount(labels)
        quota = _shares(sizes, count)
        # Rank of each row within its class, in the random order.
        by_class = order[np.argsort(labels[order], kind="stable")]
        rank = np.arange(len(index)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        held[by_class[rank < np.repeat(quota, sizes)]] = True
    return np.sort(index[~held]), np.sort(index[held])


def _shares(sizes: np.ndarray, count: int) -> np.ndarray:
    """``count`` divided in proportion to ``sizes`` by largest remainders, less than all of each."""
    exact = sizes * (count / max(sizes.sum(), 1))
    shares = np.minimum(np.floor(exact).astype(np.int64), sizes - 1)
    # By remainder first, then by size, so that ties do not always favour the first class.
    order = np.lexsort((-sizes, shares - exact))
    while (lacking := count - int(shares.sum())) > 0:
        open_ = order[shares[order] < sizes[order] - 1][:lacking]
        if not len(open_):
            break
        shares[open_] += 1
    return np.asarray(shares)
