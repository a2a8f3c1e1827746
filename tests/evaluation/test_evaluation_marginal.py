"""The trivial prediction of a number, and coverage without a quantile of every row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Bernoulli, LogNormal, Poisson

from trine.data._columns import column_from_numpy
from trine.domains import Category, Count, Domain, Labels, Positive, Real, Unit
from trine.evaluation import evaluate, remembered
from trine.evaluation._marginal import empirical_crps, marginal_fit
from trine.rules import quantile


def test_coverage_of_counts_is_that_of_their_quantiles() -> None:
    """Without quantiles of every row: y lies in the interval if and only if its distribution function says so."""
    q = Poisson(torch.linspace(1, 9, 500, dtype=torch.float64))
    y = q.sample().numpy()
    found = evaluate(Count(), y, q)
    for level, share in zip(*found.figures["coverage"].values(), strict=True):
        low, high = (quantile(q, (1 + sign * level) / 2).numpy() for sign in (-1, 1))
        assert share == pytest.approx(((y >= low) & (y <= high)).mean(), abs=0.004), level


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=1, max_size=12), st.lists(st.floats(-60, 60), min_size=1, max_size=5))
def test_crps_of_the_training_rows_is_its_definition(seen: list[float], truth: list[float]) -> None:
    x, y = np.array(seen), np.array(truth)
    definition = np.abs(x - y[:, None]).mean(axis=1) - 0.5 * np.abs(x[:, None] - x).mean()
    np.testing.assert_allclose(empirical_crps(x, y), definition, atol=1e-9)


@pytest.mark.parametrize("domain", [Real(), Positive(), Unit(), Count()], ids=lambda domain: domain.kind)
def test_the_family_fitted_to_the_training_rows_has_their_moments(domain: Domain) -> None:
    rng = np.random.default_rng(0)
    seen = (rng.negative_binomial(3, 0.3, 5000) if isinstance(domain, Count) else rng.beta(2, 5, 5000)).astype(float)
    fit = marginal_fit(domain, seen[:, None])
    assert fit is not None
    kept = torch.from_numpy(np.log(seen)) if isinstance(domain, Positive) else torch.from_numpy(seen)
    moments = fit.base_dist if isinstance(fit, LogNormal) else fit
    assert moments.mean.item() == pytest.approx(kept.mean().item())
    assert moments.variance.item() == pytest.approx(kept.var(correction=0).item())


def test_training_rows_that_no_family_fits_have_no_likelihood() -> None:
    for domain, seen in ((Real(), np.ones(9)), (Positive(), np.full(9, 2.0)), (Unit(), np.array([0.0, 0.5, 1.0]))):
        assert marginal_fit(domain, seen[:, None]) is None
    assert isinstance(marginal_fit(Count(), np.array([[1.0], [1.0], [2.0]])), Poisson)
    assert isinstance(marginal_fit(Unit(), np.array([[1.0], [0.0], [1.0]])), Bernoulli)


def test_classes_and_labels_are_remembered_by_their_domains() -> None:
    values = np.array(["b", "a", "b", "c", "b"])
    kinds = Category().fit(column_from_numpy("y", values))
    assert sorted(remembered(kinds).tolist()) == sorted(values.tolist())
    sets = Labels(separator=";").fit(column_from_numpy("y", np.array(["p;q", "q", "r;p", "q;r;p"])))
    np.testing.assert_allclose(remembered(sets).mean(0), [0.75, 0.75, 0.5])
    assert remembered(Real().fit(column_from_numpy("y", np.arange(5.0)))) is None
