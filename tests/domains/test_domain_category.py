"""Categories: the user's own labels there and back, whatever type they come in."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trine.domains import Category, Column, Domain
from trine.domains import category as module
from trine.errors import DataError


def numbers(*values: object, dtype: str | None = None) -> Column:
    return Column("size", np.array(values, dtype=dtype))


def text(*values: str | None) -> Column:
    levels = sorted({v for v in values if v is not None}, reverse=True)
    codes = [-1 if v is None else levels.index(v) for v in values]
    return Column("size", np.array(codes, dtype=np.int32), np.array(levels, dtype=object))


def codes(domain: Category, column: Column) -> list[int]:
    encoded = domain.encode(column)
    assert encoded.shape == (len(column), 1)
    return encoded[:, 0].tolist()


@pytest.mark.parametrize(
    ("column", "labels", "dtype"),
    [
        (numbers(3, 1, 2, 1), (1, 2, 3), "int64"),
        (numbers(3, 1, 2, 1, dtype="uint8"), (1, 2, 3), "uint8"),
        (numbers(0.5, 0.25), (0.25, 0.5), "float64"),
        (numbers(1.0, 0.0), (0.0, 1.0), "float64"),
        (numbers(True, False), (False, True), "bool"),
        (text("b", "a"), ("a", "b"), "object"),
    ],
)
def test_labels_come_back_in_the_users_type(column: Column, labels: tuple[object, ...], dtype: str) -> None:
    domain = Category().fit(column)
    assert domain.labels == labels
    assert [type(label) for label in domain.labels] == [type(label) for label in labels]
    back = domain.decode(domain.encode(column))
    assert back.dtype == dtype
    raw = column.values if column.levels is None else column.levels[column.values]
    assert back.tolist() == raw.tolist()
    again = Domain.from_json(json.loads(json.dumps(domain.to_json())))
    assert again == domain
    assert [type(label) for label in again.labels] == [type(label) for label in labels]  # type: ignore[attr-defined]


@given(
    st.one_of(
        st.lists(st.text(st.characters(exclude_categories=("Cs",))), min_size=1),
        st.lists(st.integers(-(2**62), 2**62), min_size=1),
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1),
    ),
    st.booleans(),
)
def test_json_gives_the_very_same_domain(values: list[object], ordered: bool) -> None:
    column = text(*values) if isinstance(values[0], str) else numbers(*values)  # type: ignore[arg-type]
    domain = Category(ordered=ordered).fit(column)
    again = Domain.from_json(json.loads(json.dumps(domain.to_json(), allow_nan=False)))
    assert again == domain
    encoded = domain.encode(column)
    assert (encoded >= -1).all()
    np.testing.assert_array_equal(again.encode(column), encoded)
    np.testing.assert_array_equal(domain.encode(column)[encoded[:, 0] >= 0], encoded[encoded[:, 0] >= 0])


def test_missing_and_unseen_have_places_of_their_own() -> None:
    domain = Category().fit(text("a", "b", None, "?"))
    assert domain.labels == ("a", "b")
    assert domain.missing == 0.5
    assert codes(domain, text("b", None, "c", "", "a")) == [1, -1, -2, -1, 0]
    assert domain.decode(np.array([0, -1, -2])).tolist() == ["a", None, None]
    floats = Category().fit(numbers(1.0, np.nan, 2.0))
    assert floats.labels == (1, 2)
    assert codes(floats, numbers(np.nan, 2.0, 7.0)) == [-1, 1, -2]


def test_whole_numbers_with_a_missing_one_are_integers() -> None:
    domain = Category().fit(numbers(1.0, np.nan, 2.0))
    assert all(type(label) is int for label in domain.labels)
    assert domain.decode(np.array([0, 1])).dtype == np.int64


def test_the_same_label_written_otherwise() -> None:
    integers = Category().fit(numbers(1, 2, 10))
    assert codes(integers, numbers(10.0, 1.0)) == [2, 0]
    assert codes(integers, text("10", "1", " 2 ", "2.0", "x")) == [2, 0, 1, 1, -2]
    texts = Category().fit(text("1", "2", "10"))
    assert texts.labels == ("1", "2", "10")
    assert codes(texts, numbers(10, 2)) == [2, 1]
    truths = Category().fit(numbers(True, False))
    assert codes(truths, text("True", "False")) == [1, 0]


def test_text_labels_sort_by_size_when_all_are_numbers() -> None:
    assert Category().fit(text("10", "9", "1")).labels == ("1", "9", "10")
    assert Category().fit(text("10", "9", "x")).labels == ("10", "9", "x")


def test_blanks_around_a_label_do_not_make_another() -> None:
    domain = Category().fit(text(" a", "a", "b"))
    assert len(domain.labels) == 2
    assert codes(domain, text(" a", "a", "b ")) == [0, 0, 1]


def test_stated_labels_keep_their_order() -> None:
    domain = Category(("low", "mid", "high"), ordered=True).fit(text("high", "low", "high"))
    assert domain.labels == ("low", "mid", "high")
    assert domain.shares == (pytest.approx(1 / 3), 0.0, pytest.approx(2 / 3))
    assert codes(domain, text("mid", "other")) == [1, -2]
    assert "low < mid < high" in domain.describe()
    with pytest.raises(DataError, match="one twice"):
        Category(("a", "a")).fit(text("a"))


def test_a_target_refuses_what_training_did_not_have() -> None:
    domain = Category(strict=True).fit(text("a", "b"))
    with pytest.raises(DataError, match=r"'size', row 2: 'c' is none of the classes that training had \(a, b\)"):
        domain.encode(text("a", "c"))


def test_the_most_frequent_labels_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LABELS", 2)
    domain = Category().fit(text("a", "b", "b", "c", "c", "c"))
    assert domain.labels == ("b", "c")
    assert codes(domain, text("a", "b")) == [-2, 0]
    assert len(Category(strict=True).fit(text("a", "b", "c")).labels) == 3


def test_dates_and_arrays() -> None:
    days = Column("size", np.array(["2020-01-02", "2020-01-01"], dtype="datetime64[D]"))
    assert Category().fit(days).labels == ("2020-01-01", "2020-01-02")
    with pytest.raises(DataError, match="one value a row"):
        Category().fit(Column("size", np.zeros((3, 2))))


def test_describe() -> None:
    assert Category().describe() == "Category"
    assert Category().fit(text("yes", "no")).describe() == "Category: no, yes"
    assert Category().fit(numbers(*range(30))).describe() == "Category of 30"


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="no field 'exec'"):
        Domain.from_json({"kind": "category", "exec": "x"})
