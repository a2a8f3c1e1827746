"""The closed forms of the CRPS: golden numbers, brute-force integrals, gradients, edges of float32."""

from __future__ import annotations

import itertools
import math

import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Gamma,
    Laplace,
    LogNormal,
    MixtureSameFamily,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)

from trine.divergences import Cramer, crps
from trine.rules import LogitNormal, OrderedCategorical, cdf, mixture


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


Y = t(1.1)
MIXTURE = MixtureSameFamily(Categorical(t(0.2, 0.5, 0.3)), Normal(t(-1.0, 0.4, 2.0), t(0.5, 1.2, 0.3)))


def test_golden_numbers() -> None:
    assert crps(Normal(t(0.3), t(0.8)), Y).item() == pytest.approx(0.4819530861, abs=1e-10)
    assert crps(Laplace(t(0.3), t(0.8)), Y).item() == pytest.approx(0.4943035530, abs=1e-10)
    assert crps(StudentT(t(4.3), t(0.3), t(0.8)), Y).item() == pytest.approx(0.4837997172, abs=1e-10)
    assert crps(Gamma(t(1.0), t(0.7)), Y).item() == pytest.approx(0.2800373380, abs=1e-10)  # exponential
    assert crps(Beta(t(1.0), t(1.0)), t(1 / 3)).item() == pytest.approx(0.2333333333 / 2.1, abs=1e-10)  # uniform
    mixed = MIXTURE.expand((1,))
    assert crps(mixed, Y).item() == pytest.approx(0.4564448853, abs=1e-10)


def test_golden_gradients_of_the_normal() -> None:
    m, s = t(0.3).requires_grad_(), t(0.8).requires_grad_()
    dm, ds = torch.autograd.grad(crps(Normal(m, s), Y), (m, s))
    assert dm.item() == pytest.approx(-0.6826894921, abs=1e-10)
    assert ds.item() == pytest.approx(-0.0802481345, abs=1e-10)


CONTINUOUS = {
    "normal": (lambda a, b: Normal(a, b), (0.3, 0.8), scipy.stats.norm(0.3, 0.8)),
    "laplace": (lambda a, b: Laplace(a, b), (0.3, 0.8), scipy.stats.laplace(0.3, 0.8)),
    "student": (lambda n, a, b: StudentT(n, a, b), (2.4, 0.3, 0.8), scipy.stats.t(2.4, 0.3, 0.8)),
    "lognormal": (lambda a, b: LogNormal(a, b), (0.3, 0.8), scipy.stats.lognorm(0.8, scale=math.exp(0.3))),
    "gamma": (lambda a, b: Gamma(a, b), (0.6, 1.3), scipy.stats.gamma(0.6, scale=1 / 1.3)),
    "gamma, narrow": (lambda a, b: Gamma(a, b), (900.0, 1000.0), scipy.stats.gamma(900, scale=1e-3)),
    "beta": (lambda a, b: Beta(a, b), (0.6, 1.7), scipy.stats.beta(0.6, 1.7)),
    "beta, narrow": (lambda a, b: Beta(a, b), (700.0, 300.0), scipy.stats.beta(700, 300)),
}


def integral(exact: scipy.stats.rv_continuous, y: float) -> float:
    """∫ (F − 1{x ≥ y})² by SciPy, between quantiles and y."""
    levels = [1e-10, 1e-7, 1e-5, 1e-3, 0.05, 0.5, 0.95, 1 - 1e-3, 1 - 1e-5, 1 - 1e-7, 1 - 1e-10]
    ends = sorted({*exact.ppf(levels).tolist(), y})
    return sum(
        scipy.integrate.quad(lambda x: exact.cdf(x) ** 2 if x < y else exact.sf(x) ** 2, low, high, epsabs=1e-10)[0]
        for low, high in itertools.pairwise(ends)
    )


@pytest.mark.parametrize("y", [-0.4, 0.02, 0.31, 0.69, 0.97, 1.4, 7.0])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_equals_the_integral(name: str, y: float) -> None:
    build, args, exact = CONTINUOUS[name]
    low, high = exact.support()
    value = crps(build(*(t(a) for a in args)), t(min(max(y, low), high))).item()
    assert value == pytest.approx(integral(exact, min(max(y, low), high)), abs=1e-6)


def test_logit_normal_by_quadrature_equals_the_integral() -> None:
    for loc, scale, at in ((0.3, 0.8, 0.6), (-2.0, 3.0, 0.97), (4.0, 0.02, 0.3)):
        q = LogitNormal(t(loc), t(scale))
        median = torch.sigmoid(t(loc)).item()

        def square(x: float, q: LogitNormal = q, at: float = at) -> float:
            return (cdf(q, t(x)).item() - (x >= at)) ** 2

        points = sorted({at, median, *(1 / (1 + math.exp(-loc - k * scale)) for k in (-3, 3))})
        exact = sum(
            scipy.integrate.quad(square, a, b, limit=300)[0]
            for a, b in zip([0.0, *points], [*points, 1.0], strict=True)
        )
        assert crps(q, t(at)).item() == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("y", [0, 1, 7, 60])
@pytest.mark.parametrize(
    ("q", "exact"),
    [
        (Poisson(t(0.3)), scipy.stats.poisson(0.3)),
        (Poisson(t(44.0)), scipy.stats.poisson(44)),
        (NegativeBinomial(t(0.3), logits=t(2.0)), scipy.stats.nbinom(0.3, 1 / (1 + math.exp(2.0)))),
        (NegativeBinomial(t(9.0), logits=t(-1.0)), scipy.stats.nbinom(9, 1 / (1 + math.exp(-1.0)))),
        (NegativeBinomial(t(5000.0), logits=t(-6.0)), scipy.stats.nbinom(5000, 1 / (1 + math.exp(-6.0)))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_counts_equal_the_sum(q, exact, y: int) -> None:
    k = np.arange(5000)
    expected = ((exact.cdf(k) - (k >= y)) ** 2).sum()
    assert crps(q, t(y)).item() == pytest.approx(expected, abs=1e-6)


def test_finite_families() -> None:
    p = t(0.5, 0.2, 0.3).expand(3, 3)
    y = torch.tensor([0, 1, 2])
    brier = ((p - torch.eye(3)) ** 2).sum(-1)
    assert torch.allclose(crps(Categorical(p), y), brier / 2)
    cumulative = t(0.5, 0.7)
    expected = torch.stack([((cumulative - t(*e)) ** 2).sum() for e in ((1.0, 1.0), (0.0, 1.0), (0.0, 0.0))])
    assert torch.allclose(crps(OrderedCategorical(p), y), expected)
    assert torch.allclose(crps(Bernoulli(t(0.3, 0.3)), t(0.0, 1.0)), t(0.09, 0.49))


@pytest.mark.parametrize("name", CONTINUOUS)
def test_gradients_equal_finite_differences(name: str) -> None:
    build, args, _ = CONTINUOUS[name]
    leaves = [t(a).requires_grad_() for a in args]
    for at in (0.31, 0.69, 0.97):
        grads = torch.autograd.grad(crps(build(*leaves), t(at)).sum(), leaves)
        for i, (grad, a) in enumerate(zip(grads, args, strict=True)):
            h = 1e-4 * abs(a)
            above = crps(build(*(t(v + h * (i == j)) for j, v in enumerate(args))), t(at))
            below = crps(build(*(t(v - h * (i == j)) for j, v in enumerate(args))), t(at))
            assert grad.item() == pytest.approx(((above - below) / (2 * h)).item(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("build", "args"),
    [
        (lambda a: Poisson(a), (3.3,)),
        (lambda a, b: NegativeBinomial(a, logits=b), (2.2, 0.7)),
        (lambda a, b: LogitNormal(a, b), (0.3, 0.8)),
        (lambda a, b: mixture(Gamma(a, b)), ((0.6, 3.0), (1.3, 2.0))),
    ],
    ids=["poisson", "negative-binomial", "logit-normal", "mixture of gammas"],
)
def test_gradients_of_counts_and_quadrature(build, args) -> None:
    y = t(2.0) if len(args) == 1 or args == (2.2, 0.7) else t(0.6)
    leaves = [
        torch.tensor(a, dtype=torch.float64).reshape(-1, *(1,) * isinstance(a, tuple)).requires_grad_() for a in args
    ]
    assert torch.autograd.gradcheck(
        lambda *values: crps(build(*values), y), leaves, eps=1e-5, atol=1e-5, rtol=1e-4, nondet_tol=0.0
    )


@pytest.mark.parametrize("name", ["laplace", "student", "lognormal", "gamma", "beta", "poisson", "negative-binomial"])
def test_mixtures_of_one_are_that_one_and_of_many_agree_with_samples(name: str) -> None:
    a, b = t(0.7, 3.0, 1.4), t(1.3, 0.6, 2.0)
    families = {
        "laplace": lambda i: Laplace(a[i], b[i]),
        "student": lambda i: StudentT(a[i] + 2, a[i], b[i]),
        "lognormal": lambda i: LogNormal(a[i], b[i] / 2),
        "gamma": lambda i: Gamma(a[i], b[i]),
        "beta": lambda i: Beta(a[i], b[i]),
        "poisson": lambda i: Poisson(a[i] * 5),
        "negative-binomial": lambda i: NegativeBinomial(a[i], logits=b[i]),
    }
    build = families[name]
    y = t(2.0) if name in ("poisson", "negative-binomial") else t(0.6)
    alone = build(slice(0, 1))
    assert crps(mixture(alone.expand((4, 1))), y).item() == pytest.approx(crps(alone, y).item(), abs=1e-7)
    mixed = mixture(build(torch.arange(3).unsqueeze(-1)))
    torch.manual_seed(1)
    first, second = mixed.sample((200_000,)), mixed.sample((200_000,))
    estimate = (first - y).abs() - 0.5 * (first - second).abs()
    error = estimate.std().item() / math.sqrt(len(estimate))
    assert crps(mixed, y).item() == pytest.approx(estimate.mean().item(), abs=5 * error)


@given(
    location=st.floats(-1e5, 1e5),
    log_scale=st.floats(-9, 9),
    y=st.floats(-1e6, 1e6),
    kind=st.sampled_from([Normal, Laplace, lambda m, s: StudentT(torch.tensor([2.05]), m, s)]),
)
@settings(max_examples=150, deadline=None)
def test_float32_holds_at_any_distance(location: float, log_scale: float, y: float, kind) -> None:
    m = torch.tensor([location]).requires_grad_()
    s = torch.tensor([math.exp(log_scale)]).requires_grad_()
    value = crps(kind(m, s), torch.tensor([y]))
    value.sum().backward()
    assert value.isfinite().all()
    assert value.item() >= -1e-5 * (abs(y) + abs(location) + s.item())
    assert abs(m.grad.item()) <= 1 + 1e-5
    assert s.grad.isfinite().all()


@given(log_mean=st.floats(-15, 20), log_total=st.floats(-4, 9), y=st.floats(0, 1e7).map(round))
@settings(max_examples=150, deadline=None)
def test_counts_in_float32_are_finite_and_between_their_bounds(log_mean: float, log_total: float, y: int) -> None:
    total = torch.tensor([math.exp(log_total)]).requires_grad_()
    logits = torch.tensor([log_mean - log_total]).requires_grad_()
    value = crps(NegativeBinomial(total, logits=logits), torch.tensor([float(y)]))
    value.sum().backward()
    assert total.grad.isfinite().all()
    assert logits.grad.isfinite().all()
    assert -1e-3 <= value.item() <= (y + math.exp(log_mean)) * (1 + 1e-4) + 1e-6


def test_members_are_averaged_and_vectors_scored_by_energy() -> None:
    q = Normal(torch.zeros(4, 3), torch.arange(1.0, 5.0).unsqueeze(-1).expand(4, 3))
    y = torch.tensor([0.0, 1.0, -2.0])
    assert torch.allclose(Cramer()(q, y), crps(q, y).mean(0))
    one = torch.distributions.Independent(Normal(torch.zeros(3, 1), torch.ones(3, 1)), 1)
    estimate = Cramer(samples=20_000)(one, y.unsqueeze(-1))
    assert torch.allclose(estimate, crps(Normal(torch.zeros(3), torch.ones(3)), y), atol=0.02)
    two = mixture(torch.distributions.Independent(Normal(torch.zeros(4, 3, 1), torch.ones(4, 3, 1)), 1))
    assert torch.allclose(Cramer(samples=20_000)(two, y.unsqueeze(-1)), estimate, atol=0.03)


@pytest.mark.parametrize("total", [0.02, 1.0, 3.7, 8000.0])
@pytest.mark.parametrize("logits", [-12.0, -1.0, 3.0, 20.0])
def test_half_the_mean_difference_of_counts_is_the_hypergeometric_function(total: float, logits: float) -> None:
    """CRPS of a negative binomial at 0 is its mean less ½ E|X − X'|, known by ₂F₁ to any number of digits."""
    with mpmath.workdps(40):
        p = 1 / (1 + mpmath.exp(logits))
        n = mpmath.mpf(total)
        half = n * (1 - p) / p**2 * mpmath.hyp2f1(n + 1, 0.5, 2, -4 * (1 - p) / p**2)
        expected = float(n * (1 - p) / p - half)
    value = crps(NegativeBinomial(t(total), logits=t(logits)), t(0.0)).item()
    assert value == pytest.approx(expected, rel=2e-7)
