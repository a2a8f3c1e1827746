"""Metrics as functions of sums over rows, so that a bootstrap is a product of two matrices."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from trine.evaluation._base import Values
from trine.evaluation.shares import interval

RESAMPLES = 1000
"""Bootstrap samples of the rows."""
BLOCKS = 10_000
"""Rows beyond so many are drawn in random blocks: sums over blocks vary as sums over rows do."""

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Score:
    """A metric that is a function of weighted sums over rows: nearly every metric is.

    Attributes:
        statistics: (n, k) what is summed, dense or sparse.
        value: (..., 1 + k) sums, of the weights and of the weighted statistics, → (...) metric, NaN where undetermined.
        higher_is_better, unit: as in :class:`Metric`.
        bounds: of the metric; an interval stays inside.
        share: whether the metric is the share of rows of which something holds.
    """

    statistics: Values | scipy.sparse.csr_array
    value: Callable[[Floats], Floats]
    higher_is_better: bool | None = False
    unit: str = ""
    bounds: tuple[float, float] = (0.0, math.inf)
    share: bool = False


def average(of: Values) -> tuple[Values, Callable[[Floats], Floats]]:
    """Statistics and value of a weighted mean over rows."""
    return np.asarray(of, dtype=np.float64)[:, None], lambda sums: sums[..., 1] / sums[..., 0]


def values(scores: Mapping[str, Score], weight: Floats | None) -> dict[str, float]:
    """Name → metric on all rows."""
    return {name: float(score.value(_weighted(score, weight).sum(axis=0))) for name, score in scores.items()}


def intervals(scores: Mapping[str, Score], weight: Floats | None, seed: int) -> dict[str, tuple[float, float, float]]:
    """Name → (value on all rows, low, high), low and high bounding 95 % of the metric over rows drawn with replacement.

    The percentile interval (Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13), moved so that the
    median of the draws falls on the value, as metrics that are biased upwards in resamples (calibration error) need. Of
    a share that is exactly 0 or 1 every resample is alike, and the exact binomial interval is given instead.
    """
    found = values(scores, weight)
    if not scores:
        return {}
    stacked = [_weighted(score, weight) for score in scores.values()]
    n = stacked[0].shape[0]
    if n < 2:
        return {name: (value, math.nan, math.nan) for name, value in found.items()}
    sums = _resampled(scipy.sparse.hstack(stacked, format="csr"), seed)
    result, at = {}, 0
    for (name, score), part in zip(scores.items(), stacked, strict=True):
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn = score.value(sums[:, at : at + part.shape[1]])
        at += part.shape[1]
        result[name] = (found[name], *_interval(score, found[name], drawn, weight, n))
    return result


def _interval(score: Score, value: float, drawn: Floats, weight: Floats | None, n: int) -> tuple[float, float]:
    drawn = drawn[np.isfinite(drawn)]
    if not math.isfinite(value) or not len(drawn):
        return math.nan, math.nan
    if score.share and value in (0.0, 1.0):
        effective = n if weight is None else weight.sum() ** 2 / np.square(weight).sum()
        return interval(round(value * effective), round(effective))
    low, middle, high = np.percentile(drawn, [2.5, 50.0, 97.5])
    least, most = score.bounds
    return max(value - float(middle - low), least), min(value + float(high - middle), most)


def _weighted(score: Score, weight: Floats | None) -> scipy.sparse.csr_array:
    """(n, 1 + k): the weights, and the statistics times them."""
    n = score.statistics.shape[0]
    each = np.ones(n) if weight is None else np.asarray(weight, dtype=np.float64)
    ones = scipy.sparse.csr_array(each[:, None])
    part = scipy.sparse.csr_array(score.statistics)
    return scipy.sparse.hstack([ones, scipy.sparse.diags_array(each) @ part], format="csr")


def _resampled(statistics: scipy.sparse.csr_array, seed: int) -> Floats:
    """(RESAMPLES, k) sums over rows drawn with replacement."""
    generator = np.random.default_rng(seed)
    n = statistics.shape[0]
    if n > BLOCKS:
        block = generator.permutation(np.arange(n) % BLOCKS)
        ones = np.ones(n)
        statistics = scipy.sparse.csr_array((ones, (block, np.arange(n))), shape=(BLOCKS, n)) @ statistics
        n = BLOCKS
    drawn = np.empty((RESAMPLES, statistics.shape[1]))
    chunk = max(1, min(RESAMPLES, 2_000_000 // n))
    for start in range(0, RESAMPLES, chunk):
        size = min(chunk, RESAMPLES - start)
        picks = generator.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        times = np.bincount(picks.ravel(), minlength=size * n).reshape(size, n)
        drawn[start : start + size] = (statistics.T @ times.T).T
    return drawn
