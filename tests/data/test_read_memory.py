"""Data frames, arrays, tensors and mappings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from trine.data import read
from trine.errors import DataError


def texts(column):
    return [None if code < 0 else column.levels[code] for code in column.values]


COLUMNS = {"n": [1, 2, 3], "f": [0.5, None, 2.0], "s": ["u", None, "u"], "b": [True, False, True]}


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table, dict])
def test_frames(make):
    table = read(make(COLUMNS))
    assert (table.names, table.rows) == (["n", "f", "s", "b"], 3)
    assert table.column("n").values.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(table.column("f").values, [0.5, np.nan, 2.0])
    assert texts(table.column("s")) == ["u", None, "u"]
    assert table.column("b").values.dtype == bool


def test_pandas_types():
    frame = pd.DataFrame(
        {
            "category": pd.Categorical(["b", "a", None], categories=["b", "a", "z"]),
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "date": pd.to_datetime(["2020-01-01", None, "2020-01-03"]),
            "object": np.array([1, "x", None], dtype=object),
            7: [1, 2, 3],
        },
        index=[10, 20, 30],
    )
    table = read(frame)
    assert texts(table.column("category")) == ["b", "a", None]
    np.testing.assert_array_equal(table.column("nullable").values, [1, np.nan, 3])
    assert table.column("date").missing.tolist() == [False, True, False]
    assert texts(table.column("object")) == ["1", "x", None]
    assert table.column("7").values.tolist() == [1, 2, 3]


def test_polars_types():
    frame = pl.DataFrame(
        {"c": pl.Series(["b", None, "a"], dtype=pl.Categorical), "e": pl.Series(["u"] * 3, dtype=pl.Enum(["u", "v"]))}
    )
    assert texts(read(frame).column("c")) == ["b", None, "a"]
    assert texts(read(frame).column("e")) == ["u", "u", "u"]


def test_masked_values_are_missing():
    np.testing.assert_array_equal(read(np.ma.array([[1], [2]], mask=[[0], [1]])).column("x0").values, [1, np.nan])


def test_duplicate_names_in_a_frame():
    with pytest.raises(DataError, match="2 columns called 'a'"):
        read(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_arrays_become_columns():
    matrix = np.arange(6.0).reshape(3, 2)
    for data in (matrix, torch.from_numpy(matrix), matrix.tolist()):
        table = read(data)
        assert table.names == ["x0", "x1"]
        assert table.column("x1").values.tolist() == [1, 3, 5]
    assert read(np.zeros((3, 1))).names == ["x0"]


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (np.zeros((2, 8, 9), np.uint8), (2, 8, 9)),
        (np.zeros((2, 8, 9, 3), np.uint8), (2, 8, 9, 3)),
        (torch.zeros(2, 3, 8, 9), (2, 8, 9, 3)),
        (np.zeros((2, 1, 8, 9)), (2, 8, 9, 1)),
    ],
)
def test_pixels_stay_one_column(array, shape):
    table = read(array)
    assert table.names == ["image"]
    assert table.column("image").values.shape == shape


@pytest.mark.parametrize(
    "target",
    [np.array([0, 1, 1]), [0, 1, 1], torch.tensor([0, 1, 1]), pd.Series([0, 1, 1], name="t"), pl.Series([0, 1, 1])],
)
def test_pairs(target):
    for table in (read((np.zeros((3, 2)), target)), read(np.zeros((3, 2)), y=target)):
        assert table.names == ["x0", "x1", "y"]
        assert table.default_target == "y"
        assert table.column("y").values.tolist() == [0, 1, 1]


def test_pairs_of_frames_and_texts():
    frame = pd.DataFrame({"x": [1, 2], "y": [3, 4]})
    assert read((frame, np.array(["p", "q"]))).names == ["x", "y", "y_"]
    assert read((np.zeros((2, 1)), np.zeros((2, 2)))).targets == ("y0", "y1")
    assert read((np.zeros((2, 1)), pd.DataFrame({"t": [1, 2]}))).default_target == "t"
    assert texts(read((np.zeros((2, 1)), ["p", "q"])).column("y")) == ["p", "q"]


def test_pair_of_different_lengths():
    with pytest.raises(DataError, match="3 rows and y 2"):
        read((np.zeros((3, 2)), np.zeros(2)))


def test_records_tables_and_paths():
    table = read([{"a": 1, "b": "u"}, {"a": 2}])
    assert texts(table.column("b")) == ["u", None]
    assert read(table) is table
    assert read(["p/1.png", "p/2.jpg"]).names == ["image"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (7, "A int is no data"),
        ({"a": np.zeros(2), "b": np.zeros(3)}, "differ in their number of rows"),
        ({"a": np.zeros((2, 2)), "a1": np.zeros(2)}, "two columns called 'a1'"),
        (np.zeros((0, 3)), "no rows"),
        (np.zeros((3, 0)), "no columns"),
        ({"a": 3.0}, "single value"),
    ],
)
def test_what_is_no_table(data, message):
    with pytest.raises(DataError, match=message):
        read(data)


def test_sparse_matrices_are_refused():
    from scipy.sparse import eye

    with pytest.raises(DataError, match="Sparse"):
        read((np.zeros((2, 1)), eye(2)))
