"""Domains of numbers: what is read, learned, refused, and that nothing is lost on the way back."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trine.domains import Column, Count, Domain, Numeric, Positive, Real, Unit, Vector
from trine.domains._numeric import ATOMS, BINS
from trine.domains._text import number
from trine.errors import DataError

KINDS: list[type[Numeric]] = [Real, Positive, Unit, Count]


def column(values: object, **about: object) -> Column:
    return Column("price", np.asarray(values), **about)  # type: ignore[arg-type]


def text(*values: str | None) -> Column:
    levels = sorted({v for v in values if v is not None})
    codes = [-1 if v is None else levels.index(v) for v in values]
    return Column("price", np.array(codes, dtype=np.int32), np.array(levels, dtype=object))


def draw(kind: type[Numeric], rows: int = 2000, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return {
        Real: rng.standard_t(2, rows) * 1e3 + 7,
        Positive: rng.lognormal(3, 2, rows),
        Unit: rng.beta(0.5, 0.5, rows),
        Count: rng.poisson(4, rows).astype(float),
    }[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_encoded_comes_back(kind: type[Numeric]) -> None:
    values = draw(kind)
    domain = kind().fit(column(values))
    encoded = domain.encode(column(values))
    assert encoded.shape == (2000, 1)
    assert encoded.dtype == np.float32
    back = domain.decode(encoded)
    assert back.dtype == np.float64
    scale = getattr(domain, "scale", 1.0)
    np.testing.assert_allclose(back, values, rtol=3e-7, atol=1e-6 * scale)
    np.testing.assert_array_equal(domain.decode(encoded[:, 0]), back)


@given(
    hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(allow_nan=True, allow_infinity=False)),
    st.sampled_from([Real, Vector]),
)
def test_json_gives_the_very_same_domain(values: np.ndarray, kind: type[Domain]) -> None:
    raw = values if kind is Real else np.stack([values, values[::-1]], axis=1)
    domain = kind().fit(column(raw))  # type: ignore[call-arg]
    assert Domain.from_json(json.loads(json.dumps(domain.to_json(), allow_nan=False))) == domain


@given(hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(0, 1, exclude_min=True)))
def test_json_of_bounded_numbers(values: np.ndarray) -> None:
    for kind in (Positive, Unit):
        domain = kind().fit(column(values))
        assert Domain.from_json(json.loads(json.dumps(domain.to_json(), allow_nan=False))) == domain
        assert np.isfinite(domain.encode(column(values))).all()


@given(hnp.arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 2**53)))
def test_json_of_counts(values: np.ndarray) -> None:
    domain = Count().fit(column(values))
    assert Domain.from_json(json.loads(json.dumps(domain.to_json(), allow_nan=False))) == domain
    small = values % 2**24
    np.testing.assert_array_equal(domain.decode(domain.encode(column(small))), small)


@given(hnp.arrays(np.float64, st.integers(1, 200), elements=st.floats(allow_nan=True, allow_infinity=False)))
def test_any_finite_numbers_are_learned_and_encoded(values: np.ndarray) -> None:
    domain = Real().fit(column(values))
    encoded = domain.encode(column(values))
    assert (np.isnan(encoded[:, 0]) == np.isnan(values)).all()
    assert not np.isinf(encoded).any()
    assert domain.scale > 0
    assert math.isfinite(domain.mean)
    assert domain.std >= 0
    assert len(domain.knots) <= BINS + 1
    assert len(domain.atoms) <= ATOMS
    assert list(domain.knots) == sorted(set(domain.knots))
    assert list(domain.atoms) == sorted(set(domain.atoms))
    assert domain.missing == pytest.approx(np.isnan(values).mean())


@given(hnp.arrays(np.float64, st.integers(1, 50), elements=st.floats(1e-300, 1e300)))
def test_positive_stays_positive(values: np.ndarray) -> None:
    assert (Positive().fit(column(values)).encode(column(values)) > 0).all()


def test_real_is_centred_at_the_median_and_scaled_by_the_quartiles() -> None:
    values = np.random.default_rng(0).normal(50, 4, 20_001)
    domain = Real().fit(column(values))
    assert domain.centre == pytest.approx(np.median(values))
    q25, q75 = np.quantile(values, [0.25, 0.75])
    assert domain.scale == pytest.approx((q75 - q25) / 1.349)
    assert domain.mean == pytest.approx((values.mean() - domain.centre) / domain.scale, abs=1e-6)
    assert domain.std == pytest.approx(values.std() / domain.scale, rel=1e-6)


def test_a_slip_of_the_decimal_point_does_not_ruin_the_scale() -> None:
    values = np.random.default_rng(0).normal(0, 1, 1000)
    clean = Real().fit(column(values))
    values[3] = 1e12
    slipped = Real().fit(column(values))
    assert slipped.scale == pytest.approx(clean.scale, rel=0.02)
    assert slipped.std == pytest.approx(clean.std, rel=0.3)
    assert slipped.high == 1e12


@pytest.mark.parametrize("value", [0.0, 3.0, -1e9, 1e-12])
def test_a_constant_and_a_spike_have_a_scale(value: float) -> None:
    constant = Real().fit(column(np.full(50, value)))
    assert constant.encode(column([value]))[0, 0] == 0
    assert constant.decode(np.zeros(1)) == value
    spiked = Real().fit(column(np.r_[np.full(95, value), value + np.arange(1.0, 6.0) * max(abs(value), 1)]))
    assert spiked.scale > 0.5 * max(abs(value), 1)


def test_nothing_but_missing_values() -> None:
    domain = Real().fit(column(np.full(4, np.nan)))
    assert domain.fitted
    assert domain.missing == 1.0
    assert np.isnan(domain.encode(column([np.nan]))).all()
    assert domain.encode(column([2.0]))[0, 0] == 2.0


def test_few_distinct_values_are_all_knots_and_atoms() -> None:
    values = np.repeat([1.0, 2.0, 5.0], 100)
    domain = Count().fit(column(values))
    assert domain.knots == domain.atoms == (1.0, 2.0, 5.0)


def test_spikes_are_atoms_and_the_rest_keeps_its_knots() -> None:
    rng = np.random.default_rng(0)
    values = np.r_[np.zeros(9000), rng.lognormal(8, 1, 1000)]
    domain = Real().fit(column(values))
    assert domain.atoms == (float(np.float32((0 - domain.centre) / domain.scale)),)
    assert len(domain.knots) > 55
    assert domain.knots[0] == domain.atoms[0]
    assert domain.knots[-1] == domain.encode(column([values.max()]))[0, 0]
    # The bins between the knots hold about equally many of the other values.
    inner = np.histogram(domain.encode(column(values[9000:]))[:, 0], bins=domain.knots[1:])[0]
    assert inner.max() <= 4 * max(inner.mean(), 1)


def test_atoms_are_exactly_what_encode_gives() -> None:
    values = np.repeat(np.array([0.1, 0.2, 0.7, 1e5 / 3]), 50)
    domain = Real().fit(column(values))
    assert set(domain.encode(column(values))[:, 0].tolist()) == set(domain.atoms)


def test_few_rows_get_few_knots_and_no_atoms() -> None:
    domain = Real().fit(column(np.random.default_rng(0).normal(size=60)))
    assert 6 <= len(domain.knots) <= 10
    assert domain.atoms == ()


def test_learns_from_the_training_rows_alone() -> None:
    values = np.r_[np.arange(100.0), np.full(100, 1e6)]
    whole = column(values)
    assert Real().fit(whole.take(np.arange(100))) == Real().fit(column(np.arange(100.0)))


@pytest.mark.parametrize(
    ("kind", "bad"), [(Positive, 0.0), (Positive, -1.0), (Unit, 1.2), (Unit, -0.1), (Count, -1.0), (Count, 2.5)]
)
def test_values_outside_the_set(kind: type[Numeric], bad: float) -> None:
    values = draw(kind, 50)
    outside = np.r_[values[:6], bad]
    with pytest.raises(DataError, match=r"'price', row 7: .* is no \w+ value; .* expected.*price=real"):
        kind().fit(column(outside))
    with pytest.raises(DataError, match="row 7"):
        kind(strict=True).fit(column(values)).encode(column(outside))
    # An input beyond what training showed is carried on linearly.
    domain = kind().fit(column(values))
    assert domain.decode(domain.encode(column(outside)))[-1] == pytest.approx(bad, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_infinite_values_are_refused_wherever_they_are(kind: type[Numeric]) -> None:
    values = np.r_[draw(kind, 50), np.inf]
    with pytest.raises(DataError, match=r"'price', row 51: the value is infinite.*leave it empty"):
        kind().fit(column(values))
    with pytest.raises(DataError, match="row 51"):
        kind().fit(column(draw(kind, 50))).encode(column(values))


def test_row_numbers_are_the_users_after_a_selection() -> None:
    whole = column([1.0, 2.0, np.inf, 4.0], first_row=2)
    with pytest.raises(DataError, match="row 4"):
        Real().fit(whole.take(np.array([0, 2, 3])))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("5", 5), (" 5 ", 5), ("1e-3", 1e-3), ("1,234", 1234), ("-1,234,567.5", -1234567.5), ("1 234", 1234),
        ("$5", 5), ("-$5.50", -5.5), ("5 €", 5), ("12%", 0.12), ("12.5 %", 0.125), (".5", 0.5), ("\u22123", -3),
        ("+7", 7), ("$1,234.56", 1234.56),
    ],
)  # fmt: skip
def test_written_numbers(written: str, meant: float) -> None:
    assert number(written) == pytest.approx(meant, rel=1e-15)
    domain = Real().fit(text(written, "2"))
    assert domain.decode(domain.encode(text(written)))[0] == pytest.approx(meant, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("written", ["abc", "12a", "1,23", "A/5 21171", "$", "%", "1.2.3", "--5", "12 34"])
def test_texts_that_are_no_numbers(written: str) -> None:
    assert number(written) is None
    with pytest.raises(DataError, match=r"'price', row 2: .* is no number.*--domain price=category"):
        Real().fit(text("1", written))


@pytest.mark.parametrize("written", ["", " ", "?", "NA", "null", "nan", "NaN", "None", None])
def test_missing_texts(written: str | None) -> None:
    raw = text("1", written, "3")
    assert raw.missing.tolist() == [False, True, False]
    domain = Real().fit(raw)
    assert np.isnan(domain.encode(raw)[:, 0]).tolist() == [False, True, False]
    assert domain.missing == pytest.approx(1 / 3)


def test_an_unused_level_that_is_no_number_does_no_harm() -> None:
    raw = text("1", "2", "oops")
    assert Real().fit(raw.take(np.array([0, 1]))).high == 2.0


def test_other_types() -> None:
    assert Real().fit(column(np.array([True, False]))).high == 1.0
    seconds = Real().fit(column(np.array([1, 90], dtype="timedelta64[m]")))
    assert (seconds.low, seconds.high) == (60.0, 5400.0)
    with pytest.raises(DataError, match="price=date"):
        Real().fit(column(np.array(["2020-01-01"], dtype="datetime64[D]")))
    with pytest.raises(DataError, match="price=vector"):
        Real().fit(column(np.zeros((3, 2))))


def test_large_columns_are_sampled_but_bounded_by_all_rows() -> None:
    values = np.zeros(300_000)
    values[:] = np.random.default_rng(0).normal(size=300_000)
    values[123_456] = 99.0
    domain = Real().fit(column(values))
    assert domain.high == 99.0
    assert len(domain.knots) == BINS + 1
    assert domain.knots[-1] < 6
    assert Real().fit(column(values)) == domain


def test_describe() -> None:
    assert Real().describe() == "Real"
    assert Count().fit(column([1, 2, 30])).describe() == "Count, 1 to 30"
    assert "50 % missing" in Unit().fit(column([0.5, np.nan])).describe()


@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.floats(-1e6, 1e6)))
def test_vectors_come_back(values: np.ndarray) -> None:
    assume(len(values) > 1)
    domain = Vector().fit(column(values))
    encoded = domain.encode(column(values))
    assert encoded.shape == values.shape
    assert encoded.dtype == np.float32
    tolerance = 1e-5 * (np.abs(values - np.array(domain.centre)) + np.array(domain.scale))
    assert (np.abs(domain.decode(encoded) - values) <= tolerance + 1e-9).all()


def test_vectors_of_another_size_or_with_missing_entries() -> None:
    values = np.arange(12.0).reshape(4, 3)
    domain = Vector().fit(column(values))
    assert domain.size == 3
    with pytest.raises(DataError, match="2 numbers a row and training had 3"):
        domain.encode(column(values[:, :2]))
    values[1, 0] = np.nan
    encoded, known = domain.encode_known(column(values))
    assert known.tolist() == [True, False, True, True]
    assert np.isnan(encoded[1]).all()
    with pytest.raises(DataError, match=r"row 2.*infinite"):
        domain.encode(column([[0.0, 1, 2], [np.inf, 1, 2]]))
