"""Softplus-normal: its density, distribution function, moments, both limits, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch.distributions import kl_divergence

from trine.domains import Positive
from trine.rules import SoftplusNormal, affine, arguments, cdf, mixture, quantile, rules

CASES = [(0.5, 0.3, 1.0), (-3.0, 1.0, 2.0), (6.0, 2.0, 0.7), (0.0, 2.5, 100.0)]


def of(loc: float, scale: float, unit: float) -> SoftplusNormal:
    return SoftplusNormal(*(torch.tensor([value], dtype=torch.float64) for value in (loc, scale, unit)))


@pytest.mark.parametrize("case", CASES)
def test_density_distribution_and_moments_by_integration(case: tuple[float, float, float]) -> None:
    loc, scale, unit = case
    q = of(*case)

    def moment(function: object) -> float:
        """E f(Y) in the normal variable, by another quadrature than the class has."""
        x = np.linspace(loc - 12 * scale, loc + 12 * scale, 200_001)
        values = function(unit * np.logaddexp(0.0, x))  # type: ignore[operator]
        return float(scipy.integrate.trapezoid(values * scipy.stats.norm.pdf(x, loc, scale), x))

    mean = moment(lambda y: y)
    assert q.mean.item() == pytest.approx(mean, rel=1e-3)
    assert q.variance.item() == pytest.approx(moment(lambda y: (y - mean) ** 2), rel=2e-2)
    levels = torch.tensor([0.01, 0.3, 0.5, 0.9], dtype=torch.float64)
    y = quantile(q, levels)
    assert torch.allclose(cdf(q, y).squeeze(-1), levels)
    assert torch.allclose(q.icdf(levels), y.squeeze(-1))
    # The density is the slope of the distribution function.
    step = 1e-5 * y
    slope = (cdf(q, y + step) - cdf(q, y - step)) / (2 * step)
    assert torch.allclose(q.log_prob(y).exp(), slope, rtol=1e-5)
    assert cdf(q, torch.tensor([-1.0, 0.0], dtype=torch.float64)).tolist() == [0.0, 0.0]


def test_log_normal_near_zero_and_normal_far_above() -> None:
    y = torch.tensor([1e-4, 2e-4], dtype=torch.float64)
    small = torch.distributions.LogNormal(torch.tensor(-9.0 + math.log(2.0)).double(), torch.tensor(0.5).double())
    assert torch.allclose(of(-9.0, 0.5, 2.0).log_prob(y), small.log_prob(y), atol=1e-3)
    far = torch.distributions.Normal(torch.tensor(60.0).double(), torch.tensor(4.0).double())
    assert torch.allclose(of(30.0, 2.0, 2.0).log_prob(y + 55), far.log_prob(y + 55))


def test_samples_are_above_zero_and_follow_the_distribution() -> None:
    torch.manual_seed(0)
    q = of(-0.5, 1.5, 3.0)
    samples = q.sample((20_000,)).squeeze(-1)
    assert scipy.stats.kstest(samples.numpy(), lambda t: cdf(q, torch.from_numpy(t)).numpy()).pvalue > 1e-3
    deep = SoftplusNormal(torch.tensor([-500.0]), torch.tensor([30.0]), torch.tensor([1.0]))
    assert bool((deep.sample((100,)) > 0).all())
    assert q.rsample().shape == (1,)


def test_arguments_expand_scale_mix_and_diverge() -> None:
    q = of(0.5, 0.3, 2.0).expand(torch.Size([4]))
    assert {name: value.shape for name, value in arguments(q).items()} == dict.fromkeys(
        ("loc", "scale", "unit"), torch.Size([4])
    )
    assert torch.allclose(affine(q, 0.0, 10.0).mean, 10 * q.mean)
    with pytest.raises(ValueError, match="shifted"):
        affine(q, 1.0, 2.0)
    members = SoftplusNormal(torch.zeros(3, 5), torch.ones(3, 5), 2.0)
    assert torch.allclose(mixture(members).mean, members.mean[0])
    p = SoftplusNormal(torch.ones(5), torch.ones(5), torch.full((5,), 2.0))
    q = SoftplusNormal(torch.zeros(5), torch.ones(5), p.unit)
    assert torch.allclose(kl_divergence(p, q), torch.full((5,), 0.5))


def test_the_rule_is_finite_and_positive_at_any_features() -> None:
    rule = rules["softplus-normal"](1, Positive(mean=1.3, std=40.0, scale=2.0))
    with torch.no_grad():
        rule.head.linear.weight.fill_(1.0)
    q = rule(torch.tensor([[-1e6], [-1.0], [0.0], [1.0], [1e6]]))
    assert bool((q.mean > 0).all())
    assert bool(q.mean.isfinite().all())
    assert bool(q.variance.isfinite().all())
    for y in (1e-30, 1e-3, 1.0, 1e6):
        assert bool(q.log_prob(torch.tensor(y)).isfinite().all())
