"""Bootstrap intervals: their width in closed form, their coverage, and what lies at the edges of a scale."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch.distributions import Normal

from trine.domains import Category, Real
from trine.evaluation import Evaluation, evaluate

TWO = Category(labels=("no", "yes"), dtype="object", shares=(0.5, 0.5))


def binary(truth: np.ndarray, score: np.ndarray, **more: object) -> Evaluation:
    labels = np.array(["no", "yes"], dtype=object)
    return evaluate(TWO, labels[truth.astype(int)], np.stack([1 - score, score], 1), **more)


@pytest.mark.parametrize("n", [500, 25_000])
def test_the_interval_of_a_mean_is_1_96_standard_errors_either_way(n: int) -> None:
    # 25,000 rows are drawn in blocks.
    y = np.random.default_rng(0).standard_exponential(n)
    found = evaluate(Real(), y, Normal(torch.zeros(n), torch.ones(n))).metrics["mae"]
    assert found.high - found.low == pytest.approx(2 * 1.96 * y.std() / math.sqrt(n), rel=0.1)


def test_the_interval_of_an_auc_is_delongs() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(2000) < 0.3
    score = np.clip(0.4 + 0.15 * truth + 0.2 * rng.standard_normal(2000), 0.001, 0.999)
    found = binary(truth, score).metrics["auc"]
    ahead = np.array([(s > score[~truth]).mean() for s in score[truth]])
    behind = np.array([(s < score[truth]).mean() for s in score[~truth]])
    error = math.sqrt(ahead.var(ddof=1) / truth.sum() + behind.var(ddof=1) / (~truth).sum())
    assert found.value == pytest.approx(roc_auc_score(truth, score))
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_nineteen_of_twenty_intervals_hold_the_expectation() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for trial in range(100):
        y = rng.standard_normal(150)
        found = evaluate(Real(), y, Normal(torch.zeros(150), torch.ones(150)), seed=trial).metrics["mae"]
        held += found.low <= math.sqrt(2 / math.pi) <= found.high
    assert held >= 87  # 95 of 100, less four standard errors


def test_no_mistake_in_ten_rows_does_not_mean_none_in_any() -> None:
    truth = np.arange(10) % 2 == 1
    found = binary(truth, np.where(truth, 0.9, 0.1)).metrics["accuracy"]
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025**0.1)  # Clopper and Pearson


def test_the_seed_decides_the_interval() -> None:
    y = np.random.default_rng(0).standard_normal(60)
    q = Normal(torch.zeros(60), torch.ones(60))
    first, again, other = (evaluate(Real(), y, q, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first.metrics["rmse"].low != other.metrics["rmse"].low
    assert first.metrics["rmse"].value == other.metrics["rmse"].value


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.5, 0.7, 1.0])), min_size=1, max_size=25),
    st.integers(0, 9),
)
def test_every_interval_holds_its_value_and_stays_on_the_scale(rows: list[tuple[bool, float]], seed: int) -> None:
    truth, score = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    found = binary(truth, score, marginal=np.array(["no", "yes", "no"], dtype=object), seed=seed)
    for name, metric in found.metrics.items():
        if name != "log_loss":
            assert 0 <= metric.value <= 1, name
        if math.isfinite(metric.low):
            assert 0 <= metric.low <= metric.value + 1e-12, name
            assert metric.value - 1e-12 <= metric.high, name
    if truth.any() and not truth.all():
        assert found.metrics["auc"].value == pytest.approx(roc_auc_score(truth, score))
