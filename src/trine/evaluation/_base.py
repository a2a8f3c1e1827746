"""What an evaluation holds, and the function that a domain's metrics extend."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.distributions import Distribution

from trine.domains import Domain
from trine.errors import SchemaError

RESAMPLES = 300
"""Bootstrap samples of the rows."""
LARGEST_SAMPLE = 20_000
"""Rows that a bootstrap sample draws from; beyond, the interval of this many is narrowed by the square root."""
MISTAKES = 24
"""Rows listed as the worst mistakes."""

Values = NDArray[Any]
MetricFunction = Callable[[NDArray[np.int64]], float]


@dataclasses.dataclass(frozen=True)
class Metric:
    """One figure on held-out rows.

    Attributes:
        value: on all rows. low, high: 95 % bootstrap interval over rows.
        baseline: the same metric of the trivial prediction (the training rows' majority class and class shares, or mean
            and spread); None where it has none. higher_is_better: which way is good; None where neither is.
    """

    value: float
    low: float
    high: float
    baseline: float | None
    higher_is_better: bool | None


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How a model does on rows that it has not seen.

    Attributes:
        kind: ``"category"`` or ``"number"``. rows: how many.
        metrics: name → :class:`Metric`.
        figures: what a report draws, as JSON values: confusion matrix, calibration, predicted against true …
        mistakes: the worst rows: ``row`` (the user's number), ``truth``, ``prediction``, ``confidence``.
    """

    kind: str
    rows: int
    metrics: dict[str, Metric]
    figures: dict[str, Any]
    mistakes: list[dict[str, Any]]

    def summary(self, name: str = "") -> str:
        """The metrics as an aligned table, for a console."""
        lines = [(f"{name or 'held out'}, {self.rows:,} rows", "value", "95 % interval", "trivial")]
        for key, metric in self.metrics.items():
            baseline = "" if metric.baseline is None else figure(metric.baseline)
            lines.append((key, figure(metric.value), f"{figure(metric.low)} … {figure(metric.high)}", baseline))
        widths = [max(len(line[i]) for line in lines) for i in range(4)]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )

    def to_json(self) -> dict[str, Any]:
        """The evaluation as JSON values; a figure that is not finite is None."""
        return dict(_finite(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evaluation:
        """The evaluation that :meth:`to_json` wrote."""
        def number(value: float | None) -> float:
            return math.nan if value is None else value

        metrics = {
            name: Metric(
                number(given["value"]),
                number(given["low"]),
                number(given["high"]),
                given["baseline"],
                given["higher_is_better"],
            )
            for name, given in data["metrics"].items()
        }
        return cls(data["kind"], data["rows"], metrics, data["figures"], data["mistakes"])


@functools.singledispatch
def evaluate(
    domain: Domain,
    y: Values,
    q: Distribution,
    *,
    weight: NDArray[np.float64] | None = None,
    marginal: Values | None = None,
    rows: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Evaluation:
    """How q(y given x) does on rows with known y. Open by ``evaluate.register(DomainType)``.

    Args:
        domain: y's fitted domain.
        y: (n,) known values in the user's own units or labels.
        q: distribution with batch shape (n,) in the user's units; over class codes for categories.
        weight: (n,) non-negative weights of the rows; None counts them alike.
        marginal: the training rows' y, for the trivial prediction.
        rows: (n,) the user's row numbers, for the mistakes; 1 … n by default.
        seed: of the bootstrap.

    Raises:
        SchemaError: no metrics are known for the domain.
    """
    raise SchemaError(f"No metrics are known for a {domain.kind!r} y yet.")


def bootstrap(
    functions: Mapping[str, MetricFunction], n: int, seed: int, weight: NDArray[np.float64] | None
) -> dict[str, tuple[float, float, float]]:
    """Name → (value on all rows, low, high): percentiles over rows drawn with replacement.

    A function takes row indices and gives a figure, or NaN where the rows do not determine it (one class only).
    """
    generator = np.random.default_rng(seed)
    everything = np.arange(n)
    size = min(n, LARGEST_SAMPLE)
    values = {name: function(everything) for name, function in functions.items()}
    draws: dict[str, list[float]] = {name: [] for name in functions}
    if n > 1:
        share = None if weight is None else weight / weight.sum()
        for _ in range(RESAMPLES if n > 50 else 2 * RESAMPLES):
            sample = generator.integers(0, n, size) if share is None else generator.choice(n, size, p=share)
            for name, function in functions.items():
                draws[name].append(function(sample))
    narrowing = math.sqrt(size / n)
    result = {}
    for name, value in values.items():
        found = np.array(draws[name], dtype=np.float64)
        found = found[np.isfinite(found)]
        if not len(found):
            result[name] = (value, math.nan, math.nan)
            continue
        low, middle, high = np.percentile(found, [2.5, 50.0, 97.5])
        result[name] = (value, value - narrowing * float(middle - low), value + narrowing * float(high - middle))
    return result


def figure(value: float) -> str:
    """A number with as many digits as are of use to a reader."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4f}" if size < 10 else f"{value:.2f}"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
