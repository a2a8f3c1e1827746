"""A column's distribution function on few points: exact where it stands, with values that many share, gaps and edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trine.domains import Column, Real


def curve(values: Any) -> tuple[Any, Any, Any]:
    """Encoded values, increasing, and the points of their curve."""
    domain = Real().fit(Column("a", np.asarray(values, dtype=float)))
    points = np.array(domain.curve)
    return np.sort(domain.encode(Column("a", np.asarray(values, dtype=float)))[:, 0]), points[:, 0], points[:, 1]


def gaps(at: Any, reached: Any) -> list[tuple[float, float]]:
    flat = np.flatnonzero((np.diff(reached) == 0) & (np.diff(at) > 0))
    return [(at[i], at[i + 1]) for i in flat]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6, width=32)), min_size=1, max_size=300),
    st.integers(0, 99),
)
def test_it_rises_from_0_to_1_and_is_the_share_of_rows_at_its_points(values: list[float], repeats: int) -> None:
    known, at, reached = curve(values + values[:1] * repeats)
    assert (np.diff(at) >= 0).all()
    assert (np.diff(reached) >= 0).all()
    assert reached[0] == 0
    assert reached[-1] == 1
    below = np.searchsorted(known, at.astype(np.float32), "left") / len(known)
    upto = np.searchsorted(known, at.astype(np.float32), "right") / len(known)
    assert ((reached >= below - 1e-12) & (reached <= upto + 1e-12)).all()
    assert at[0] == known[0]
    assert at[-1] == known[-1]


def test_few_values_are_all_steps() -> None:
    known, at, reached = curve(np.repeat([1.0, 2.0, 5.0], [10, 30, 60]))
    assert at.tolist() == np.repeat(np.unique(known), 2).tolist()
    assert reached == pytest.approx([0, 0.1, 0.1, 0.4, 0.4, 1.0])


def test_a_gap_is_where_no_rows_are_between_humps_and_not_in_a_tail() -> None:
    rng = np.random.default_rng(0)
    humps = np.r_[rng.normal(-2, 0.02, 3000), rng.normal(1, 0.5, 7000)]
    known, at, reached = curve(humps)
    ((left, right),) = gaps(at, reached)
    assert left == known[2999]
    assert right == known[3000]
    assert reached[at == left][0] == pytest.approx(0.3)
    for smooth in (rng.normal(size=5000), rng.lognormal(3, 2, 5000), rng.standard_cauchy(5000), rng.random(5000)):
        assert gaps(*curve(smooth)[1:]) == []
    # A few rows far off are a tail, and no hump.
    assert gaps(*curve(np.r_[rng.normal(size=5000), 40 + rng.normal(size=5)])[1:]) == []


def test_it_has_more_points_at_the_edges_of_a_hump_and_a_step_at_a_spike() -> None:
    rng = np.random.default_rng(0)
    known, at, reached = curve(np.where(rng.random(8000) < 0.4, 0.0, 9 + rng.normal(size=8000)))
    spike = known[0]
    share = (known == spike).mean()
    assert at[:2].tolist() == [spike, spike]
    assert reached[:2] == pytest.approx([0, share])
    steps = np.diff(reached[reached >= share])
    assert steps[0] == 0  # nothing lies between the spike and the hump
    assert steps[1] <= 5 / 8000
    assert steps[-1] <= 5 / 8000
    assert steps.max() < 0.03
