"""How strongly two columns of a table go together, whatever they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def associations(columns: Mapping[str, NDArray[Any]]) -> Matrix:
    """(k, k) how strongly each pair of columns goes together, symmetric, 1 of a column with itself.

    Two columns of numbers: Spearman's rank correlation, −1 to 1. Numbers and a category: the correlation ratio of their
    ranks without its bias (Kelley 1935), 0 to 1. Two categories: Cramér's V without its bias (Bergsma 2013), 0 to 1.
    Rows that lack one of the two do not count for them; of a column with one value alone nothing follows, 0.

    Args:
        columns: name → (n,) numbers, NaN where missing, or codes of categories, integers, −1 where missing.
    """
    names = list(columns)
    found = np.eye(len(names))
    for i, one in enumerate(names):
        for j in range(i):
            found[i, j] = found[j, i] = association(columns[one], columns[names[j]])
    return found


def association(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The same of one pair; see :func:`associations`."""
    named = [value.dtype.kind in "iu" for value in (a, b)]
    known = np.logical_and(
        *(value >= 0 if code else ~np.isnan(value) for value, code in zip((a, b), named, strict=True))
    )
    a, b = a[known], b[known]
    if len(a) < 3 or (a == a[0]).all() or (b == b[0]).all():
        return 0.0
    if all(named):
        return _cramer(a.astype(np.int64), b.astype(np.int64))
    if not any(named):
        return float(np.corrcoef(_ranks(a.astype(np.float64)), _ranks(b.astype(np.float64)))[0, 1])
    codes, numbers = (a, b) if named[0] else (b, a)
    return _correlation_ratio(codes.astype(np.int64), _ranks(numbers.astype(np.float64)))


def _ranks(values: Matrix) -> Matrix:
    from scipy.stats import rankdata

    found: Matrix = rankdata(values)
    return found


def _correlation_ratio(codes: NDArray[np.int64], values: Matrix) -> float:
    """Square root of the share of the values' variance that lies between the classes."""
    counts = np.bincount(codes)
    sums = np.bincount(codes, values)
    there = counts > 0
    between = (counts[there] * (sums[there] / counts[there] - values.mean()) ** 2).sum()
    total = float(((values - values.mean()) ** 2).sum())
    # Of no association η² is (classes − 1) / (n − 1) in the mean: ε² takes that off (Kelley 1935).
    k, n = int(there.sum()), len(values)
    if n <= k:
        return 0.0
    share = 1 - (n - 1) / (n - k) * (1 - between / total)
    return float(np.sqrt(np.clip(share, 0.0, 1.0)))


def _cramer(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    a, b = np.unique(a, return_inverse=True)[1], np.unique(b, return_inverse=True)[1]
    k, m, n = int(a.max()) + 1, int(b.max()) + 1, len(a)
    table = np.bincount(a * m + b, minlength=k * m).reshape(k, m)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / n
    square = float(((table - expected) ** 2 / expected).sum()) / n
    square = max(square - (k - 1) * (m - 1) / (n - 1), 0.0)
    rows, columns = k - (k - 1) ** 2 / (n - 1), m - (m - 1) ** 2 / (n - 1)
    return float(min(np.sqrt(square / max(min(rows, columns) - 1, 1e-12)), 1.0))


def strongest(matrix: Matrix, among: Sequence[int]) -> tuple[int, int] | None:
    """The pair of columns ``among`` some that goes together the most, in order; None where there are fewer than two."""
    pairs = [(abs(float(matrix[i, j])), -i, -j) for i in among for j in among if i < j]
    if not pairs:
        return None
    _, i, j = max(pairs)
    return -i, -j
