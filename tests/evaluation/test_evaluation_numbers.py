"""Metrics of a numerical y: closed forms, scikit-learn's values, and the cases at the edges."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics as reference
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Distribution,
    Independent,
    LogNormal,
    MixtureSameFamily,
    NegativeBinomial,
    Normal,
    Poisson,
)

from trine.domains import Count, Domain, Positive, Real, Unit, Vector
from trine.errors import DataError
from trine.evaluation import NUMBER_METRICS, evaluate
from trine.rules import map_arguments

N = 400


def normal_case(n: int = N) -> tuple[np.ndarray, Normal]:
    """Values of y, and the normal that they were drawn from."""
    generator = torch.Generator().manual_seed(0)
    q = Normal(torch.randn(n, generator=generator, dtype=torch.float64) * 3 + 10, torch.full((n,), 2.0).double())
    return torch.normal(q.loc, q.scale, generator=generator).numpy(), q


def drawn(q: Distribution) -> np.ndarray:
    torch.manual_seed(1)
    return q.sample().double().numpy()


CASES: dict[str, tuple[Domain, Distribution]] = {
    "real": (Real(), Normal(torch.linspace(-3, 3, N), torch.full((N,), 0.5))),
    "positive": (Positive(), LogNormal(torch.linspace(0, 3, N), torch.full((N,), 0.5))),
    "unit": (Unit(), Beta(torch.linspace(1, 9, N), torch.linspace(9, 1, N))),
    "truth values": (Unit(), Bernoulli(probs=torch.linspace(0.05, 0.95, N))),
    "count": (Count(), Poisson(torch.linspace(0.5, 30, N))),
    "spread count": (Count(), NegativeBinomial(torch.full((N,), 3.0), logits=torch.linspace(-1, 2, N))),
    "mixture": (
        Real(),
        MixtureSameFamily(
            Categorical(probs=torch.full((N, 2), 0.5)),
            Normal(torch.stack([torch.linspace(-3, 0, N), torch.linspace(0, 3, N)], 1), torch.ones(N, 2)),
        ),
    ),
    "vector": (Vector(size=2), Independent(Normal(torch.randn(N, 2).cumsum(0) / 9, torch.ones(N, 2)), 1)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_right_distribution_scores_better_than_the_trivial_one(name: str) -> None:
    domain, q = CASES[name]
    y = drawn(q)
    found = evaluate(domain, y, q, marginal=y, seed=1)
    for metric in ("rmse", "r2", "nll", "crps"):
        if metric not in found.metrics:
            assert (name, metric) == ("vector", "crps")
            continue
        value, baseline = found.metrics[metric].value, found.metrics[metric].baseline
        assert baseline is not None
        assert (value - baseline) * (1 if found.metrics[metric].higher_is_better else -1) > 0, metric
    assert found.metrics["r2"].baseline == pytest.approx(0.0, abs=1e-6)
    assert found.metrics["coverage_90"].value >= 0.85
    assert ("poisson_deviance" in found.metrics) == isinstance(domain, Count)
    assert all(m.low <= m.value <= m.high for m in found.metrics.values())
    assert sum(found.figures["transform"]) == y.size


def test_values_are_those_of_scikit_learn_and_scipy() -> None:
    y, q = normal_case()
    found = evaluate(Real(), y, q).metrics
    mean, std = q.loc.numpy(), q.scale.numpy()
    z = (y - mean) / std
    crps = std * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / math.sqrt(math.pi))
    expected = {
        "rmse": reference.root_mean_squared_error(y, mean),
        "mae": reference.mean_absolute_error(y, mean),
        "r2": reference.r2_score(y, mean),
        "nll": -stats.norm.logpdf(y, mean, std).mean(),
        "crps": crps.mean(),
        "coverage_90": (np.abs(z) <= stats.norm.ppf(0.95)).mean(),
    }
    assert tuple(found) == tuple(expected) == NUMBER_METRICS[:-1]
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, rel=1e-5), name


def test_the_deviance_of_counts_is_scikit_learns() -> None:
    domain, q = CASES["count"]
    y = drawn(q)
    found = evaluate(domain, y, q, marginal=y).metrics["poisson_deviance"]
    mean = q.mean.numpy().astype(np.float64)
    assert found.value == pytest.approx(reference.mean_poisson_deviance(y, mean), rel=1e-5)
    assert found.baseline == pytest.approx(reference.mean_poisson_deviance(y, np.full(N, y.mean())), rel=1e-5)


def test_weights_count_rows() -> None:
    y, q = normal_case()
    w = np.random.default_rng(0).uniform(0.1, 3, N)
    found = evaluate(Real(), y, q, weight=w).metrics
    mean = q.loc.numpy()
    assert found["rmse"].value == pytest.approx(reference.root_mean_squared_error(y, mean, sample_weight=w))
    assert found["r2"].value == pytest.approx(reference.r2_score(y, mean, sample_weight=w))
    # A row of no weight is no row.
    half = (np.arange(N) < N // 2).astype(np.float64)
    part = evaluate(Real(), y[: N // 2], Normal(q.loc[: N // 2], q.scale[: N // 2])).metrics
    for name, metric in evaluate(Real(), y, q, weight=half).metrics.items():
        assert metric.value == pytest.approx(part[name].value), name


def test_what_is_drawn_tells_a_right_distribution_from_a_narrow_one() -> None:
    y, q = normal_case(4000)
    right = evaluate(Real(), y, q).figures
    narrow = evaluate(Real(), y, Normal(q.loc, q.scale / 2)).figures
    np.testing.assert_allclose(right["coverage"]["share"], right["coverage"]["level"], atol=0.03)
    assert all(share < level for level, share in zip(*narrow["coverage"].values(), strict=True))
    assert stats.chisquare(right["transform"]).pvalue > 1e-4
    assert narrow["transform"][0] + narrow["transform"][-1] > 3 * (right["transform"][0] + right["transform"][-1])
    assert len(right["truth"]) == len(right["prediction"]) == len(right["low"]) == len(right["high"]) <= 2000


def test_the_least_likely_rows_are_the_mistakes() -> None:
    y, q = normal_case(50)
    y[17] += 40
    found = evaluate(Real(), y, q, rows=np.arange(1000, 1050)).mistakes
    assert len(found) == 24
    assert found[0]["row"] == 1017
    assert float(found[0]["truth"]) == pytest.approx(y[17], rel=1e-5)
    assert float(found[0]["prediction"]) == pytest.approx(float(q.loc[17]), rel=1e-5)
    assert found[0]["confidence"] < 1e-12


def test_a_constant_y_has_no_r2_and_no_trivial_spread() -> None:
    found = evaluate(Real(), np.full(20, 5.0), Normal(torch.full((20,), 5.5), torch.ones(20)), marginal=np.full(9, 5.0))
    assert math.isnan(found.metrics["r2"].value)
    assert found.metrics["rmse"].value == pytest.approx(0.5)
    assert found.metrics["rmse"].baseline == 0.0
    assert found.metrics["nll"].baseline is None
    assert found.to_json()["metrics"]["r2"]["value"] is None
    assert "–" in found.summary()


@pytest.mark.parametrize("name", CASES)
def test_one_row_is_enough(name: str) -> None:
    domain, q = CASES[name]
    first = map_arguments(q, lambda value: value[:1])
    found = evaluate(domain, drawn(first), first)
    assert found.rows == 1
    assert math.isfinite(found.metrics["nll"].value)
    assert math.isnan(found.metrics["nll"].low)


def test_no_rows_give_no_metrics() -> None:
    found = evaluate(Real(), np.zeros(0), Normal(torch.zeros(0), torch.ones(0)), marginal=np.arange(3.0))
    assert (found.rows, found.metrics, found.mistakes) == (0, {}, [])


def test_sixty_thousand_rows_take_seconds() -> None:
    y, q = normal_case(60_000)
    started = time.perf_counter()
    evaluate(Real(), y, q, marginal=y)
    assert time.perf_counter() - started < 20


def test_predictions_for_other_rows_are_refused() -> None:
    for y in (np.zeros(3), np.zeros((2, 2))):
        with pytest.raises(DataError, match="of shape"):
            evaluate(Real(), y, Normal(torch.zeros(2), 1.0))
