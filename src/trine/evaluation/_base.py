"""What an evaluation holds, and the function that a domain's metrics extend."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution

from trine.choices import Choices
from trine.domains import Domain
from trine.errors import DataError, SchemaError

from .novelty import verdict

MISTAKES = 24
"""Rows listed as the worst mistakes."""

Values = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Metric:
    """One figure on held-out rows.

    Attributes:
        value: on all rows; NaN where the rows do not determine it (R² of a constant y).
        low, high: 95 % bootstrap interval over rows; NaN where there is none (one row).
        baseline: the same metric of what it is to be compared with: of samples, of true rows in their place; else of the
            trivial prediction (the training rows' majority class and class shares, or
            their mean and spread); None where it has none.
        higher_is_better: which way is good; None where neither is (a coverage should be its level).
        unit: ``"share"``, ``"nats"``, ``"y"`` (y's own unit), or empty.
    """

    value: float
    low: float
    high: float
    baseline: float | None
    higher_is_better: bool | None
    unit: str = ""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How a model does on rows that it has not seen.

    Attributes:
        kind: ``"category"`` or ``"number"``.
        rows: how many were scored.
        metrics: name → :class:`Metric`.
        figures: what a report draws, as JSON values; the functions that fill it say what it holds.
        mistakes: the rows that q(y given x) held least likely: ``row`` (the user's number), ``truth`` and
            ``prediction`` (text), ``confidence`` and more of the kind.
    """

    kind: str
    rows: int
    metrics: dict[str, Metric]
    figures: dict[str, Any]
    mistakes: list[dict[str, Any]]

    def summary(self, name: str = "") -> str:
        """The metrics as an aligned table, for a console."""
        compared = "floor" if self.kind == "samples" else "trivial"
        table = [
            (f"{name or 'held out'}, {self.rows:,} row{'s' * (self.rows != 1)}", "value", "95 % interval", compared)
        ]
        for key, metric in self.metrics.items():
            interval = f"{figure(metric.low)} … {figure(metric.high)}" if math.isfinite(metric.low) else ""
            baseline = "" if metric.baseline is None else figure(metric.baseline)
            table.append((key, figure(metric.value), interval, baseline))
        widths = [max(len(line[i]) for line in table) for i in range(4)]
        lines = [
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in table
        ]
        lines += self.figures.get("notes", [])
        if unknown := self.figures.get("unknown_classes"):
            rows = "1 row of a class" if unknown == 1 else f"{unknown:,} rows of classes"
            lines.append(f"not scored: {rows} that training never saw")
        if calibrated := self.figures.get("calibrated"):
            lines.append(f"calibration: {calibrated['said']}")
            changes = [
                f"{key} {figure(before)} → {figure(self.metrics[key].value)}"
                for key, before in calibrated["before"].items()
                if key in self.metrics
            ]
            lines += [f"  by it: {', '.join(changes)}"] if changes else []
        for finding in self.figures.get("diagnosis", []):
            remedy = f". Remedy: {finding['remedy']}" if finding["remedy"] else ""
            lines.append(f"{'! ' if finding['wrong'] else ''}{finding['name']}: {finding['sentence']}{remedy}")
        if (novelty := self.figures.get("novelty")) and (told := verdict(novelty)):
            lines.append(told)
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The evaluation as JSON values; a figure that is not finite is None."""
        return dict(_finite(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evaluation:
        """The evaluation that :meth:`to_json` wrote.

        Raises:
            DataError: ``data`` is none; names what is amiss.
        """
        try:
            metrics = {}
            for name, given in data["metrics"].items():
                known = {key: math.nan if given[key] is None else float(given[key]) for key in ("value", "low", "high")}
                metrics[name] = Metric(**{**given, **known})
            return cls(data["kind"], int(data["rows"]), metrics, dict(data["figures"]), list(data["mistakes"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"This is no evaluation that trine wrote: {error!r}. Evaluate the run again.") from None


@functools.singledispatch
def evaluate(
    domain: Domain,
    y: Values,
    q: Distribution | Tensor | Values,
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
        q: distribution with batch shape (n,) in the user's units; over class codes for categories, where an
            (n, classes) array of probabilities does as well.
        weight: (n,) non-negative weights of the rows; None counts them alike.
        marginal: the training rows' y, for the trivial prediction; None compares with nothing.
        rows: (n,) the user's row numbers, for the mistakes; 1 … n by default.
        seed: of the bootstrap.

    Raises:
        SchemaError: no metrics are known for the domain.
    """
    raise SchemaError(f"No metrics are known for a {domain.kind!r} y yet.")


@functools.singledispatch
def reduced(domain: Domain, q: Distribution, y: Tensor | None, choices: Choices) -> Distribution | dict[str, Values]:
    """What the metrics and the files of predictions need of q(y given x) for a chunk of rows.

    Most distributions are a few numbers a row and are kept as they are. Those that are not (sequences, thousands of
    classes) give named arrays of (rows, ...) in their place, which :func:`evaluate` takes for ``q``. Open by
    ``reduced.register(DomainType)``.

    Args:
        domain: y's fitted domain.
        q: of the chunk, in encoded units.
        y: (rows, ...) encoded targets of the chunk, where they are known; of a row without one anything.
        choices: the model's, e.g. how sequences are decoded.
    """
    return q


def figure(value: float | None) -> str:
    """A number with as many digits as are of use to a reader; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    size = abs(value)
    if 1000 <= size < 1e9:
        return f"{value:,.0f}"
    if 10 <= size < 1000:
        return f"{value:.2f}"
    return f"{value:.4f}" if size == 0 or 0.01 <= size < 10 else f"{value:.3g}"


def row_numbers(rows: NDArray[np.int64] | None, n: int) -> NDArray[np.int64]:
    """(n,) the user's row numbers: those given, or 1 … n."""
    return np.arange(1, n + 1) if rows is None else np.asarray(rows, dtype=np.int64)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
