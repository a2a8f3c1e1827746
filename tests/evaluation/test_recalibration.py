"""Calibration where the truth is known: recovered factors, nothing adopted without need, coverage, sound distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, Gamma, LogNormal, NegativeBinomial, Normal, Poisson

from trine.divergences import crps
from trine.evaluation.calibration import calibrate
from trine.rules import MixedCategorical, Recalibrated, cdf, mixture, over_parameters, point, probit, quantile, spread


def normals(n: int, factor: float, seed: int = 0) -> tuple[Normal, np.ndarray]:
    """Q whose scale is ``factor`` times what it should be, and y."""
    rng = np.random.default_rng(seed)
    mean = torch.from_numpy(rng.normal(size=n))
    return Normal(mean, factor * torch.ones(n).double()), mean.numpy() + rng.normal(size=n)


def logits(n: int, factor: float, seed: int = 0) -> tuple[Categorical, np.ndarray]:
    """Logits that are ``factor`` times what they should be, and codes."""
    rng = np.random.default_rng(seed)
    exact = torch.from_numpy(1.5 * rng.normal(size=(n, 3)))
    y = (
        Categorical(logits=exact).sample()
        if seed < 0
        else (exact + torch.from_numpy(rng.gumbel(size=(n, 3)))).argmax(1)
    )
    return Categorical(logits=factor * exact), y.numpy()


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_scale_that_is_wrong_by_a_factor_is_put_right(factor: float) -> None:
    q, y = normals(2000, factor)
    found = calibrate(q, y, None)
    assert found.kind == "temperature"
    fresh, truth = normals(4000, factor, seed=1)
    better = found(fresh)
    low, high = quantile(better, 0.05), quantile(better, 0.95)
    at = torch.from_numpy(truth)
    assert float(((at >= low) & (at <= high)).double().mean()) == pytest.approx(0.9, abs=0.015)
    torch.testing.assert_close(better.variance.sqrt().mean(), torch.tensor(1.0).double(), rtol=0.06, atol=0.0)
    torch.testing.assert_close(point(better), fresh.mean)
    exact = Normal(fresh.loc, 1.0).log_prob(at).mean()
    assert float(exact - better.log_prob(at).mean()) < 0.01


@pytest.mark.parametrize("factor", [0.4, 3.0])
def test_a_temperature_of_classes_is_recovered(factor: float) -> None:
    q, y = logits(2000, factor)
    found = calibrate(q, y, "temperature")
    assert float(found.tensors["temperature"]) == pytest.approx(factor, rel=0.1)
    assert calibrate(q, y, None).kind in ("temperature", "isotonic")
    fresh, truth = logits(3000, factor, seed=1)
    p = found(fresh).probs
    torch.testing.assert_close(p.sum(1), torch.ones(3000).double())
    assert found(fresh).log_prob(torch.from_numpy(truth)).mean() > fresh.log_prob(torch.from_numpy(truth)).mean() + 0.05


@pytest.mark.parametrize("rows", [30, 300])
def test_what_is_right_already_is_left_as_it_is(rows: int) -> None:
    adopted = sum(calibrate(*normals(rows, 1.0, seed), None).kind != "none" for seed in range(40))
    adopted += sum(calibrate(*logits(rows, 1.0, seed), None).kind != "none" for seed in range(40))
    assert adopted <= 8


def test_conformal_intervals_cover_whatever_q_is() -> None:
    covered = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        # A normal q, of half the scale, for a skewed y.
        y = rng.exponential(size=29 + 50)
        q = Normal(torch.full((79,), 0.8).double(), torch.full((79,), 0.5).double())
        few = Normal(q.loc[:29], q.scale[:29])
        found = calibrate(few, y[:29], "conformal")
        rest = found(Normal(q.loc[29:], q.scale[29:]))
        at = torch.from_numpy(y[29:])
        covered.append(float(((at >= quantile(rest, 0.05)) & (at <= quantile(rest, 0.95))).double().mean()))
    assert np.mean(covered) == pytest.approx(0.9, abs=0.02)


def test_few_rows_tell_too_little() -> None:
    found = calibrate(*normals(12, 0.2), None)
    assert found.kind == "none"
    assert "12 rows" in found.said


BASES = {
    "normal": Normal(torch.tensor([0.3]).double(), torch.tensor([1.4]).double()),
    "gamma": Gamma(torch.tensor([2.5]).double(), torch.tensor([0.7]).double()),
    "mixture": mixture(Normal(torch.tensor([[-2.0], [1.5]]).double(), torch.tensor([[0.5], [1.0]]).double())),
}


@pytest.mark.parametrize("name", BASES)
@settings(max_examples=15, deadline=None)
@given(
    gaps=st.lists(st.floats(0.2, 2.0), min_size=2, max_size=4),
    slopes=st.lists(st.floats(0.7, 2.5), min_size=4, max_size=4),
)
def test_a_recalibrated_distribution_is_one(name: str, gaps: list[float], slopes: list[float]) -> None:
    knots = torch.tensor([-1.0]).double() + torch.tensor([0.0, *gaps]).double().cumsum(0)
    rises = [gap * slope for gap, slope in zip(gaps, slopes, strict=False)]
    values = torch.tensor([-1.2]).double() + torch.tensor([0.0, *rises]).double().cumsum(0)
    q = Recalibrated(BASES[name], knots, values)
    low, high = float(quantile(q, 1e-6)), float(quantile(q, 1 - 1e-6))
    at = torch.linspace(low, high, 60_001).double().unsqueeze(1)
    density = q.log_prob(at).exp()
    assert float(torch.trapezoid(density[:, 0], at[:, 0])) == pytest.approx(1.0, abs=2e-3)
    levels = torch.tensor([[0.01], [0.3], [0.5], [0.9]]).double()
    torch.testing.assert_close(cdf(q, q.icdf(levels)), levels, rtol=1e-6, atol=1e-6)
    assert (cdf(q, at).diff(dim=0) >= -1e-12).all()
    mean = torch.trapezoid(density[:, 0] * at[:, 0], at[:, 0])
    assert float(q.mean) == pytest.approx(float(mean), abs=0.03 * math.sqrt(float(q.variance)) + 0.01)


COUNTS = [
    Poisson(torch.tensor([3.3]).double()),
    NegativeBinomial(torch.tensor([2.0]).double(), logits=torch.tensor([0.7]).double()),
]


@pytest.mark.parametrize("base", COUNTS, ids=["poisson", "negative-binomial"])
def test_counts_stay_counts(base) -> None:
    q = Recalibrated(base, torch.tensor([-1.0, 0.0, 1.0]).double(), torch.tensor([-0.6, 0.1, 0.9]).double())
    at = torch.arange(400).double().unsqueeze(1)
    p = q.log_prob(at).exp()
    assert float(p.sum()) == pytest.approx(1.0, abs=1e-6)
    torch.testing.assert_close(p.cumsum(0)[:30], cdf(q, at)[:30], rtol=1e-6, atol=1e-9)
    rng = np.random.default_rng(0)
    y = rng.poisson(3.3, size=500).astype(float)
    narrow = Poisson(torch.full((500,), 3.3).double())
    assert calibrate(narrow, y, None).kind == "none"


def test_isotonic_maps_rise_and_mixtures_over_theta_keep_their_shares() -> None:
    q, y = logits(600, 3.0)
    found = calibrate(q, y, "isotonic")
    assert (found.tensors["values"].diff(dim=1) >= 0).all()
    numbers, truth = normals(300, 0.5)
    assert (calibrate(numbers, truth, "isotonic").tensors["knots"].diff() > 0).all()
    each = Normal(torch.randn(5, 40).double(), torch.rand(5, 40).double() + 0.2)
    mixed = over_parameters(each)
    calibrated = calibrate(mixed, np.random.default_rng(0).normal(size=40), "temperature")(mixed)
    before, after = spread(mixed), spread(calibrated)
    torch.testing.assert_close(after[1] / after[0], before[1] / before[0])
    torch.testing.assert_close(after[0] + after[1], calibrated.variance)
    classes = over_parameters(Categorical(logits=torch.randn(5, 40, 3).double()))
    sharper = calibrate(classes, np.zeros(40, dtype=int), "temperature")(classes)
    assert isinstance(sharper, MixedCategorical)
    assert sharper.probs[:, 0].mean() > classes.probs[:, 0].mean()


def test_a_widened_normal_is_the_normal_that_it_should_be() -> None:
    base = Normal(torch.full((7,), 2.0).double(), torch.full((7,), 0.5).double())
    q = Recalibrated(base, torch.tensor([-1.0, 1.0]).double(), torch.tensor([-0.25, 0.25]).double())
    exact = Normal(base.loc, 4 * base.scale)
    # To 40 standard deviations of the base, where its distribution function is 0 or 1 in floating point.
    at = torch.tensor([-18.0, -8.0, 1.0, 2.0, 4.5, 12.0, 22.0])
    torch.testing.assert_close(q.log_prob(at), exact.log_prob(at.double()), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(q.cdf(at), exact.cdf(at.double()), rtol=1e-9, atol=1e-30)
    torch.testing.assert_close(q.mean, exact.mean, rtol=1e-6, atol=0.0)
    torch.testing.assert_close(q.variance, exact.variance, rtol=1e-3, atol=0.0)
    torch.testing.assert_close(crps(q, at), crps(exact, at.double()), rtol=1e-5, atol=1e-6)


def test_normal_scores_hold_in_the_far_tails() -> None:
    log_normal = LogNormal(torch.tensor(1.0).double(), torch.tensor(0.1).double())
    torch.testing.assert_close(
        probit(log_normal, torch.tensor([4.0, -3.0]).double().exp()), torch.tensor([30.0, -40.0]).double()
    )
    assert probit(log_normal, torch.tensor(-1.0).double()) == -torch.inf
    alike = mixture(Normal(torch.zeros(3, 1).double(), torch.ones(3, 1).double()))
    z = torch.tensor([[-300.0], [-20.0], [-3.0], [0.0], [7.0], [9.0], [1e6]]).double()
    torch.testing.assert_close(probit(alike, z), z, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("members", [3, 100])
def test_moments_of_a_recalibrated_mixture_are_those_of_its_density(members: int) -> None:
    generator = torch.Generator().manual_seed(0)
    loc, scale = (f(members, 4, generator=generator).double() for f in (torch.randn, torch.rand))
    bent = torch.tensor([-1.2, -0.3, 0.4, 1.1]).double(), torch.tensor([-0.8, -0.3, 0.2, 0.9]).double()
    q = Recalibrated(over_parameters(Normal(loc, scale + 0.05)), *bent)
    at = torch.linspace(-25, 25, 60_001).double().unsqueeze(1)
    p = q.log_prob(at).exp() * (at[1] - at[0])
    mean = (p * at).sum(0)
    torch.testing.assert_close(q.mean, mean, rtol=0.0, atol=2e-3)
    torch.testing.assert_close(q.variance, (p * (at - mean) ** 2).sum(0), rtol=0.01, atol=0.0)


def test_a_row_that_q_holds_impossible_decides_nothing() -> None:
    y = np.abs(np.random.default_rng(0).normal(size=100))
    y[3] = 0.0
    q = Gamma(torch.full((100,), 2.0).double(), torch.ones(100).double())
    found = calibrate(q, y, None)
    assert found.kind == "none"
    assert "likelihood of 0" in found.said
