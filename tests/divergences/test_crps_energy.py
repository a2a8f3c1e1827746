"""The energy score of independent normals: against the CRPS, closed forms, Monte Carlo, slopes, edges of float32."""

from __future__ import annotations

import math

import pytest
import scipy.integrate
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal

from trine.divergences import crps, energy_score


def score(loc: Tensor, scale: Tensor, y: Tensor) -> Tensor:
    return energy_score(Independent(Normal(loc, scale, validate_args=False), 1), y, 1)


def random(rows: int, k: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(k)
    a, b, c = (torch.randn(rows, k, generator=generator, dtype=torch.float64) for _ in range(3))
    return 3 * a, (2 * b).exp(), c


def test_in_one_dimension_it_is_the_crps() -> None:
    loc, scale, y = random(400, 1)
    exact = crps(Normal(loc, scale), y).squeeze(1)
    assert torch.allclose(score(loc, scale, y), exact, rtol=2e-6, atol=0)


def test_at_the_mean_of_equal_scales_it_is_a_difference_of_chi_means() -> None:
    """E‖Z‖ = √2 Γ((k + 1)/2) / Γ(k/2), and E‖Z − Z'‖ is √2 of it."""
    for k in (2, 3, 10, 200):
        zero = torch.zeros(1, k, dtype=torch.float64)
        chi = math.sqrt(2) * math.exp(math.lgamma((k + 1) / 2) - math.lgamma(k / 2))
        exact = 1.7 * chi * (1 - math.sqrt(0.5))
        assert score(zero, zero + 1.7, zero).item() == pytest.approx(exact, rel=2e-6)


def test_two_dimensions_equal_the_double_integral() -> None:
    loc, scale, y = (torch.tensor([v], dtype=torch.float64) for v in ([0.3, -1.0], [0.5, 2.0], [1.1, 0.4]))
    mx, my = (loc - y)[0].tolist()
    sx, sy = scale[0].tolist()

    def mean_norm(mx: float, my: float, sx: float, sy: float) -> float:
        def inside(x: float, z: float) -> float:
            return math.hypot(mx + sx * x, my + sy * z) * math.exp(-0.5 * (x * x + z * z)) / (2 * math.pi)

        return scipy.integrate.dblquad(inside, -8, 8, -8, 8, epsabs=1e-8)[0]

    root = math.sqrt(2)
    exact = mean_norm(mx, my, sx, sy) - 0.5 * mean_norm(0, 0, root * sx, root * sy)
    assert score(loc, scale, y).item() == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("k", [2, 5, 40])
def test_equals_monte_carlo(k: int) -> None:
    loc, scale, y = random(3, k)
    scale = scale.clamp(0.2, 3.0)
    torch.manual_seed(0)
    sampled = torch.stack(
        [energy_score(MultivariateNormal(loc, torch.diag_embed(scale**2)), y, 2000) for _ in range(10)]
    )
    error = sampled.std(0) / math.sqrt(10)
    assert ((score(loc, scale, y) - sampled.mean(0)).abs() < 5 * error).all()


def test_slopes_equal_finite_differences() -> None:
    loc, scale, y = (value.requires_grad_() for value in random(4, 3))
    assert torch.autograd.gradcheck(score, (loc, scale, y), atol=1e-5, rtol=1e-4)
    members = loc.detach().expand(2, 4, 3).clone().requires_grad_()
    both = score(members, scale, y)
    assert both.shape == (2, 4)
    assert torch.allclose(both[1], score(loc, scale, y))
    scale.grad = None
    both.sum().backward()
    once = torch.autograd.grad(score(loc, scale, y).sum(), scale)[0]
    assert torch.allclose(scale.grad, 2 * once)


@given(
    gap=st.floats(-1e15, 1e15),
    log_scales=st.lists(st.floats(-9, 9), min_size=2, max_size=4),
)
@settings(max_examples=100, deadline=None)
def test_finite_in_float32_to_the_edges(gap: float, log_scales: list[float]) -> None:
    k = len(log_scales)
    loc = torch.zeros(1, k).requires_grad_()
    scale = torch.tensor([log_scales]).exp().requires_grad_()
    y = torch.zeros(1, k)
    y[0, 0] = gap
    value = score(loc, scale, y)
    exact = score(loc.detach().double(), scale.detach().double(), y.double())
    assert value.item() == pytest.approx(exact.item(), rel=1e-3)
    far = math.hypot(gap, math.sqrt(scale.detach().square().sum().item()))
    assert 0 < value.item() <= far * (1 + 1e-3)
    for slope in torch.autograd.grad(value.sum(), (loc, scale)):
        assert slope.isfinite().all()
        assert slope.norm() <= 1.01 * math.sqrt(k)
