"""Series: any length and number of channels, gaps, time stamps; there and back; bad rows named."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trine.domains import Column, Domain, Sequences, Series
from trine.errors import DataError


def ragged(*rows: list, absent: list[bool] | None = None, stamps: list[float] | None = None) -> Column:
    joined = Sequences.of([np.array(row, dtype=np.float64) for row in rows])
    return Column(
        "heart", joined.values, offsets=joined.offsets,
        absent=None if absent is None else np.array(absent),
        stamps=None if stamps is None else np.array(stamps),
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_there_and_back(data: st.DataObject) -> None:
    channels = data.draw(st.integers(1, 3))
    numbers = st.integers(-(10**9), 10**9).map(lambda thousandths: thousandths / 1000)
    rows = data.draw(
        st.lists(
            hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.just(channels)), elements=numbers),
            min_size=1,
            max_size=5,
        )
    )
    joined = Sequences.of(rows)
    column = Column("s", joined.values, offsets=joined.offsets)
    domain = Series().fit(column)
    assert domain.channels == channels
    scale = np.abs(joined.values).max() + max(domain.std)
    for row, back in zip(rows, domain.decode(domain.encode(column)), strict=True):
        np.testing.assert_allclose(back, row, atol=1e-5 * scale)
    assert Domain.from_json(json.loads(json.dumps(domain.to_json()))) == domain


def test_channels_are_standardised_over_training_steps() -> None:
    column = Column("s", np.random.default_rng(0).normal([3.0, -1.0], [2.0, 0.1], (50, 20, 2)))
    encoded = Series().fit(column).encode(column).values
    np.testing.assert_allclose(encoded.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(encoded.std(0), 1, atol=1e-3)


def test_the_longer_axis_of_an_array_is_time() -> None:
    first = Column("s", np.random.default_rng(0).normal(size=(4, 6, 100)))
    domain = Series().fit(first)
    assert (domain.channels, domain.furthest, domain.channels_first) == (6, 100, True)
    last = Column("s", np.moveaxis(first.values, 1, 2))
    assert (Series().fit(last).encode(last).values == domain.encode(first).values).all()
    assert "6 channels over 100 steps" in str(Series.recognise(first))


def test_gaps_have_a_channel_and_missing_rows_no_step() -> None:
    column = ragged([1, np.nan, 3], [], [5, 7], absent=[False, True, False])
    domain = Series().fit(column)
    assert (domain.gaps, domain.width, domain.missing) == (True, 2, 1 / 3)
    encoded, known = domain.encode_known(column)
    assert encoded.lengths.tolist() == [3, 0, 2]
    assert known.tolist() == [True, False, True]
    assert encoded[0][:, 1].tolist() == [1, 0, 1]
    assert encoded[0][1, 0] == 0
    np.testing.assert_allclose(domain.decode(encoded)[0], [1, np.nan, 3], atol=1e-6)


def test_an_array_row_without_numbers_is_missing() -> None:
    column = Column("s", np.array([[1.0, 2.0], [np.nan, np.nan], [3.0, np.nan]]))
    encoded, known = Series().fit(column).encode_known(column)
    assert known.tolist() == [True, False, True]
    assert encoded.lengths.tolist() == [2, 0, 2]


def test_a_row_of_which_some_numbers_are_missing_has_a_value() -> None:
    column = Column("s", np.array([[1.0, np.nan, 3.0], [np.nan] * 3, [4.0, 5.0, 6.0]]))
    assert Series().known(column).tolist() == [True, False, True]
    assert Series().fit(column).encode_known(column)[1].tolist() == [True, False, True]


def test_time_stamps_become_the_time_since_the_step_before() -> None:
    column = ragged([1, 2, 3], [4, 5], stamps=[0, 10, 30, 5, 15])
    domain = Series().fit(column)
    assert domain.interval == 10
    encoded = domain.encode(column)
    np.testing.assert_allclose(encoded[0][:, 1], np.log1p([0, 1, 2]), rtol=1e-6)
    np.testing.assert_allclose(encoded[1][:, 1], np.log1p([0, 1]), rtol=1e-6)
    with pytest.raises(DataError, match="no time stamps"):
        domain.encode(ragged([1, 2]))
    taken = column.take(np.array([1]))
    assert taken.stamps.tolist() == [5, 15]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (ragged([1, 2], []), "'heart', row 2: the series has no steps"),
        (ragged([1, 2], [3, np.inf]), "'heart', row 2, step 2: a number is infinite"),
        (ragged([1, 2], [np.nan, np.nan]), "'heart', row 2: the series holds no number"),
        (ragged([1, 2], list(range(70_000))), "row 2: the series has 70,000 steps"),
        (ragged([1, 2, 3], [4, 5], stamps=[0, 1, 2, 9, 8]), "row 2, step 2: time goes back"),
        (Column("heart", np.array([0], np.int32), np.array(["a"], object)), "does not hold numbers over time"),
    ],
)
def test_bad_rows_are_named(column: Column, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Series().fit(column)


def test_another_number_of_channels_is_refused() -> None:
    domain = Series().fit(ragged([[1, 2], [3, 4]]))
    with pytest.raises(DataError, match="series of 1 channel and training had 2"):
        domain.encode(ragged([1, 2]))


def test_a_series_longer_than_training_is_read() -> None:
    domain = Series().fit(ragged([1, 2], [3, 4, 5]))
    assert domain.describe() == "Series, 2 to 3 steps"
    assert len(domain.encode(ragged(list(range(100))))[0]) == 100
