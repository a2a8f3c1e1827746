"""Stochastic approximation in the limit: the schedules' walks at 200,000 steps by the exact recursion of mean and variance.

That `Descent` follows the recursion, and minibatches their formulas, is in `test_stochastic_approximation.py`; here is also what
missing targets and unequal weights do to a minibatch's gradient. The walk is on ½ H θ² with noise of variance v in the gradient.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from trine.criterion import Criterion, Term
from trine.divergences import KL
from trine.procedures import Constant, RobbinsMonro, Schedule

H, V, START = 2.0, 1.0, 3.0


# Minibatches ------------------------------------------------------------------------------------------------------


class Line(nn.Module):
    """q(y given x) = N(w · x + b, 0.7²)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((features,), 0.3, dtype=torch.float64))
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


# The walk ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Power(Schedule):
    """α_t = peak · (t + 1)^−γ for any γ: what :class:`RobbinsMonro` refuses, too."""

    exponent: float = 1.0

    def __call__(self, t: int, total: int) -> float:
        return float(self.peak * (t + 1) ** -self.exponent)

    def describe(self) -> str:
        return f"α_t = {self.peak:g} (t + 1)^−{self.exponent:g}"


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
