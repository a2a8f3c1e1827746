"""A discrete prediction judged by a measure that has no gradient: expected F1 of sampled sets of labels, in the one loop."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent

from trine.criterion import Criterion, Term
from trine.data import Batches, Store
from trine.divergences import KL, Expectation
from trine.gradients import estimator
from trine.procedures import Descent
from trine.training import train

LABELS, ROWS = 4, 400


def loss_of_sets(x: Tensor, y: Tensor) -> Tensor:
    """1 − F1 of each set, 0 where both are empty; a step function of what is predicted."""
    both, sizes = (x * y).sum(-1), x.sum(-1) + y.sum(-1)
    return 1 - torch.where(sizes > 0, 2 * both / sizes.clamp_min(1), 1.0)


class Labeller(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.scores = nn.Linear(3, LABELS)
        like = self.sets(torch.zeros(1, LABELS))
        self.estimator = None if name == "likelihood" else estimator(name, like)

    @staticmethod
    def sets(logits: Tensor) -> Independent[Any]:
        return Independent(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        q = self.sets(self.scores(batch["x"]))
        if self.estimator is None:
            return {"y_hat": q}
        return {"y_hat": q, "cost": self.estimator(q, lambda x: loss_of_sets(x, batch["y"]), 8)}


@functools.cache
def data() -> Store:
    """Rare labels, hard to tell: what is likely and what scores well are not the same."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, 3, generator=generator)
    logits = x @ torch.randn(3, LABELS, generator=generator) - 1.0
    return Store.of(x=x, y=(torch.rand(ROWS, LABELS, generator=generator) < logits.sigmoid()).float())


@functools.cache
def expected_f1(name: str) -> float:
    """After training, exact over all sets and rows."""
    torch.manual_seed(0)
    model = Labeller(name)
    term = Term(KL(), "y_hat", "y") if name == "likelihood" else Term(Expectation("1 − F1"), "cost", "y")
    batches = Batches(data(), batch_size=50, seed=0)
    train(model, Criterion(term), Descent(step_size=0.05, schedule="cosine"), batches, epochs=30, seed=0)
    batch = data().batch(torch.arange(ROWS))
    with torch.no_grad():
        q = model.eval()(batch)["y_hat"]
        return 1 - float(estimator("exact")(q, lambda x: loss_of_sets(x, batch["y"])).mean())


@pytest.mark.parametrize("name", ["score(leave-one-out)", "score(mean)", "relax(black-box)"])
def test_a_measure_without_a_gradient_is_trained_for(name: str) -> None:
    """Close to what the exact gradient reaches, and better than what is likely."""
    assert expected_f1(name) > expected_f1("likelihood") + 0.05
    assert expected_f1(name) > 0.97 * expected_f1("exact")
