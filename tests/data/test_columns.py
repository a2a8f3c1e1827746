"""Raw columns from arrow and numpy."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trine.data._columns import column_from_arrow, column_from_numpy
from trine.errors import DataError


def texts(column):
    return [None if code < 0 else column.levels[code] for code in column.values]


@given(st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=30), st.integers(1, 4))
def test_text_is_factorised_without_loss(values, pieces):
    chunks = [pa.array(values[k::pieces], pa.string()) for k in range(pieces)]
    column = column_from_arrow("a", pa.chunked_array(chunks, pa.string()))
    assert texts(column) == [v for chunk in chunks for v in chunk.to_pylist()]
    assert column.values.dtype == np.int32
    assert len(set(column.levels)) == len(column.levels)
    np.testing.assert_array_equal(column.values < 0, [t is None for t in texts(column)])


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (pa.array([1, 2]), "i", [1, 2]),
        (pa.array([1, None]), "f", [1, np.nan]),
        (pa.array([1.5, None]), "f", [1.5, np.nan]),
        (pa.array([None, None]), "f", [np.nan, np.nan]),
        (pa.array([True, False]), "b", [True, False]),
        (pa.array([1, 2], pa.decimal128(5, 2)), "f", [1, 2]),
        (pa.array([1, 2], pa.float16()), "f", [1, 2]),
        (pa.array([[1, 2], [3, 4]]), "i", [[1, 2], [3, 4]]),
        (pa.array([[1.0], [2.0]], pa.list_(pa.float32(), 1)), "f", [[1.0], [2.0]]),
        (pa.array([7, 8, 7]).dictionary_encode(), "i", [7, 8, 7]),
    ],
)
def test_types_of_arrow(values, kind, expected):
    column = column_from_arrow("a", values)
    assert column.levels is None
    assert column.values.dtype.kind == kind
    np.testing.assert_array_equal(column.values, expected)


def test_dates_keep_missing():
    column = column_from_arrow("a", pa.array([datetime.date(2020, 1, 2), None]))
    assert column.values.dtype.kind == "M"
    assert column.missing.tolist() == [False, True]


def test_truths_with_missing_become_text():
    assert texts(column_from_arrow("a", pa.array([True, None, False]))) == ["True", None, "False"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pa.array([b"a"]), "binary"),
        (pa.array([{"b": 1}]), "struct"),
        (pa.array([[True]]), "lists of bool"),
    ],
)
def test_what_is_no_column_is_refused_by_name(values, message):
    with pytest.raises(DataError, match=message) as caught:
        column_from_arrow("prices", values)
    assert "'prices'" in str(caught.value)


def test_numpy_numbers_are_not_copied():
    values = np.arange(6.0)
    assert column_from_numpy("a", values).values is values


def test_numpy_objects_of_several_types_compare_as_text():
    column = column_from_numpy("a", np.array([1, "b", None, 1], dtype=object))
    assert texts(column) == ["1", "b", None, "1"]


def test_numpy_objects_that_are_numbers_become_numbers():
    np.testing.assert_array_equal(column_from_numpy("a", np.array([1, None], dtype=object)).values, [1, np.nan])


def test_fixed_width_text_and_byte_order():
    assert texts(column_from_numpy("a", np.array(["p", "q", "p"]))) == ["p", "q", "p"]
    assert column_from_numpy("a", np.array([1, 2], ">i4")).values.dtype.isnative


def test_complex_numbers_are_refused():
    with pytest.raises(DataError, match="complex"):
        column_from_numpy("a", np.array([1j]))
