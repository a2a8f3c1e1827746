"""Distribution and quantile functions of every family and of their mixtures, against SciPy and against each other."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Gamma,
    Independent,
    Laplace,
    LogNormal,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)

from trine.rules import Logistic, LogitNormal, Mixture, cdf, mixture, point, quantile


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


CONTINUOUS = {
    "normal": (Normal(t(0.3, -2.0), t(0.8, 3.0)), [scipy.stats.norm(0.3, 0.8), scipy.stats.norm(-2, 3)]),
    "laplace": (Laplace(t(0.3, -2.0), t(0.8, 3.0)), [scipy.stats.laplace(0.3, 0.8), scipy.stats.laplace(-2, 3)]),
    "logistic": (Logistic(t(0.3, -2.0), t(0.8, 3.0)), [scipy.stats.logistic(0.3, 0.8), scipy.stats.logistic(-2, 3)]),
    "student": (
        StudentT(t(4.3, 2.1), t(0.3, 1.0), t(0.8, 2.0)),
        [scipy.stats.t(4.3, 0.3, 0.8), scipy.stats.t(2.1, 1, 2)],
    ),
    "lognormal": (
        LogNormal(t(0.3, -1.0), t(0.8, 2.0)),
        [scipy.stats.lognorm(0.8, scale=np.exp(0.3)), scipy.stats.lognorm(2.0, scale=np.exp(-1))],
    ),
    "gamma": (
        Gamma(t(0.4, 9.0), t(1.3, 2.0)),
        [scipy.stats.gamma(0.4, scale=1 / 1.3), scipy.stats.gamma(9, scale=0.5)],
    ),
    "beta": (Beta(t(0.4, 9.0), t(1.3, 2.0)), [scipy.stats.beta(0.4, 1.3), scipy.stats.beta(9, 2)]),
}
COUNTS = {
    "poisson": (Poisson(t(0.7, 80.0)), [scipy.stats.poisson(0.7), scipy.stats.poisson(80)]),
    "negative-binomial": (
        NegativeBinomial(t(0.6, 12.0), probs=t(0.8, 0.3)),
        [scipy.stats.nbinom(0.6, 0.2), scipy.stats.nbinom(12, 0.7)],
    ),
}
LEVELS = torch.tensor([1e-3, 0.05, 0.25, 0.5, 0.75, 0.95, 0.999], dtype=torch.float64)


@pytest.mark.parametrize("name", [*CONTINUOUS, *COUNTS])
def test_against_scipy(name: str) -> None:
    q, exact = {**CONTINUOUS, **COUNTS}[name]
    values = quantile(q, LEVELS)
    assert values.shape == (7, 2)
    for i, reference in enumerate(exact):
        np.testing.assert_allclose(values[:, i].numpy(), reference.ppf(LEVELS.numpy()), rtol=1e-9, atol=1e-12)
        outside = [] if name in ("normal", "laplace", "logistic", "student") else [-5.0, 0.0]
        grid = np.concatenate([values[:, i].numpy(), values[:, i].numpy() * 1.3 + 0.1, outside])
        ours = cdf(q, torch.from_numpy(grid).unsqueeze(-1).expand(-1, 2))[:, i]
        np.testing.assert_allclose(ours.numpy(), reference.cdf(grid), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("name", [*CONTINUOUS, "logit-normal"])
def test_round_trip_of_mixtures(name: str) -> None:
    q = {**CONTINUOUS, "logit-normal": (LogitNormal(t(0.3, -1.0), t(0.8, 2.0)), [])}[name][0]
    shared = q.expand((3, 2))  # (members, batch)
    mixed = mixture(shared)
    assert isinstance(mixed, Mixture)
    alone = quantile(q, t(0.2, 0.9)).diagonal()
    assert torch.allclose(mixed.icdf(t(0.2, 0.9)), alone)
    values = quantile(mixed, LEVELS)
    assert torch.allclose(cdf(mixed, values), LEVELS.unsqueeze(-1).expand(7, 2), atol=1e-9)
    assert torch.allclose(mixed.cdf(values), cdf(mixed, values))


@given(
    rates=st.lists(st.floats(1e-4, 1e6), min_size=2, max_size=5),
    p=st.floats(1e-4, 1 - 1e-4),
)
@settings(max_examples=60, deadline=None)
def test_counts_in_a_mixture_are_the_smallest_that_reach_p(rates: list[float], p: float) -> None:
    mixed = mixture(Poisson(torch.tensor(rates, dtype=torch.float64).unsqueeze(-1)))
    value = quantile(mixed, p)
    assert value.item() == round(value.item()) >= 0
    assert cdf(mixed, value).item() >= p
    assert cdf(mixed, value - 1).item() < p


def test_categories() -> None:
    q = Categorical(probs=t(0.5, 0.2, 0.3).expand(2, 3))
    assert quantile(q, 0.5).tolist() == [0, 0]
    assert quantile(q, 0.6).tolist() == [1, 1]
    assert quantile(q, torch.tensor([0.71, 0.99])).tolist() == [[2, 2], [2, 2]]
    assert torch.allclose(cdf(q, t(0.0, 1.0)), t(0.5, 0.7))
    assert cdf(q, t(-1.0, 2.0)).tolist() == [0.0, 1.0]
    assert point(q).tolist() == [0, 0]
    coin = Bernoulli(probs=t(0.3, 0.8))
    assert quantile(coin, 0.5).tolist() == [0.0, 1.0]
    assert torch.allclose(cdf(coin, t(0.0, 0.5)), t(0.7, 0.2))
    assert torch.allclose(point(coin), t(0.3, 0.8))


def test_events_of_many_numbers_give_marginals() -> None:
    q = Independent(Normal(torch.zeros(4, 5, 3).double(), torch.ones(4, 5, 3).double()), 1)
    assert quantile(q, 0.5).abs().max() < 1e-12
    mixed = mixture(q)
    assert mixed.batch_shape == (5,)
    assert mixed.event_shape == (3,)
    values = quantile(mixed, LEVELS)
    assert values.shape == (7, 5, 3)
    assert torch.allclose(cdf(mixed, values), LEVELS.reshape(7, 1, 1).expand(7, 5, 3), atol=1e-9)


def test_quantiles_stay_inside_the_support_in_float32() -> None:
    tiny = quantile(Gamma(torch.tensor([0.05]), torch.tensor([1e8])), 1e-4)
    assert tiny.item() > 0
    shares = quantile(Beta(torch.tensor([1e-3, 50.0]), torch.tensor([50.0, 1e-3])), torch.tensor([0.01, 0.99]))
    assert bool(((shares > 0) & (shares < 1)).all())
