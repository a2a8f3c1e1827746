"""Sets of labels from texts, lists and arrays."""

import numpy as np
import pytest

from trine.data import Table, read
from trine.data._guess import guess_target
from trine.domains import Category, Column, Domain, Labels, Text
from trine.errors import DataError


def _texts(*texts):
    levels, codes = np.unique(np.array([text or "" for text in texts], dtype=object), return_inverse=True)
    return Column("tags", codes.astype(np.int32), levels)


def test_texts_are_split_trimmed_and_come_back():
    column = _texts("red; round", "round", "blue ;red", ";", "")
    domain = Labels().fit(column)
    assert domain.labels == ("blue", "red", "round")
    assert domain.separator == ";"
    encoded, known = domain.encode_known(column)
    np.testing.assert_array_equal(encoded, [[0, 1, 1], [0, 0, 1], [1, 1, 0], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(known, [True, True, True, True, False])
    assert domain.decode(encoded).tolist()[:4] == ["red; round", "round", "blue; red", ""]
    assert domain.shares == (0.25, 0.5, 0.5)
    assert domain.mean == 1.25
    assert Domain.from_json(domain.to_json()) == domain


def test_lists_of_texts_are_sets():
    # Rows: a b | (none) | missing | b.
    column = Column(
        "tags",
        np.array([0, 1, 1], dtype=np.int32),
        np.array(["a", "b;c"], dtype=object),
        offsets=np.array([0, 2, 2, 2, 3]),
        absent=np.array([False, False, True, False]),
    )
    domain = Labels().fit(column)
    assert domain.labels == ("a", "b;c")
    encoded, known = domain.encode_known(column)
    np.testing.assert_array_equal(encoded, [[1, 1], [0, 0], [0, 0], [0, 1]])
    np.testing.assert_array_equal(known, [True, True, False, True])


def test_arrays_of_zero_and_one_are_sets_named_by_the_user():
    column = Column("y", np.array([[1, 0], [0, 0], [1, 1]]))
    domain = Labels(labels=("cat", "dog")).fit(column)
    np.testing.assert_array_equal(domain.encode(column), column.values)
    assert domain.decode(column.values).tolist() == ["cat", "", "cat; dog"]
    with pytest.raises(DataError, match="row 2: entry 1 is 3"):
        domain.encode(Column("y", np.array([[1, 0], [3, 0]])))
    with pytest.raises(DataError, match="3 entries a row for 2 labels"):
        domain.encode(Column("y", np.array([[1, 0, 1]])))


def test_an_unseen_label_is_refused_of_y_and_left_out_else():
    domain = Labels().fit(_texts("a; b", "b"))
    new = _texts("a; c", "b")
    np.testing.assert_array_equal(domain.encode(new), [[1, 0], [0, 1]])
    strict = Labels(labels=domain.labels, separator=";", strict=True)
    with pytest.raises(DataError, match="row 1: 'c' is none of the labels"):
        strict.encode(new)


def test_texts_of_several_labels_are_recognised_and_others_are_not():
    rng = np.random.default_rng(0)
    sets = _texts(*(";".join(rng.choice(list("abcdef"), rng.integers(1, 4), replace=False)) for _ in range(300)))
    assert isinstance(guess_target(sets).domain, Labels)
    classes = _texts(*rng.choice(["low; cheap", "high", "mid"], 300, p=[0.1, 0.5, 0.4]))
    assert isinstance(guess_target(classes).domain, Category)


def test_many_classes_are_classes_where_they_come_again():
    table = read({"x": np.arange(60_000) % 7 + 0.5, "y": np.array([f"c{i % 10_000}" for i in range(60_000)])})
    assert isinstance(table, Table)
    assert isinstance(guess_target(table.column("y")).domain, Category)
    rare = read({"y": np.array([f"c{i % 1500}" for i in range(4_000)])})
    assert isinstance(guess_target(rare.column("y")).domain, Text)
