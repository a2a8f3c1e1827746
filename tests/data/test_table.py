"""Tables: lazy columns, rows taken, fingerprints."""

from __future__ import annotations

import numpy as np
import pytest

from trine.data import Table, read
from trine.domains import Column
from trine.errors import DataError


@pytest.fixture
def table():
    return read({"price": np.arange(5.0), "city": np.array(list("aabbc"))})


def test_a_column_is_read_when_it_is_asked_for():
    asked = []

    def load(name):
        asked.append(name)
        return Column(name, np.zeros(2))

    table = Table({"a": lambda: load("a"), "b": lambda: load("b")}, 2)
    assert (table.names, table.rows, asked) == (["a", "b"], 2, [])
    table.column("b")
    assert asked == ["b"]


def test_an_unknown_column_names_the_nearest(table):
    assert "price" in table
    assert "prize" not in table
    with pytest.raises(DataError, match=r"no column 'prize'.*Did you mean 'price'\?.*price, city"):
        table.column("prize")


def test_taken_rows_keep_the_users_numbers(table):
    part = table.take(np.array([3, 1, 4])).take(np.array([2, 0]))
    column = part.column("price")
    assert column.values.tolist() == [4.0, 3.0]
    assert [column.row(0), column.row(1)] == [5, 4]
    assert part.rows == 2


def test_select_and_beside(table):
    assert table.select(["city"]).names == ["city"]
    with pytest.raises(DataError, match="no column"):
        table.select(["town"])
    both = table.select(["city"]).with_column("y", np.arange(5))
    assert both.names == ["city", "y"]
    assert both.default_target == "y"
    with pytest.raises(DataError, match="5 rows and y 4"):
        table.with_column("y", np.arange(4))
    with pytest.raises(DataError, match="2 columns called 'city'"):
        table.with_column("city", np.arange(5))


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(DataError, match="differ in their number of rows"):
        Table.of([Column("a", np.zeros(2)), Column("b", np.zeros(3))])


def test_fingerprint_depends_on_names_types_values_and_rows():
    def print_of(**arrays):
        return read(arrays).fingerprint()

    base = print_of(a=np.array([1.0, 2.0]), b=np.array(["u", "v"]))
    assert base == print_of(a=np.array([1.0, 2.0]), b=np.array(["u", "v"]))
    others = [
        print_of(c=np.array([1.0, 2.0]), b=np.array(["u", "v"])),
        print_of(a=np.array([1, 2]), b=np.array(["u", "v"])),
        print_of(a=np.array([1.0, 3.0]), b=np.array(["u", "v"])),
        print_of(a=np.array([1.0, 2.0]), b=np.array(["u", "w"])),
        read({"a": np.array([1.0, 2.0]), "b": np.array(["u", "v"])}).take(np.array([1, 0])).fingerprint(),
    ]
    assert base not in others
    assert len(set(others)) == len(others)


def test_fingerprint_of_a_file_is_of_its_bytes(tmp_path):
    path, copy = tmp_path / "a.csv", tmp_path / "b.csv"
    path.write_text("a,b\n1,2\n")
    copy.write_text("a,b\n1,2\n")
    assert read(path).fingerprint() == read(copy).fingerprint()
    copy.write_text("a,b\n1,3\n")
    assert read(path).fingerprint() != read(copy).fingerprint()
