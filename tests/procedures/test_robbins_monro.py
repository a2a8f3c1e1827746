"""Stochastic approximation: minibatch gradients are unbiased, and SGD does what theory says, inside Robbins-Monro and outside.

Many walks at once through the library's own step: E ½ H (θ − y)² for each, with y of mean θ* = 0 and a gradient of variance v.
Mean and variance of a walk follow an exact recursion, which theory's limits are held against without noise.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from trine.criterion import Criterion, Term
from trine.data import Batches, Store
from trine.divergences import KL
from trine.procedures import Constant, Descent, RobbinsMonro, Schedule
from trine.training import train

H, V, START = 2.0, 1.0, 3.0
WALKS = 6_000
ERROR = math.sqrt(2 / WALKS)
"""Standard error of a variance over the walks, as a share of it."""


# Minibatches ------------------------------------------------------------------------------------------------------


class Line(nn.Module):
    """q(y given x) = N(w · x + b, 0.7²)."""

    def __init__(self, features: int, start: float = 0.3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((features,), start, dtype=torch.float64))
        self.bias = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        mean = batch["x"] @ self.weight + self.bias
        return {"y_hat": Normal(mean, torch.full_like(mean, 0.7), validate_args=False)}


def some_rows(rows: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 2, generator=generator, dtype=torch.float64)
    return {"x": x, "y": x[:, 0] - 2 * x[:, 1] + torch.randn(rows, generator=generator, dtype=torch.float64)}


def gradient(rows: Mapping[str, Tensor], index: list[int] | Tensor) -> Tensor:
    """(3,): of the criterion on the rows ``index``, at one fixed θ."""
    model = Line(2)
    index = torch.as_tensor(index)
    batch = {name: value[index] for name, value in rows.items()}
    loss = Criterion(Term(KL(), "y_hat", "y"))(model(batch), batch).total
    return torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(model.parameters()))])


def spread(gradients: Tensor) -> Tensor:
    """Covariance over all rows of ``gradients``, which are all there are."""
    apart = gradients - gradients.mean(0)
    return apart.T @ apart / len(gradients)


@pytest.mark.parametrize("size", [1, 2, 4, 7])
def test_over_all_minibatches_the_gradient_is_unbiased_and_its_covariance_known(size: int) -> None:
    """Each set of B of the N rows once; and, drawn with replacement, each B-tuple once."""
    n, rows = 7, some_rows(7)
    whole = gradient(rows, list(range(n)))
    one = spread(torch.stack([gradient(rows, [i]) for i in range(n)]))
    sets = torch.stack([gradient(rows, list(s)) for s in itertools.combinations(range(n), size)])
    torch.testing.assert_close(sets.mean(0), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(spread(sets), one / size * (n - size) / (n - 1), rtol=1e-10, atol=1e-12)
    if n**size < 3000:
        tuples = torch.stack([gradient(rows, list(s)) for s in itertools.product(range(n), repeat=size)])
        torch.testing.assert_close(tuples.mean(0), whole, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(spread(tuples), one / size, rtol=1e-10, atol=1e-12)


def test_the_batches_of_an_epoch_have_the_gradient_of_all_rows_as_their_mean() -> None:
    rows = some_rows(60)
    batches = Batches(Store.of(**{k: v.float() for k, v in rows.items()}), batch_size=12, seed=3)
    index = [batches.order(0)[i : i + 12] for i in range(0, 60, 12)]
    found = torch.stack([gradient(rows, i) for i in index])
    assert not torch.allclose(found[0], found[1])
    torch.testing.assert_close(found.mean(0), gradient(rows, torch.arange(60)), rtol=1e-12, atol=1e-12)


def test_rows_without_a_target_leave_the_minibatch_gradient_unbiased_given_their_number() -> None:
    n, rows = 8, some_rows(8)
    rows["y.present"] = torch.tensor([True, False, True, True, False, True, True, False])
    known = [i for i in range(n) if rows["y.present"][i]]
    sets = [list(s) for s in itertools.combinations(range(n), 4)]
    for present in (1, 2, 3, 4):
        found = [gradient(rows, s) for s in sets if sum(i in known for i in s) == present]
        torch.testing.assert_close(torch.stack(found).mean(0), gradient(rows, known), rtol=1e-12, atol=1e-12)


def test_the_bias_of_unequal_weights_falls_as_one_over_the_batch() -> None:
    n, rows = 6, some_rows(6)
    rows["weight"] = torch.tensor([0.6, 1.5, 1.0, 0.8, 1.3, 0.7], dtype=torch.float64)
    whole = gradient(rows, list(range(n)))

    def bias(size: int) -> float:
        """Of the n^size tuples, each set with repetitions as often as it comes."""
        sets = list(itertools.combinations_with_replacement(range(n), size))
        often = [math.factorial(size) / math.prod(math.factorial(s.count(i)) for i in set(s)) for s in sets]
        found = torch.stack([gradient(rows, list(s)) for s in sets])
        return float((torch.tensor(often, dtype=torch.float64) / n**size @ found - whole).norm())

    two, four = bias(2), bias(4)
    assert four > 1e-3
    assert two / four == pytest.approx(2.0, rel=0.15)


# Walks ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Power(Schedule):
    """α_t = peak · (t + 1)^−γ for any γ: what :class:`RobbinsMonro` refuses, too."""

    exponent: float = 1.0

    def __call__(self, t: int, total: int) -> float:
        return float(self.peak * (t + 1) ** -self.exponent)

    def describe(self) -> str:
        return f"α_t = {self.peak:g} (t + 1)^−{self.exponent:g}"


class Walkers(nn.Module):
    """Many walks θ, each with an example of its own: q(y) = N(θ, 1/H)."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.full((WALKS,), start, dtype=torch.float64))

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        return {"y_hat": Normal(self.theta, H**-0.5, validate_args=False)}


@functools.cache
def walk(schedule: Schedule, steps: int, start: float = 0.0, noise: float = V) -> tuple[Tensor, Tensor]:
    """(WALKS,) the last iterates and their averages, by the library's own steps."""
    torch.manual_seed(0)
    model = Walkers(start)
    # A criterion is a mean over examples; weighed by their number each walk descends its own.
    criterion = Criterion(Term(KL(), "y_hat", "y", weight=float(WALKS)))
    descent = Descent(optimiser="sgd", schedule=schedule)
    state = descent.init(model, criterion)
    state.total = steps
    average = torch.zeros_like(model.theta)
    for t in range(steps):
        y = math.sqrt(noise) / H * torch.randn(WALKS, dtype=torch.float64)
        descent.step(state, model, criterion, {"y": y})
        average.lerp_(model.theta.detach(), 1 / (t + 1))
    return model.theta.detach().clone(), average


def moments(schedule: Schedule, steps: int, start: float = 0.0, noise: float = V) -> tuple[float, float, float]:
    """Mean and variance of the last iterate, and variance of the average of all, exactly.

    θ' = (1 − αH) θ + α ε with ε of variance v; with S the sum of iterates, (θ, S) is a linear recursion.
    """
    mean, variance, both, total = start, 0.0, 0.0, 0.0
    for t in range(steps):
        size = schedule(t, steps)
        keep = 1 - size * H
        mean *= keep
        variance, both = keep**2 * variance + size**2 * noise, keep * both
        total += 2 * both + variance
        both += variance
    return mean, variance, total / steps**2


CASES: dict[str, Callable[[], Schedule]] = {
    "1/t": lambda: RobbinsMonro(1.0, exponent=1.0, offset=1.0),
    "t^-0.7": lambda: RobbinsMonro(0.4, exponent=0.7, offset=1.0),
    "t^-0.75 from 100": lambda: RobbinsMonro(0.2),
    "constant": lambda: Constant(0.1),
    "t^-2": lambda: Power(0.3, exponent=2.0),
    "t^-0.3": lambda: Power(0.3, exponent=0.3),
}


@pytest.mark.parametrize("name", list(CASES))
def test_descent_s_walks_have_the_mean_and_variance_of_the_recursion(name: str) -> None:
    schedule, steps = CASES[name](), 400
    last, average = walk(schedule, steps, START)
    mean, variance, averaged = moments(schedule, steps, START)
    assert last.mean().item() == pytest.approx(mean, abs=4 * math.sqrt(variance / WALKS))
    assert last.var().item() == pytest.approx(variance, rel=4 * ERROR)
    assert average.var().item() == pytest.approx(averaged, rel=4 * ERROR)


# The theory -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("a", [0.3, 0.5, 0.75, 1.0, 2.0])
def test_step_a_over_t_has_the_1_over_t_rate_and_its_constant(a: float) -> None:
    """The variance, times t, → a² v / (2aH − 1) where 2aH > 1 (published: .25 at ½, .333 at 1)."""
    limit = a**2 * V / (2 * a * H - 1)
    schedule = RobbinsMonro(a, exponent=1.0, offset=1.0)
    scaled = [t * moments(schedule, t)[1] for t in (2_000, 200_000)]
    far = [abs(s - limit) for s in scaled]
    # The rest falls as t^−(2aH − 1), at most as 1/t.
    assert far[1] < 1.1 * far[0] * 100 ** -min(1.0, 2 * a * H - 1) + 1e-9
    assert scaled[1] == pytest.approx(limit, rel=0.08 if a == 0.3 else 1e-3)
    assert limit >= V / H**2 - 1e-12


def test_the_best_constant_is_one_over_the_curvature_and_is_then_the_sample_mean() -> None:
    best = min((0.3, 0.4, 0.5, 0.6, 0.8), key=lambda a: a**2 * V / (2 * a * H - 1))
    assert best == 1 / H
    schedule = RobbinsMonro(1 / H, exponent=1.0, offset=1.0)
    last, _ = walk(schedule, 50, START)
    torch.manual_seed(0)
    seen = torch.stack([math.sqrt(V) / H * torch.randn(WALKS, dtype=torch.float64) for _ in range(50)])
    torch.testing.assert_close(last, seen.mean(0))


def test_too_small_a_constant_is_slower_than_one_over_t() -> None:
    """2aH < 1: variance and squared bias fall as t^−2aH only."""
    a = 0.1
    schedule = RobbinsMonro(a, exponent=1.0, offset=1.0)
    early, late = (moments(schedule, t, START) for t in (10_000, 100_000))
    for before, after in ((early[0] ** 2, late[0] ** 2), (early[1], late[1])):
        assert math.log10(before / after) == pytest.approx(2 * a * H, abs=0.02)


@pytest.mark.parametrize("exponent", [0.6, 0.7])
def test_the_average_of_iterates_is_best_whatever_the_constant(exponent: float) -> None:
    """Polyak and Juditsky (1992): t Var(average) → v/H² for ½ < γ < 1, without knowing H."""
    for a in (0.2, 0.5):
        near, far = (t * moments(RobbinsMonro(a, exponent=exponent, offset=1.0), t)[2] for t in (3_000, 300_000))
        assert abs(far - V / H**2) < 0.6 * abs(near - V / H**2)
        assert far == pytest.approx(V / H**2, rel=0.05)
    last = 300_000 * moments(RobbinsMonro(0.5, exponent=exponent, offset=1.0), 300_000)[1]
    assert last > 5 * V / H**2


@pytest.mark.parametrize("a", [0.02, 0.1, 0.4])
def test_a_constant_step_wanders_with_its_stationary_variance(a: float) -> None:
    """Σ α_t² = ∞: the variance goes to a v/(2H − aH²), not to 0 (published: .02778 at .1)."""
    stationary = a * V / (2 * H - a * H**2)
    assert moments(Constant(a), 2_000)[1] == pytest.approx(stationary, rel=1e-9)
    last, _ = walk(Constant(a), 300)
    assert last.var().item() == pytest.approx(stationary, rel=4 * ERROR)
    assert last.square().mean().item() > 0.9 * stationary


def test_published_figures_of_the_asymptotics() -> None:
    """H = 2, v = 1: .0278 of a constant step of .1; at t = 20,000 .250, .333, .409 of a = .5, 1, .3."""
    assert moments(Constant(0.1), 1_000)[1] == pytest.approx(0.02778, abs=1e-5)
    found = [20_000 * moments(RobbinsMonro(a, exponent=1.0, offset=1.0), 20_000)[1] for a in (0.5, 1.0, 0.3)]
    assert found == pytest.approx([0.25, 0.333, 0.409], abs=0.015)


def test_steps_of_finite_sum_stop_short_even_without_noise() -> None:
    """Σ α_t < ∞: Π (1 − α_t H) has a positive limit, however long one waits."""
    schedule = Power(0.3, exponent=2.0)
    # Π (1 − c/t²) = sin(π√c) / (π√c)
    c = 0.3 * H
    limit = math.sin(math.pi * math.sqrt(c)) / (math.pi * math.sqrt(c))
    last, _ = walk(schedule, 500, START, 0.0)
    assert bool((last == last[0]).all())
    assert last[0].item() == pytest.approx(START * limit, rel=2e-3)
    assert moments(schedule, 200_000, START, 0.0)[0] == pytest.approx(START * limit, rel=1e-5)
    assert limit > 0.25
    # The same first step and a sum that is infinite: it arrives.
    assert abs(moments(RobbinsMonro(0.3, exponent=1.0, offset=1.0), 200_000, START, 0.0)[0]) < 3e-3 * START


def test_steps_whose_squares_add_up_to_infinity_keep_wandering() -> None:
    """Robbins and Monro's two conditions hold of γ in (½, 1]; a step that does not fall keeps its variance for ever."""
    early, late = 1_000, 100_000
    kept = moments(Constant(0.2), late)[1] / moments(Constant(0.2), early)[1]
    fallen = moments(RobbinsMonro(0.2), late)[1] / moments(RobbinsMonro(0.2), early)[1]
    assert kept == pytest.approx(1.0, rel=1e-9)
    assert fallen < 0.06


# A regression, by the one loop ------------------------------------------------------------------------------------


@functools.cache
def regression() -> tuple[Store, Tensor]:
    """Rows of a line in three unknowns, and the least-squares solution that is the only optimum."""
    rows = some_rows(256)
    design = torch.cat([rows["x"], torch.ones(256, 1, dtype=torch.float64)], 1)
    optimum = torch.linalg.lstsq(design, rows["y"]).solution
    return Store.of(**{name: value.float() for name, value in rows.items()}), optimum


class Line32(Line):
    def __init__(self) -> None:
        super().__init__(2, start=-3.0)
        self.float()


def distance(schedule: Schedule) -> float:
    """‖θ − θ*‖ after 20 epochs of minibatches of 4 rows."""
    store, optimum = regression()
    model, criterion = Line32(), Criterion(Term(KL(), "y_hat", "y"))
    batches = Batches(store, batch_size=4, seed=0)
    train(model, criterion, Descent(optimiser="sgd", schedule=schedule), batches, epochs=20)
    theta = torch.cat([model.weight.detach(), model.bias.detach().reshape(1)]).double()
    return float((theta - optimum).norm())


def test_a_regression_by_minibatches_arrives_inside_the_conditions_alone() -> None:
    start = float((torch.tensor([-3.0, -3.0, 0.0]).double() - regression()[1]).norm())
    arrives = distance(RobbinsMonro(0.1, exponent=0.75, offset=20.0))
    wanders = distance(Constant(0.1))
    stops = distance(Power(0.1, exponent=2.0))
    assert arrives < 0.05
    assert wanders > 3 * arrives
    assert stops > 0.5 * start
