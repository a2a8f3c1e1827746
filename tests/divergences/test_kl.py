"""Kullback-Leibler: golden numbers, the likelihood at data, what is refused, and that it is proper and unbiased."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Exponential,
    Gamma,
    Independent,
    Laplace,
    MultivariateNormal,
    Normal,
    Poisson,
)

from trine.divergences import KL, divergences, log_score
from trine.errors import ChoiceError
from trine.rules import LogitNormal, SoftplusNormal, mixture


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def kl(p: torch.distributions.Distribution, q: torch.distributions.Distribution) -> float:
    """KL(p ‖ q): p is the target and q what is predicted."""
    return KL()(q, p).item()


def test_golden_numbers() -> None:
    assert kl(Normal(t(0.3), t(0.8)), Normal(t(-0.5), t(1.7))) == pytest.approx(0.4752250896, abs=1e-10)
    assert kl(Laplace(t(0.3), t(0.8)), Laplace(t(-0.5), t(1.7))) == pytest.approx(0.3974797747, abs=1e-10)
    assert kl(Exponential(t(1.3)), Exponential(t(0.7))) == pytest.approx(0.1575007469, abs=1e-10)
    a = MultivariateNormal(t(0.0, 1.0)[None], torch.stack([t(1.0, 0.3), t(0.3, 0.5)]))
    b = MultivariateNormal(t(0.5, -0.5)[None], torch.stack([t(0.7, -0.2), t(-0.2, 1.4)]))
    assert kl(a, b) == pytest.approx(1.2739039110, abs=1e-9)
    p, q = Categorical(t(0.5, 0.2, 0.3)[None]), Categorical(t(0.1, 0.6, 0.3)[None])
    assert kl(p, q) == pytest.approx(0.5849964985, abs=1e-10)
    rates = Poisson(t(3.0)), Poisson(t(5.0))
    assert kl(*rates) == pytest.approx(3 * math.log(3 / 5) - 3 + 5, abs=1e-10)
    m, s = 0.7, 0.4
    standard = (m * m + s * s - 1) / 2 - math.log(s)
    assert kl(Normal(t(m), t(s)), Normal(t(0.0), t(1.0))) == pytest.approx(standard, abs=1e-10)


def test_not_symmetric_zero_only_when_equal_additive_over_events() -> None:
    p, q = Normal(t(0.3, 1.0), t(0.8, 2.0)), Normal(t(-0.5, 0.0), t(1.7, 1.0))
    assert not torch.allclose(KL()(p, q), KL()(q, p))
    assert torch.equal(KL()(p, p), t(0.0, 0.0))
    whole = KL()(Independent(q, 1), Independent(p, 1))
    assert whole.item() == pytest.approx(KL()(q, p).sum().item())


def test_a_prior_without_batch_serves_every_example() -> None:
    prior = Independent(Normal(torch.zeros(3), torch.ones(3)), 1)
    code = Independent(Normal(torch.randn(5, 3), torch.rand(5, 3) + 0.1), 1)
    values = KL()(prior, code)
    assert values.shape == (5,)
    expected = ((code.mean**2 + code.variance - 1) / 2 - code.stddev.log()).sum(-1)
    assert torch.allclose(values, expected, atol=1e-5)


def test_heads_at_extreme_activations_are_finite() -> None:
    a = torch.tensor([-1e3, 1e3], requires_grad=True)
    for y in (0.0, 1.0):
        values = KL()(Bernoulli(logits=a), torch.full((2,), y))
        assert torch.allclose(values, torch.nn.functional.softplus(a) - y * a)
        (grad,) = torch.autograd.grad(values.sum(), a)
        assert torch.allclose(grad, torch.sigmoid(a) - y)
    logits = torch.tensor([[1e3, -1e3, 0.0]], requires_grad=True)
    value = KL()(Categorical(logits=logits), torch.tensor([1]))
    assert value.item() == pytest.approx(2000.0)
    (grad,) = torch.autograd.grad(value.sum(), logits)
    assert grad.tolist() == [[1.0, -1.0, 0.0]]


def test_members_are_averaged_not_mixed() -> None:
    q = Normal(torch.tensor([[0.0, 0.0], [2.0, 2.0]]), torch.ones(2, 2))
    y = torch.tensor([0.0, 1.0])
    assert torch.allclose(KL()(q, y), -q.log_prob(y).mean(0))
    jensen = -mixture(q).log_prob(y)
    assert bool((jensen <= KL()(q, y) + 1e-6).all())


@pytest.mark.parametrize("q", [Beta(t(2.0, 0.3), t(0.5, 3.0)), LogitNormal(t(0.0, 1.0), t(1.0, 0.4))])
def test_shares_of_nothing_and_everything_are_finite(q: torch.distributions.Distribution) -> None:
    for y in (0.0, 1.0):
        assert log_score(q, t(y, y)).isfinite().all()
    inner = t(0.3, 0.6)
    assert torch.allclose(log_score(q, inner), -q.log_prob(inner))


def test_expectation_over_data_differs_from_kl_by_the_entropy_and_is_unbiased_in_minibatches() -> None:
    p, m = Normal(t(0.3), t(0.8)), t(-0.5).requires_grad_()
    torch.manual_seed(0)
    y = p.sample((100_000,)).squeeze(-1)
    q = Normal(m.expand(len(y)), t(1.7))
    value = KL()(q, y).mean()
    assert value.item() == pytest.approx(kl(p, Normal(t(-0.5), t(1.7))) + p.entropy().item(), abs=0.01)
    # The mean of the gradients of minibatches of 4 is the gradient of the divergence itself.
    scores = ((m - y) / 1.7**2).detach().reshape(-1, 4).mean(1)
    exact = torch.autograd.grad(KL()(Normal(m, t(1.7)), p), m)[0].item()
    z = (scores.mean() - exact) / (scores.std() / len(scores) ** 0.5)
    assert abs(z.item()) < 4
    assert torch.autograd.grad(value, m)[0].item() == pytest.approx(scores.mean().item())


def test_what_has_no_form_is_refused_with_the_reason() -> None:
    with pytest.raises(ChoiceError, match=r"KL between samples and samples .* needs a density"):
        KL()(torch.zeros(3), torch.zeros(3))
    mixed = mixture(Normal(torch.zeros(2, 3), torch.ones(2, 3)))
    with pytest.raises(ChoiceError, match="one is over a density, the other over counts"):
        KL()(mixed, Poisson(torch.ones(3)))
    assert KL()(Gamma(torch.ones(3), torch.ones(3)), mixed).isinf().all()
    with pytest.raises(ChoiceError, match=r"shape \(3, 1\)"):
        KL()(Normal(torch.zeros(3), torch.ones(3)), torch.zeros(3, 1))


def test_beta_weighs_rows_by_their_scale_in_training_alone() -> None:
    y = torch.tensor([0.5, 3.0])
    loc = torch.zeros(2, requires_grad=True)
    scale = torch.tensor([0.5, 4.0], requires_grad=True)
    for beta in (0.25, 0.5, 1.0):
        weighted = KL(beta=beta)
        for q in (Normal(loc, scale), Laplace(loc, scale), SoftplusNormal(loc, scale, 2.0)):
            exact = -q.log_prob(y)
            by_hand = (exact * scale.detach() ** (2 * beta)).sum()
            expected = torch.autograd.grad(by_hand, (loc, scale), retain_graph=True)
            found = torch.autograd.grad(weighted.train()(q, y).sum(), (loc, scale), retain_graph=True)
            assert torch.allclose(torch.stack(found), torch.stack(expected))
            assert torch.equal(weighted.eval()(q, y), exact)
    # At 1 a location learns by the error itself.
    grad = torch.autograd.grad(KL(beta=1.0)(Normal(loc, scale), y).sum(), loc)[0]
    assert torch.allclose(grad, -y)
    counts = Poisson(torch.tensor([2.0, 3.0]))
    assert torch.equal(KL(beta=0.5)(counts, torch.tensor([1.0, 2.0])), KL()(counts, torch.tensor([1.0, 2.0])))
    with pytest.raises(ChoiceError, match=r"beta is 1\.5"):
        KL(beta=1.5)


def test_formulas_and_name() -> None:
    assert divergences["kl"] is KL
    assert KL().describe("y_hat", "y.price") == "KL(data ‖ q) = E[−log q(price | x, θ)] + const"
    assert KL().describe("x_hat", "x") == "KL(data ‖ q) = E[−log q(x | z, θ)] + const"
    assert KL().describe("prior", "code") == "KL(code ‖ prior)"
    assert KL.unbiased
    assert KL(beta=0.5).describe("y_hat", "y.price").endswith("+ const, each row times its scale^1 while training")
    assert KL(beta=0.5).describe("blank.price", "y.price") == "E[−scale^1 · log q(price | nothing known, θ)]"
    assert KL().describe("blank.price", "y.price") == "E[−log q(price | nothing known, θ)]"


@pytest.mark.parametrize("validate", [False, True])
def test_the_score_of_pixels_is_torchs_to_the_bit(validate: bool) -> None:
    torch.manual_seed(0)
    logits = (10 * torch.randn(20, 1, 4, 4)).requires_grad_()
    y = (torch.rand(20, 1, 4, 4) < 0.5).float()
    q = Independent(Bernoulli(logits=logits, validate_args=validate), 3)
    found, known = log_score(q, y), -q.log_prob(y)
    assert torch.equal(found, known)
    slopes = [torch.autograd.grad(value.sum(), logits)[0] for value in (found, known)]
    assert torch.equal(*slopes)


def test_a_bernoulli_that_checks_its_values_still_does() -> None:
    with pytest.raises(ValueError, match="support"):
        log_score(Bernoulli(logits=torch.zeros(2), validate_args=True), torch.tensor([0.0, 2.0]))
