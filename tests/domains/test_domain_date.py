"""Dates: however they are written, elapsed time and the places in the cycles."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trine.domains import Column, Date, Domain
from trine.errors import DataError


def text(*values: str | None) -> Column:
    levels = sorted({v for v in values if v is not None})
    codes = [-1 if v is None else levels.index(v) for v in values]
    return Column("day", np.array(codes, dtype=np.int32), np.array(levels, dtype=object))


def moments(first: str, last: str, step: str) -> Column:
    return Column("day", np.arange(np.datetime64(first), np.datetime64(last), np.timedelta64(1, step)))


def test_cycles_are_those_that_the_rows_go_through() -> None:
    assert Date().fit(moments("2011-01-01", "2012-01-01", "D")).cycles == ("year", "week")
    assert Date().fit(moments("2011-01-01T00", "2011-01-15T00", "h")).cycles == ("week", "day")
    assert Date().fit(moments("2011-01-01T00", "2013-01-15T00", "h")).cycles == ("year", "week", "day")
    yearly = Column("day", np.array(["2011-01-03", "2012-01-02", "2013-01-07"], dtype="datetime64[D]"))
    assert Date().fit(yearly).cycles == ("year",)


def test_numbers_of_a_moment() -> None:
    domain = Date().fit(moments("2020-01-01T00", "2022-01-01T00", "h"))
    assert domain.width == 7
    encoded = domain.encode(Column("day", np.array(["2021-03-01T06:00", "2021-03-08T18:00"], dtype="datetime64[s]")))
    assert encoded.shape == (2, 7)
    assert encoded.dtype == np.float32
    elapsed, year, week, day = encoded[:, 0], encoded[:, 1:3], encoded[:, 3:5], encoded[:, 5:]
    assert (elapsed[1] - elapsed[0]) * domain.scale == pytest.approx(7.5 * 86400, rel=1e-3)
    np.testing.assert_allclose(np.square(year).sum(1), 1, rtol=1e-5)
    # Both are Mondays, 6:00 and 18:00.
    angle = 2 * np.pi * np.array([0.25, 0.75]) / 7
    np.testing.assert_allclose(week, np.stack([np.sin(angle), np.cos(angle)], 1), atol=1e-5)
    np.testing.assert_allclose(day, [[1, 0], [-1, 0]], atol=1e-5)


def test_statistics_have_an_entry_for_each_number() -> None:
    column = moments("2020-01-01T00", "2022-01-01T00", "h")
    domain = Date().fit(column)
    assert len(domain.knots) == len(domain.atoms) == len(domain.mean) == len(domain.std) == domain.width
    encoded = domain.encode(column).astype(float)
    np.testing.assert_allclose(domain.mean, encoded.mean(0), atol=1e-6)
    np.testing.assert_allclose(domain.std, encoded.std(0), rtol=1e-6)
    assert Domain.from_json(json.loads(json.dumps(domain.to_json()))) == domain


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2011-05-31", "2011-05-31"),
        ("2011-05-31 13:45", "2011-05-31T13:45"),
        ("2011-05-31T13:45:10Z", "2011-05-31T13:45:10"),
        ("2011-05-31T13:45:10+02:00", "2011-05-31T11:45:10"),
        ("2011/05/31", "2011-05-31"),
        ("05/31/2011", "2011-05-31"),
        ("31/05/2011", "2011-05-31"),
        ("31.05.2011", "2011-05-31"),
        ("31 May 2011", "2011-05-31"),
        ("May 31, 2011", "2011-05-31"),
        ("05/31/2011 01:45:10 PM", "2011-05-31T13:45:10"),
    ],
)
def test_ways_to_write_a_date(written: str, meant: str) -> None:
    column = text(written, None)
    assert Date.recognise(column) is not None
    domain = Date().fit(column)
    encoded = domain.encode(column)
    assert np.isnan(encoded[1]).all()
    assert domain.decode(encoded)[0] == np.datetime64(meant, "s")
    assert np.isnat(domain.decode(encoded)[1])


def test_month_first_unless_a_day_shows_otherwise() -> None:
    assert Date().fit(text("01/02/2011", "03/04/2011")).format == "%m/%d/%Y"
    assert Date().fit(text("01/02/2011", "13/04/2011")).format == "%d/%m/%Y"


@pytest.mark.parametrize("values", [("1", "2"), ("3.5", "4"), ("20110101",), ("a-b", "c-d"), ("12-34", "1-2"), ("?",)])
def test_what_is_no_date(values: tuple[str, ...]) -> None:
    assert Date.recognise(text(*values)) is None


def test_a_wrong_date_is_named() -> None:
    domain = Date().fit(text("2011-05-31", "2011-06-01"))
    with pytest.raises(DataError, match=r"'day', row 2: '2011-02-30' is no date.*--domain day=category"):
        domain.encode(text("2011-05-31", "2011-02-30"))
    with pytest.raises(DataError, match="holds numbers, dates were expected"):
        domain.encode(Column("day", np.arange(3)))


def test_a_far_future_and_no_date_at_all() -> None:
    domain = Date().fit(moments("2020-01-01", "2021-01-01", "D"))
    assert np.isfinite(domain.encode(Column("day", np.array(["9999-12-31"], dtype="datetime64[D]")))).all()
    empty = Date().fit(text(None, None))
    assert empty.fitted
    assert np.isnan(empty.encode(text(None))).all()


@given(st.lists(st.datetimes(), min_size=1, max_size=30), st.booleans())
def test_json_gives_the_very_same_domain(values: list[datetime.datetime], written: bool) -> None:
    column = text(*(v.isoformat() for v in values)) if written else Column("day", np.array(values, "datetime64[us]"))
    domain = Date().fit(column)
    again = Domain.from_json(json.loads(json.dumps(domain.to_json(), allow_nan=False)))
    assert again == domain
    encoded = domain.encode(column)
    assert encoded.shape == (len(values), domain.width)
    assert np.isfinite(encoded).all()
    np.testing.assert_array_equal(again.encode(column), encoded)


def test_describe() -> None:
    assert Date().describe() == "Date"
    fitted = Date().fit(moments("2011-01-01", "2012-01-01", "D"))
    assert fitted.describe() == "Date, 2011-01-01 to 2011-12-31, cycles: year, week"
