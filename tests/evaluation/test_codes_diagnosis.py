"""Each thing that can be wrong with codes is provoked, found and named with a remedy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import trine
from trine.errors import DataError
from trine.evaluation.codes import active_units, diagnose, two_sample

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
    found = findings(shape="mmd", shape_weight=1e-6)
    assert found["prior"].wrong  # type: ignore[attr-defined]
    assert "raise shape_weight" in found["prior"].remedy  # type: ignore[attr-defined]


def test_a_plain_code_has_no_prior_to_follow() -> None:
    assert "prior" not in findings()


def test_units_are_active_where_their_mean_varies() -> None:
    rng = np.random.default_rng(0)
    assert active_units(np.column_stack([rng.normal(size=500), 0.05 * rng.normal(size=500), np.ones(500)])) == 1


def test_the_two_sample_test_keeps_its_level_and_sees_a_shift() -> None:
    generator = torch.Generator().manual_seed(0)
    level = [two_sample(*torch.randn(2, 60, 2, generator=generator), seed=i)[1] for i in range(40)]
    assert np.mean(np.array(level) <= 0.1) < 0.25
    assert two_sample(torch.randn(60, 2, generator=generator), torch.randn(60, 2, generator=generator) + 1)[1] < 0.01


def test_the_decoder_is_judged_by_what_another_code_costs() -> None:
    means, z = np.random.default_rng(0).normal(size=(50, 2)), torch.randn(50, 2)
    by_name = {f.name: f for f in diagnose(means, z, z, -10.0, -10.05, stochastic=True, shaped=False)}
    assert by_name["decoder"].wrong
    by_name = {f.name: f for f in diagnose(means, z, z, -10.0, -15.0, stochastic=True, shaped=False)}
    assert not by_name["decoder"].wrong
    assert by_name["decoder"].remedy == ""


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
