"""Shares of rows and their exact intervals."""

from __future__ import annotations

import numpy as np
import pytest

from trine.evaluation.shares import interval, right, share


def test_the_interval_is_exact() -> None:
    """Its ends are where as many rows, or as few, have a chance of 1/40; of none the high one is 1 − 40^(−1/n)."""
    assert interval(0, 10) == (0.0, pytest.approx(1 - 0.025**0.1))
    assert interval(10, 10) == (pytest.approx(0.025**0.1), 1.0)
    assert interval(3, 10) == (pytest.approx(0.06674, abs=1e-5), pytest.approx(0.65245, abs=1e-5))


def test_rows_of_an_unknown_class_do_not_count() -> None:
    hits = right(np.array([0, 1, 2, 2]), np.array([0, 2, -1, 2]))
    assert hits.tolist() == [True, False, True]
    found = share(hits, 0.9)
    assert (found.value, found.baseline, found.unit) == (pytest.approx(2 / 3), 0.9, "share")
    assert (found.low, found.high) == interval(2, 3)
