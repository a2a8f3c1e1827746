"""Layers of independent normal weights: outputs' moments, the evidence lower bound's complexity, draws."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.distributions import Laplace, Normal

from trine.blocks.mean_field import MeanField, mean_field, weight_posterior
from trine.criterion import ComplexityTerm
from trine.models import MeanFieldDraws
from trine.priors import prior_of

LAYERS = {
    "linear": (lambda: nn.Linear(5, 3), (5,)),
    "conv2d": (lambda: nn.Conv2d(2, 3, 3, padding=1, stride=2), (2, 5, 5)),
    "conv1d": (lambda: nn.Conv1d(2, 3, 3), (2, 7)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_noise_of_outputs_has_the_moments_that_noise_of_weights_gives(kind: str) -> None:
    torch.manual_seed(0)
    make, shape = LAYERS[kind]
    network = nn.Sequential(make())
    assert mean_field(network, 0.2) == ["0"]
    layer = network[0]
    assert isinstance(layer, MeanField)
    x = torch.randn(1, *shape)
    network.train()
    local = network(x.expand(20_000, *shape))
    plain = {name: value.detach().clone() for name, value in layer.named_parameters()}
    network.eval()
    drawn = []
    for _ in range(4000):
        with torch.no_grad():
            layer.weight.copy_(plain["weight"] + 0.2 * torch.randn_like(plain["weight"]))
            layer.bias.copy_(plain["bias"] + 0.2 * torch.randn_like(plain["bias"]))
            drawn.append(network(x)[0])
    by_weights = torch.stack(drawn)
    scale = by_weights.std(0)
    assert ((local.mean(0) - by_weights.mean(0)).abs() / scale).max() < 0.1
    assert (local.std(0) / scale - 1).abs().max() < 0.08


def test_a_row_of_zeros_has_a_finite_slope() -> None:
    network = nn.Sequential(nn.Linear(4, 2, bias=False))
    mean_field(network)
    network.train()(torch.zeros(3, 4)).sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in network.parameters())


@pytest.mark.parametrize("text", ["normal(0.7)", "laplace(0.4)", "spike-slab(0.4, 1, 0.1)"])
def test_complexity_is_the_divergence_from_the_prior(text: str) -> None:
    torch.manual_seed(0)
    q = Normal(0.5 * torch.randn(50), 0.05 + 0.5 * torch.rand(50))
    prior, rows = prior_of(text), 10
    term = ComplexityTerm(prior, rows)
    draws = 400 if text.startswith("spike") else 1
    batch = {"x": torch.zeros(6, 2)}
    found = torch.stack([term.values({"theta": q}, batch) for _ in range(draws)])
    assert found.shape == (draws, 6)
    theta = q.sample((200_000,))
    exact = (q.log_prob(theta) - prior.distribution(theta).log_prob(theta)).mean(0).sum() / rows
    assert float(found.mean()) == pytest.approx(float(exact), rel=0.03)
    if text.startswith("normal"):
        closed = torch.distributions.kl_divergence(q, Normal(0.0, 0.7)).sum() / rows
        assert float(found.mean()) == pytest.approx(float(closed), rel=1e-5)
    assert term.divergence.describe("theta", "theta").startswith("KL(q(θ) ‖ p(θ))/10")


def test_complexity_moves_towards_the_prior() -> None:
    mean, rho = torch.full((30,), 2.0, requires_grad=True), torch.full((30,), -3.0, requires_grad=True)
    term = ComplexityTerm(prior_of("laplace(0.5)"), 1)
    optimiser = torch.optim.Adam([mean, rho], 0.05)
    for _ in range(400):
        optimiser.zero_grad()
        term.values({"theta": Normal(mean, rho.exp())}, {"x": torch.zeros(1)}).sum().backward()
        optimiser.step()
    assert mean.abs().max() < 0.05
    # Of all normals the nearest to a Laplace distribution of scale b has standard deviation b · √(π/2).
    torch.testing.assert_close(rho.exp().mean(), torch.tensor(0.5 * math.sqrt(math.pi / 2)), rtol=0.02, atol=0.0)
    assert Laplace(0.0, 0.5).entropy() > 0


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(3, 8), nn.LayerNorm(8), nn.Linear(8, 2)

    def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"z": self.last(self.norm(self.first(batch["x"]).relu()))}


def test_draws_come_from_what_was_found_and_the_means_stay() -> None:
    torch.manual_seed(0)
    model = MeanFieldDraws(Network(), 4000)
    q = weight_posterior(model.base)
    before = model.flat()
    model.draw()
    torch.testing.assert_close(model.flat(), before)
    assert model.theta.shape == (4000, q.loc.numel())
    assert (model.theta.mean(0) - before).abs().max() < 5 * float(q.scale.max()) / 4000**0.5
    assert (model.theta.std(0) / q.scale.max() - 1).abs().max() < 0.06
    assert "theta" in model.train()({"x": torch.randn(2, 3)})
    assert not any(name.startswith("norm") for name in model.names)
