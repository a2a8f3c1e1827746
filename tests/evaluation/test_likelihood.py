"""Importance-sampled likelihood against a linear-Gaussian model, whose evidence is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.distributions import Independent, Normal

import trine
from trine.errors import ChoiceError
from trine.evaluation.likelihood import bound, bounds_up_to, log_weights, summed

X = 1.2
EVIDENCE, ELBO = -1.6255121235, -1.7842990489
"""Of z ~ N(0, 1), x given z ~ N(z, 1) at x = 1.2; the bound under q = N(0.3, 0.9²)."""


def weights(mean: float, std: float, samples: int) -> torch.Tensor:
    code = Independent(Normal(torch.tensor([[mean]]).double(), torch.tensor([[std]]).double()), 1)
    prior = Independent(Normal(torch.zeros(1).double(), torch.ones(1).double()), 1)
    torch.manual_seed(0)
    return log_weights(code, prior, lambda z: Normal(z[:, 0], 1.0).log_prob(torch.tensor(X).double()), samples)


def test_it_comes_to_the_evidence_within_its_error() -> None:
    value, error = summed(weights(0.3, 0.9, 20_000))
    assert abs(float(value) - EVIDENCE) < 4 * float(error)
    assert float(error) == pytest.approx(math.sqrt(0.17298 / 20_000), rel=0.1)  # the relative variance of a weight


def test_bounds_rise_with_the_number_of_draws() -> None:
    log_w = weights(0.3, 0.9, 20_000)
    found = [float(bound(log_w, k)) for k in (1, 5, 50)]
    assert found[0] == pytest.approx(ELBO, abs=0.01)
    assert found[1] == pytest.approx(-1.6444, abs=0.004)
    assert found[2] == pytest.approx(-1.6275, abs=0.004)
    assert found[0] < found[1] < found[2] < EVIDENCE + 0.002


def test_at_the_exact_posterior_every_draw_gives_the_evidence() -> None:
    log_w = weights(0.6, math.sqrt(0.5), 20)
    np.testing.assert_allclose(log_w, EVIDENCE, atol=1e-9)
    assert float(summed(log_w)[1]) < 1e-8


def test_one_draw_has_no_error_and_none_is_refused() -> None:
    assert bool(summed(weights(0.3, 0.9, 1))[1].isnan())
    with pytest.raises(ChoiceError, match="1 or more"):
        weights(0.3, 0.9, 0)
    assert bounds_up_to(100) == [1, 5, 50, 100]


def test_a_fitted_autoencoder_has_it_row_by_row() -> None:
    images = (load_digits().images > 8).astype(np.uint8) * 255
    model = trine.Autoencoder(8, "kl", image="dense", hidden=(64,), epochs=15, random_state=0).fit(images)
    found = model.log_likelihood(images[:200], samples=60)
    assert found.value.shape == found.error.shape == (200,)
    assert list(found.bounds) == [1, 5, 50, 60]
    assert found.bounds[1] < found.bounds[5] < found.bounds[50]
    assert found.mean == pytest.approx(found.bounds[60])
    assert model.score(images[:200], samples=60) == found.mean
    assert 0 < found.mean_error < 0.2
    again = model.log_likelihood(images[:200], samples=60)
    assert (again.value == found.value).all()


def test_missing_numbers_add_nothing() -> None:
    rng = np.random.default_rng(0)
    table = {
        "a": rng.normal(size=300),
        "b": rng.normal(size=300),
        "c": np.array(["u", "v", "w"])[rng.integers(0, 3, 300)],
    }
    model = trine.fit(table, method="autoencoder", code=1, shape="kl", epochs=5, seed=0)
    known = model.score_samples(table, samples=20)
    some = {**table, "b": np.where(np.arange(300) < 100, np.nan, table["b"])}
    found = model.score_samples(some, samples=20)
    assert np.isfinite(found).all()
    assert found[:100].mean() > known[:100].mean() + 0.5
    assert np.allclose(found[100:], known[100:], atol=0.5)


def test_codes_that_are_numbers_have_no_likelihood() -> None:
    data = load_digits().data[:200]
    model = trine.Autoencoder(4, epochs=1).fit(data)
    assert model.score_samples(data).shape == (200,)
    with pytest.raises(ChoiceError, match="shape='kl'"):
        model.log_likelihood(data)
