"""Columns into files, whole or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from trine.data import read, write
from trine.errors import DataError

COLUMNS = {
    "key": np.array(["u,v", 'say "so"', "ü\n"]),
    "a b": np.array([1, 2, 3]),
    "p": np.array([0.1, np.nan, 1 / 3]),
    "mixed": np.array(["x", None, "z"], dtype=object),
}


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.parquet", "a.jsonl"])
def test_what_is_written_reads_back(tmp_path, name):
    path = write(tmp_path / name, COLUMNS)
    table = read(path)
    assert table.names == list(COLUMNS)
    np.testing.assert_array_equal(table.column("p").values, COLUMNS["p"])
    np.testing.assert_array_equal(table.column("a b").values, [1, 2, 3])
    key = table.column("key")
    assert [key.levels[code].strip() for code in key.values] == ["u,v", 'say "so"', "ü"]
    assert table.column("mixed").missing.tolist() == [False, True, False]
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = write(tmp_path / "a.csv", {"a": np.arange(2)})
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match="No space left"):
        write(path, {"a": np.arange(3)})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "columns", "message"),
    [
        ("a.xlsx", {"a": np.arange(2)}, r"must be one of \.csv"),
        ("a.csv", {"a": np.arange(2), "b": np.arange(3)}, "differ in their number of rows"),
        ("no/where/a.csv", {"a": np.arange(2)}, "Choose a folder that exists"),
    ],
)
def test_what_cannot_be_written(tmp_path, name, columns, message):
    with pytest.raises(DataError, match=message):
        write(tmp_path / name, columns)
