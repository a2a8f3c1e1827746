"""Shares of rows of which something holds, with their intervals."""

from __future__ import annotations

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from trine.evaluation._base import Metric


def interval(count: int, rows: int) -> tuple[float, float]:
    """The exact 95 % interval of a share, ``count`` of ``rows``: of none or of all of them it is no single point.

    References:
        Clopper and Pearson, `The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial`, 1934.
    """
    found = scipy.stats.binomtest(count, rows).proportion_ci()
    return float(found.low), float(found.high)


def share(of: NDArray[np.bool_], baseline: float) -> Metric:
    """The share of rows, 1 or more, of which something holds, (rows,), and its interval."""
    return Metric(float(of.mean()), *interval(int(of.sum()), len(of)), baseline, True, "share")


def right(found: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Of the rows whose class is known, (known,), whether it is the one found; both (rows,), −1 where unknown."""
    known = wanted >= 0
    same: NDArray[np.bool_] = found[known] == wanted[known]
    return same
