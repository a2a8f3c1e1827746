"""The importance-weighted bound as what is descended: against a linear-Gaussian model, whose evidence is known."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_iris
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

import trine
from trine.data import Batch
from trine.errors import ChoiceError
from trine.models import Autoencoder

X, MEAN, STD = 1.2, 0.3, 0.9
EVIDENCE, BOUNDS = -1.6255121235, {1: -1.7842990489, 5: -1.6444, 50: -1.6275}
"""Of z ~ N(0, 1), x given z ~ N(z, 1) at x = 1.2, under q = N(0.3, 0.9²)."""
PIXELS = (load_digits().images > 8).astype(np.uint8)[:600] * 255


class Code(nn.Module):
    """q(z given x) = N(mean, std²), whatever x is."""

    stochastic, width = True, 1

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.tensor(MEAN))
        self.std = nn.Parameter(torch.tensor(STD))

    def forward(self, features: Tensor) -> tuple[Distribution, Tensor]:
        shape = (len(features), 1)
        q = Independent(Normal(self.mean.expand(shape), self.std.expand(shape)), 1)
        return q, q.rsample()

    def prior(self) -> Distribution:
        return Independent(Normal(torch.zeros(1), torch.ones(1)), 1)


class Around(nn.Module):
    """x given z ~ N(z, 1)."""

    def forward(self, z: Tensor) -> Distribution:
        return Normal(z[:, 0], 1.0)


class Reader(nn.Module):
    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        return batch["x.a"][:, None]


def linear_gaussian(draws: int) -> tuple[Autoencoder, Code]:
    code: Any = Code()
    rule: Any = Around()
    return Autoencoder(Reader(), code, nn.Identity(), {"a": rule}, draws=draws), code


def bounds(draws: int, rows: int) -> tuple[Tensor, Code]:
    torch.manual_seed(0)
    model, code = linear_gaussian(draws)
    outputs = model(Batch({"x.a": torch.full((rows,), X)}))
    if draws > 1:
        assert "x_hat.a" not in outputs
        found = outputs["bound"]
    else:
        found = model.bound(
            model.encode(Batch({"x.a": torch.full((rows,), X)}))[0], Batch({"x.a": torch.full((rows,), X)})
        )
    assert isinstance(found, Tensor)
    assert found.shape == (rows,)
    return found, code


@pytest.mark.parametrize("draws", [1, 5, 50])
def test_it_is_the_bound_of_its_number_of_draws(draws: int) -> None:
    found = -bounds(draws, 200_000 // draws)[0].detach().double()
    error = float(found.std()) / len(found) ** 0.5
    assert abs(float(found.mean()) - BOUNDS[draws]) < 4 * error + 5e-5


def test_it_is_tighter_with_more_draws_and_never_beyond_the_evidence() -> None:
    found = [-float(bounds(draws, 100_000 // draws)[0].detach().mean()) for draws in (1, 2, 5, 20, 100)]
    assert all(a < b for a, b in itertools.pairwise(found))
    assert found[-1] < EVIDENCE + 0.002


def test_one_draw_has_the_gradient_of_the_evidence_lower_bound() -> None:
    """−ELBO = ½((x − μ)² + σ²) + ½(μ² + σ² − 1) − log σ + const."""
    found, code = bounds(1, 400_000)
    found.mean().backward()  # type: ignore[no-untyped-call]
    assert code.mean.grad is not None
    assert code.std.grad is not None
    assert float(code.mean.grad) == pytest.approx(2 * MEAN - X, abs=0.02)
    assert float(code.std.grad) == pytest.approx(2 * STD - 1 / STD, abs=0.02)


def test_with_many_draws_a_code_that_is_wrong_costs_little() -> None:
    """The gradient of q fades as the bound nears the evidence, which q is no part of."""
    slopes = []
    for draws in (1, 10, 100):
        found, code = bounds(draws, 400_000 // draws)
        found.mean().backward()  # type: ignore[no-untyped-call]
        assert code.mean.grad is not None
        slopes.append(abs(float(code.mean.grad)))
    assert slopes[0] > 2 * slopes[1] > 4 * slopes[2]


def test_a_missing_value_adds_nothing_to_the_weights() -> None:
    torch.manual_seed(0)
    model, _ = linear_gaussian(400)
    batch = Batch({"x.a": torch.full((50,), X), "x.a.present": torch.arange(50) < 25})
    found = model(batch)["bound"]
    assert isinstance(found, Tensor)
    assert float(found[25:].mean()) == pytest.approx(0.0, abs=0.02)  # log of the mean of p(z)/q(z)
    assert float(found[:25].mean()) == pytest.approx(-EVIDENCE, abs=0.02)


def _fit(**more: Any) -> trine.Autoencoder:
    return trine.Autoencoder(6, "kl", image="dense", hidden=(48,), random_state=0, **more).fit(PIXELS)


def test_an_estimator_descends_it() -> None:
    model = _fit(draws=4, epochs=8)
    assert "−log 1/4 Σ p(x, z)/q(z given x)" in str(model.derivation_)
    losses = [record["train"]["loss"] for record in model.history_]
    assert losses[-1] < losses[0] - 2
    held = model.log_likelihood(PIXELS[:100], 20)
    assert held.bounds[1] < held.bounds[5] < held.bounds[20]
    with pytest.raises(ChoiceError, match="samples is 0; it is a whole number"):
        model.log_likelihood(PIXELS[:2], 0)
    assert model.inverse_transform(model.transform(PIXELS[:3])).shape == (3, 8, 8)


def test_one_draw_is_the_evidence_lower_bound_in_closed_form() -> None:
    one, plain = _fit(draws=1, epochs=2), _fit(epochs=2)
    for a, b in zip(one.derivation_.model.parameters(), plain.derivation_.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_mixture_as_prior_and_columns_that_miss_values() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=300)
    table = {
        "a": np.where(rng.random(300) < 0.2, np.nan, a),
        "b": a + rng.normal(size=300),
        "c": np.where(a > 0, "u", "v"),
    }
    model = trine.fit(
        table, method="autoencoder", code=2, shape="kl", draws=3, code_prior="mixture(3)", epochs=3, seed=0
    )
    assert np.isfinite(model.score_samples(table, samples=10)).all()


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"shape": "mmd"}, "shape=kl"),
        ({"shape": "kl", "prior": "categorical(3, 4)"}, "no density"),
        ({"shape": "kl", "shape_weight": 2.0}, "shape_weight"),
        ({"shape": "kl", "warmup": 0.2}, "warmup"),
        ({"shape": "kl", "free_bits": 0.1}, "free_bits"),
    ],
)
def test_what_has_no_such_bound_is_refused(more: dict[str, Any], word: str) -> None:
    with pytest.raises(ChoiceError, match=word):
        trine.Autoencoder(4, draws=3, **more).fit(load_digits().data[:100])


@pytest.mark.parametrize("choices", [{"prior": "vamp(5)"}, {"prior": "mixture(3)"}, {"draws": 5}])
def test_a_score_that_draws_moves_only_as_the_weights_do(choices: dict) -> None:
    X = load_iris().data
    model = trine.Autoencoder(
        code=2, shape="kl", step_size=1e-12, weight_decay=0.0, epochs=4, random_state=0, **choices
    )
    scores = [epoch["held_out"] for epoch in model.fit(X).history_]
    assert np.ptp(scores) < 1e-3
