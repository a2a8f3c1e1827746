"""Members predict as one: the mixture has the mean density, mean and variance of its members."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Distribution,
    Gamma,
    Independent,
    Laplace,
    LogNormal,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)

from trine.rules import Logistic, LogitNormal, OrderedCategorical, arguments, mixture, parameters, point

R = torch.Generator().manual_seed(3)


def any_(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=R)


def pos(*shape: int) -> torch.Tensor:
    return any_(*shape).exp()


MEMBERS: dict[str, Distribution] = {
    "normal": Normal(any_(4, 5), pos(4, 5)),
    "laplace": Laplace(any_(4, 5), pos(4, 5)),
    "logistic": Logistic(any_(4, 5), pos(4, 5)),
    "student": StudentT(3 + pos(4, 5), any_(4, 5), pos(4, 5)),
    "lognormal": LogNormal(any_(4, 5), pos(4, 5) * 0.3),
    "gamma": Gamma(pos(4, 5), pos(4, 5)),
    "beta": Beta(pos(4, 5), pos(4, 5)),
    "logit-normal": LogitNormal(any_(4, 5), pos(4, 5)),
    "poisson": Poisson(pos(4, 5)),
    "negative-binomial": NegativeBinomial(pos(4, 5), logits=any_(4, 5)),
    "categorical": Categorical(logits=any_(4, 5, 3)),
    "ordered": OrderedCategorical(logits=any_(4, 5, 3)),
    "bernoulli": Bernoulli(logits=any_(4, 5)),
    "vector": Independent(Normal(any_(4, 5, 2), pos(4, 5, 2)), 1),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_density_is_the_mean_of_densities(name: str) -> None:
    q = MEMBERS[name]
    mixed = mixture(q)
    assert mixed.batch_shape == (5,)
    assert mixed.event_shape == q.event_shape
    y = q.sample()[0]
    assert torch.allclose(mixed.log_prob(y).exp(), q.log_prob(y).exp().mean(0), rtol=1e-4)


@pytest.mark.parametrize("name", [name for name in MEMBERS if name not in ("categorical", "ordered")])
def test_moments_obey_the_law_of_total_variance(name: str) -> None:
    q = MEMBERS[name]
    mixed = mixture(q)
    assert torch.allclose(mixed.mean, q.mean.mean(0), rtol=1e-4)
    total = q.variance.mean(0) + q.mean.var(0, unbiased=False)
    assert torch.allclose(mixed.variance, total, rtol=1e-3)
    assert torch.equal(point(mixed), mixed.mean)


def test_finite_families_stay_themselves_also_where_float32_rounds_probabilities() -> None:
    assert type(mixture(MEMBERS["categorical"])) is Categorical
    assert type(mixture(MEMBERS["ordered"])) is OrderedCategorical
    extreme = mixture(Bernoulli(logits=torch.tensor([[200.0], [-200.0]])))
    assert extreme.logits.item() == pytest.approx(0.0, abs=1e-6)
    sure = mixture(Bernoulli(logits=torch.tensor([[200.0], [201.0]])))
    assert sure.logits.item() == pytest.approx(200.3, abs=0.2)


@pytest.mark.parametrize("name", [name for name in MEMBERS if name != "vector"])
def test_arguments_build_the_same_distribution(name: str) -> None:
    q = MEMBERS[name]
    again = type(q)(**arguments(q))
    y = q.sample()
    assert torch.allclose(again.log_prob(y), q.log_prob(y), rtol=1e-6)


def test_parameters_are_what_a_table_shows() -> None:
    assert list(parameters(MEMBERS["gamma"])) == ["concentration", "rate"]
    assert parameters(MEMBERS["categorical"])["probs"].shape == (4, 5, 3)
    assert list(parameters(MEMBERS["vector"])) == ["loc", "scale"]
    mixed = parameters(mixture(MEMBERS["gamma"]))
    assert list(mixed) == ["weight", "concentration", "rate"]
    assert mixed["rate"].shape == (5, 4)
    assert torch.allclose(mixed["weight"], torch.full((5, 4), 0.25))
