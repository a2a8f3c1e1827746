"""The distribution function of a column on few points: where its rows are, the values that many share, and the gaps."""

from __future__ import annotations

import numpy as np

Curve = tuple[tuple[float, float], ...]

SPIKES = 128
"""Most values that many rows share which a curve tells of."""
GAPS = 63
"""Most gaps that it tells of, the widest beside their surroundings."""


def curve(values: np.ndarray, counts: np.ndarray, bins: int, often: int, discrete: bool) -> Curve:
    """(value, share of the rows up to it), values not falling, shares from 0 to 1; between two points it is a straight line.

    Where a value is there twice the curve rises on it, by the share of the rows that have it. Where a share is there twice nothing
    lies between the two values: a gap, wider than the nearest ``often`` rows on either side reach. The points are even in the
    share, and the nearer to each other (by halves, to four rows) the nearer a gap or an end is, so that a hump keeps its edges.

    Args:
        values: (n,) distinct, increasing. counts: (n,) rows of each. bins: stretches between even points.
        often: rows that make a value a spike, or a hump. discrete: whether there are no other values; all are then spikes.
    """
    n = int(counts.sum())
    after = np.cumsum(counts)
    before = after - counts
    if discrete:
        return tuple(
            point
            for value, low, high in zip(values.tolist(), (before / n).tolist(), (after / n).tolist(), strict=True)
            for point in ((value, low), (value, high))
        )
    spikes = np.flatnonzero(counts >= often)
    spikes = spikes[np.argsort(-counts[spikes], kind="stable")[:SPIKES]]
    gaps = _gaps(values, before, after, often)
    starts, ends = np.r_[0, gaps + 1], np.r_[gaps, len(values) - 1]
    near = 4 * 2 ** np.arange(max(int(np.log2(max(n / bins / 4, 1))), 0) + 1)
    wanted = [np.linspace(0, n, bins + 1)]
    for start, end in zip(starts, ends, strict=True):
        reach = near[near < (after[end] - before[start]) / 2]
        wanted += [before[start] + reach, after[end] - reach]
    places = np.searchsorted(after, np.concatenate(wanted)).clip(0, len(values) - 1)
    first, last, sharp = set(starts.tolist()), set(ends.tolist()), set(spikes.tolist())
    points: list[tuple[float, float]] = []
    for i in np.unique(np.r_[places, starts, ends, spikes]).tolist():
        if i in first or i in sharp:
            points.append((float(values[i]), float(before[i] / n)))
        if i not in first or i in sharp or i in last:
            points.append((float(values[i]), float(after[i] / n)))
    return tuple(points)


def _gaps(values: np.ndarray, before: np.ndarray, after: np.ndarray, often: int) -> np.ndarray:
    """Places i such that the gap from value i to the next is wider than as many rows as ``often`` reach on either side."""
    n = int(after[-1])
    wide = np.diff(values.astype(np.float64))
    inside = np.flatnonzero((after[:-1] >= often) & (n - after[:-1] >= often))
    left = values[np.searchsorted(after, after[inside] - often, side="right")]
    right = values[np.searchsorted(after, after[inside] + often)]
    reach = np.maximum(values[inside] - left, right - values[inside + 1]).astype(np.float64)
    found = inside[wide[inside] > reach]
    beside = wide[found] / np.maximum(reach[wide[inside] > reach], 1e-3 * wide[found])
    return np.sort(found[np.argsort(-beside, kind="stable")[:GAPS]])
