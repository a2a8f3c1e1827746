"""The comparison: its figures, its table, its picture, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Beta, Binomial, Cauchy, Gamma, Independent, LogNormal, Normal

from trine.errors import ChoiceError
from trine.gradients import compare


def bits() -> Independent:
    return Independent(Bernoulli(logits=torch.tensor([[0.3, -1.0], [1.0, 0.2]])), 1)


def both(x: Tensor) -> Tensor:
    return x.prod(-1) + 0.5 * x[..., 0]


def test_the_error_is_bias_and_variance() -> None:
    found = compare(bits(), both, samples=4, repeats=1000)
    assert {"exact", "score", "rebar", "relax", "gumbel-softmax(0.5)", "straight-through"} <= set(found.rows)
    for row in found.rows.values():
        n = len(row.estimates)
        assert row.mse == pytest.approx(row.bias**2 + row.variance * (n - 1) / n, rel=1e-6, abs=1e-12)
        assert row.estimates.shape == (1000, 4)


def test_the_table_and_the_picture_name_every_estimator(tmp_path: Path) -> None:
    found = compare(bits(), both, ["exact", "score", "straight-through"], repeats=500)
    lines = str(found).splitlines()
    assert lines[0].startswith("500 estimates of 2 draws each, of 4 derivatives; exact: sum of 4 points")
    assert [line.split()[0] for line in lines[2:]] == ["exact", "score", "straight-through"]
    assert len({len(line) for line in lines[1:]}) == 1
    drawn = found.plot(tmp_path / "found.svg").read_text(encoding="utf-8")
    assert drawn.count("<svg") == 1
    assert found.plot(tmp_path / "found.png").stat().st_size > 10_000


def test_the_same_seed_gives_the_same_estimates_and_the_caller_s_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    first, second, third = (compare(bits(), both, ["score"], repeats=100, seed=s)["score"] for s in (1, 1, 2))
    assert np.array_equal(first.estimates, second.estimates)
    assert not np.array_equal(first.estimates, third.estimates)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("q", "mean"),
    [
        (Gamma(torch.tensor(2.5).double(), torch.tensor(1.5).double()), lambda q: q.mean),
        (Beta(torch.tensor(2.0).double(), torch.tensor(3.0).double()), lambda q: q.mean),
        (LogNormal(torch.tensor(0.2).double(), torch.tensor(0.3).double()), lambda q: q.mean),
    ],
    ids=["gamma", "beta", "lognormal"],
)
def test_the_quadrature_agrees_with_closed_forms(q: Gamma, mean: object) -> None:
    by_quadrature = compare(q, lambda x: x, ["pathwise"], repeats=20_000)
    given = compare(q, lambda x: x, ["pathwise"], repeats=2, exact=mean)  # type: ignore[arg-type]
    assert by_quadrature.method == "quadrature"
    assert by_quadrature.exact == pytest.approx(given.exact, rel=1e-6, abs=1e-9)
    assert by_quadrature["pathwise"].z < 4


def test_a_count_of_trials_is_no_parameter() -> None:
    q = Independent(Binomial(3, logits=torch.tensor([0.4, -1.0], dtype=torch.float64)), 1)
    found = compare(q, lambda x: x.prod(-1) + x[..., 0] ** 2, samples=3, repeats=5000)
    assert len(found.exact) == 2
    assert max(row.z for row in found.rows.values()) < 4


def test_what_has_no_exact_gradient_is_refused() -> None:
    vector = Independent(Normal(torch.zeros(3), 1.0), 1)
    with pytest.raises(ChoiceError, match="Give exact="):
        compare(vector, lambda x: x.sum(-1), ["pathwise"])
    with pytest.raises(ChoiceError, match="no finite variance"):
        compare(Cauchy(0.0, 1.0), lambda x: x.cos(), ["pathwise"])
    with pytest.raises(ChoiceError, match="exact gives shape"):
        compare(vector, lambda x: x.sum(-1), ["pathwise"], exact=lambda q: q.mean)
    with pytest.raises(ChoiceError, match="at least 2"):
        compare(bits(), both, repeats=1)
