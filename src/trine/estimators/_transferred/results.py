"""What a comparison of transfers found: figures with intervals, and whether the representation pays."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
"""Of the bootstrap."""


@dataclasses.dataclass(frozen=True)
class Result:
    """How one way does with one number of labels.

    Attributes:
        way: a way of :mod:`trine.estimators._transferred.ways`. labels: how many. value: the metric, the mean over draws.
        low, high: 95 % bootstrap interval over held-out rows and draws together.
        draws: the metric of each draw. seconds: of fitting and answering, the mean over draws; z itself apart.
    """

    way: str
    labels: int
    value: float
    low: float
    high: float
    draws: tuple[float, ...]
    seconds: float


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Every way on the same labels and the same held-out rows.

    Attributes:
        metric: ``accuracy`` or ``rmse``, in y's units. encoder, target, held_out: what was compared, on how many rows.
        features: numbers in z. seconds: that z took, for all rows. results: one for each way and number of labels.
        left_out: way → why it is not there. verdicts: for each number of labels, whether the representation pays.
        details: what else there is to know, as JSON values.
        given_away: a sentence where the encoder was trained to predict the target itself, maybe from the held-out rows.
    """

    metric: str
    encoder: str
    target: str
    held_out: int
    features: int
    seconds: float
    results: tuple[Result, ...]
    left_out: Mapping[str, str]
    verdicts: tuple[str, ...]
    details: Mapping[str, Any]
    given_away: str | None = None

    def of(self, way: str, labels: int) -> Result:
        """The result of a way with so many labels."""
        return next(found for found in self.results if (found.way, found.labels) == (way, labels))

    @property
    def ways(self) -> list[str]:
        """The ways that were compared, in order."""
        return list(dict.fromkeys(found.way for found in self.results))

    @property
    def labels(self) -> list[int]:
        """The numbers of labels."""
        return list(dict.fromkeys(found.labels for found in self.results))

    def summary(self) -> str:
        """An aligned table and what follows from it."""
        draws = len(self.results[0].draws)
        lines = [
            f"{self.metric} of {self.target!r} on {self.held_out:,} held-out rows, mean of {draws} draws of labels, 95 % interval "
            "over rows and draws",
            f"z: {self.features} numbers by {self.encoder}, computed once in {self.seconds:.1f} s",
            "",
        ]
        cells = [["labels", *(f"{n:,}" for n in self.labels)]]
        for way in self.ways:
            cells.append([way, *(self._cell(way, n) for n in self.labels)])
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        lines += ["   ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]
        lines += [
            "",
            "the best way on z against the best without it; each is the best on these same held-out rows, and the intervals do not "
            "count that choice:",
            *self.verdicts,
        ]
        lines += [] if self.given_away is None else ["", self.given_away]
        lines += [f"left out: {way}: {why}" for way, why in self.left_out.items()]
        return "\n".join(lines)

    def _cell(self, way: str, labels: int) -> str:
        found = self.of(way, labels)
        return f"{shown(found.value)}  {shown(found.low)} … {shown(found.high)}"

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[no-any-return]

    def columns(self) -> dict[str, NDArray[Any]]:
        """The results as columns of a table, one row each."""
        found = {
            name: np.array([getattr(result, name) for result in self.results])
            for name in ("way", "labels", "value", "low", "high", "seconds")
        }
        drawn = np.array([result.draws for result in self.results])
        return {**found, **{f"draw_{i + 1}": drawn[:, i] for i in range(drawn.shape[1])}}


def shown(value: float) -> str:
    """A metric as a table shows it."""
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.4g}"


def concluded(
    scores: Mapping[tuple[str, int], list[NDArray[np.float64]]],
    clock: Mapping[tuple[str, int], float],
    counts: Sequence[int],
    is_class: bool,
    seed: int,
) -> tuple[list[Result], list[str]]:
    """Results with intervals, and whether z pays, by the same resamples of rows and draws for all ways."""
    shape = next(iter(scores.values()))
    draws, rows = len(shape), len(shape[0])
    generator = np.random.default_rng([seed, 6])
    which = generator.integers(0, draws, (RESAMPLES, draws))
    of: dict[tuple[str, int], NDArray[np.float64]] = {}
    stacked = {key: np.stack(found) for key, found in scores.items()}
    sums = {key: np.empty((RESAMPLES, draws)) for key in scores}
    for b in range(RESAMPLES):
        times = np.bincount(generator.integers(0, rows, rows), minlength=rows)
        for key, found in stacked.items():
            sums[key][b] = found @ times / rows
    for key in scores:
        mean = np.take_along_axis(sums[key], which, axis=1).mean(1)
        of[key] = mean if is_class else np.sqrt(mean)
    results = []
    for count in counts:
        for way in dict.fromkeys(way for way, _ in scores):
            if (way, count) not in scores:
                continue
            each = stacked[way, count].mean(1)
            value = float(each.mean()) if is_class else math.sqrt(each.mean())
            low, high = np.percentile(of[way, count], [2.5, 97.5])
            single = tuple(float(part) if is_class else math.sqrt(part) for part in each)
            results.append(Result(way, count, value, float(low), float(high), single, clock[way, count]))
    return results, [_verdict(results, of, count, is_class) for count in counts]


def _verdict(
    results: Sequence[Result], of: Mapping[tuple[str, int], NDArray[np.float64]], count: int, is_class: bool
) -> str:
    """Whether the best way on z beats the best without it, by paired resamples.

    Both are chosen on the rows that the interval is then taken of, so that it is narrower than of two ways named beforehand.
    """
    here = [found for found in results if found.labels == count]
    sign = 1.0 if is_class else -1.0
    on_z = [found for found in here if found.way.startswith("z")]
    without = [found for found in here if not found.way.startswith("z")]
    best = max(here, key=lambda found: sign * found.value)
    if not on_z or not without:
        return f"{count:,} labels: best is {best.way}."
    first, other = (max(group, key=lambda found: sign * found.value) for group in (on_z, without))
    differences = sign * (of[first.way, count] - of[other.way, count])
    gain = sign * (first.value - other.value)
    low, high = (float(end) for end in np.percentile(differences, [2.5, 97.5]))
    unit = 100.0 if is_class else 1.0
    amount = f"{unit * gain:+.3g} ({unit * low:+.3g} … {unit * high:+.3g})"
    amount = f"{amount} points" if is_class else f"rmse lower by {amount}"
    pays = (
        "the representation pays" if low > 0 else "the representation is behind" if high < 0 else "no clear difference"
    )
    return f"{count:,} labels: {pays}: {first.way} against {other.way}: {amount}."
