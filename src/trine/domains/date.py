"""A moment: how long ago, and where in the year, the week and the day."""

from __future__ import annotations

import dataclasses
import datetime
import re
from typing import ClassVar, Self

import numpy as np

from trine.errors import DataError

from ._base import Column, Domain, domains
from ._numeric import encoded32, percent, robust, subsample, summarise
from ._text import missing_levels, some_texts

FORMATS = (
    "iso", "%Y/%m/%d", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y",
    "%m/%d/%y", "%d/%m/%y", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%d %b %Y", "%d %B %Y",
    "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%d-%b-%y", "%a, %d %b %Y %H:%M:%S %z", "%H:%M:%S", "%H:%M",
)  # fmt: skip
"""Ways to write a date; where several read every value, the first (so month before day)."""

DAY = 86_400.0
PERIODS = {"year": 365.2425 * DAY, "week": 7 * DAY, "day": DAY}
"""Cycle → seconds."""
_MONDAY = 4 * DAY  # 1970-01-05, where the week begins
_WRITTEN = re.compile(r"\d.*[-/.: ].*\d|[A-Za-z]{3,9}\.? \d")  # a date has parts; ISO's 20110101 is taken for a number


@domains.register("date")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Date(Domain):
    """A moment, for x only: float32 (n, width) in the pack ``numbers``, NaN where missing.

    The first number is the time elapsed, (seconds since 1970 − centre) / scale; then sine and cosine of the place in
    each cycle that the training rows go through: year, week (where there is more than one weekday) and day (where there
    are times of day). Times with a zone are taken at UTC.

    Attributes:
        format: how the texts are written: ``"iso"`` or a ``strptime`` format; empty for dates that are no text.
        cycles: those that are encoded.
        centre, scale: median and robust scale of the training moments, in seconds.
        knots, atoms, mean, std: of each number, as in :class:`Numeric`.
        low, high: first and last training moment, seconds since 1970.
        missing: share of training rows without a value.
    """

    kind: ClassVar[str] = "date"
    pack: ClassVar[str | None] = "numbers"

    format: str = ""
    cycles: tuple[str, ...] = ()
    centre: float = 0.0
    scale: float = 1.0
    knots: tuple[tuple[float, ...], ...] = ()
    atoms: tuple[tuple[float, ...], ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    low: float = 0.0
    high: float = 0.0
    missing: float = 0.0

    @property
    def width(self) -> int:
        return 1 + 2 * len(self.cycles)

    @property
    def fitted(self) -> bool:
        return bool(self.mean)

    @classmethod
    def recognise(cls, column: Column) -> str | None:
        if column.levels is None:
            return "dates" if column.values.dtype.kind == "M" else None
        texts = some_texts(column.levels)
        if not texts or not all(_WRITTEN.search(text) for text in texts[:20]):
            return None
        found = _format(texts)
        return None if found is None else f"dates, written as {texts[0]!r}"

    def fit(self, column: Column) -> Self:
        if column.levels is not None and not self.format:
            self = dataclasses.replace(self, format=_format(some_texts(column.levels)) or "iso")
        seconds = self._seconds(column)
        known = seconds[~np.isnan(seconds)]
        missing = 1.0 - len(known) / max(len(seconds), 1)
        if not len(known):
            return dataclasses.replace(self, missing=missing, knots=((),), atoms=((),), mean=(0.0,), std=(1.0,))
        centre, scale = robust(subsample(known))
        low, high = float(known.min()), float(known.max())
        cycles = []
        if high - low > PERIODS["year"] / 6:
            cycles.append("year")
        if high - low >= DAY and len(np.unique(subsample(known) // DAY % 7)) > 1:
            cycles.append("week")
        if (known % DAY != known[0] % DAY).any():
            cycles.append("day")
        fitted = dataclasses.replace(
            self, cycles=tuple(cycles), centre=centre, scale=scale, low=low, high=high, missing=missing
        )
        parts = [summarise(part) for part in fitted._numbers(known).T]
        return dataclasses.replace(
            fitted,
            knots=tuple(part.knots for part in parts),
            atoms=tuple(part.atoms for part in parts),
            mean=tuple(part.mean for part in parts),
            std=tuple(part.std for part in parts),
        )

    def encode(self, column: Column) -> np.ndarray:
        return self._numbers(self._seconds(column))

    def decode(self, encoded: np.ndarray) -> np.ndarray:
        """(n,) datetime64[s] from (n, width): the time elapsed, to float32's precision."""
        elapsed = np.asarray(encoded, dtype=np.float64).reshape(len(encoded), -1)[:, 0] * self.scale + self.centre
        known = ~np.isnan(elapsed)
        moments = np.full(len(elapsed), np.datetime64("NaT", "s"))
        moments[known] = elapsed[known].round().astype("int64").astype("datetime64[s]")
        return moments

    def describe(self) -> str:
        if not self.fitted:
            return "Date"
        first, last = (str(np.datetime64(int(s), "s"))[:10] for s in (self.low, self.high))
        cycles = f", cycles: {', '.join(self.cycles)}" if self.cycles else ""
        empty = f", {percent(self.missing)} missing" if self.missing else ""
        return f"Date, {first} to {last}{cycles}{empty}"

    def _numbers(self, seconds: np.ndarray) -> np.ndarray:
        angles = [2 * np.pi * ((seconds - _MONDAY) % PERIODS[cycle]) / PERIODS[cycle] for cycle in self.cycles]
        waves = [wave for angle in angles for wave in (np.sin(angle), np.cos(angle))]
        return encoded32(np.stack([(seconds - self.centre) / self.scale, *waves], axis=1))

    def _seconds(self, column: Column) -> np.ndarray:
        """(n,) float64 seconds since 1970, NaN where missing."""
        if column.levels is not None:
            parsed = np.array([_moment(str(level), self.format or "iso") for level in column.levels] + [np.nan])
            parsed[:-1][missing_levels(column.levels)] = np.nan
            bad = np.flatnonzero(np.isinf(parsed)[column.values])
            if len(bad):
                index = int(bad[0])
                text = str(column.levels[column.values[index]])
                expected = "2024-05-31 or 2024-05-31T12:00" if self.format in ("", "iso") else f"as in {self.format}"
                raise DataError(
                    f"Column {column.name!r}, row {column.row(index)}: {text[:60]!r} is no date; {expected} is "
                    "expected. Mend the value, leave it empty if it is not known, or read the column as "
                    f"categories with `trine fit --domain {column.name}=category`."
                )
            return np.asarray(parsed[column.values])
        if column.values.dtype.kind == "f" and column.values.ndim == 1 and np.isnan(column.values).all():
            return column.values.astype(np.float64)  # nothing known: a column of blanks has no type of its own
        if column.values.dtype.kind != "M" or column.values.ndim > 1:
            raise DataError(
                f"Column {column.name!r} holds numbers, dates were expected; write them as 2024-05-31, or read the "
                f"column with `trine fit --domain {column.name}=real`."
            )
        seconds = column.values.astype("datetime64[us]").astype("int64") / 1e6
        return np.where(np.isnat(column.values), np.nan, seconds)


def _format(texts: list[str]) -> str | None:
    """The first format that reads every text."""
    return next((form for form in FORMATS if all(np.isfinite(_moment(text, form)) for text in texts)), None)


def _moment(text: str, form: str) -> float:
    """Seconds since 1970, infinite when ``text`` is not written so."""
    try:
        text = text.strip()
        moment = datetime.datetime.fromisoformat(text) if form == "iso" else datetime.datetime.strptime(text, form)
        return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        return float("inf")
