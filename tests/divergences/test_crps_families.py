"""Scoring rules of every family against brute-force integrals, golden numbers, hand-made slopes, and their edges in float32."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import (
    Beta,
    Categorical,
    Distribution,
    Exponential,
    Gamma,
    Laplace,
    LogNormal,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
    Uniform,
)

from trine.divergences import _quadrature, crps
from trine.divergences._crps_shaped import half_spread
from trine.errors import ChoiceError
from trine.rules import Logistic, LogitNormal, Mixture, SoftplusNormal, cdf, quantile

Y = [-3.0, -0.4, 0.02, 0.31, 0.97, 1.4, 7.0, 60.0]


def t(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def brute(below: Callable[[float], float], above: Callable[[float], float], y: float, ends: list[float]) -> float:
    """∫ (F − 1{x ≥ y})² by SciPy, panel by panel between ``ends`` and y."""
    ends = sorted({*ends, y})
    return sum(
        scipy.integrate.quad(lambda x: below(x) ** 2 if x < y else above(x) ** 2, low, high, epsabs=1e-10, limit=200)[0]
        for low, high in itertools.pairwise(ends)
    )


def test_golden_numbers() -> None:
    """Published results, 3.6: y = 1.1."""
    assert crps(Logistic(t(0.3), t(0.8)), t(1.1)).item() == pytest.approx(0.5012187000, abs=1e-10)
    assert crps(Exponential(t(0.7)), t(1.1)).item() == pytest.approx(0.2800373380, abs=1e-10)
    assert crps(Exponential(t(0.7)), t(-0.4)).item() == pytest.approx(1.1142857143, abs=1e-10)
    assert crps(Gamma(t(1.0), t(0.7)), t(-0.4)).item() == pytest.approx(1.1142857143, abs=1e-10)
    assert crps(Uniform(t(-0.2), t(1.9)), t(0.5)).item() == pytest.approx(0.2333333333, abs=1e-10)


EXACT: dict[str, tuple[Distribution, Any]] = {
    "logistic": (Logistic(t(0.3), t(0.8)), scipy.stats.logistic(0.3, 0.8)),
    "exponential": (Exponential(t(0.7)), scipy.stats.expon(scale=1 / 0.7)),
    "uniform": (Uniform(t(-0.2), t(1.9)), scipy.stats.uniform(-0.2, 2.1)),
    "student, heavy": (StudentT(t(1.3), t(0.3), t(0.8)), scipy.stats.t(1.3, 0.3, 0.8)),
    "student, light": (StudentT(t(180.0), t(0.3), t(0.8)), scipy.stats.t(180, 0.3, 0.8)),
    "lognormal, wide": (LogNormal(t(-1.0), t(2.0)), scipy.stats.lognorm(2.0, scale=math.exp(-1.0))),
    "gamma, wide": (Gamma(t(0.08), t(0.5)), scipy.stats.gamma(0.08, scale=2.0)),
    "beta, wide": (Beta(t(0.1), t(0.2)), scipy.stats.beta(0.1, 0.2)),
}


@pytest.mark.parametrize("name", EXACT)
def test_equals_the_integral(name: str) -> None:
    q, exact = EXACT[name]
    levels = [1e-12, 1e-9, 1e-6, 1e-4, 1e-3, 0.05, 0.5, 0.95, 1 - 1e-3, 1 - 1e-4, 1 - 1e-6, 1 - 1e-9]
    low, high = exact.support()
    for y in Y:
        if name.startswith("beta"):
            y = min(max(y, low), high)
        if name == "student, heavy" and abs(y) > 10:
            continue
        tail = 0.0
        if name == "student, heavy":  # beyond the last quantiles ∫ F² ∝ |x|^(1 − 2ν), in closed form
            tail = sum(abs(exact.ppf(p) - 0.3) * 1e-24 / (2 * 1.3 - 1) for p in (1e-12, 1 - 1e-12))
        value = brute(exact.cdf, exact.sf, y, [*exact.ppf(levels).tolist()]) + tail
        assert crps(q, t(y)).item() == pytest.approx(value, abs=1e-6, rel=1e-6)


WARPED = [(0.3, 0.05), (-4.0, 0.3), (2.0, 0.9), (0.0, 1.5), (-3.0, 4.0), (25.0, 9.0), (-60.0, 30.0), (0.5, 400.0)]


@pytest.mark.parametrize(("loc", "scale"), WARPED)
@pytest.mark.parametrize("family", [SoftplusNormal, LogitNormal], ids=["softplus-normal", "logit-normal"])
def test_warped_normals_equal_the_integral(family: type, loc: float, scale: float) -> None:
    """In x, where the integrand is (Φ((x − m)/s) − 1)² g'(x)."""
    normal = scipy.stats.norm(loc, scale)
    softplus = family is SoftplusNormal
    q = SoftplusNormal(t(loc), t(scale), t(1.7)) if softplus else LogitNormal(t(loc), t(scale))
    unit = 1.7 if softplus else 1.0

    def slope(x: float) -> float:
        p = 1 / (1 + math.exp(-max(min(x, 700), -700)))
        return p if softplus else p * (1 - p)

    for z in (-9.0, -1.2, 0.0, 0.4, 3.0, 8.0):
        x_y = loc + scale * z
        y = unit * float(np.logaddexp(0, x_y)) if softplus else float(scipy.special.expit(x_y))
        if (softplus and y < 1e-250) or (not softplus and not 1e-250 < y < 1 - 1e-12):
            continue
        ends = sorted(
            {x_y, -30.0, -8.0, -3.0, 0.0, 3.0, 8.0, 30.0, *(loc + scale * k for k in (-25, -8, -4, -2, 0, 2, 4, 8, 25))}
        )
        ends = [end for end in ends if min(loc - 25 * scale, x_y) <= end <= max(loc + 25 * scale, x_y)]

        def square(x: float, x_y: float = x_y) -> float:
            return (normal.cdf(x) if x < x_y else normal.sf(x)) ** 2 * slope(x)

        exact = unit * sum(
            scipy.integrate.quad(square, a, b, epsabs=1e-12, limit=200)[0] for a, b in itertools.pairwise(ends)
        )
        assert crps(q, t(y)).item() == pytest.approx(exact, abs=1e-6, rel=1e-6)


# Mixtures ----------------------------------------------------------------------------------------------------------

COMPONENTS: dict[str, Callable[[Tensor, Tensor], Distribution]] = {
    "normal": Normal,
    "laplace": Laplace,
    "logistic": Logistic,
    "student": lambda a, b: StudentT(a.abs() + 2.5, a, b),
    "lognormal": lambda a, b: LogNormal(a, b / 2),
    "gamma": lambda a, b: Gamma(a.abs() + 0.4, b),
    "beta": lambda a, b: Beta(a.abs() + 0.4, b),
    "softplus-normal": lambda a, b: SoftplusNormal(a, b, torch.ones_like(a)),
}


@pytest.mark.parametrize("name", COMPONENTS)
def test_mixtures_equal_the_integral(name: str) -> None:
    """Three components, of which one is narrow: closed forms for normals, quadrature between quantiles for others."""
    loc, scale = t(-1.0, 0.4, 2.0)[None], t(0.5, 1.2, 0.03)[None]
    q = Mixture(Categorical(t(0.2, 0.5, 0.3)[None]), COMPONENTS[name](loc, scale))
    levels = t(1e-12, 1e-9, 1e-6, 1e-4, 1e-2, 0.2, 0.5, 0.8, 0.99, 1 - 1e-4, 1 - 1e-6, 1 - 1e-9, 1 - 1e-12)
    places = torch.cat([quantile(q.component_distribution, levels).flatten(), quantile(q, levels).flatten()]).tolist()

    def below(x: float) -> float:
        return cdf(q, t(x)).item()

    for y in (0.3, 0.8):
        exact = brute(below, lambda x: 1 - below(x), y, places)
        assert crps(q, t(y)).item() == pytest.approx(exact, abs=1e-6)


def test_a_long_batch_of_mixtures_is_integrated_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held at a time does not grow with the components, and the parts make no difference."""
    rows = 50
    generator = torch.Generator().manual_seed(0)
    loc, scale = (torch.randn(rows, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    q = Mixture(Categorical(torch.ones(rows, 4, dtype=torch.float64)), Logistic(loc, scale.exp()))
    y = torch.randn(rows, generator=generator, dtype=torch.float64)
    whole = crps(q, y)
    sizes: list[int] = []

    def seen(q: Distribution, value: Tensor) -> Tensor:
        sizes.append(4 * value.numel())
        return cdf(q, value)

    monkeypatch.setattr(_quadrature, "HELD", 12 * 4 * rows * 3)
    monkeypatch.setattr(_quadrature, "cdf", seen)
    assert torch.allclose(crps(q, y), whole, atol=1e-13)
    assert max(sizes) <= 12 * 4 * rows * 3
    assert len(sizes) > 10


# Slopes --------------------------------------------------------------------------------------------------------------

SLOPED: dict[str, tuple[Callable[..., Distribution], tuple[list[float], ...], list[float]]] = {
    "student": (StudentT, ([1.5, 4.3, 150.0], [0.3, -1.0, 2.0], [0.8, 2.0, 0.1]), [1.1, 40.0, 1.9]),
    "student, one df": (
        lambda n, m, s: StudentT(n, m, s),
        ([4.3], [0.3, -1.0, 2.0], [0.8, 2.0, 0.1]),
        [1.1, -7.0, 1.9],
    ),
    "gamma": (Gamma, ([0.3, 2.0, 800.0], [0.5, 2.0, 100.0]), [0.2, 3.0, 7.9]),
    "beta": (Beta, ([0.4, 3.0, 200.0], [0.9, 1.5, 90.0]), [0.3, 0.9, 0.68]),
    "poisson": (Poisson, ([0.2, 3.0, 400.0],), [1.0, 0.0, 390.0]),
    "negative binomial": (
        lambda n, logits: NegativeBinomial(n, logits=logits),
        ([0.2, 3.0, 500.0], [2.0, -1.0, -3.0]),
        [1.0, 0.0, 30.0],
    ),
    "negative binomial, one total": (
        lambda n, logits: NegativeBinomial(n, logits=logits),
        ([2.5], [2.0, -1.0, 5.0]),
        [1.0, 0.0, 30.0],
    ),
    "softplus-normal": (SoftplusNormal, ([0.3, -6.0, 3.0], [0.8, 0.2, 0.5], [1.0, 2.0, 0.3]), [1.1, 0.004, 2.0]),
    "softplus-normal, wide": (
        SoftplusNormal,
        ([0.3, -6.0, 3.0], [1.8, 20.0, 300.0], [1.0, 2.0, 0.3]),
        [1.1, 5.0, 20.0],
    ),
    "logit-normal": (LogitNormal, ([0.3, -6.0, 3.0], [0.8, 4.0, 90.0]), [0.1, 0.004, 0.9]),
}


@pytest.mark.parametrize("name", SLOPED)
def test_slopes_equal_finite_differences(name: str) -> None:
    """In the parameters, one for all or one a row, and in y where it is continuous."""
    build, values, at = SLOPED[name]
    leaves = [
        t(*value).squeeze(0).requires_grad_() if len(value) == 1 else t(*value).requires_grad_() for value in values
    ]
    counts = name.startswith(("poisson", "negative"))
    y = t(*at).requires_grad_(not counts)

    def total(*leaves: Tensor) -> Tensor:
        *parameters, y = leaves
        return crps(build(*parameters), y)

    inputs = (*leaves, y)
    slopes = torch.autograd.grad(total(*inputs).sum(), [leaf for leaf in inputs if leaf.requires_grad])
    for i, slope in enumerate(slopes):
        leaf = inputs[i].detach()
        h = 1e-4 * leaf.abs()
        moved = [[*inputs[:i], leaf + sign * h, *inputs[i + 1 :]] for sign in (1, -1)]
        rise = (total(*moved[0]) - total(*moved[1])).detach()
        rise = rise.sum() if leaf.dim() == 0 else rise
        torch.testing.assert_close(slope, rise / (2 * h), rtol=2e-4, atol=2e-6)


def test_a_batch_of_members_shares_a_shape() -> None:
    """(members, batch) with one shape, one a row, or all: the same values and summed gradients."""
    generator = torch.Generator().manual_seed(0)
    loc = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    y = torch.randn(4, generator=generator, dtype=torch.float64)
    df = t(4.0, 4.0, 4.0, 4.0).requires_grad_()
    one = torch.tensor(4.0, dtype=torch.float64, requires_grad=True)
    row, alone = crps(StudentT(df, loc, 1.0), y), crps(StudentT(one, loc, 1.0), y)
    assert torch.allclose(row, alone)
    row.sum().backward()
    alone.sum().backward()
    assert one.grad.item() == pytest.approx(df.grad.sum().item())
    totals = [torch.full(shape, 2.5, dtype=torch.float64) for shape in ((), (4,), (3, 4))]
    counts = torch.tensor([0.0, 1, 7, 3]).double()
    scores = [crps(NegativeBinomial(total, logits=loc), counts) for total in totals]
    assert torch.allclose(scores[0], scores[1])
    assert torch.allclose(scores[0], scores[2])


def test_slopes_of_half_the_mean_difference_of_counts() -> None:
    """∂/∂n and ∂/∂logits of n (1−p)/p² ₂F₁(n + 1, ½; 2; −4(1−p)/p²), by mpmath."""

    def half(n: Any, logits: Any) -> Any:
        p = 1 / (1 + mpmath.exp(logits))
        return n * (1 - p) / p**2 * mpmath.hyp2f1(n + 1, 0.5, 2, -4 * (1 - p) / p**2)

    for total, logits in ((0.05, 1.0), (3.7, -4.0), (900.0, 2.0)):
        log_p, log_1p = -np.logaddexp(0, [logits]), -np.logaddexp(0, [-logits])
        value, *slopes = half_spread(np.array(total), log_p, log_1p)
        with mpmath.workdps(30):
            assert value[0] == pytest.approx(float(half(mpmath.mpf(total), mpmath.mpf(logits))), rel=2e-7)
            for i, slope in enumerate(slopes):
                exact = mpmath.diff(half, (total, logits), (1 - i, i))
                assert slope[0] == pytest.approx(float(exact), rel=1e-5)


# Edges ---------------------------------------------------------------------------------------------------------------

EDGES: dict[str, tuple[Callable[..., Distribution], list[tuple[float, float]], str]] = {
    "logistic": (lambda m, s: Logistic(m * 1e4, s.exp()), [(-10, 10), (-9, 9)], "real"),
    "exponential": (lambda r: Exponential(r.exp()), [(-12, 12)], "positive"),
    "uniform": (lambda m, s: Uniform(m, m + s.exp()), [(-100, 100), (-3, 9)], "real"),
    "lognormal": (lambda m, s: LogNormal(m, s.exp()), [(-20, 20), (-7, 2)], "positive"),
    "gamma": (lambda a, r: Gamma(a.exp(), r.exp()), [(-3, 9), (-12, 12)], "positive"),
    "beta": (lambda a, b: Beta(a.exp(), b.exp()), [(-4, 8), (-4, 8)], "unit"),
    "logit-normal": (lambda m, s: LogitNormal(m, s.exp()), [(-30, 30), (-7, 5)], "unit"),
    "softplus-normal": (
        lambda m, s, u: SoftplusNormal(m, s.exp(), u.exp()),
        [(-40, 1e4), (-7, 7), (-9, 9)],
        "positive",
    ),
    "poisson": (lambda r: Poisson(r.exp()), [(-15, 18)], "count"),
    "student": (lambda n, m, s: StudentT(2.02 + n.exp(), m * 1e4, s.exp()), [(-4, 5), (-10, 10), (-9, 9)], "real"),
}


@pytest.mark.parametrize("name", EDGES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_finite_in_float32_to_the_edges(name: str, data: st.DataObject) -> None:
    build, ranges, kind = EDGES[name]
    leaves = [torch.tensor([data.draw(st.floats(*limits))]).requires_grad_() for limits in ranges]
    draws = {
        "real": st.floats(-1e6, 1e6),
        "positive": st.floats(-20, 15).map(math.exp),
        "unit": st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1e-30, 1 - 1e-7, 1.0])),
        "count": st.floats(0, 1e7).map(round).map(float),
    }
    y = torch.tensor([data.draw(draws[kind])])
    q = build(*leaves)
    value = crps(q, y)
    assert value.isfinite().all()
    exact = crps(build(*(leaf.detach().double() for leaf in leaves)), y.double())
    size = abs(y.item()) + abs(q.mean.item()) + abs(q.stddev.item())
    assert abs(value.item() - exact.item()) <= 2e-5 * size + 1e-6
    assert exact.item() >= -1e-9 * size
    for slope in torch.autograd.grad(value.sum(), leaves):
        assert slope.isfinite().all()


def test_student_without_a_mean_is_refused() -> None:
    with pytest.raises(ChoiceError, match="df above 1"):
        crps(StudentT(t(1.0), t(0.0), t(1.0)), t(0.0))


def test_below_the_support_every_unit_costs_one() -> None:
    for q in (
        SoftplusNormal(t(0.3), t(0.8), t(1.0)),
        LogNormal(t(0.3), t(0.8)),
        Gamma(t(2.0), t(1.0)),
        Exponential(t(1.0)),
        Uniform(t(0.0), t(1.0)),
    ):
        assert crps(q, t(-2.5)).item() - crps(q, t(0.0)).item() == pytest.approx(2.5, abs=1e-9)
