"""What the score function and the comparison take a distribution's support to be."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import (
    Beta,
    Categorical,
    Dirichlet,
    Distribution,
    Geometric,
    HalfNormal,
    Independent,
    MixtureSameFamily,
    NegativeBinomial,
    Normal,
    Pareto,
    Poisson,
    Uniform,
)

from trine.errors import ChoiceError
from trine.gradients import compare, estimator


def double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    "q",
    [Uniform(0.0, 2.0), Pareto(double(1.0), double(3.0)), Independent(Uniform(torch.zeros(3), 1.0), 1)],
    ids=["uniform", "pareto", "vector"],
)
def test_a_support_that_moves_with_its_parameters_is_refused_by_the_score(q: Distribution) -> None:
    """E x² under U(0, h) grows with h, and the score (f − b) · (−1/h) shrinks it."""
    for name in ("score", "score(mean)", "score(leave-one-out)"):
        with pytest.raises(ChoiceError, match=r"its support moves with its parameters.*Use pathwise"):
            estimator(name)(q, lambda x: x.flatten(1).sum(-1), 2)
    chosen = estimator("auto").chosen(q)  # type: ignore[attr-defined]
    assert str(chosen) == "pathwise"


def test_the_default_comparison_leaves_out_what_cannot_serve() -> None:
    """E x² = (h³ − l³) / 3(h − l): its slopes at U(0, 2) are 2/3 in l and 4/3 in h."""
    found = compare(Uniform(double(0.0), double(2.0)), lambda x: x**2, repeats=20_000)
    assert list(found.rows) == ["pathwise"]
    assert found.exact == pytest.approx([2 / 3, 4 / 3], rel=1e-6)
    assert found["pathwise"].z < 4


@pytest.mark.parametrize(
    "q",
    [Beta(1.5, 2.0), HalfNormal(1.0), Dirichlet(torch.ones(3)), Poisson(2.0), Categorical(torch.ones(3))],
    ids=lambda q: type(q).__name__,
)
def test_a_support_that_stays_is_served(q: Distribution) -> None:
    assert estimator("score").refusal(q, 1) == ""


@pytest.mark.parametrize(
    ("q", "second"),
    [
        (Poisson(double(3.0, 0.2)), lambda q: q.rate + q.rate**2),
        (Poisson(double(4000.0)), lambda q: q.rate + q.rate**2),
        (Geometric(logits=double(-1.0)), lambda q: q.variance + q.mean**2),
        (NegativeBinomial(double(0.05), logits=double(2.0)), lambda q: q.variance + q.mean**2),
    ],
    ids=["poisson", "large-poisson", "geometric", "negative-binomial"],
)
def test_counts_are_summed_until_no_mass_is_left(q: Distribution, second: Callable[[Distribution], Tensor]) -> None:
    summed = compare(q, lambda x: x**2, ["score(leave-one-out)"], repeats=20_000)
    given = compare(q, lambda x: x**2, ["score"], repeats=2, exact=second)
    assert summed.method.endswith("counts")
    assert summed.exact == pytest.approx(given.exact, rel=1e-6)
    assert summed["score(leave-one-out)"].z < 4


def test_a_mixture_s_gradient_is_known_by_quadrature() -> None:
    q = MixtureSameFamily(Categorical(logits=double(0.2, -0.3)), Normal(double(-1.0, 2.0), double(0.5, 1.0)))
    found = compare(q, lambda x: x**2, ["score(leave-one-out)"], repeats=20_000)
    given = compare(q, lambda x: x**2, ["score"], repeats=2, exact=lambda q: q.variance + q.mean**2)
    assert found.method == "quadrature"
    assert found.exact == pytest.approx(given.exact, rel=1e-6)
    assert found["score(leave-one-out)"].z < 4


def test_counts_too_many_to_sum_are_refused() -> None:
    with pytest.raises(ChoiceError, match="neither over a support that can be summed over"):
        compare(Poisson(double(1e7)), lambda x: x, ["score"])
