"""Metrics of a numerical y: real, positive, in [0, 1], a count, or several reals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution, MixtureSameFamily, Normal

from trine.divergences import crps
from trine.domains import Count, Domain, Positive, Real, Unit, Vector
from trine.errors import DataError
from trine.evaluation._base import MISTAKES, Evaluation, Metric, Values, evaluate, row_numbers
from trine.evaluation._bootstrap import Floats, Score, average, intervals, values
from trine.evaluation._marginal import empirical_crps, marginal_fit
from trine.rules import Recalibrated, cdf, map_arguments, point, quantile

NUMBER_METRICS = ("rmse", "mae", "r2", "nll", "crps", "coverage_90", "poisson_deviance")
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Central intervals whose coverage is reported."""
BINS = 20
"""Bins of the probability integral transform."""
SHOWN_POINTS = 1500
"""Rows of the sample that is drawn, predicted against true."""
SCORED = 20_000
"""Most rows whose CRPS is computed, evenly spread."""
SCORED_BY_QUADRATURE = 1000
"""As above, for mixtures that have no closed form: about a millisecond a row."""
LISTED_ENTRIES = 20
"""Most entries of a vector of which each has metrics of its own."""
CHUNK = 250
"""Rows that are integrated at once, so that the nodes of all fit into memory."""


@evaluate.register(Real)
@evaluate.register(Positive)
@evaluate.register(Unit)
@evaluate.register(Count)
@evaluate.register(Vector)
def evaluate_number(
    domain: Domain,
    y: Values,
    q: Distribution,
    *,
    weight: NDArray[np.float64] | None = None,
    marginal: Values | None = None,
    rows: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Evaluation:
    """RMSE, MAE, R², negative log-likelihood, CRPS, coverage of the 90 % interval; for counts the Poisson deviance.

    See :func:`number_scores`; of a vector each entry also has those of its own, ``rmse[1]`` and so on. ``figures``:
    ``truth``, ``prediction``, ``low``, ``high`` (90 % interval) of a sample of rows; ``transform``: counts in 20 bins of
    the probability integral transform P(Y ≤ y), which is uniform where q is right (Dawid, 1984; for counts at the middle
    of the jump); ``coverage``: ``level`` of central intervals and the ``share`` of rows inside.
    """
    truth = np.asarray(y, dtype=np.float64)
    n, entries = len(truth), math.prod(q.event_shape)
    if tuple(q.batch_shape) != (n,) or truth.size != n * entries:
        raise DataError(
            f"y is of shape {truth.shape} and q of batch shape {tuple(q.batch_shape)} and event shape "
            f"{tuple(q.event_shape)}; y's is the two together."
        )
    truth = truth.reshape(n, entries)
    each = None if weight is None else np.asarray(weight, dtype=np.float64)
    some = (
        np.unique(np.linspace(0, n - 1, min(n, SHOWN_POINTS)).round().astype(np.int64)) if n else np.zeros(0, np.int64)
    )
    with torch.no_grad():
        q = map_arguments(q, lambda value: value.detach().to("cpu", torch.float64))
        at = torch.from_numpy(truth).reshape(n, *q.event_shape)
        mean = point(q).numpy().reshape(truth.shape)
        lost = -q.log_prob(at).numpy()
        below = cdf(q, at).clamp(0.0, 1.0).numpy().reshape(truth.shape)
        # What lies at y itself: a jump of the distribution function, for counts and truth values.
        jump = np.exp(-lost)[:, None] if _discrete(q) else np.zeros_like(below)
        score = None if q.event_shape or not n else _crps(q, at)
        low, high = (
            quantile(_taken(q, some), level).double().numpy().reshape(len(some), entries) for level in (0.05, 0.95)
        )
    inside = np.stack([_inside(below, jump, level) for level in LEVELS])  # (levels, n, entries)
    scores = number_scores(domain, truth, mean, lost, score, inside[LEVELS.index(0.9)])
    trivial = _trivial(domain, truth, marginal, each)
    metrics = {
        name: Metric(*found, trivial.get(name), scores[name].higher_is_better, scores[name].unit)
        for name, found in intervals(scores, each, seed).items()
    }
    if 1 < entries <= LISTED_ENTRIES:
        metrics |= _by_entry(truth, mean, inside[LEVELS.index(0.9)], marginal, each, seed)
    transform = below - jump / 2
    figures: dict[str, Any] = {
        "truth": truth[some].ravel().tolist(),
        "prediction": mean[some].ravel().tolist(),
        "low": low.ravel().tolist(),
        "high": high.ravel().tolist(),
        "transform": np.histogram(transform, bins=BINS, range=(0, 1))[0].tolist(),
        "coverage": {"level": list(LEVELS), "share": inside.mean(axis=(1, 2)).tolist() if n else []},
    }
    return Evaluation("number", n, metrics, figures, _mistakes(q, truth, mean, lost, transform, row_numbers(rows, n)))


def _by_entry(
    truth: Floats, mean: Floats, inside: Values, marginal: Values | None, weight: Floats | None, seed: int
) -> dict[str, Metric]:
    """RMSE, MAE, R² and coverage of each entry of a vector by itself, called ``rmse[1]`` and so on."""
    entries = truth.shape[1]
    seen = None if marginal is None else np.asarray(marginal, dtype=np.float64).reshape(-1, entries)
    found: dict[str, dict[int, Metric]] = {}
    for i in range(entries):
        one = slice(i, i + 1)
        scores = number_scores(Real(), truth[:, one], mean[:, one], None, None, inside[:, one])
        trivial: dict[str, float] = {}
        if seen is not None and len(seen):
            constant = np.full((len(truth), 1), seen[:, i].mean())
            trivial = values(number_scores(Real(), truth[:, one], constant, None, None, None), weight)
        for name, value in intervals(scores, weight, seed).items():
            metric = Metric(*value, trivial.get(name), scores[name].higher_is_better, scores[name].unit)
            found.setdefault(name, {})[i] = metric
    return {f"{name}[{i + 1}]": metric for name, each in found.items() for i, metric in each.items()}


def number_scores(
    domain: Domain, truth: Floats, mean: Floats, lost: Floats | None, crps_: Floats | None, inside: Values | None
) -> dict[str, Score]:
    r"""The metrics of predictions of ``truth`` (n, entries); none where there are no rows.

    - rmse: square root of the mean of (y − mean)². mae: mean of \|y − mean\|.
    - r2: 1 − Σ (y − mean)² / Σ (y − average y)²; NaN where y does not vary.
    - nll: mean of −log q(y), in the units of y. crps: its continuous ranked probability score, in the units of y.
    - coverage_90: share of rows inside the central 90 % interval.
    - poisson_deviance, of counts: mean of 2 (y log(y / mean) − y + mean), with 0 log 0 = 0 (Nelder and Wedderburn,
      1972).

    Args:
        domain: y's; counts have a metric more.
        truth: (n, entries).
        mean: (n, entries), predicted.
        lost: (n,) −log q(y); None is not scored.
        crps_: (n,), NaN where it was not computed; None is not scored.
        inside: (n, entries) bool, within the central 90 % interval; None is not scored.
    """
    if not len(truth):
        return {}
    squared, absolute = np.square(truth - mean).mean(axis=1), np.abs(truth - mean).mean(axis=1)
    spread = truth - truth.mean(axis=0)
    moments = np.column_stack([squared, np.square(spread).mean(axis=1), spread])

    def r2(sums: Floats) -> Floats:
        total = sums[..., :1]
        around = sums[..., 2] - (np.square(sums[..., 3:]) / total).mean(axis=-1)
        floor = 1e-12 * np.maximum(np.square(truth).mean(), 1e-300) * total[..., 0]
        there = around > floor
        return np.where(there, 1 - sums[..., 1] / np.where(there, around, 1.0), np.nan)

    squares, mean_of_squares = average(squared)
    scores = {
        "rmse": Score(squares, lambda sums: np.sqrt(mean_of_squares(sums)), unit="y"),
        "mae": Score(*average(absolute), unit="y"),
        "r2": Score(moments, r2, higher_is_better=True, bounds=(-math.inf, 1.0)),
    }
    if lost is not None:
        scores["nll"] = Score(*average(lost), unit="nats", bounds=(-math.inf, math.inf))
    if crps_ is not None:
        there = np.isfinite(crps_)
        parts = np.column_stack([there, np.where(there, crps_, 0.0)])
        scores["crps"] = Score(parts, lambda sums: sums[..., 2] / sums[..., 1], unit="y")
    if inside is not None:
        scores["coverage_90"] = Score(
            *average(inside.mean(axis=1)), higher_is_better=None, unit="share", bounds=(0.0, 1.0), share=True
        )
    if isinstance(domain, Count):
        safe = np.maximum(mean, 1e-12)
        with np.errstate(divide="ignore", invalid="ignore"):
            deviance = 2 * (np.where(truth > 0, truth * np.log(truth / safe), 0.0) - truth + safe)
        scores["poisson_deviance"] = Score(*average(deviance.mean(axis=1)))
    return scores


def _inside(below: Floats, jump: Floats, level: float) -> Values:
    """Whether y lies between the quantiles at (1 ± level) / 2, both belonging to the interval."""
    edge = (1 - level) / 2
    return (below >= edge) & (below - jump <= 1 - edge)


def _crps(q: Distribution, at: Tensor) -> Floats:
    """(n,) CRPS of an evenly spread sample of rows, NaN for the others."""
    n = len(at)
    closed = not isinstance(q, Recalibrated | MixtureSameFamily) or (
        isinstance(q, MixtureSameFamily) and isinstance(q.component_distribution, Normal)
    )
    most, size = (SCORED, SCORED) if closed else (SCORED_BY_QUADRATURE, CHUNK)
    some = np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))
    found = np.full(n, np.nan)
    for start in range(0, len(some), size):
        part = some[start : start + size]
        found[part] = crps(_taken(q, part), at[torch.from_numpy(part)]).double().numpy()
    return found


def _taken(q: Distribution, rows: NDArray[np.int64]) -> Distribution:
    """``q`` of some rows."""
    index = torch.from_numpy(rows)
    return map_arguments(q, lambda value: value[index])


def _discrete(q: Distribution) -> bool:
    part = q.component_distribution if isinstance(q, MixtureSameFamily) else q
    support: Any = part.support
    return bool(support.is_discrete)


def _trivial(domain: Domain, truth: Floats, marginal: Values | None, weight: Floats | None) -> dict[str, float]:
    """The metrics of the training rows' mean, their distribution (CRPS, coverage) and a family fitted to it (NLL)."""
    if marginal is None or not len(marginal) or not len(truth):
        return {}
    seen = np.asarray(marginal, dtype=np.float64).reshape(len(marginal), -1)
    low, high = np.quantile(seen, [0.05, 0.95], axis=0)
    fit = marginal_fit(domain, seen)
    lost = None if fit is None else -fit.log_prob(torch.from_numpy(truth)).numpy().sum(axis=1)
    score = empirical_crps(seen[:, 0], truth[:, 0]) if seen.shape[1] == 1 else None
    mean = np.broadcast_to(seen.mean(axis=0), truth.shape)
    found = values(number_scores(domain, truth, mean, lost, score, (truth >= low) & (truth <= high)), weight)
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _mistakes(
    q: Distribution, truth: Floats, mean: Floats, lost: Floats, transform: Floats, numbers: Values
) -> list[dict[str, Any]]:
    """The rows with the least likely y; ``confidence`` is the share of q at least as far out as y, on both sides."""
    worst = np.argsort(-lost, kind="stable")[:MISTAKES]
    if not len(worst):
        return []
    low, high = (quantile(_taken(q, worst), level).double().numpy().reshape(len(worst), -1) for level in (0.05, 0.95))
    tail = 2 * np.minimum(transform, 1 - transform)
    return [
        {
            "row": int(numbers[i]),
            "truth": _written(truth[i]),
            "prediction": _written(mean[i]),
            "confidence": float(tail[i].min()),
            "interval": f"{_written(low[j])} … {_written(high[j])}",
        }
        for j, i in enumerate(worst)
    ]


def _written(entries: Floats) -> str:
    """One number as text, or several in brackets."""
    texts = [f"{value:.6g}" for value in entries[:6]]
    return texts[0] if len(entries) == 1 else f"[{', '.join(texts)}{', …' if len(entries) > 6 else ''}]"
