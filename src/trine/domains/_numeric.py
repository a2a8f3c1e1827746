"""What the domains of one number share: reading, robust statistics, and the linear map to encoded units."""

from __future__ import annotations

import abc
import dataclasses
from typing import ClassVar, NoReturn, Self

import numpy as np

from trine.errors import DataError

from ._base import Column, Domain
from ._curve import Curve, curve
from ._text import numbers_of

BINS = 128
"""Most bins between the knots of a column."""
BIN_ROWS = 100
"""Training rows that a bin needs: few rows get few bins (at least 8)."""
ATOMS = 128
"""Most atoms of a column."""
ATOM_ROWS = 20
"""Training rows that must share a value before it is an atom."""
ATOM_SHARE = 0.001
"""Share of the rows that must share a value before it is an atom."""
ATOM_COVER = 0.8
"""Share of the rows that the atoms of a column hold together; a column of fewer has none."""
DISCRETE = 5
"""Rows a value, in the mean, from which a column of few values is taken to have no others."""
SAMPLE = 100_000
"""Most training rows that quantiles and distinct values are taken from; bounds, mean and std see all rows."""
FENCE = 20.0
"""In mean and std, a value further than this many scales from the median counts as that far: one slip of a decimal
point does not set the scale of the rest."""
LARGEST = 1e30
"""Bound of encoded values, so that float32 and the squares of it in float64 stay finite."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Numeric(Domain):
    """A number, in the pack ``numbers``: encoded as float32 (n, 1), NaN where missing.

    Attributes:
        strict: whether ``encode`` refuses values outside the set, as it must for y. For x they are carried on linearly,
            since a prediction should not fail on an input beyond what training showed. ``fit`` is always strict.
        low, high: smallest and largest training value, in the user's units.
        missing: share of training rows without a value.
        knots: up to 129 increasing values in encoded units: every distinct value where there are few, else quantiles of
            the distinct values, weighed by the root of their counts.
        atoms: up to 128 encoded values that many rows share (see ``ATOM_ROWS``, ``ATOM_SHARE``), increasing, where they
            hold most of the column (``ATOM_COVER``).
        curve: (encoded value, share of the rows up to it): the distribution function on few points, see :mod:`._curve`.
        mean, std: of the encoded training values, tails fenced (``FENCE``).
        rows: number of training rows with a value; 0 before :meth:`fit` and for a column without values.
    """

    pack: ClassVar[str | None] = "numbers"
    outside: ClassVar[str] = ""
    """What a value outside the set should be, for messages."""

    strict: bool = False
    low: float = 0.0
    high: float = 0.0
    missing: float = 0.0
    knots: tuple[float, ...] = ()
    atoms: tuple[float, ...] = ()
    curve: Curve = ()
    mean: float = 0.0
    std: float = 1.0
    rows: int = 0
    learned: bool = False

    @property
    def fitted(self) -> bool:
        return self.learned

    @abc.abstractmethod
    def _forward(self, values: np.ndarray) -> np.ndarray:
        """float64 values in the user's units → float64 in encoded units."""

    @abc.abstractmethod
    def _backward(self, encoded: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`_forward`."""

    def _located(self, sample: np.ndarray) -> Self:
        """A copy whose linear map is learned from ``sample`` (increasing, at least one value)."""
        return self

    def _inside(self, values: np.ndarray) -> np.ndarray:
        """(n,) bool: which values belong to the set; NaN does."""
        return np.ones(len(values), dtype=bool)

    def fit(self, column: Column) -> Self:
        values = numbers(column)
        self._check(column, values)
        known = values[~np.isnan(values)]
        if not len(known):
            return dataclasses.replace(self, learned=True, missing=1.0 if len(values) else 0.0)
        located = self._located(np.sort(subsample(known)))
        encoded = encoded32(located._forward(known))
        low, high = float(known.min()), float(known.max())
        return dataclasses.replace(
            located,
            low=low,
            high=high,
            missing=1.0 - len(known) / len(values),
            rows=len(known),
            learned=True,
            **dataclasses.asdict(summarise(encoded)),
        )

    def encode(self, column: Column) -> np.ndarray:
        values = numbers(column)
        if self.strict:
            self._check(column, values)
        return encoded32(self._forward(values))[:, None]

    def decode(self, encoded: np.ndarray) -> np.ndarray:
        """(n,) float64 in the user's units, from (n,) or (n, 1)."""
        return self._backward(np.asarray(encoded, dtype=np.float64).reshape(-1))

    def describe(self) -> str:
        name = type(self).__name__
        if not self.rows:
            return name
        empty = f", {percent(self.missing)} missing" if self.missing else ""
        return f"{name}, {shown(self.low)} to {shown(self.high)}{empty}"

    def _check(self, column: Column, values: np.ndarray) -> None:
        inside = self._inside(values)
        if not inside.all():
            index = int(np.flatnonzero(~inside)[0])
            raise DataError(
                f"Column {column.name!r}, row {column.row(index)}: {shown(values[index])} is no {self.kind} value; "
                f"{self.outside}. Mend the value, or read the column as real numbers with "
                f"`trine fit --domain {column.name}=real`."
            )


@dataclasses.dataclass(frozen=True)
class Summary:
    """What the blocks and rules need to know of encoded values."""

    knots: tuple[float, ...]
    atoms: tuple[float, ...]
    curve: Curve
    mean: float
    std: float


def summarise(encoded: np.ndarray) -> Summary:
    """Knots, atoms, mean and std of (n,) float32 values, n ≥ 1, without NaN."""
    sample = subsample(encoded)
    values, counts = np.unique(sample, return_counts=True)
    bins = min(max(len(encoded) // BIN_ROWS, 8), BINS)
    knots = values
    if len(values) > bins + 1:
        # Weighed by the root of the count: quantiles that neither a spike takes all of nor a sparse tail.
        reached = np.cumsum(np.sqrt(counts))
        reached = (reached - reached[0]) / (reached[-1] - reached[0])
        knots = values[np.unique(np.searchsorted(reached, np.linspace(0.0, 1.0, bins + 1)).clip(0, len(values) - 1))]
    often = np.flatnonzero(counts >= max(ATOM_ROWS, ATOM_SHARE * len(sample)))
    often = np.sort(often[np.argsort(-counts[often], kind="stable")[:ATOMS]])
    spikes = values[often]
    atoms = spikes if counts[often].sum() >= ATOM_COVER * len(sample) else values[:0]
    median, scale = robust(sample.astype(np.float64))
    fenced = np.clip(encoded.astype(np.float64), median - FENCE * scale, median + FENCE * scale)
    discrete = len(knots) == len(values) and len(sample) >= DISCRETE * len(values)
    found = curve(values, counts, bins, int(max(ATOM_ROWS, ATOM_SHARE * len(sample))), discrete)
    where = tuple(map(float, knots)), tuple(map(float, atoms))
    return Summary(*where, found, float(fenced.mean()), float(fenced.std()))


def robust(sample: np.ndarray) -> tuple[float, float]:
    """(median, scale > 0) of finite values, n ≥ 1; for a normal sample the scale estimates its standard deviation.

    The scale is the interquartile range / 1.349; where a spike at the median makes that (nearly) nothing, the median
    distance of the other values from it; 1 for a constant.
    """
    half = sample * 0.5  # differences of finite numbers may overflow
    q25, median, q75 = np.quantile(half, [0.25, 0.5, 0.75])
    away = np.abs(half - median)
    away = away[away > 0]
    others = float(np.median(away)) if len(away) else 0.5
    middle = float(q75 - q25) / 1.349
    scale = max(middle if middle > 1e-3 * others else others, 1e-20 * float(away.max(initial=0.0)))
    return float(2 * median), float(np.clip(scale, 1e-300, 8e307)) * 2


def subsample(values: np.ndarray) -> np.ndarray:
    """At most ``SAMPLE`` of the values, always the same ones."""
    if len(values) <= SAMPLE:
        return values
    return values[np.random.default_rng(0).integers(0, len(values), SAMPLE)]


def encoded32(values: np.ndarray) -> np.ndarray:
    """float32 of encoded values, bounded so that none becomes infinite; NaN stays."""
    return np.asarray(np.clip(values, -LARGEST, LARGEST).astype(np.float32))


def numbers(column: Column) -> np.ndarray:
    """(n,) float64 of a column of numbers, truth values, durations (seconds) or written numbers; NaN where missing.

    Raises:
        DataError: a text that is no number, an infinite value, dates, or several values a row.
    """
    values = column.values
    if values.ndim > 1:
        raise DataError(
            f"Column {column.name!r} holds arrays of shape {values.shape[1:]}, one number a row was expected; read it "
            f"with `trine fit --domain {column.name}=vector` or `=image`."
        )
    if column.levels is not None:
        parsed, wrong = numbers_of(column.levels)
        if wrong.any():
            bad = np.flatnonzero((values >= 0) & wrong[values])
            if len(bad):
                _no_number(column, int(bad[0]))
        values = np.append(parsed, np.nan)[values]
    elif values.dtype.kind == "m":
        values = np.where(np.isnat(values), np.nan, values / np.timedelta64(1, "s"))
    elif values.dtype.kind == "M":
        raise DataError(
            f"Column {column.name!r} holds dates, numbers were expected; read it with `trine fit --domain {column.name}=date`."
        )
    else:
        values = values.astype(np.float64, copy=False)
    infinite = np.isinf(values)
    if infinite.any():
        index = int(np.flatnonzero(infinite)[0])
        raise DataError(
            f"Column {column.name!r}, row {column.row(index)}: the value is infinite; a finite number is expected. "
            "Mend it, or leave it empty if it is not known."
        )
    return np.asarray(values)


def _no_number(column: Column, index: int) -> NoReturn:
    assert column.levels is not None
    text = str(column.levels[column.values[index]])
    raise DataError(
        f"Column {column.name!r}, row {column.row(index)}: {text[:60]!r} is no number. Mend the value, leave it "
        f"empty if it is not known, or read the column as categories with `trine fit --domain {column.name}=category`."
    )


def shown(value: float) -> str:
    """A number as a person writes it."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.4f}".rstrip("0").rstrip(".") if 0.01 <= abs(value) < 1e6 else f"{value:.4g}"


def percent(share: float) -> str:
    """A share in words that do not call a few nothing or nearly all all."""
    if 0 < share < 0.01:
        return "under 1 %"
    return "over 99 %" if 0.99 < share < 1 else f"{share:.0%}".replace("%", " %")
