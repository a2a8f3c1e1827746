"""Stochastic approximation: minibatch gradients are unbiased, and step sizes decide whether and how fast descent converges.

Theory: Robbins and Monro, 1951; Chung, 1954; Polyak and Juditsky, 1992. The problem of known optimum is that of
``benchmarks/stochastic_approximation.py``, whose figure stands in ``docs/stochastic-approximation.md``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.stochastic_approximation import START, H, Power, V, asymptotic, expected, run, stationary
from torch import Tensor, nn
from torch.distributions import Categorical, Normal

from trine.criterion import Criterion, Term
from trine.data import Batches, Store
from trine.divergences import KL, Expectation
from trine.errors import ChoiceError
from trine.procedures import Descent, RobbinsMonro
from trine.training import train

ROWS = 8

# The gradient of a minibatch -------------------------------------------------------------------------------------


class Scores(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        return {"y_hat": Categorical(logits=self.net(batch["x"]))}


@pytest.fixture
def gradients() -> Any:
    """(index of rows) → the gradient of the criterion on that minibatch, in all weights."""
    model, criterion = Scores(), Criterion(Term(KL(), "y_hat", "y"))
    x, y = torch.randn(ROWS, 3, dtype=torch.float64), torch.randint(3, (ROWS,))

    def of(rows: Any) -> Tensor:
        rows = torch.as_tensor(rows)
        loss = criterion(model({"x": x[rows]}), {"x": x[rows], "y": y[rows]}).total
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])

    return of


@pytest.mark.parametrize("replaced", [False, True], ids=["without replacement", "with replacement"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_mean_over_all_minibatches_is_the_gradient_and_their_variance_the_known_one(
    gradients: Any, size: int, replaced: bool
) -> None:
    every = itertools.product(range(ROWS), repeat=size) if replaced else itertools.combinations(range(ROWS), size)
    found = torch.stack([gradients(rows) for rows in every])
    assert len(found) == (ROWS**size if replaced else math.comb(ROWS, size))
    each = torch.stack([gradients([row]) for row in range(ROWS)])
    torch.testing.assert_close(found.mean(0), gradients(range(ROWS)), rtol=1e-10, atol=1e-12)
    expected_variance = each.var(0, correction=0) / size
    if not replaced:
        expected_variance = expected_variance * (ROWS - size) / (ROWS - 1)
    torch.testing.assert_close(found.var(0, correction=0), expected_variance, rtol=1e-9, atol=1e-14)


def test_an_epoch_of_batches_is_a_uniform_partition(gradients: Any) -> None:
    """Batches of an epoch average to the gradient exactly; over seeds every pair of rows is the first batch equally often."""
    store = Store.of(x=torch.arange(ROWS, dtype=torch.float32)[:, None])
    firsts = np.zeros((ROWS, ROWS))
    for seed in range(2000):
        epoch = list(Batches(store, batch_size=2, seed=seed).index(0))
        if seed < 5:
            total = torch.stack([gradients(rows) for rows in epoch]).mean(0)
            torch.testing.assert_close(total, gradients(range(ROWS)), rtol=1e-10, atol=1e-12)
        first, second = sorted(epoch[0].tolist())
        firsts[first, second] += 1
    pairs = firsts[np.triu_indices(ROWS, 1)]
    share = 1 / math.comb(ROWS, 2)
    assert np.abs(pairs - 2000 * share).max() < 4.5 * math.sqrt(2000 * share * (1 - share))


# Step sizes within the conditions, and outside ---------------------------------------------------------------------


def test_chains_follow_the_exact_recursion_at_every_step() -> None:
    schedule = RobbinsMonro(1 / H, exponent=0.8, offset=2.0)
    paths = run(schedule, total=300, chains=4000, looks=12)
    ratio = paths.error() / expected(schedule, paths.at)
    assert np.abs(ratio - 1).max() < 5 * math.sqrt(2 / 4000)


@pytest.mark.parametrize("a", [1 / H, 1.0], ids=["best", "twice the best"])
def test_a_over_t_reaches_chung_s_variance(a: float) -> None:
    total = 1500
    paths = run(RobbinsMonro(a, exponent=1.0, offset=1.0), total, chains=4000)
    assert total * paths.variance() == pytest.approx(asymptotic(a), rel=0.08)
    assert asymptotic(a) >= V / H**2
    slope = np.polyfit(np.log(paths.at[-25:]), np.log(paths.error()[-25:]), 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.1)


def test_too_small_an_a_is_slower_than_one_over_t() -> None:
    """2 a H = 0.4: the distance from the start is forgotten as t^−0.4 only."""
    paths = run(RobbinsMonro(0.1, exponent=1.0, offset=1.0), total=1500, chains=500)
    slope = np.polyfit(np.log(paths.at[-25:]), np.log(paths.error()[-25:]), 1)[0]
    assert slope == pytest.approx(-2 * 0.1 * H, abs=0.06)


def test_the_mean_of_the_iterates_is_as_good_as_the_best_step_size() -> None:
    total = 3000
    paths = run(RobbinsMonro(1 / H, exponent=0.7, offset=1.0), total, chains=3000, looks=5)
    assert total * paths.average[-1].var(ddof=1) == pytest.approx(V / H**2, rel=0.12)
    assert paths.error()[-1] > 5 * paths.error(averaged=True)[-1]


def test_where_the_sum_of_squares_is_infinite_a_constant_step_keeps_wandering() -> None:
    paths = run(Power(0.1, exponent=0.0), total=400, chains=4000, looks=30)
    assert paths.variance() == pytest.approx(stationary(0.1), rel=0.1)
    assert stationary(0.1) == pytest.approx(0.0278, abs=1e-4)
    late = paths.error()[-8:]
    assert late.min() > 0.85 * late.max()  # no progress any more
    assert np.abs(paths.theta[-1]).max() > 0.3


def test_where_the_sum_is_finite_it_stops_short_of_the_optimum() -> None:
    left = START * math.prod(1 - 0.3 * H / t**2 for t in range(1, 2001))
    paths = run(Power(0.3, exponent=2.0), total=2000, chains=500, looks=30)
    assert left > 0.25 * START
    assert paths.theta[-1].mean() == pytest.approx(left, abs=5 * paths.theta[-1].std() / math.sqrt(500))
    assert np.abs(paths.theta[-1] - paths.theta[-8]).max() < 0.02  # it has stopped


@pytest.mark.parametrize(("exponent", "reason"), [(2.0, "finite"), (0.5, "infinite")])
def test_the_schedule_refuses_what_the_conditions_exclude(exponent: float, reason: str) -> None:
    with pytest.raises(ChoiceError, match=f"makes Σ α_t.* {reason}"):
        RobbinsMonro(0.3, exponent=exponent)


# Through train, on data ------------------------------------------------------------------------------------------


class Location(nn.Module):
    def __init__(self, cost: Any) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.cost = cost

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        return {"cost": self.cost(self.theta, batch["x"][:, 0])}


def located(cost: Any, x: Tensor, schedule: RobbinsMonro) -> float:
    model = Location(cost)
    batches = Batches(Store.of(x=x[:, None]), batch_size=1, seed=0)
    train(
        model,
        Criterion(Term(Expectation(), "cost", "x")),
        Descent(optimiser="sgd", schedule=schedule),
        batches,
        epochs=1,
    )
    return float(model.theta.detach())


def test_one_over_t_on_the_squared_distance_is_the_sample_mean() -> None:
    x = torch.randn(200, dtype=torch.float64) * 3 + 1
    found = located(lambda theta, x: 0.5 * (theta - x) ** 2, x, RobbinsMonro(1.0, exponent=1.0, offset=1.0))
    assert found == pytest.approx(float(x.mean()), rel=1e-10)


def test_the_pinball_loss_gives_the_quantile() -> None:
    tau, n = 0.8, 4000
    x = torch.randn(n, dtype=torch.float64)
    found = located(
        lambda theta, x: torch.where(x > theta, tau * (x - theta), (1 - tau) * (theta - x)),
        x,
        RobbinsMonro(3.0, exponent=1.0, offset=1.0),
    )
    truth = Normal(0.0, 1.0).icdf(torch.tensor(tau))
    density = Normal(0.0, 1.0).log_prob(truth).exp()
    spread = math.sqrt(9 * tau * (1 - tau) / (2 * 3 * float(density) - 1) / n)  # a² v / (2 a H − 1), H = density
    assert found == pytest.approx(float(truth), abs=4 * spread)


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(2, 1, dtype=torch.float64)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        return {"y_hat": Normal(self.line(batch["x"]).squeeze(-1), 1.0)}


def test_least_squares_by_minibatches_reaches_the_normal_equations_only_with_steps_that_shrink() -> None:
    x = torch.randn(400, 2, dtype=torch.float64)
    y = x @ torch.tensor([1.0, -2.0], dtype=torch.float64) + 0.5 + torch.randn(400, dtype=torch.float64)
    design = torch.cat([x, torch.ones(400, 1, dtype=torch.float64)], 1)
    optimum = torch.linalg.lstsq(design, y[:, None]).solution[:, 0]

    def distance(schedule: Any, seed: int) -> float:
        torch.manual_seed(seed)
        model = Line()
        batches = Batches(Store.of(x=x, y=y), batch_size=8, seed=seed)
        descent = Descent(optimiser="sgd", schedule=schedule)
        train(model, Criterion(Term(KL(), "y_hat", "y")), descent, batches, epochs=12, seed=seed)
        found = torch.cat([model.line.weight[0], model.line.bias]).detach()
        return float((found - optimum).square().sum())

    shrinking = np.mean([distance(RobbinsMonro(0.5, exponent=0.9, offset=10.0), seed) for seed in range(2)])
    constant = np.mean([distance(Power(0.2, exponent=0.0), seed) for seed in range(2)])
    short = np.mean([distance(Power(0.2, exponent=2.0), seed) for seed in range(2)])
    assert shrinking < 0.1 * constant
    assert short > 100 * shrinking
    assert shrinking < 2e-3
