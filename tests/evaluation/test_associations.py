"""How strongly columns go together: known values, and none where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from trine.evaluation.associations import association, associations, strongest

RNG = np.random.default_rng(0)


def test_numbers_have_their_rank_correlation() -> None:
    x = RNG.normal(size=500)
    assert association(x, np.exp(x)) == pytest.approx(1)
    assert association(x, -(x**3)) == pytest.approx(-1)
    y = 0.6 * x + 0.8 * RNG.normal(size=500)
    assert association(x, y) == pytest.approx(6 / np.pi * np.arcsin(0.3), abs=0.08)  # of a normal pair


def test_a_category_has_its_share_of_the_variance() -> None:
    codes = np.repeat(np.arange(3), 200)
    assert association(codes, codes * 10.0 + RNG.normal(size=600)) == pytest.approx(
        np.sqrt(8 / 9), abs=0.01
    )  # ranks of three thirds
    unlike = [association(RNG.integers(0, 30, 300), RNG.normal(size=300)) for _ in range(40)]
    assert np.mean(np.square(unlike)) < 0.02  # as η is, it would be 0.1 of 30 classes and 300 rows


def test_categories_have_cramers_v() -> None:
    a = RNG.integers(0, 4, 1000)
    assert association(a, (a + 1) % 4) == pytest.approx(1)
    b = np.where(RNG.random(1000) < 0.5, a, RNG.integers(0, 4, 1000))
    assert association(a, b) == pytest.approx(0.5, abs=0.06)
    unlike = [association(RNG.integers(0, 20, 200), RNG.integers(0, 20, 200)) for _ in range(40)]
    assert np.mean(unlike) < 0.12


def test_what_is_missing_does_not_count_and_a_constant_tells_nothing() -> None:
    x = RNG.normal(size=100)
    gone = x.copy()
    gone[::2] = np.nan
    assert association(gone, x) == pytest.approx(1)
    code = (x > 0).astype(np.int64)
    code[::3] = -1
    assert association(code, x) > 0.8
    assert association(np.ones(100), x) == 0
    assert association(np.zeros(100, dtype=np.int64), code) == 0
    assert association(np.full(100, np.nan), x) == 0


def test_a_table_has_a_matrix() -> None:
    x = RNG.normal(size=300)
    found = associations({"a": x, "b": -x, "c": (x > 0).astype(np.int64)})
    np.testing.assert_allclose(found, found.T)
    np.testing.assert_allclose(np.diag(found), 1)
    assert found[0, 1] == pytest.approx(-1)
    assert strongest(found, [0, 1]) == (0, 1)
    assert strongest(found, [0]) is None
