"""Metrics of a numerical y: real, positive, in [0, 1], or a count."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.distributions import Distribution

from trine.divergences import crps
from trine.domains import Count, Positive, Real, Unit
from trine.evaluation._base import MISTAKES, Evaluation, Metric, Values, bootstrap, evaluate
from trine.rules import cdf, point, quantile

NUMBER_METRICS = ("rmse", "mae", "r2", "nll", "crps", "coverage_90", "poisson_deviance")
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Central intervals whose coverage is reported."""
SHOWN_POINTS = 1500
SCORED = 20_000
"""Rows of the scores that need quadrature or quantiles: enough, and quick."""


@evaluate.register(Real)
@evaluate.register(Positive)
@evaluate.register(Unit)
@evaluate.register(Count)
def evaluate_number(
    domain: Real | Positive | Unit | Count,
    y: Values,
    q: Distribution,
    *,
    weight: NDArray[np.float64] | None = None,
    marginal: Values | None = None,
    rows: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Evaluation:
    """RMSE, MAE, R², negative log-likelihood, CRPS, coverage of the 90 % interval; for counts the Poisson deviance."""
    truth = np.asarray(y, dtype=np.float64)
    numbers = np.arange(1, len(truth) + 1) if rows is None else np.asarray(rows)
    with torch.no_grad():
        known = torch.from_numpy(truth).to(torch.float32)
        mean = point(q).double().numpy()
        lost = -q.log_prob(known).double().numpy()
        low, high = (quantile(q, level).double().numpy() for level in (0.05, 0.95))
        below = cdf(q, known).double().numpy()
        score = crps(q, known).double().numpy() if len(truth) <= SCORED else None
    # Half of a value's own probability counts as below it, so that the transform of counts is uniform on average.
    spot = np.exp(-lost) if isinstance(domain, Count) else 0.0
    transform = np.clip(below - 0.5 * spot, 0.0, 1.0)
    functions = _functions(domain, truth, mean, lost, score, (truth >= low) & (truth <= high))
    figures = bootstrap(functions, len(truth), seed, weight)
    trivial = _trivial(domain, truth, marginal)
    metrics = {
        name: Metric(*figures[name], baseline=trivial.get(name), higher_is_better=_BETTER.get(name, False))
        for name in functions
    }
    worst = np.argsort(-lost, kind="stable")[:MISTAKES]
    mistakes = [
        {
            "row": int(numbers[i]),
            "truth": f"{truth[i]:.6g}",
            "prediction": f"{mean[i]:.6g}",
            "confidence": float(2 * min(transform[i], 1 - transform[i])),
        }
        for i in worst
    ]
    some = np.unique(np.linspace(0, len(truth) - 1, min(len(truth), SHOWN_POINTS)).round().astype(int))
    levels = [float(np.mean(np.abs(transform - 0.5) <= level / 2)) for level in LEVELS]
    drawn: dict[str, Any] = {
        "truth": truth[some].tolist(),
        "prediction": mean[some].tolist(),
        "low": low[some].tolist(),
        "high": high[some].tolist(),
        "transform": np.histogram(transform, bins=20, range=(0, 1))[0].tolist(),
        "coverage": {"level": list(LEVELS), "share": levels},
    }
    return Evaluation("number", len(truth), metrics, drawn, mistakes)


_BETTER: dict[str, bool | None] = {"r2": True, "coverage_90": None}


def _functions(
    domain: Any, truth: Values, mean: Values, lost: Values | None, score: Values | None, inside: Values | None
) -> dict[str, Any]:
    squared, absolute = (truth - mean) ** 2, np.abs(truth - mean)

    def r2(rows: NDArray[np.int64]) -> float:
        spread = ((truth[rows] - truth[rows].mean()) ** 2).sum()
        return float(1 - squared[rows].sum() / spread) if spread > 0 else math.nan

    functions: dict[str, Any] = {
        "rmse": lambda rows: float(np.sqrt(squared[rows].mean())),
        "mae": lambda rows: float(absolute[rows].mean()),
        "r2": r2,
    }
    if lost is not None:
        functions["nll"] = lambda rows: float(lost[rows].mean())
    if score is not None:
        functions["crps"] = lambda rows: float(score[rows].mean())
    if inside is not None:
        functions["coverage_90"] = lambda rows: float(inside[rows].mean())
    if isinstance(domain, Count):
        # 2 (y log(y/μ) − y + μ), with 0 log 0 = 0 (Nelder and Wedderburn, 1972)
        safe = np.maximum(mean, 1e-12)
        deviance = 2 * (np.where(truth > 0, truth * np.log(np.maximum(truth, 1e-12) / safe), 0.0) - truth + safe)
        functions["poisson_deviance"] = lambda rows: float(deviance[rows].mean())
    return functions


def _trivial(domain: Any, truth: Values, marginal: Values | None) -> dict[str, float]:
    """The metrics of the training rows' mean, and of their distribution as it is for the CRPS and the interval."""
    if marginal is None or not len(marginal):
        return {}
    seen = np.sort(np.asarray(marginal, dtype=np.float64))
    low, high = np.quantile(seen, [0.05, 0.95])
    functions = _functions(
        domain,
        truth,
        np.full(len(truth), seen.mean()),
        None,
        _empirical_crps(seen, truth),
        (truth >= low) & (truth <= high),
    )
    everything = np.arange(len(truth))
    return {name: function(everything) for name, function in functions.items()}


def _empirical_crps(seen: Values, truth: Values) -> Values:
    """CRPS of the empirical distribution of sorted ``seen``: E|X − y| − ½ E|X − X′|, in O(n log n)."""
    n = len(seen)
    total = np.concatenate([[0.0], np.cumsum(seen)])
    k = np.searchsorted(seen, truth, side="right")
    distance = (truth * k - total[k] + (total[n] - total[k]) - truth * (n - k)) / n
    spread = 2 * np.sum(seen * (2 * np.arange(1, n + 1) - n - 1)) / (n * n)
    return np.asarray(distance - 0.5 * spread)
