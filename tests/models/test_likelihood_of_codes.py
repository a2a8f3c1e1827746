"""log q(x given z) of an autoencoder: what its bound weighs is what its terms price, column by column of every domain."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution

import trine
from trine.choices import Choices
from trine.data import Schema, Table, encode, read
from trine.domains import Column, domains
from trine.methods._base import Facts
from trine.methods.autoencoder import AutoencoderMethod, network, reconstructed, reconstruction_terms

N = 24
RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=N)
THIRD = np.arange(N) % 3


def ragged(rows: list[np.ndarray]) -> np.ndarray:
    found = np.empty(len(rows), dtype=object)
    found[:] = rows
    return found


COLUMNS: dict[str, tuple[str, Any]] = {
    "number": ("real", np.where(THIRD == 0, np.nan, NORMAL)),
    "another number": ("real", NORMAL + 1),
    "positive": ("positive", np.where(THIRD == 1, np.nan, np.exp(NORMAL))),
    "share": ("unit", np.clip(0.5 + NORMAL / 2, 0, 1)),
    "count": ("count", RNG.poisson(3, N)),
    "class": ("category", np.array(["u", "v", None], dtype=object)[THIRD]),
    "set": ("labels", np.array(["red; round", "red", "round; big"])[THIRD]),
    "greys": ("image", RNG.integers(0, 255, (N, 8, 8)).astype(np.uint8)),
    "black and white": ("image", (RNG.random((N, 8, 8)) < 0.5).astype(np.uint8) * 255),
    "series": ("series", ragged([RNG.normal(size=n) for n in RNG.integers(3, 9, N)])),
    "sound": ("audio", ragged([0.5 * RNG.normal(size=n).clip(-1, 1) for n in RNG.integers(300, 400, N)])),
    "text": ("text", np.array(["ab", "ba b", "c a b"])[THIRD]),
}


def test_the_bound_of_one_draw_is_what_the_terms_say_by_every_default_rule() -> None:
    kinds = {name: kind for name, (kind, _) in COLUMNS.items()} | {"vector": "vector"}
    of_names = read({name: values for name, (_, values) in COLUMNS.items()})
    vector = Column("vector", RNG.normal(size=(N, 3)))
    table = Table({**{name: partial(of_names.column, name) for name in COLUMNS}, "vector": lambda: vector}, N)
    made = {name: domains[kind](**({"rate": 1000} if kind == "audio" else {})) for name, kind in kinds.items()}
    schema = Schema({name: domain.fit(table.column(name)) for name, domain in made.items()}, {})
    batch = encode(table, schema).batch(torch.arange(N))
    asked = Choices(code=2, shape="kl", hidden=(8,), channels=4, units=8)
    choices, _ = AutoencoderMethod().resolve(schema, asked, Facts(N))
    torch.manual_seed(0)
    model = network(schema, choices).eval()
    assert set(kinds.values()) == set(domains) - {"date"}  # which is read, and has no rule that gives it again
    assert set(reconstructed(schema, choices)) == set(kinds)
    with torch.no_grad():
        code, _ = model.encode(batch)
        assert isinstance(code, Distribution)
        torch.manual_seed(1)
        found = model.bound(code, batch)
        torch.manual_seed(1)
        z = code.rsample((1,))[0]
        outputs = model._outputs_of(code, z, batch)
        values = [term.values(outputs, batch) for term in reconstruction_terms(model)]
    divergence = code.log_prob(z) - model.latent.prior().log_prob(z)
    total = torch.stack([divergence, *values])
    size: Tensor = total.abs().sum(0)
    assert bool(size.isfinite().all())
    assert ((found - total.sum(0)).abs() < 1e-6 * size).all()


@pytest.mark.parametrize("draws", [1, 3])
def test_shares_of_exactly_0_and_1_have_a_finite_likelihood(draws: int) -> None:
    rng = np.random.default_rng(0)
    share = np.clip(rng.normal(0.5, 0.5, 200), 0, 1)
    assert 0.2 < np.mean((share == 0) | (share == 1)) < 0.5
    table = {"share": share, "other": share + rng.normal(size=200)}
    model = trine.fit(table, method="autoencoder", code=1, shape="kl", draws=draws, epochs=2, hidden=(8,), seed=0)
    assert np.isfinite(model.score_samples(table, samples=5)).all()
    assert np.isfinite(model.evaluations_["x"].metrics["log_likelihood"].value)
