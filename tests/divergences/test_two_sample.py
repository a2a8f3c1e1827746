"""Two-sample divergences: SciPy's values, closed forms, statistics by hand, gradients, memory, edges."""

from __future__ import annotations

import itertools
import math
import warnings

import pytest
import scipy.spatial.distance
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trine.divergences import two_sample
from trine.divergences.two_sample import energy_distance, mmd, sinkhorn, sliced_wasserstein, wasserstein_1d
from trine.errors import ChoiceError


def t(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


ALL = {
    "wasserstein": lambda x, y: wasserstein_1d(x[:, 0], y[:, 0]),
    "wasserstein 2": lambda x, y: wasserstein_1d(x[:, 0], y[:, 0], 2),
    "sliced": lambda x, y: sliced_wasserstein(x, y, generator=torch.Generator().manual_seed(0)),
    "sinkhorn": lambda x, y: sinkhorn(x, y, epsilon=0.5, tolerance=1e-9, iterations=3000),
    "sinkhorn, plain": lambda x, y: sinkhorn(x, y, epsilon=0.5, debiased=False, tolerance=1e-9, iterations=3000),
    "energy": energy_distance,
    "energy, 1-D": lambda x, y: energy_distance(x[:, 0], y[:, 0]),
    "energy, U": lambda x, y: energy_distance(x, y, unbiased=True),
    "energy, 1-D, U": lambda x, y: energy_distance(x[:, 0], y[:, 0], unbiased=True),
    "mmd": lambda x, y: mmd(x, y, bandwidth=1.3),
    "mmd, V": lambda x, y: mmd(x, y, bandwidth=(0.5, 2.0), kernel="laplace", unbiased=False),
    "mmd, imq": lambda x, y: mmd(x, y, bandwidth=1.0, kernel="imq"),
}


# Values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 7), (50, 50), (37, 53), (64, 16)])
def test_wasserstein_and_energy_equal_scipys(n: int, m: int) -> None:
    x, y = draw(n), 1.7 * draw(m, seed=1) + 0.4
    w, v = draw(n, seed=2).square() + 1e-3, draw(m, seed=3).square() + 1e-3
    assert wasserstein_1d(x, y).item() == pytest.approx(scipy.stats.wasserstein_distance(x, y), rel=1e-12)
    weighted = scipy.stats.wasserstein_distance(x, y, w, v)
    assert wasserstein_1d(x, y, 1, w, v).item() == pytest.approx(weighted, rel=1e-12)
    assert wasserstein_1d(x, y, 1, None, v).item() == pytest.approx(
        scipy.stats.wasserstein_distance(x, y, None, v), rel=1e-12
    )
    assert energy_distance(x, y).sqrt().item() == pytest.approx(scipy.stats.energy_distance(x, y), rel=1e-12)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, math.inf])
def test_unequal_sizes_are_equal_ones_of_repeated_samples(p: float) -> None:
    """6 and 4 samples are 12 each, every one twice or three times; weights say the same."""
    x, y = draw(6), draw(4, seed=1) * 2
    many = wasserstein_1d(x.repeat_interleave(2), y.repeat_interleave(3), p)
    assert wasserstein_1d(x, y, p).item() == pytest.approx(many.item(), rel=1e-12)
    assert wasserstein_1d(x, y, p, torch.ones(6), torch.full((4,), 7.0)).item() == pytest.approx(many.item(), rel=1e-12)
    doubled = wasserstein_1d(torch.cat([x, x[:1]]), y, p, t(0.5, 1, 1, 1, 1, 1, 0.5), None)
    assert doubled.item() == pytest.approx(many.item(), rel=1e-12)
    absent = wasserstein_1d(torch.cat([x, t(1e9)]), y, p, t(1, 1, 1, 1, 1, 1, 0), None)
    assert absent.item() == pytest.approx(many.item(), rel=1e-12)


def test_batches_are_compared_row_by_row() -> None:
    x, y, w = draw(3, 8), draw(5, seed=1), draw(3, 8, seed=2).square()
    each = torch.stack([wasserstein_1d(row, y, 2) for row in x])
    assert torch.allclose(wasserstein_1d(x, y, 2), each)
    weighed = torch.stack([wasserstein_1d(row, y, 2, weights) for row, weights in zip(x, w, strict=True)])
    assert torch.allclose(wasserstein_1d(x, y, 2, w), weighed)


def test_large_samples_reach_the_closed_forms_of_normals() -> None:
    """N(0.3, 0.8) and N(−0.5, 1.7) by their quantiles: W1 = 0.98449, W2² = 1.45, energy 0.44499."""
    levels = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    z = torch.special.ndtri(levels)
    x, y = 0.3 + 0.8 * z, -0.5 + 1.7 * z
    assert wasserstein_1d(x, y).item() == pytest.approx(0.9844869128, rel=2e-4)
    assert wasserstein_1d(x, y, 2).item() ** 2 == pytest.approx(1.45, rel=2e-3)
    assert energy_distance(x, y).item() == pytest.approx(0.4449864691, rel=2e-4)
    assert 0.5 * energy_distance(x, y).item() == pytest.approx(0.2224932346, rel=2e-4)


def test_statistics_by_hand() -> None:
    """X = {0, 1, 3}, Y = {2, 5}: V-statistic 13/6, U-statistic 0; in one dimension by sorting, in two by pairs."""
    x, y = t(0, 1, 3), t(2, 5)
    for a, b in ((x, y), (torch.stack([0 * x, x], 1), torch.stack([0 * y, y], 1))):
        assert energy_distance(a, b).item() == pytest.approx(13 / 6, rel=1e-12)
        assert energy_distance(a, b, unbiased=True).item() == pytest.approx(0.0, abs=1e-12)
    k = [math.exp(-0.5), math.exp(-4.5), math.exp(-2.0)]  # 0–1, 0–3, 1–3
    cross = (math.exp(-2) + math.exp(-12.5) + math.exp(-0.5) + math.exp(-8) + math.exp(-0.5) + math.exp(-2)) / 6
    unbiased = sum(k) / 3 + math.exp(-4.5) - 2 * cross
    assert mmd(x, y, 1.0).item() == pytest.approx(unbiased, rel=1e-12)
    biased = (3 + 2 * sum(k)) / 9 + (2 + 2 * math.exp(-4.5)) / 4 - 2 * cross
    assert mmd(x, y, 1.0, unbiased=False).item() == pytest.approx(biased, rel=1e-12)


def test_statistics_without_bias_have_the_closed_form_as_their_mean() -> None:
    """Energy of N(0, 1) and N(1, 1), and MMD² with σ = 1: E k = √(1/3) e^(−d²/6) for two independent normals."""
    x, y = draw(4000, 3), draw(4000, 3, seed=1) + 1
    a = 2 * (math.sqrt(2) * math.sqrt(2 / math.pi) * math.exp(-0.25) + math.erf(0.5)) - 4 / math.sqrt(math.pi)
    energies = torch.stack([energy_distance(p, q, True) for p, q in zip(x, y, strict=True)])
    error = energies.std().item() / math.sqrt(len(energies))
    assert energies.mean().item() == pytest.approx(a, abs=4 * error)
    discrepancies = torch.stack([mmd(p, q, 1.0) for p, q in zip(x[:, :, None], y[:, :, None], strict=True)])
    exact = 2 / math.sqrt(3) * (1 - math.exp(-1 / 6))
    error = discrepancies.std().item() / math.sqrt(len(discrepancies))
    assert discrepancies.mean().item() == pytest.approx(exact, abs=4 * error)
    biased = torch.stack([mmd(p, q, 1.0, unbiased=False) for p, q in zip(x[:, :, None], y[:, :, None], strict=True)])
    assert biased.mean().item() > exact + 10 * error


def test_median_bandwidth_is_the_median_distance() -> None:
    x, y = draw(20, 2), draw(30, 2, seed=1)
    median = torch.nn.functional.pdist(torch.cat([x, y])).median().item()
    assert mmd(x, y).item() == mmd(x, y, bandwidth=median).item()
    assert mmd(x[:, 0], x[:, 0], unbiased=False).item() == pytest.approx(0.0, abs=1e-15)
    assert mmd(torch.zeros(4), torch.zeros(4)).item() == 0.0


def test_a_shift_seen_by_slices() -> None:
    """SW2 of a shift d in k dimensions is |d|/√k; with whole orthogonal sets of directions, exactly."""
    x, d = draw(40, 4), t(1.0, -2.0, 0.5, 3.0)
    exact = d.norm().item() / 2
    assert sliced_wasserstein(x, x + d, projections=8).item() == pytest.approx(exact, rel=1e-12)
    one = torch.stack([sliced_wasserstein(x, x + d, projections=1).square() for _ in range(2000)])
    assert one.mean().item() == pytest.approx(exact**2, abs=4 * one.std().item() / 2000**0.5)
    a = sliced_wasserstein(x, 2 * x, projections=5, generator=torch.Generator().manual_seed(3))
    b = sliced_wasserstein(x, 2 * x, projections=5, generator=torch.Generator().manual_seed(3))
    assert a.item() == b.item()
    assert sliced_wasserstein(x[:, :1], d[:, None], 1.5).item() == wasserstein_1d(x[:, 0], d, 1.5).item()


def test_directions_are_uniform_on_the_sphere() -> None:
    directions = two_sample._directions(3, 30_000, torch.Generator().manual_seed(0))
    assert torch.allclose(directions.norm(dim=1), torch.ones(30_000, dtype=torch.float64))
    assert directions.mean(0).abs().max() < 0.02
    for axis in directions.T:  # on the sphere of three dimensions a coordinate is uniform on (−1, 1)
        assert scipy.stats.kstest(axis[::3].numpy(), "uniform", (-1, 2)).pvalue > 1e-3


def test_sinkhorn_between_transport_and_energy() -> None:
    x, y = draw(300), 1.5 * draw(200, seed=1) + 1
    exact = wasserstein_1d(x, y, 2).item() ** 2
    plain = [sinkhorn(x, y, eps, debiased=False, iterations=2000).item() for eps in (1.0, 0.3, 0.1, 0.02)]
    assert all(a > b for a, b in itertools.pairwise(plain))  # falls to W2² with ε
    assert plain[-1] == pytest.approx(exact, abs=0.2)
    assert sinkhorn(x, y, 0.02, iterations=2000).item() == pytest.approx(exact, rel=1e-2)
    wide = sinkhorn(x, y, 1e6, p=1).item()
    assert wide == pytest.approx(0.5 * energy_distance(x, y).item(), rel=1e-4)
    assert sinkhorn(x, x.flip(0), 0.1).item() == pytest.approx(0.0, abs=1e-6)
    assert sinkhorn(x, x + 2).item() == pytest.approx(4.0, rel=1e-4)  # a shift costs its square, for every ε


def test_sinkhorn_of_normals_has_its_closed_form() -> None:
    """Within N(0, 1) and d² the plan is normal, of the correlation c that minimises 2 − 2c − (ε/2) log(1 − c²)."""
    eps = 1.0
    levels = (torch.arange(1500, dtype=torch.float64) + 0.5) / 1500
    x = torch.special.ndtri(levels)
    c = (-eps + math.sqrt(eps**2 + 16)) / 4
    exact = 2 - 2 * c - 0.5 * eps * math.log(1 - c * c)
    assert sinkhorn(x, x, eps, debiased=False).item() == pytest.approx(exact, rel=3e-3)


# Gradients -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_gradients_equal_finite_differences(name: str) -> None:
    x, y = draw(7, 2).requires_grad_(), (draw(5, 2, seed=1) + 0.3).requires_grad_()
    assert torch.autograd.gradcheck(ALL[name], (x, y), eps=1e-6, atol=1e-5)


def test_gradients_of_weights_equal_finite_differences() -> None:
    x, y, w = draw(6), draw(4, seed=1), draw(6, seed=2).square().requires_grad_()
    assert torch.autograd.gradcheck(lambda w: wasserstein_1d(x, y, 2, w, None), (w,), atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_equal_samples_have_a_finite_gradient(name: str) -> None:
    x = draw(6, 2, dtype=torch.float32).requires_grad_()
    value = ALL[name](x, x.detach().clone())
    value.backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert name in ("sinkhorn, plain",) or "U" in name or name in ("mmd", "mmd, imq") or abs(value.item()) < 1e-5


@pytest.mark.parametrize("name", ["energy", "mmd", "sinkhorn"])
def test_blocks_change_neither_value_nor_gradient(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = draw(40, 3).requires_grad_(), draw(30, 3, seed=1)
    whole = ALL[name](x, y)
    (slope,) = torch.autograd.grad(whole, x)
    monkeypatch.setattr(two_sample, "BLOCK", 100)
    monkeypatch.setattr(two_sample, "KEPT", 100)
    blocked = ALL[name](x, y)
    assert blocked.item() == pytest.approx(whole.item(), rel=1e-9)
    assert torch.allclose(torch.autograd.grad(blocked, x)[0], slope, atol=1e-9)


def test_memory_of_pairs_stays_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tensor that the graph keeps, or that a block holds, grows with the product of the sizes."""
    monkeypatch.setattr(two_sample, "BLOCK", 1000)
    x, y = draw(200, 3).requires_grad_(), draw(100, 3, seed=1)
    kept = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept = max(kept, tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        energy_distance(x, y)
        mmd(x, y, 1.0)
    assert 0 < kept <= 1000


# Properties and edges ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_symmetric(name: str) -> None:
    x, y = draw(9, 2), draw(6, 2, seed=1) + 0.5
    assert ALL[name](x, y).item() == pytest.approx(ALL[name](y, x).item(), rel=1e-6)


@pytest.mark.parametrize("name", ["wasserstein", "wasserstein 2", "sliced", "energy", "energy, 1-D", "mmd, V"])
def test_triangle_inequality(name: str) -> None:
    root = name.startswith(("energy", "mmd"))
    for seed in range(30):
        a, b, c = (draw(5, 2, seed=3 * seed + i) * (1 + i) for i in range(3))
        ab, bc, ac = (ALL[name](*pair).clamp_min(0).item() ** (0.5 if root else 1) for pair in ((a, b), (b, c), (a, c)))
        assert ac <= (ab + bc) * (1 + 1e-9)


finite = st.floats(-(2.0**50), 2.0**50, width=32)


@given(x=st.lists(finite, min_size=1, max_size=8), y=st.lists(finite, min_size=1, max_size=8), p=st.floats(1, 8))
@settings(max_examples=150, deadline=None)
def test_float32_holds_at_any_distance(x: list[float], y: list[float], p: float) -> None:
    a, b = torch.tensor(x).requires_grad_(), torch.tensor(y)
    spread = max(*x, *y) - min(*x, *y)
    for value in (wasserstein_1d(a, b, p), energy_distance(a, b), sliced_wasserstein(a, b, min(p, 4.0))):
        (slope,) = torch.autograd.grad(value, a)
        assert 0 <= value.item() <= 2.001 * spread
        assert slope.isfinite().all()
    for kernel in ("rbf", "laplace", "imq"):
        value = mmd(a, b, kernel=kernel, unbiased=False)
        assert -1e-5 <= value.item() <= 2 + 1e-5
        assert torch.autograd.grad(value, a)[0].isfinite().all()


def test_a_small_distance_far_from_zero_keeps_its_digits() -> None:
    x = torch.tensor([1e6, 1e6 + 1])
    assert wasserstein_1d(x, x + 0.5).item() == 0.5
    assert energy_distance(x, x + 0.5).item() == pytest.approx(0.5, rel=1e-6)
    wide = draw(300, 64, dtype=torch.float32)
    exact = energy_distance(wide.double(), 2 * wide.double()).item()
    assert energy_distance(wide + 1e3, 2 * wide + 1e3).item() == pytest.approx(exact, rel=1e-3)


def test_integers_are_numbers_and_half_the_samples_may_be_double() -> None:
    assert wasserstein_1d(torch.tensor([1, 2]), torch.tensor([3, 5])).item() == 2.5
    assert wasserstein_1d(torch.ones(2), t(3.0)).dtype == torch.float64
    assert wasserstein_1d(torch.ones(2, dtype=torch.bfloat16), torch.zeros(3, dtype=torch.bfloat16)).item() == 1.0


def test_the_iteration_that_does_not_end_says_so() -> None:
    x, y = draw(30), draw(30, seed=1) * 3
    with pytest.warns(RuntimeWarning, match="Raise epsilon or iterations"):
        early = sinkhorn(x, y, 1e-3, debiased=False, iterations=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert early.item() <= sinkhorn(x, y, 1e-2, debiased=False, iterations=20_000).item()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wasserstein_1d(t(1), t(1), 0.5), "at least 1"),
        (lambda: wasserstein_1d(t(), t(1)), "at least one number"),
        (lambda: wasserstein_1d(t(1), t(1), 1, t(1, 2)), "one weight a sample"),
        (lambda: wasserstein_1d(t(1, 2), t(1), 1, t(1, -1)), "non-negative"),
        (lambda: wasserstein_1d(t(1, 2), t(1), 1, t(0, 0)), "positive sum"),
        (lambda: sliced_wasserstein(t(1), t(1), projections=0), "at least 1"),
        (lambda: energy_distance(draw(3, 2), draw(3, 1)), "same k"),
        (lambda: energy_distance(t(1), t(1, 2), unbiased=True), "unbiased=False"),
        (lambda: mmd(t(1, 2), t(1, 2), kernel="box"), "choose one of rbf"),
        (lambda: mmd(t(1, 2), t(1, 2), bandwidth=0.0), "positive number"),
        (lambda: sinkhorn(t(1), t(2), epsilon=-1.0), "positive"),
    ],
    ids=["p", "empty", "weights", "negative", "zero", "projections", "k", "few", "kernel", "bandwidth", "epsilon"],
)
def test_what_cannot_be_compared_is_refused(call, message: str) -> None:
    with pytest.raises(ChoiceError, match=message):
        call()
