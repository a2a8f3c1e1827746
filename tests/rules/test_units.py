"""q in the user's units: the change of variables, and families that stay themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from rule_examples import DOMAINS, KIND
from torch.distributions import Beta, Gamma, Independent, LogNormal, Normal, TransformedDistribution

from trine.rules import Mixture, affine, in_units, mixture, point, quantile, rules

SCALED = [name for name, kind in KIND.items() if kind in ("real", "positive", "vector")]


@pytest.mark.parametrize("members", [False, True])
@pytest.mark.parametrize("name", SCALED)
def test_change_of_variables(name: str, members: bool) -> None:
    domain = DOMAINS[KIND[name]]
    torch.manual_seed(2)
    q = rules[name](3, domain)(torch.randn(4, 5, 3))
    q = mixture(q) if members else q
    y = q.sample().double()
    centre = torch.tensor(getattr(domain, "centre", 0.0), dtype=torch.float64)
    scale = torch.tensor(domain.scale, dtype=torch.float64)
    there = in_units(domain, q)
    assert type(there) is type(q)
    expected = q.log_prob(y.float()).double() - scale.log().sum()
    assert torch.allclose(there.log_prob(centre + scale * y), expected, atol=2e-4)
    assert torch.allclose(there.mean, centre + scale * q.mean.double(), rtol=1e-5)
    assert torch.allclose(there.variance, scale**2 * q.variance.double(), rtol=1e-4)
    levels = torch.tensor([0.05, 0.5, 0.95])
    assert torch.allclose(quantile(there, levels), centre + scale * quantile(q, levels).double(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in KIND if name not in SCALED])
def test_units_counts_and_categories_are_in_their_own(name: str) -> None:
    q = rules[name](3, DOMAINS[KIND[name]])(torch.randn(4, 3))
    assert in_units(DOMAINS[KIND[name]], q) is q


def test_the_point_is_what_the_domain_decodes() -> None:
    domain = DOMAINS["real"]
    q = rules["normal"](3, domain)(torch.randn(4, 3))
    decoded = domain.decode(point(q).detach().numpy())
    np.testing.assert_allclose(point(in_units(domain, q)).detach().numpy(), decoded, rtol=1e-9)


def test_large_centres_keep_their_digits() -> None:
    domain = type(DOMAINS["real"])(mean=0.0, std=1.0, centre=1.7e9, scale=0.5)
    q = in_units(domain, Normal(torch.tensor([0.25]), torch.tensor([1.0])))
    assert q.mean.item() == 1.7e9 + 0.125


def test_other_families_are_transformed() -> None:
    q = affine(Beta(torch.tensor([2.0]), torch.tensor([3.0])), 1.0, 4.0)
    assert type(q) is TransformedDistribution
    y = torch.tensor([2.5], dtype=torch.float64)
    expected = Beta(2.0, 3.0).log_prob(torch.tensor(0.375)) - math.log(4.0)
    assert q.log_prob(y).item() == pytest.approx(expected.item(), rel=1e-5)
    with pytest.raises(ValueError, match="shifted"):
        affine(Gamma(torch.ones(1), torch.ones(1)), 1.0, 2.0)
    with pytest.raises(ValueError, match="shifted"):
        affine(LogNormal(torch.ones(1), torch.ones(1)), 1.0, 2.0)
    vectors = Independent(Normal(torch.zeros(3, 2), torch.ones(3, 2)), 1)
    assert isinstance(
        affine(mixture(Independent(Normal(torch.zeros(4, 3, 2), torch.ones(4, 3, 2)), 1)), 0.0, 2.0), Mixture
    )
    assert torch.equal(affine(vectors, 1.0, 2.0).mean, torch.ones(3, 2))
