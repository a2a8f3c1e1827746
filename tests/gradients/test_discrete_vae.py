"""A variational autoencoder with a discrete code in the one loop: the gradient of its code comes from each estimator.

The code is small, so that the evidence lower bound (ELBO) and its gradient are known by enumeration.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, OneHotCategorical

from trine.criterion import Criterion, Term
from trine.data import Batches, Store
from trine.divergences import KL, Expectation
from trine.errors import ChoiceError
from trine.gradients import Estimator, estimator
from trine.procedures import Descent
from trine.training import train

BITS, PIXELS, ROWS = 4, 12, 512
NAMES = [
    "exact",
    "score(mean)",
    "score(leave-one-out)",
    "score(learned)",
    "rebar",
    "relax",
    "gumbel-softmax(0.5)",
    "straight-through",
]


class DiscreteAutoencoder(nn.Module):
    """x in {0, 1}^12 → q(z | x) over 4 bits, or over 8 categories → p(x | z)."""

    def __init__(self, name: str, categories: bool = False) -> None:
        super().__init__()
        self.categories = categories
        code = 8 if categories else BITS
        self.encoder = nn.Sequential(nn.Linear(PIXELS, 32), nn.Tanh(), nn.Linear(32, code))
        self.decoder = nn.Linear(code, PIXELS)
        self.estimator: Estimator = estimator(name, self.code(torch.zeros(1, code)))

    def code(self, logits: Tensor) -> Distribution:
        if self.categories:
            return OneHotCategorical(logits=logits, validate_args=False)
        return Independent(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        x = batch["x"]
        logits = self.encoder(x)
        q = self.code(logits)

        def surprise(z: Tensor) -> Tensor:
            return -Independent(Bernoulli(logits=self.decoder(z), validate_args=False), 1).log_prob(x)

        prior = self.code(torch.zeros_like(logits))
        return {"code": q, "prior": prior, "reconstruction": self.estimator(q, surprise, 2)}


def criterion() -> Criterion:
    return Criterion(Term(Expectation("−log p(x | z)"), "reconstruction", "x"), Term(KL(), "prior", "code"))


@functools.cache
def patterns() -> Store:
    """Sums modulo 2 of four random patterns, with a tenth of the pixels flipped: 4 bits of structure."""
    generator = torch.Generator().manual_seed(0)
    basis = (torch.rand(BITS, PIXELS, generator=generator) < 0.4).float()
    codes = (torch.rand(ROWS, BITS, generator=generator) < 0.5).float()
    x = (codes @ basis) % 2
    flipped = torch.rand(x.shape, generator=generator) < 0.05
    return Store.of(x=torch.where(flipped, 1 - x, x))


def bound(model: DiscreteAutoencoder) -> float:
    """The exact ELBO, nats a row: the code enumerated."""
    kept, model.estimator = model.estimator, estimator("exact")
    with torch.no_grad():
        batch = patterns().batch(torch.arange(ROWS))
        value = -criterion().eval()(model.eval()(batch), batch).total.item()
    model.estimator = kept
    return value


@functools.cache
def trained(name: str, categories: bool = False) -> tuple[float, float]:
    """The exact ELBO before and after training."""
    torch.manual_seed(0)
    model = DiscreteAutoencoder(name, categories)
    before = bound(model)
    batches = Batches(patterns(), batch_size=64, seed=0)
    train(model, criterion(), Descent(step_size=0.02, schedule="cosine"), batches, epochs=30, seed=0)
    return before, bound(model)


def without_a_code() -> float:
    """The best bound of a model that ignores its code: each pixel by its frequency, nats a row."""
    share = patterns().batch(torch.arange(ROWS))["x"].mean(0)
    return float(-Bernoulli(share).entropy().sum())


@pytest.mark.parametrize("name", NAMES)
def test_the_bound_rises_with_every_estimator(name: str) -> None:
    before, after = trained(name)
    _, exact = trained("exact")
    assert after > without_a_code() + 0.1
    assert (after - before) / (exact - before) > 0.65


def test_less_variance_is_more_learning() -> None:
    bounds = [trained(name)[1] for name in ("score(leave-one-out)", "rebar", "exact")]
    assert bounds == sorted(bounds)


@pytest.mark.parametrize("name", ["score(leave-one-out)", "rebar", "gumbel-softmax(0.5)", "straight-through"])
def test_a_categorical_code_learns_too(name: str) -> None:
    before, after = trained(name, categories=True)
    _, exact = trained("exact", categories=True)
    assert exact > without_a_code() + 1.0
    assert after > without_a_code() + 0.1
    assert (after - before) / (exact - before) > 0.5


@pytest.mark.parametrize("name", ["score(leave-one-out)", "score(learned)", "rebar", "relax"])
def test_the_gradient_of_the_bound_is_unbiased_in_every_weight(name: str) -> None:
    torch.manual_seed(1)
    model = DiscreteAutoencoder(name)
    batch = patterns().batch(torch.arange(64))
    weights = [*model.encoder.parameters(), *model.decoder.parameters()]

    def gradient() -> Tensor:
        loss = criterion()(model(batch), batch).total
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)])

    found = torch.stack([gradient() for _ in range(400)]).double()
    model.estimator = estimator("exact")
    truth = gradient().double()
    z = (found.mean(0) - truth) / (found.std(0) / len(found) ** 0.5)
    assert z.abs().max() < 5  # of some 600 weights
    assert z.square().mean() == pytest.approx(1.0, abs=0.5)


def test_the_criterion_says_what_is_expected() -> None:
    assert criterion().describe() == "L(θ) = E[−log p(x | z)] + " + KL().describe("prior", "code")
    assert Expectation().describe("cost", "x") == "E cost"
    with pytest.raises(ChoiceError, match="one number an example"):
        Expectation()(torch.zeros(3, 2), torch.zeros(3))
