"""Each thing that can be wrong with codes is provoked, found and named with a remedy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import trine
from trine.errors import DataError
from trine.evaluation.codes import Finding, active_units, diagnose, ever_active, two_sample

X = load_digits().data


def findings(**choices: object) -> dict[str, object]:
    given = {"epochs": 12, "hidden": (64,), "numbers": "plain", "random_state": 0, **choices}
    return {finding.name: finding for finding in trine.Autoencoder(4, **given).fit(X).diagnose(X)}  # type: ignore[arg-type]


def test_a_healthy_code_has_nothing_amiss() -> None:
    found = findings(shape="kl")
    assert [name for name, finding in found.items() if finding.wrong] == []  # type: ignore[attr-defined]
    assert found["active units"].value == 4  # type: ignore[attr-defined]


def test_a_price_that_is_too_high_makes_codes_collapse() -> None:
    found = findings(shape="kl", shape_weight=200.0)
    assert found["active units"].wrong  # type: ignore[attr-defined]
    assert "collapsed" in found["active units"].sentence  # type: ignore[attr-defined]
    assert "free_bits" in found["active units"].remedy  # type: ignore[attr-defined]
    assert found["decoder"].wrong  # type: ignore[attr-defined]
    assert "whatever the code is" in found["decoder"].sentence  # type: ignore[attr-defined]


def test_a_price_that_is_too_low_leaves_codes_off_their_prior() -> None:
    given: dict[str, Any] = {"epochs": 12, "hidden": (64,), "numbers": "plain", "random_state": 0}
    model = trine.Autoencoder(4, shape="mmd", shape_weight=1e-6, **given).fit(X)
    longer = {"epochs": "more epochs", "patience": "a larger patience", "budget": "a larger budget"}
    for stopped, more in longer.items():
        model.provenance_["stopped"] = stopped  # what ended it says what makes it longer
        found = {finding.name: finding for finding in model.diagnose(X)}["prior"]
        assert found.wrong
        assert found.remedy == f"raise shape_weight or train longer ({more})"


def test_a_plain_code_has_no_prior_to_follow_and_no_scale() -> None:
    assert set(findings()) == {"decoder"}


def test_units_are_active_where_their_mean_varies() -> None:
    rng = np.random.default_rng(0)
    assert active_units(np.column_stack([rng.normal(size=500), 0.05 * rng.normal(size=500), np.ones(500)])) == 1


def test_the_two_sample_test_keeps_its_level_and_sees_a_shift() -> None:
    generator = torch.Generator().manual_seed(0)
    level = [two_sample(*torch.randn(2, 60, 2, generator=generator), seed=i)[1] for i in range(40)]
    assert np.mean(np.array(level) <= 0.1) < 0.25
    assert two_sample(torch.randn(60, 2, generator=generator), torch.randn(60, 2, generator=generator) + 1)[1] < 0.01


def test_of_a_sparse_code_the_numbers_count_that_are_ever_used() -> None:
    """Three of 64 a row, each by as many rows, of any size: all are used; of 16 rows no more than 48 can be."""
    rng = np.random.default_rng(0)
    order = np.array([rng.permutation(64)[:3] for _ in range(400)])
    codes = np.zeros((400, 64))
    np.put_along_axis(codes, order, 0.01, axis=1)

    def found(codes: np.ndarray) -> Finding:
        z, nats = torch.from_numpy(codes), np.zeros(len(codes))
        by_name = {f.name: f for f in diagnose(codes, z, z, nats, nats, stochastic=False, shaped=False, sparse=True)}
        return by_name["active units"]

    assert (found(codes).value, found(codes).wrong) == (64, False)
    assert not found(codes[:16]).wrong
    few = np.where(np.arange(64) < 20, codes, 0.0)
    assert (found(few).value, found(few).wrong) == (20, True)
    assert "20 of 64" in found(few).sentence
    assert "lifetime" in found(few).remedy
    assert ever_active(np.array([[1.0, 0.0], [0.0, 0.0]])) == (1, 2 * (1 - 0.75**2))


def test_sparse_codes_of_an_estimator_are_judged_so() -> None:
    model = trine.Autoencoder(32, sparsity="lifetime(0.1)", epochs=2, hidden=(16,), numbers="plain", random_state=0)
    found = {finding.name: finding for finding in model.fit(X[:300]).diagnose(X[300:])}
    used = (model.transform(X[300:]) != 0).any(axis=0).sum()
    assert found["active units"].sentence.startswith(f"{used} of 32 numbers of a code are ever other than 0")


def test_the_decoder_is_judged_by_what_another_code_costs_wherever_densities_have_their_zero() -> None:
    rng = np.random.default_rng(0)
    means, z = rng.normal(size=(50, 2)), torch.randn(50, 2)
    cost = rng.normal(size=50)
    cost = (cost - cost.mean()) / cost.std(ddof=1)  # whose mean has a standard error of 0.14

    def decoder(lost: float, spread: float, zero: float) -> Finding:
        own = zero + rng.normal(size=50)
        found = diagnose(means, z, z, own, own - lost - spread * cost, stochastic=True, shaped=False)
        return found[-1]

    for zero in (-1e4, -10.0, 0.0, 1e4):
        assert decoder(0.2, 1.0, zero).wrong  # none that shows
        assert decoder(0.05, 0.0, zero).wrong  # none that matters
        assert not decoder(0.4, 1.0, zero).wrong
        assert not decoder(0.2, 0.1, zero).wrong
        assert decoder(0.4, 1.0, zero).value == pytest.approx(0.4)
    assert "0.40 ± 0.28 nats" in decoder(0.4, 1.0, -10.0).sentence
    assert decoder(0.4, 1.0, -10.0).remedy == ""


def test_sorted_rows_are_judged_as_shuffled_ones() -> None:
    digits = load_digits()
    model = trine.Autoencoder(4, "kl", epochs=12, hidden=(64,), numbers="plain", random_state=0).fit(X)
    shuffled, by_class = model.diagnose(X), model.diagnose(X[np.argsort(digits.target, kind="stable")])
    for one, other in zip(shuffled, by_class, strict=True):
        assert one.wrong == other.wrong
    assert by_class[-1].value == pytest.approx(shuffled[-1].value, rel=0.15)


def test_a_few_rows_are_refused() -> None:
    model = trine.Autoencoder(4, epochs=1).fit(X)
    with pytest.raises(DataError, match="of 1 row tell nothing"):
        model.diagnose(X[:1])
