"""Codes follow their prior where a shape asks it, by whatever divergence, and the terms are what they say."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from tests.stopping import stopped_and_resumed
from torch.distributions import Independent, Normal

import trine
from trine.choices import Choices
from trine.criterion import WarmedTerm
from trine.divergences import KL
from trine.divergences.two_sample import energy_distance, mmd, sliced_wasserstein
from trine.errors import ChoiceError, DataError
from trine.methods._shapes import SCALES, FreeBits, RowKL, Samples, known_shapes, shape_terms

X = load_digits().data


@functools.cache
def distance(shape: str) -> float:
    """Energy distance of the codes of all digits from as many draws of the prior."""
    model = trine.Autoencoder(4, shape, epochs=12, hidden=(128,), numbers="plain", random_state=0).fit(X)
    torch.manual_seed(0)
    return float(energy_distance(torch.from_numpy(model.transform(X)), torch.randn(len(X), 4)))


@pytest.mark.parametrize("shape", ["kl", "mmd", "cramer", "wasserstein", "js", "least_squares", "hellinger"])
def test_a_shape_brings_codes_to_the_prior(shape: str) -> None:
    assert distance(shape) < 0.1 * distance("none")


def test_samples_are_compared_with_as_many_draws_of_the_prior() -> None:
    prior = Independent(Normal(torch.zeros(3), torch.ones(3)), 1)
    z = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) + 1
    for kind, by_hand in (
        ("mmd", lambda x: mmd(z, x, [(s * 3) ** 0.5 for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)], kernel="imq")),
        ("cramer", lambda x: energy_distance(z, x, unbiased=True)),
    ):
        torch.manual_seed(1)
        found = Samples(kind)(z, prior)
        torch.manual_seed(1)
        assert torch.allclose(found, by_hand(prior.sample((50,))).expand(50))
    torch.manual_seed(1)
    drawn = prior.sample((50,))

    def k(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        square = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square()
        return torch.stack([(c / (c + square)).sqrt() for c in (6 * s for s in SCALES)]).mean(0)  # C = 2 · 3 · scale

    def between(a: torch.Tensor) -> torch.Tensor:
        return (k(a, a).sum() - len(a)) / (len(a) * (len(a) - 1))

    torch.manual_seed(1)
    found = Samples("mmd")(z, prior)[0]
    assert float(found) == pytest.approx(float(between(z) + between(drawn) - 2 * k(z, drawn).mean()), abs=1e-5)
    torch.manual_seed(1)
    found = Samples("wasserstein")(z, prior)
    torch.manual_seed(1)
    assert torch.allclose(found[0], sliced_wasserstein(z, prior.sample((50,)), projections=32).square())


def test_free_bits_are_free() -> None:
    code = Independent(Normal(torch.tensor([[0.1, 2.0], [-0.1, 1.0]]), torch.ones(2, 2)), 1)
    prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    each = (0.005, (2.0 + 0.5) / 2)  # ½ μ² each, averaged over the two rows
    found = FreeBits(0.2)(prior, code)
    assert torch.allclose(found, torch.full((2,), 0.2 + each[1]))
    assert torch.allclose(FreeBits(0.0)(prior, code), torch.full((2,), sum(each)))
    assert torch.allclose(FreeBits(0.2).eval()(prior, code), KL()(prior, code))


def test_a_weight_grows_over_the_first_steps_and_is_part_of_a_checkpoint() -> None:
    code = Independent(Normal(torch.ones(2, 1), torch.ones(2, 1)), 1)
    outputs = {"code": code, "prior": Independent(Normal(torch.zeros(1), torch.ones(1)), 1)}
    term = WarmedTerm(KL(), "prior", "code", share=0.4)
    term.spans(10)
    seen = [float(term.values(outputs, {})[0]) for _ in range(6)]
    np.testing.assert_allclose(seen, [0, 0.125, 0.25, 0.375, 0.5, 0.5])
    again = WarmedTerm(KL(), "prior", "code", share=0.4)
    again.spans(10)
    again.load_state_dict({**again.state_dict(), "taken": torch.tensor(2)})
    assert float(again.values(outputs, {})[0]) == 0.25
    assert float(again.eval().values(outputs, {})[0]) == 0.5


@pytest.mark.parametrize("batch_size", [32, 30])
def test_warmup_is_a_share_of_all_steps_those_of_smaller_last_batches_too(batch_size: int) -> None:
    (term,) = shape_terms(Choices(shape="kl", code=2, warmup=0.5))
    assert isinstance(term, WarmedTerm)
    assert "over the first 50% of the steps" in term.describe()
    model = trine.Autoencoder(
        1, "kl", warmup=0.5, epochs=3, batch_size=batch_size, validation_fraction=0.0, hidden=(4,)
    )
    shape = model.fit(X[:100, 20:24]).derivation_.criterion.terms[-1]
    assert isinstance(shape, WarmedTerm)
    assert shape.steps == int(shape.taken) == 12


def test_unknown_shapes_are_refused_with_the_nearest() -> None:
    assert {"kl", "mmd", "cramer", "wasserstein", "js", "hinge"} <= set(known_shapes())
    with pytest.raises(ChoiceError, match="wasserstein"):
        trine.Autoencoder(2, "waserstein").fit(X)
    with pytest.raises(ChoiceError, match="free_bits"):
        trine.Autoencoder(2, "mmd", free_bits=0.1).fit(X)


def test_a_shaped_run_that_was_stopped_ends_in_the_same_bits(tmp_path: Path) -> None:
    table = {f"x{i}": X[:100, i] for i in range(16, 32)}
    ways = (
        ("js", "normal", 1),
        ("mmd", "normal", 1),
        ("none", "vq(8, 2)", 1),
        ("kl", "categorical(2, 4)", 1),
        ("kl", "normal", 3),
    )
    for shape, prior, draws in ways:
        choices: dict[str, Any] = {
            "method": "autoencoder", "code": 4, "epochs": 3, "shape": shape, "code_prior": prior, "hidden": (32,), "valid": 0.0,
            "draws": draws,
        }  # fmt: skip
        whole = trine.fit(table, **choices, out=tmp_path / f"{shape} {draws} whole")
        resumed = stopped_and_resumed(
            lambda: trine.fit(table, **choices, out=tmp_path / f"{shape} {draws}"),  # noqa: B023
            lambda: trine.resume(tmp_path / f"{shape} {draws}", data=table),  # noqa: B023
            at=6,
        )
        for one, two in (
            (whole.derivation_.model.state_dict(), resumed.derivation_.model.state_dict()),
            (whole.derivation_.criterion.state_dict(), resumed.derivation_.criterion.state_dict()),
        ):
            assert all(torch.equal(one[name], two[name]) for name in one)


def test_constant_columns_and_single_rows_do_no_harm() -> None:
    table = {"a": np.zeros(60), "b": X[:60, 20], "c": X[:60, 21], "d": np.array(["same"] * 60)}
    model = trine.fit(table, method="autoencoder", code=1, epochs=3, domains={"a": "real", "d": "category"})
    assert np.isfinite(model.score_samples(table)).all()
    assert np.allclose(model.reconstruct(table)["a"], 0.0, atol=0.2)
    with pytest.raises(DataError, match="1 row, and at least 2 are needed"):
        trine.fit({name: values[:1] for name, values in table.items()}, method="autoencoder", code=1)


def test_the_divergence_of_normal_codes_is_torchs_to_the_bit() -> None:
    torch.manual_seed(0)
    location, scale = torch.randn(50, 6, requires_grad=True), torch.rand(50, 6).add(0.1).requires_grad_()
    code = Independent(Normal(location, scale), 1)
    prior = Independent(Normal(0.3 * torch.ones(6), 2.0 * torch.ones(6)), 1)
    found, known = RowKL()(prior, code), torch.distributions.kl_divergence(code, prior)
    assert torch.equal(found, known)
    slopes = [torch.autograd.grad(value.sum(), (location, scale)) for value in (found, known)]
    assert all(torch.equal(a, b) for a, b in zip(*slopes, strict=True))


@pytest.mark.parametrize("prior", ["ball", "normal"])
def test_a_critic_compares_codes_with_any_prior_of_numbers(prior: str) -> None:
    model = trine.Autoencoder(2, "js", prior, epochs=2, hidden=(16,), random_state=0).fit(X[:200])
    assert np.isfinite(model.sample(5)).all()
