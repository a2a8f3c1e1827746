"""Cramér: the distance its score belongs to, properness, unbiasedness, robustness, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import (
    Beta,
    Distribution,
    Gamma,
    Laplace,
    LogNormal,
    MultivariateNormal,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)

from trine.divergences import KL, Cramer, Divergence, crps, divergences
from trine.errors import ChoiceError
from trine.rules import LogitNormal, OrderedCategorical, mixture


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


P, Q = Normal(t(0.3), t(0.8)), Normal(t(-0.5), t(1.7))


def test_golden_numbers_between_distributions() -> None:
    assert Cramer()(P, Q).item() == pytest.approx(0.2224932346, abs=1e-10)
    p, q = OrderedCategorical(t(0.5, 0.2, 0.3)[None]), OrderedCategorical(t(0.1, 0.6, 0.3)[None])
    assert Cramer()(p, q).item() == pytest.approx(0.16, abs=1e-12)


def test_expected_score_exceeds_that_of_the_truth_by_the_distance() -> None:
    torch.manual_seed(0)
    y = P.sample((400_000,)).squeeze(-1)
    excess = crps(Q.expand(y.shape), y) - crps(P.expand(y.shape), y)
    error = excess.std().item() / len(y) ** 0.5
    assert excess.mean().item() == pytest.approx(0.2224932346, abs=4 * error)
    calibrated = crps(P.expand(y.shape), y)
    assert calibrated.mean().item() == pytest.approx(0.8 / math.sqrt(math.pi), abs=0.003)


TRUTH: dict[str, tuple[Distribution, list[Distribution]]] = {
    "normal": (P, [Q, Normal(t(0.3), t(1.1)), Normal(t(0.5), t(0.8))]),
    "laplace": (Laplace(t(0.3), t(0.8)), [Laplace(t(0.5), t(0.8)), Laplace(t(0.3), t(1.1))]),
    "student": (
        StudentT(t(4.3), t(0.3), t(0.8)),
        [StudentT(t(4.3), t(0.6), t(0.8)), StudentT(t(4.3), t(0.3), t(1.2)), StudentT(t(40.0), t(0.3), t(1.3))],
    ),
    "lognormal": (LogNormal(t(0.3), t(0.8)), [LogNormal(t(0.5), t(0.8)), LogNormal(t(0.3), t(1.1))]),
    "gamma": (Gamma(t(2.0), t(1.3)), [Gamma(t(3.0), t(1.3)), Gamma(t(3.0), t(1.95))]),
    "beta": (Beta(t(2.0), t(1.3)), [Beta(t(3.0), t(1.3)), Beta(t(4.0), t(2.6))]),
    "logit-normal": (LogitNormal(t(0.3), t(0.8)), [LogitNormal(t(0.5), t(0.8)), LogitNormal(t(0.3), t(1.4))]),
    "poisson": (Poisson(t(3.0)), [Poisson(t(3.5)), Poisson(t(2.5))]),
    "negative-binomial": (
        NegativeBinomial(t(2.0), logits=t(0.7)),
        [NegativeBinomial(t(2.0), logits=t(1.0)), NegativeBinomial(t(4.0), logits=t(0.7 - math.log(2)))],
    ),
    "ordered": (OrderedCategorical(t(0.5, 0.2, 0.3)[None]), [OrderedCategorical(t(0.4, 0.4, 0.2)[None])]),
    "categorical": (
        torch.distributions.Categorical(t(0.5, 0.2, 0.3)[None]),
        [torch.distributions.Categorical(t(0.6, 0.2, 0.2)[None])],
    ),
}


@pytest.mark.parametrize("divergence", [KL(), Cramer()], ids=["kl", "cramer"])
@pytest.mark.parametrize("name", TRUTH)
def test_proper(divergence: Divergence, name: str) -> None:
    """No other distribution scores better, on average over samples of the truth, than the truth."""
    truth, others = TRUTH[name]
    torch.manual_seed(1)
    y = truth.sample((20_000,)).squeeze(-1)
    best = divergence(truth.expand(y.shape), y)
    for other in others:
        excess = divergence(other.expand(y.shape), y) - best
        assert excess.mean().item() > 3 * excess.std().item() / len(y) ** 0.5


def test_minibatch_gradient_is_unbiased() -> None:
    assert Cramer.unbiased
    m = t(-0.5).requires_grad_()
    torch.manual_seed(0)
    y = P.sample((100_000,)).squeeze(-1)
    z = (y - m.detach()) / 1.7
    each = 1 - 2 * torch.special.ndtr(z)  # ∂ CRPS / ∂ location of N(m, 1.7)
    batches = each.reshape(-1, 4).mean(1)
    exact = torch.autograd.grad(Cramer()(Normal(m, t(1.7)), P), m)[0].item()
    assert abs((batches.mean() - exact).item()) < 4 * batches.std().item() / len(batches) ** 0.5
    mean = Cramer()(Normal(m.expand(len(y)), t(1.7)), y).mean()
    assert torch.autograd.grad(mean, m)[0].item() == pytest.approx(batches.mean().item())


def test_outliers_pull_no_harder_than_one() -> None:
    m = torch.zeros(1, requires_grad=True)
    y = torch.tensor([1e4])
    pull = {
        name: torch.autograd.grad(d(Normal(m, torch.ones(1)), y).sum(), m)[0].abs().item()
        for name, d in (("kl", KL()), ("cramer", Cramer()))
    }
    assert pull["cramer"] == pytest.approx(1.0)
    assert pull["kl"] == pytest.approx(1e4)


def test_energy_score_is_unbiased_for_its_closed_form() -> None:
    q = MultivariateNormal(torch.zeros(1, 2), torch.eye(2))  # independent normals have one without samples
    torch.manual_seed(0)
    few = torch.stack([Cramer(samples=1)(q, torch.zeros(1, 2)) for _ in range(4000)])
    # E‖X‖ = √(π/2) and E‖X − X'‖ = √π for two standard normals.
    exact = math.sqrt(math.pi / 2) - math.sqrt(math.pi) / 2
    assert few.mean().item() == pytest.approx(exact, abs=4 * few.std().item() / 4000**0.5)
    assert few.std() > 0.1
    with pytest.raises(ChoiceError, match="at least 1"):
        Cramer(samples=0)


def test_what_has_no_form_is_refused() -> None:
    with pytest.raises(ChoiceError, match="one is over counts, the other over a density"):
        Cramer()(Poisson(t(3.0)), P)
    with pytest.raises(ChoiceError, match="Draw samples of the target first"):
        Cramer()(torch.zeros(3), P)
    with pytest.raises(ChoiceError, match="one target for each example"):
        Cramer()(Normal(torch.zeros(3), torch.ones(3)), torch.zeros(3, 1))


def test_formulas_and_name() -> None:
    assert divergences["cramer"] is Cramer
    assert Cramer().describe("y_hat", "y.price") == "Cramér(data, q) = E ∫ (F_q(t | x, θ) − 1{t ≥ price})² dt"
    assert Cramer().describe("prior", "code") == "∫ (F_prior(t) − F_code(t))² dt"


def test_predictions_of_members_as_one_mixture() -> None:
    q = Normal(torch.tensor([[0.0], [2.0]]), torch.ones(2, 1))
    y = torch.tensor([1.0])
    assert Cramer()(mixture(q), y).item() < Cramer()(q, y).item()
