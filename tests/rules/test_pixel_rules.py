"""Distributions of pixels and of many columns: probabilities sum to one, sums by hand, nothing from what is missing."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trine.choices import Choices
from trine.domains import Image, Real
from trine.rules import DiscretisedLogistic, KnownNormal, NormalColumns, default_reconstruction, map_arguments, rule_for

IMAGE = Image(channels=2, height=9, width=5, mean=(0.3, 0.6), std=(0.2, 0.3))


@given(st.floats(-3, 4), st.floats(-7, 3), st.sampled_from([2, 16, 256]))
def test_probabilities_of_all_levels_sum_to_one(loc: float, log_scale: float, levels: int) -> None:
    q = DiscretisedLogistic(torch.tensor(loc).double(), torch.tensor(math.exp(log_scale)).double(), levels)
    total = q.log_prob(torch.linspace(0, 1, levels, dtype=torch.float64)).exp().sum()
    assert float(total) == pytest.approx(1.0, abs=1e-9)


def test_a_level_has_the_mass_of_its_interval() -> None:
    q = DiscretisedLogistic(torch.tensor(0.4, dtype=torch.float64), torch.tensor(0.1, dtype=torch.float64), 11)
    own = stats.logistic(0.4, 0.1)
    inside = own.cdf(0.75) - own.cdf(0.65)
    assert float(q.log_prob(torch.tensor(0.7, dtype=torch.float64)).exp()) == pytest.approx(inside, rel=1e-12)
    assert float(q.log_prob(torch.tensor(0.0, dtype=torch.float64)).exp()) == pytest.approx(own.cdf(0.05), rel=1e-12)
    assert float(q.log_prob(torch.tensor(1.0, dtype=torch.float64)).exp()) == pytest.approx(own.sf(0.95), rel=1e-12)


def test_far_out_it_and_its_gradient_stay_finite() -> None:
    loc = torch.tensor([-50.0, 50.0], requires_grad=True)
    values = DiscretisedLogistic(loc, torch.tensor(1e-3)).log_prob(torch.tensor([1.0, 0.5]))
    values.sum().backward()
    assert values.isfinite().all()
    assert loc.grad is not None
    assert loc.grad.isfinite().all()


def test_mean_and_samples_agree() -> None:
    torch.manual_seed(0)
    q = DiscretisedLogistic(torch.tensor([-0.1, 0.4, 0.97]), torch.tensor([0.05, 0.2, 0.1]))
    drawn = q.sample((40_000,))
    assert torch.allclose(drawn.mean(0), q.mean, atol=0.004)
    assert torch.allclose((drawn * 255).round(), drawn * 255, atol=1e-3)


@pytest.mark.parametrize("name", ["pixel-bernoulli", "pixel-logistic", "pixel-normal"])
@pytest.mark.parametrize("image", ["dense", "positional"])
def test_a_rule_gives_a_distribution_over_the_pictures_of_a_batch(name: str, image: str) -> None:
    torch.manual_seed(0)
    build = rule_for(IMAGE, name)
    rule = build(6, IMAGE, torch.nn.Linear, choices=Choices(image=image, channels=4))  # type: ignore[call-arg]
    q = rule(torch.randn(3, 6))
    assert (q.batch_shape, q.event_shape) == ((3,), (2, 9, 5))
    value = torch.rand(3, 2, 9, 5).mul(255).round() / 255
    assert q.log_prob(value).shape == (3,)
    # At first it says nearly the mean of each channel.
    assert torch.allclose(q.mean.mean((0, 2, 3)), torch.tensor([0.3, 0.6]), atol=0.1)
    half = map_arguments(q, lambda part: part[:1])
    assert torch.allclose(half.log_prob(value[:1]), q.log_prob(value)[:1])


def test_black_and_white_pictures_are_bernoulli() -> None:
    assert default_reconstruction(IMAGE) == "pixel-logistic"
    assert default_reconstruction(Image(binary=True)) == "pixel-bernoulli"


def test_many_columns_are_the_sum_of_one_by_one() -> None:
    torch.manual_seed(0)
    domains = [Real(mean=0.1 * i, std=1.0 + i) for i in range(4)]
    q = NormalColumns(5, domains)(torch.randn(7, 5))
    value = torch.randn(7, 4)
    by_hand = sum(q.column(i).log_prob(value[:, i]) for i in range(4))
    assert torch.allclose(q.log_prob(value), torch.as_tensor(by_hand), atol=1e-5)
    value[2, 1] = math.nan
    left = sum(q.column(i).log_prob(value[:, i])[2] for i in (0, 2, 3))
    assert torch.allclose(q.log_prob(value)[2], torch.as_tensor(left), atol=1e-5)


def test_what_is_missing_has_no_gradient() -> None:
    loc = torch.zeros(1, 2, requires_grad=True)
    KnownNormal(loc, torch.ones(2)).log_prob(torch.tensor([[math.nan, 3.0]])).sum().backward()
    assert loc.grad is not None
    assert loc.grad.tolist() == [[0.0, 3.0]]
