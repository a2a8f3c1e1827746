"""Priors by the words of a user: densities integrate to one, bad words are refused."""

from __future__ import annotations

import pytest
import torch

from trine.errors import ChoiceError
from trine.priors import prior_of


@pytest.mark.parametrize("text", ["normal", "normal(0.3)", "laplace(2)", "spike-slab(0.3, 1, 0.05)"])
def test_a_prior_is_a_density(text: str) -> None:
    prior = prior_of(text)
    at = torch.linspace(-40, 40, 800_001, dtype=torch.float64)
    density = prior.distribution(at).log_prob(at).exp()
    assert float(torch.trapezoid(density, at)) == pytest.approx(1.0, abs=1e-6)
    near = slice(399_000, 401_000, 500)
    assert float(prior.log_prob(at[near])) == pytest.approx(float(density[near].log().sum()))
    assert prior_of(str(prior)) == prior


@pytest.mark.parametrize(
    "text", ["normal(0)", "normal(1, 2)", "spike-slab(1.5, 1, 1)", "laplace(x)", "gauss", "normal(inf)"]
)
def test_what_is_no_prior_is_refused(text: str) -> None:
    with pytest.raises(ChoiceError, match="prior"):
        prior_of(text)
