"""The learned Jensen-Shannon divergence: hand-computed points, the known optimum, the penalty."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from trine.divergences import JensenShannon, LearnedDivergence, learned
from trine.errors import ChoiceError


class Affine(nn.Module):
    """D(x) = weight · x + bias, one logit for each sample."""

    def __init__(self, weight: list[float], bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.bias = nn.Parameter(torch.tensor(bias))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


def test_hand_computed_points() -> None:
    divergence = JensenShannon(Affine([0.0]))
    fake, real = torch.randn(4, 1), torch.randn(4, 1)
    assert torch.allclose(divergence(fake, real), torch.full((4,), math.log(2)))
    assert torch.allclose(divergence.tighten(fake, real), torch.full((4,), 2 * math.log(2)))
    sharp = JensenShannon(Affine([1.0]))
    r, f = real.squeeze(1), fake.squeeze(1)
    softplus = nn.functional.softplus
    assert torch.allclose(sharp(fake, real), softplus(-f))
    assert torch.allclose(sharp.tighten(fake, real), softplus(-r) + softplus(f))


def test_the_optimal_critic_gives_the_divergence() -> None:
    """Real N(0, 1), fake N(1, 1): the optimal logit is 1/2 − x, and −E tighten = −log 4 + 2 JS = −1.16345."""
    torch.manual_seed(0)
    divergence = JensenShannon(Affine([-1.0], 0.5))
    real, fake = torch.randn(400_000, 1), torch.randn(400_000, 1) + 1
    values = divergence.tighten(fake, real)
    assert -values.mean().item() == pytest.approx(-1.1634513968, abs=5 * values.std().item() / 400_000**0.5)
    bound = math.log(2) - values.mean().item() / 2
    assert bound == pytest.approx(0.1114214822, abs=3e-3)


def test_a_critic_descends_to_the_bound() -> None:
    torch.manual_seed(0)
    critic = Affine([0.3], -0.2)
    divergence = JensenShannon(critic)
    optimiser = torch.optim.LBFGS(critic.parameters(), max_iter=50, line_search_fn="strong_wolfe")
    real, fake = torch.randn(100_000, 1), torch.randn(100_000, 1) + 1

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = divergence.tighten(fake, real).mean()
        value.backward()
        return value

    optimiser.step(loss)
    assert math.log(2) - loss().item() / 2 == pytest.approx(0.1114214822, rel=0.05)
    assert critic.weight.item() == pytest.approx(-1.0, abs=0.05)


def test_r1_of_a_linear_critic_is_half_its_squared_slope() -> None:
    plain, penalised = JensenShannon(Affine([3.0, 4.0])), JensenShannon(Affine([3.0, 4.0]), r1=0.1)
    fake, real = torch.randn(5, 2), torch.randn(5, 2)
    assert torch.allclose(penalised.tighten(fake, real) - plain.tighten(fake, real), torch.full((5,), 0.1 * 12.5))
    penalised.tighten(fake, real).sum().backward()
    assert penalised.critic.weight.grad is not None
    with pytest.raises(ChoiceError, match="at least 0"):
        JensenShannon(Affine([1.0]), r1=-1.0)


def test_gradients_reach_the_model_when_descending_and_only_the_critic_when_tightening() -> None:
    divergence = JensenShannon(Affine([1.0]))
    fake = torch.randn(4, 1, requires_grad=True)
    divergence(fake, torch.randn(4, 1)).sum().backward()
    assert fake.grad is not None
    fake.grad = None
    divergence.tighten(fake, torch.randn(4, 1)).sum().backward()
    assert fake.grad is None


def test_priors_and_codes_are_sampled() -> None:
    prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    divergence = JensenShannon(Affine([1.0, 1.0]))
    code = torch.randn(6, 2)
    assert divergence.tighten(code, prior).shape == (6,)
    assert divergence.tighten(prior, code).shape == (6,)
    location = torch.zeros(6, 2, requires_grad=True)
    divergence(Independent(Normal(location, torch.ones(6, 2)), 1), prior).sum().backward()
    assert location.grad is not None


def test_patches_are_averaged_after_the_loss_and_conditions_are_passed_on() -> None:
    patches = torch.tensor([[3.0, -1.0]])
    divergence = JensenShannon(nn.Identity())
    assert divergence(patches, patches).item() == pytest.approx(nn.functional.softplus(-patches).mean().item())

    class Conditional(nn.Module):
        def forward(self, x: Tensor, given: Tensor) -> Tensor:
            return (x * given).squeeze(1)

    given = torch.tensor([[2.0]])
    value = JensenShannon(Conditional())(torch.tensor([[1.5]]), torch.zeros(1, 1), given)
    assert value.item() == pytest.approx(math.log1p(math.exp(-3.0)))


def test_name_formula_and_kind() -> None:
    assert learned["js"] is JensenShannon
    divergence = JensenShannon(Affine([1.0]))
    assert isinstance(divergence, LearnedDivergence)
    assert {name for name, _ in divergence.named_parameters()} == {"critic.weight", "critic.bias"}
    assert divergence.describe("fake", "x").startswith("JS(fake, x) = sup_D log 2")
