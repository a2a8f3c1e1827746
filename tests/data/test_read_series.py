"""Series come as nested arrays, list columns, files of the UCR archive, long tables and wide ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trine.data import Schema, read, reshape
from trine.domains import Real, Series, Vector
from trine.errors import DataError, SchemaError


def rows(column) -> list:
    return [column.sequences[i].tolist() for i in range(len(column))]


def test_nested_lists_and_arrays_are_ragged_columns() -> None:
    table = read({"s": [[1.0, 2.0], [3.0], None], "y": [1, 0, 1]})
    column = table.column("s")
    assert rows(column) == [[1, 2], [3], []]
    assert column.missing.tolist() == [False, False, True]
    several = read({"s": [np.ones((3, 2)), np.zeros((1, 2))]}).column("s")
    assert several.values.shape == (4, 2)
    assert several.offsets.tolist() == [0, 3, 4]
    pair = read(([np.arange(3.0), np.arange(2.0)], np.array([0, 1])))
    assert isinstance(Schema.infer(pair, ["y"], fewest=1).x["x"], Series)


def test_rows_that_are_no_series_are_named() -> None:
    with pytest.raises(DataError, match="'s', row 2"):
        read({"s": [[1.0, 2.0], ["a"], [1.0]]}).column("s")
    with pytest.raises(DataError, match=r"row 2: steps of shape \(3,\)"):
        read({"s": [np.ones((2, 2)), np.ones((4, 3))]}).column("s")


def test_parquet_list_columns(tmp_path: Path) -> None:
    table = pa.table(
        {
            "ragged": pa.array([[1.0, 2.0, None], [3.0], None]),
            "equal": pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
            "channels": pa.array([[[1, 2], [3, 4]], [[5, 6]], []]),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    found = read(tmp_path / "t.parquet")
    assert rows(found.column("ragged"))[1:] == [[3], []]
    assert found.column("ragged").missing.tolist() == [False, False, True]
    assert rows(found.column("channels")) == [[[1, 2], [3, 4]], [[5, 6]], []]
    schema = Schema.infer(found)
    assert isinstance(schema.x["ragged"], Series)
    assert isinstance(schema.x["equal"], Vector)
    stated = Schema.infer(found, domains={"equal": "series"}).x["equal"].fit(found.column("equal"))
    assert stated.encode(found.column("equal")).lengths.tolist() == [2, 2, 2]


def test_json_lines_with_lists(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(json.dumps({"s": s, "y": 1.5}) for s in ([1, 2, 3], [4])))
    assert rows(read(path).column("s")) == [[1, 2, 3], [4]]


def test_a_ucr_file_is_series_and_label(tmp_path: Path) -> None:
    path = tmp_path / "Gun_TRAIN.tsv"
    values = np.random.default_rng(0).normal(size=(3, 20))
    lines = ["\t".join(map(str, [2, *row])) for row in values]
    lines[1] = "\t".join(map(str, [-1, *values[1, :18], "NaN", "NaN"]))
    path.write_text("\n".join(lines) + "\n")
    table = read(path)
    assert (table.names, table.targets, table.rows) == (["series", "label"], ("label",), 3)
    assert table.column("label").values.tolist() == [2, -1, 2]
    assert np.diff(table.column("series").offsets).tolist() == [20, 18, 20]
    path.write_text("\n".join([lines[0], lines[2].replace("2\t", "2\tx", 1)]))
    with pytest.raises(DataError, match="line 2: a value is no number"):
        read(path)


def test_a_tsv_with_a_header_is_a_table(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("\t".join(f"c{i}" for i in range(30)) + "\n" + "\t".join(map(str, range(30))) + "\n")
    assert len(read(path).names) == 30


@pytest.mark.data
def test_the_archives_own_files(shared: Path) -> None:
    path = next((shared / "time_series" / "ECG200").glob("*TRAIN*"))
    table = read(path)
    assert table.rows == 100
    assert Schema.infer(table, ["label"]).fit(table).x["series"].describe() == "Series, 96 steps"


LONG = {
    "patient": np.array(["b", "a", "b", "a", "b"], dtype=object),
    "time": np.array([3.0, 1.0, 1.0, 2.0, 2.0]),
    "pulse": np.array([33.0, 11.0, 31.0, 12.0, 32.0]),
    "oxygen": np.array([0.3, 0.1, 0.1, 0.2, np.nan]),
    "sex": np.array(["f", "m", "f", "m", "f"], dtype=object),
    "age": np.array([50, 60, 50, 60, 50]),
}


def test_a_long_table_has_a_row_for_each_key() -> None:
    table = reshape(read(LONG), long=("patient", "time"))
    assert (table.names, table.rows, table.key) == (["patient", "sex", "age", "pulse+oxygen"], 2, "patient")
    series = table.column("pulse+oxygen")
    assert series.stamps is None  # a step each second
    np.testing.assert_array_equal(series.sequences[0], [[31, 0.1], [32, np.nan], [33, 0.3]])
    assert table.column("age").values.tolist() == [50, 60]


def test_time_stamps_are_kept_where_steps_are_irregular() -> None:
    dates = np.array(["2024-01-01", "2024-01-02", "2024-01-05"], dtype=object)
    table = reshape(read({"id": np.array([1, 1, 1]), "day": dates, "v": np.arange(3.0)}), long=("id", "day"))
    stamps = table.column("v").stamps
    assert np.diff(stamps).tolist() == [86400, 3 * 86400]


def test_long_tables_that_cannot_be_put_together_are_refused() -> None:
    with pytest.raises(DataError, match="There is no column 'when'"):
        reshape(read(LONG), long=("patient", "when"))
    with pytest.raises(DataError, match="'sex', row"):
        reshape(read({**LONG, "sex": np.array(list("fmmmf"), dtype=object)}), long=("patient", "time"))
    with pytest.raises(DataError, match="'time', row 2: it is missing"):
        reshape(read({**LONG, "time": np.array([1.0, np.nan, 2, 3, 4])}), long=("patient", "time"))
    with pytest.raises(SchemaError, match="No column changes over 'time'"):
        reshape(read({name: LONG[name] for name in ("patient", "time", "sex")}), long=("patient", "time"))


def test_wide_columns_become_one_series() -> None:
    wide = read(
        {"t0": [1.0, 4.0, np.nan], "t1": [2.0, np.nan, np.nan], "t2": [3.0, np.nan, np.nan], "age": [7.0, 8.0, 9.0]}
    )
    table = reshape(wide, group={"heart": "t?"})
    assert table.names == ["age", "heart"]
    assert rows(table.column("heart")) == [[1, 2, 3], [4], []]
    assert table.column("heart").missing.tolist() == [False, False, True]
    schema = Schema.infer(table)
    assert isinstance(schema.x["heart"], Series)
    assert isinstance(schema.x["age"], Real)
    with pytest.raises(DataError, match="takes the columns 'z\\*' together, and 0 of 4"):
        reshape(wide, group={"heart": "z*"})
