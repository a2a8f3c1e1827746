"""Raw sound: files, or arrays of samples."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import warnings
from typing import Any, ClassVar, Self

import numpy as np

from trine.errors import ChoiceError, DataError

from ._base import Column, Domain, Sequences, domains, offsets_of
from ._pictures import Unreadable, in_parallel
from ._sound import FULL, RATES, SUFFIXES, About, about, clipped, of_channels, samples_of, whole
from ._text import some_texts

LOOKED_AT = 2048
"""Most training files whose headers are read."""
HEARD = 256
"""Most training clips from which loudness is taken."""
LONGEST = 600.0
"""Most seconds of a clip unless more are stated."""
COMMON = 0.9
"""Share of the clips that must have several channels for them to be kept."""
OVER = 2.0
"""Full scales that a sample of an array may reach: peaks of a loud float recording go beyond 1, samples of 16 bits far beyond."""
CLIPPED = 0.05
"""Share of samples at full scale from which a clip is told to be clipped."""


@domains.register("audio")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Audio(Domain):
    """A waveform of any length, encoded as int16 (samples, channels) at one rate.

    Raw values are paths of WAV, FLAC or OGG files, or samples: rows of different lengths or an array (n, samples, channels),
    floats whose full scale is 1, whole numbers of 16 bits, or bytes around 128. The rate is that of most training files, and
    what has another is resampled once; channels are averaged to one unless nearly all files have several.

    Attributes:
        rate: samples a second; to be stated for arrays. 0 before :meth:`fit`.
        channels: 1, or more where nearly all clips have more.
        shortest, typical, furthest: seconds of the shortest, the median and the longest training clip.
        loudness: root mean square of the training samples, full scale 1.
        longest: most seconds that a clip may have.
        on_bad: what an unreadable file does: ``"stop"`` raises; ``"skip"`` counts it as missing, with a warning.
        missing: share of training rows without a sound.

    Raises:
        ChoiceError: a rate, a number of channels or a longest that no sound has.
    """

    kind: ClassVar[str] = "audio"
    ragged: ClassVar[bool] = True

    rate: int = 0
    channels: int = 0
    shortest: float = 0.0
    typical: float = 0.0
    furthest: float = 0.0
    loudness: float = 0.0
    longest: float = LONGEST
    on_bad: str = "stop"
    missing: float = 0.0

    def __post_init__(self) -> None:
        least, most = RATES
        if self.rate and not (_is_whole(self.rate) and least <= self.rate <= most):
            raise ChoiceError(
                f"rate is {self.rate!r}; it is a whole number of samples a second, from {least:,} to {most:,}. Numbers that "
                "come more slowly are a series."
            )
        if not _is_whole(self.channels) or self.channels < 0:
            raise ChoiceError(f"channels is {self.channels!r}; it is a whole number, 1 or more.")
        if isinstance(self.longest, bool) or not isinstance(self.longest, int | float) or not self.longest > 0:
            raise ChoiceError(f"longest is {self.longest!r}; it is a number of seconds above 0.")

    @property
    def fitted(self) -> bool:
        return bool(self.rate and self.channels)

    @property
    def divisor(self) -> float:
        return FULL

    @property
    def samples(self) -> tuple[int, int]:
        """Of the shortest and of the longest training clip."""
        return max(round(self.shortest * self.rate), 1), max(round(self.furthest * self.rate), 1)

    @classmethod
    def recognise(cls, column: Column) -> str | None:
        if column.levels is None:
            return None
        texts = some_texts(column.levels)
        return "paths of sound files" if texts and all(text.lower().endswith(SUFFIXES) for text in texts) else None

    def fit(self, column: Column) -> Self:
        rows = np.flatnonzero(~column.missing)
        if not len(rows):
            raise DataError(f"Column {column.name!r} has no sound in any training row; leave it out.")
        if column.levels is None:
            located = dataclasses.replace(
                self, rate=self.rate or self._rate_of_arrays(column), channels=self.channels or _width(column)
            )
            seconds = np.array([len(clip) for clip in _arrays(column.take(rows))]) / located.rate
        else:
            located, seconds = self._of_files(column, rows)
        some = column.take(rows[np.linspace(0, len(rows) - 1, min(len(rows), HEARD)).astype(int)])
        heard = located._encode(some, warn=False)[0].values.astype(np.float64) / FULL
        return dataclasses.replace(
            located,
            shortest=float(seconds.min()),
            typical=float(np.median(seconds)),
            furthest=float(seconds.max()),
            loudness=float(np.sqrt(np.square(heard).mean())) if heard.size else 0.0,
            missing=float(column.missing.mean()),
        )

    def encode(self, column: Column) -> Sequences:
        return self.encode_known(column)[0]

    def encode_known(self, column: Column) -> tuple[Sequences, np.ndarray]:
        return self._encode(column, warn=True)

    def decode(self, encoded: Any) -> np.ndarray:
        """(n,) object array of (samples,) or (samples, channels) float32 in [−1, 1]."""
        found = np.empty(len(encoded), dtype=object)
        for i in range(len(encoded)):
            clip = np.asarray(encoded[i])
            clip = clip.astype(np.float32) / np.float32(FULL) if clip.dtype.kind == "i" else clip.astype(np.float32)
            found[i] = clip[:, 0] if self.channels == 1 else clip
        return found

    def describe(self) -> str:
        if not self.fitted:
            return "Audio"
        channels = {1: "mono", 2: "stereo"}.get(self.channels, f"{self.channels} channels")
        length = (
            f"{self.shortest:.2g} to {self.furthest:.2g} s"
            if self.shortest < self.furthest
            else f"{self.furthest:.2g} s"
        )
        missing = f", {self.missing:.0%} missing" if self.missing else ""
        return f"Audio, {length}, {self.rate:,} Hz, {channels}{missing}"

    def _of_files(self, column: Column, rows: np.ndarray) -> tuple[Self, np.ndarray]:
        """(rate and channels by the headers of some files, their seconds)."""
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), LOOKED_AT)).astype(int)]
        heads: list[About] = []
        paths = [column.path(int(index)) for index in rows]
        for index, found in zip(rows, in_parallel(functools.partial(_try, about), paths), strict=True):
            if isinstance(found, Unreadable):
                self._refuse(column, int(index), found)
            else:
                heads.append(found)
        if not heads:
            raise DataError(f"Column {column.name!r} has no sound that can be read; {len(rows)} files were tried.")
        rates, counts = np.unique([head.rate for head in heads], return_counts=True)
        several = np.array([head.channels for head in heads])
        channels = int(np.median(several)) if (several > 1).mean() >= COMMON else 1
        seconds = np.array([head.frames / head.rate for head in heads])
        located = dataclasses.replace(
            self, rate=self.rate or int(rates[counts.argmax()]), channels=self.channels or channels
        )
        return located, seconds

    def _rate_of_arrays(self, column: Column) -> int:
        raise DataError(
            f"Column {column.name!r} holds samples and not files, so how many a second are they? State it, e.g. "
            f"`trine fit --domain '{column.name}=audio(rate=16000)'`."
        )

    def _encode(self, column: Column, warn: bool) -> tuple[Sequences, np.ndarray]:
        known = ~column.missing
        if column.levels is None:
            return self._of_arrays(column, warn), known
        rows = np.flatnonzero(known)
        used, places = np.unique(column.values[rows], return_inverse=True)
        first = rows[np.unique(places, return_index=True)[1]]
        read = functools.partial(samples_of, rate=self.rate, channels=self.channels, longest=self.longest)
        clips: list[np.ndarray] = []
        bad: list[tuple[int, Unreadable]] = []
        loud: list[int] = []
        paths = [column.path(int(index)) for index in first]
        for place, found in enumerate(in_parallel(functools.partial(_try, read), paths)):
            if isinstance(found, Unreadable):
                self._refuse(column, int(first[place]), found)
                bad.append((place, found))
                clips.append(np.zeros((0, self.channels), dtype=np.int16))
            else:
                clips.append(found)
                if clipped(found) > CLIPPED:
                    loud.append(place)
        if bad:
            known[rows[np.isin(places, [place for place, _ in bad])]] = False
        if warn:
            self._tell(column, first, paths, bad, loud, len(used))
        clips.append(np.zeros((0, self.channels), dtype=np.int16))  # what a missing row has
        which = np.full(len(column), len(used), dtype=np.int64)
        which[rows] = places
        return Sequences.of(clips).take(which), known

    def _of_arrays(self, column: Column, warn: bool) -> Sequences:
        arrays = _arrays(column)
        middle, full = _scale(column.values)
        clips, loud = [], []
        for index, raw in enumerate(arrays):
            self._check(column, index, raw, middle, full)
            clip = raw if raw.dtype == np.int16 else whole((raw.astype(np.float32) - middle) / full)
            if clip.shape[1] != self.channels:
                clip = whole(of_channels(clip.astype(np.float32) / FULL, self.channels))
            if clipped(clip) > CLIPPED:
                loud.append(index)
            clips.append(clip)
        if warn and loud:
            self._tell_clipped(column, loud[0], "", len(loud), len(clips))
        return Sequences.of(clips)

    def _check(self, column: Column, index: int, clip: np.ndarray, middle: float, full: float) -> None:
        """Refuse a clip of samples that is none."""
        where = f"Column {column.name!r}, row {column.row(index)}"
        if clip.shape[1] != self.channels and self.channels != 1:
            there = f"{clip.shape[1]} channel{'s' if clip.shape[1] != 1 else ''}"
            raise DataError(f"{where}: {there} and training had {self.channels}; give as many.")
        if not len(clip):
            if column.missing[index]:
                return
            raise DataError(f"{where}: the sound has no samples. Leave the row out, or write it as missing (null).")
        if len(clip) > self.longest * self.rate:
            seconds = -(-len(clip) // self.rate)
            raise DataError(
                f"{where}: {len(clip) / self.rate:,.0f} seconds, more than {self.longest:,.0f}. Cut it, or allow it: "
                f"`trine fit --domain '{column.name}=audio(rate={self.rate}, longest={seconds})'`."
            )
        peak = max(float(clip.max()) - middle, middle - float(clip.min()))
        if not np.isfinite(peak):
            raise DataError(f"{where}: a sample is not a finite number. Mend the sound or leave the row out.")
        if peak > full * (OVER if clip.dtype.kind == "f" else 1.0):
            raise DataError(
                f"{where}: a sample is {peak:,.6g} from the middle, where full scale is {full:,.0f}. Divide the samples by "
                "their own full scale, e.g. 2147483648 for 32 bits, so that they are floats within [-1, 1]."
            )

    def _refuse(self, column: Column, index: int, why: Unreadable) -> None:
        if self.on_bad != "skip":
            raise DataError(
                f"Column {column.name!r}, row {column.row(index)}: {column.path(index)} cannot be read as sound: {why}. "
                "Replace the file or leave the row out, or count such sounds as missing with on_bad='skip' "
                "(`trine fit --on-bad skip`)."
            )

    def _tell(
        self,
        column: Column,
        first: np.ndarray,
        paths: list[str],
        bad: list[tuple[int, Unreadable]],
        loud: list[int],
        count: int,
    ) -> None:
        if bad:
            place, why = bad[0]
            warnings.warn(
                f"Column {column.name!r}: {len(bad)} of {count} sounds cannot be read and count as missing; the first is "
                f"{paths[place]}, row {column.row(int(first[place]))}: {why}.",
                stacklevel=4,
            )
        if loud:
            self._tell_clipped(column, int(first[loud[0]]), f"{paths[loud[0]]}, ", len(loud), count)

    def _tell_clipped(self, column: Column, index: int, path: str, loud: int, count: int) -> None:
        warnings.warn(
            f"Column {column.name!r}: {loud} of {count} sounds are clipped, with more than {CLIPPED:.0%} of their samples at "
            f"full scale; the first is {path}row {column.row(index)}. Record them at a lower level if you can.",
            stacklevel=5,
        )


def _arrays(column: Column) -> list[np.ndarray]:
    """The (samples, channels) clips of a column of samples; a missing one has none."""
    values = column.values
    if values.dtype.kind not in "iuf" or (column.offsets is None and values.ndim not in (2, 3)):
        raise DataError(
            f"Column {column.name!r} does not hold sound; it is paths of files, or samples: a list of numbers a row."
        )
    if column.offsets is None and values.ndim == 3 and values.shape[1] < values.shape[2]:
        values = np.moveaxis(values, 1, 2)  # channels were first: a sound has more samples than channels
    offsets = offsets_of(np.full(len(values), values.shape[1])) if column.offsets is None else column.offsets
    flat = values.reshape(offsets[-1], -1)
    return [flat[start:stop] for start, stop in itertools.pairwise(offsets)]


def _scale(values: np.ndarray) -> tuple[float, float]:
    """(middle, full scale) of raw samples. Floats that are whole numbers beyond 1 were integers beside a missing row."""
    if values.dtype == np.uint8:
        return 128.0, 128.0
    if values.dtype.kind == "f":
        peak = float(np.abs(values).max(initial=0.0))
        return 0.0, FULL if peak > OVER and bool((values == np.rint(values)).all()) else 1.0
    return 0.0, FULL


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _width(column: Column) -> int:
    clips = _arrays(column.take(np.arange(min(len(column), 1))))
    return clips[0].shape[1] if clips else 1


def _try(function: Any, path: str) -> Any:
    """The result, or the reason why there is none."""
    try:
        return function(path)
    except Unreadable as why:
        return why
