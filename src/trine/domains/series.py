"""Numbers over time: what sensors, markets and hearts give; one or several channels, of any length."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar, Self

import numpy as np

from trine.errors import DataError

from ._base import Column, Domain, Sequences, domains, offsets_of
from ._numeric import FENCE, LARGEST

LONGEST = 65_536
"""Most steps of a row unless more are stated: a longer one is a mistake more often than not, and would not fit a step's memory."""
STEPS = 1_000_000
"""About how many training steps the scale of a channel is taken from."""


@domains.register("series")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Series(Domain):
    """Numbers over time, encoded as float32 (steps, channels): (v − mean) / std of each channel over the training steps.

    Raw values are rows of different lengths, (steps,) or (steps, channels) each; or an array (n, steps), (n, steps, channels)
    or (n, channels, steps), of which the longer of the last two axes is time. A number that is missing within a row is
    filled with the channel's mean, and where training rows have such gaps a further channel for each tells which numbers are
    there. Where steps have time stamps, a last channel holds log(1 + Δt / typical Δt), the time since the step before.

    Attributes:
        channels: numbers of a step. 0 before :meth:`fit`.
        mean, std: of each channel, tails fenced.
        gaps: whether further channels tell what is missing.
        interval: typical time between two steps, in seconds or the user's units; 0 where steps have no time stamps.
        shortest, typical, furthest: least, median and largest number of steps of a training row.
        longest: most steps that a row may have.
        flat: whether raw rows are (steps,), without an axis for channels.
        channels_first: whether raw arrays are (n, channels, steps).
        missing: share of training rows without a value.
        resolution: least distance of two different training values of each channel, 0 where all are alike.
    """

    kind: ClassVar[str] = "series"
    ragged: ClassVar[bool] = True

    channels: int = 0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    gaps: bool = False
    interval: float = 0.0
    shortest: int = 0
    typical: float = 0.0
    furthest: int = 0
    longest: int = LONGEST
    flat: bool = False
    channels_first: bool = False
    missing: float = 0.0
    resolution: tuple[float, ...] = ()

    @property
    def fitted(self) -> bool:
        return bool(self.channels)

    @property
    def width(self) -> int:
        """Numbers of an encoded step."""
        return self.channels * (2 if self.gaps else 1) + (1 if self.interval else 0)

    @classmethod
    def recognise(cls, column: Column) -> str | None:
        values = column.values
        if column.levels is not None or values.dtype.kind not in "iuf":
            return None
        if column.offsets is not None:
            lengths = np.diff(column.offsets)
            lengths = lengths[lengths > 0] if (lengths > 0).any() else lengths
            several = f", {values.shape[1]} channels" if values.ndim == 2 and values.shape[1] > 1 else ""
            return f"numbers over time, {lengths.min()} to {lengths.max()} steps{several}"
        if values.ndim == 3 and values.dtype.kind == "f":
            steps, channels = max(values.shape[1:]), min(values.shape[1:])
            return f"{channels} channel{'s' if channels > 1 else ''} over {steps} steps"
        return None

    def fit(self, column: Column) -> Self:
        first = column.values.ndim == 3 and column.offsets is None and column.values.shape[1] < column.values.shape[2]
        flat = column.values.ndim == (1 if column.offsets is not None else 2)
        column = dataclasses.replace(self, channels_first=first)._ragged(column)
        known = column.take(np.flatnonzero(~column.missing)) if column.missing.any() else column
        rows = self._rows(known)
        if not len(rows):
            raise DataError(f"Column {column.name!r} has no value in any training row; leave it out of x.")
        stride = max(1, len(rows.values) // STEPS)
        steps = rows.values[::stride].astype(np.float64)
        with np.errstate(invalid="ignore"):
            centre = np.nanmedian(steps, axis=0)
            spread = 1.4826 * np.nanmedian(np.abs(steps - centre), axis=0)
            spread = np.where(spread > 0, spread, np.nanstd(steps, axis=0))
            fenced = np.clip(steps, centre - FENCE * spread, centre + FENCE * spread)
            mean, std = np.nanmean(fenced, axis=0), np.nanstd(fenced, axis=0)
        if np.isnan(mean).any():
            channel = int(np.flatnonzero(np.isnan(mean))[0]) + 1
            raise DataError(
                f"Column {column.name!r}: channel {channel} has no number in any training row; leave it out."
            )
        return dataclasses.replace(
            self,
            channels=rows.values.shape[1],
            mean=tuple(mean.tolist()),
            std=tuple(np.where(std > 0, std, 1.0).tolist()),
            gaps=bool(np.isnan(rows.values).any()),
            interval=_interval(known),
            shortest=int(rows.lengths.min()),
            typical=float(np.median(rows.lengths)),
            furthest=int(rows.lengths.max()),
            flat=flat,
            channels_first=first,
            missing=float(column.missing.mean()),
            resolution=tuple(_least_distance(channel) for channel in steps.T),
        )

    def encode(self, column: Column) -> Sequences:
        return self.encode_known(column)[0]

    def known(self, column: Column) -> np.ndarray:
        return ~self._ragged(column).missing  # of a row of an array some numbers may be missing, and others not

    def encode_known(self, column: Column) -> tuple[Sequences, np.ndarray]:
        column = self._ragged(column)
        return self._encode(column), ~column.missing

    def _encode(self, column: Column) -> Sequences:
        rows = self._rows(column)
        channels = rows.values.shape[1]
        if channels != self.channels:
            raise DataError(
                f"Column {column.name!r} has series of {channels} channel{'s' if channels != 1 else ''} and training had "
                f"{self.channels}; give the same channels in the same order."
            )
        # Clipped so that float32 and its squares stay finite.
        encoded = ((rows.values - np.array(self.mean)) / np.array(self.std)).clip(-LARGEST, LARGEST).astype(np.float32)
        there = ~np.isnan(encoded)
        parts = [np.where(there, encoded, np.float32(0.0))]
        if self.gaps:
            parts.append(there.astype(np.float32))
        if self.interval:
            if column.stamps is None:
                raise DataError(f"Column {column.name!r} has no time stamps and training had; give them.")
            since = np.diff(column.stamps, prepend=column.stamps[:1])
            since[rows.offsets[:-1][rows.lengths > 0]] = 0.0
            parts.append(np.log1p(since / self.interval).astype(np.float32)[:, None])
        return Sequences(np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0], rows.offsets)

    def decode(self, encoded: Any) -> np.ndarray:
        """(n,) object array of (steps,) or (steps, channels) float64 arrays in the user's units, NaN where missing."""
        found = np.empty(len(encoded), dtype=object)
        for i in range(len(encoded)):
            row = np.asarray(encoded[i], dtype=np.float64)
            numbers = row[:, : self.channels] * np.array(self.std) + np.array(self.mean)
            if self.gaps:
                numbers[row[:, self.channels : 2 * self.channels] < 0.5] = np.nan
            found[i] = numbers[:, 0] if self.flat else numbers
        return found

    def describe(self) -> str:
        if not self.fitted:
            return "Series"
        length = f"{self.shortest} to {self.furthest}" if self.shortest < self.furthest else f"{self.furthest}"
        several = f", {self.channels} channels" if self.channels > 1 else ""
        stamped = f", stamped, typically {self.interval:g} apart" if self.interval else ""
        gaps = ", with gaps" if self.gaps else ""
        missing = f", {self.missing:.0%} missing" if self.missing else ""
        return f"Series, {length} steps{several}{stamped}{gaps}{missing}"

    def _ragged(self, column: Column) -> Column:
        """The column with rows end to end; of an array, a row without any number is missing."""
        values = column.values
        if column.offsets is not None and values.dtype.kind in "iufb":
            return column
        if column.levels is not None or values.dtype.kind not in "iufb" or values.ndim not in (2, 3):
            raise DataError(
                f"Column {column.name!r} does not hold numbers over time; a series is a list of numbers a row, or of "
                "(steps, channels)."
            )
        if self.channels_first and values.ndim == 3:
            values = np.moveaxis(values, 1, 2)
        absent = np.isnan(values).all(axis=tuple(range(1, values.ndim))) if values.dtype.kind == "f" else None
        lengths = np.full(len(values), values.shape[1])
        if absent is not None and absent.any():
            lengths[absent], values = 0, values[~absent]
        else:
            absent = None
        steps = values.reshape(-1, *values.shape[2:])
        return dataclasses.replace(column, values=steps, offsets=offsets_of(lengths), absent=absent)

    def _rows(self, column: Column) -> Sequences:
        """(total, channels) float64 steps of a ragged column, checked; a missing row has none."""
        assert column.offsets is not None
        steps = column.values.reshape(len(column.values), math.prod(column.values.shape[1:]))
        rows = Sequences(steps.astype(np.float64), column.offsets)
        self._check(column, rows)
        return rows

    def _check(self, column: Column, rows: Sequences) -> None:
        lengths = rows.lengths
        empty = np.flatnonzero((lengths == 0) & ~column.missing)
        if len(empty):
            raise DataError(
                f"Column {column.name!r}, row {column.row(int(empty[0]))}: the series has no steps. Give its numbers, leave "
                "the row out, or write it as missing (null)."
            )
        far = np.flatnonzero(lengths > self.longest)
        if len(far):
            raise DataError(
                f"Column {column.name!r}, row {column.row(int(far[0]))}: the series has {lengths[far[0]]:,} steps, more than "
                f"{self.longest:,}. Cut or thin it out, or allow it: "
                f"`trine fit --domain '{column.name}=series(longest={lengths[far[0]]})'`."
            )
        bad = ~np.isfinite(rows.values)
        if not bad.any():
            return
        infinite = np.isinf(rows.values).any(axis=1)
        if infinite.any():
            step = int(np.flatnonzero(infinite)[0])
            row = int(np.searchsorted(rows.offsets, step, side="right")) - 1
            raise DataError(
                f"Column {column.name!r}, row {column.row(row)}, step {step - rows.offsets[row] + 1}: a number is infinite; "
                "finite ones are expected, or none (null) where it is missing."
            )
        there = (~bad).any(axis=1)
        counts = np.add.reduceat(np.append(there, False).astype(np.int64), rows.offsets[:-1]) * (lengths > 0)
        none = np.flatnonzero((counts == 0) & (lengths > 0))
        if len(none):
            raise DataError(
                f"Column {column.name!r}, row {column.row(int(none[0]))}: the series holds no number, only missing ones. "
                "Leave the row out, or write all of it as missing (null)."
            )


def _least_distance(values: np.ndarray) -> float:
    """Between two different numbers of (n,) values, of which some may be NaN; 0 where there are none."""
    known = np.unique(values[~np.isnan(values)])
    return float(np.diff(known).min()) if len(known) > 1 else 0.0


def _interval(column: Column) -> float:
    """The median time between two steps of a row; 0 where there are no time stamps.

    Raises:
        DataError: times that go back within a row.
    """
    if column.stamps is None or column.offsets is None:
        return 0.0
    since = np.diff(column.stamps)
    inside = np.ones(len(since), dtype=bool)
    ends = column.offsets[1:-1] - 1
    inside[ends[(ends >= 0) & (ends < len(since))]] = False
    back = np.flatnonzero(inside & ~(since >= 0))
    if len(back):
        row = int(np.searchsorted(column.offsets, back[0], side="right")) - 1
        raise DataError(
            f"Column {column.name!r}, row {column.row(row)}, step {back[0] + 2 - column.offsets[row]}: time goes back or is "
            "missing; sort the steps of a row by time."
        )
    steps = since[inside & (since > 0)]
    return float(np.median(steps)) if len(steps) else 1.0
