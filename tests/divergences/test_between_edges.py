"""Divergences between distributions at the edges of their parameters, in float32: finite values and gradients, or a refusal."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Cauchy,
    Distribution,
    Gamma,
    Laplace,
    LogNormal,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)

from trine.divergences import divergences
from trine.errors import ChoiceError
from trine.rules import LogitNormal, OrderedCategorical, SoftplusNormal

Family = Callable[[Tensor, Tensor], Distribution]
BOUNDED = {"js", "tv", "hellinger", "cramer", "mmd"}
"""Divergences that no pair makes infinite."""

# Families of a place a in [-1, 1] and a size b in [-1, 1], stretched over all that they are used for.
LINE: dict[str, Family] = {
    "normal": lambda a, b: Normal(1e6 * a**5, torch.exp(14 * b)),
    "laplace": lambda a, b: Laplace(1e6 * a**5, torch.exp(14 * b)),
    "student": lambda a, b: StudentT(2.5, 1e6 * a**5, torch.exp(14 * b)),
    "cauchy": lambda a, b: Cauchy(1e6 * a**5, torch.exp(14 * b)),
}
POSITIVE: dict[str, Family] = {
    "lognormal": lambda a, b: LogNormal(20 * a, torch.exp(2 * b)),
    "gamma": lambda a, b: Gamma(torch.exp(9 * a).clamp_min(0.01), torch.exp(14 * b)),
    "softplus-normal": lambda a, b: SoftplusNormal(20 * a, torch.exp(2 * b), 1.0),
}
SHARES: dict[str, Family] = {
    "beta": lambda a, b: Beta(torch.exp(9 * a).clamp_min(0.01), torch.exp(9 * b).clamp_min(0.01)),
    "logit-normal": lambda a, b: LogitNormal(20 * a, torch.exp(2 * b)),
}
COUNTS: dict[str, Family] = {
    "poisson": lambda a, b: Poisson(torch.exp(8 * a + 9 * b)),
    "negative-binomial": lambda a, b: NegativeBinomial(torch.exp(7 * a).clamp_min(0.01), logits=7 * b),
}
CLASSES: dict[str, Family] = {"categorical": lambda a, b: Categorical(logits=torch.stack([60 * a, 60 * b, 0 * a, -b]))}
ORDERED: dict[str, Family] = {
    "ordered": lambda a, b: OrderedCategorical(torch.softmax(torch.stack([60 * a, 60 * b, 0 * a, -b]), 0))
}
TWO: dict[str, Family] = {"bernoulli": lambda a, b: Bernoulli(logits=60 * a + b)}
DOMAINS = {
    "line": LINE, "positive": POSITIVE, "shares": SHARES, "counts": COUNTS, "classes": CLASSES, "ordered": ORDERED,
    "two": TWO,
}  # fmt: skip
UNIT = st.one_of(st.floats(-1, 1, width=32), st.sampled_from([-1.0, 0.0, 1.0, 1e-6]))


@pytest.mark.parametrize("name", sorted(divergences))
@pytest.mark.parametrize("domain", DOMAINS)
def test_finite_values_and_gradients_or_a_refusal(domain: str, name: str) -> None:
    families = DOMAINS[domain]

    @settings(max_examples=5, deadline=None, database=None, derandomize=True)
    @given(st.sampled_from(sorted(families)), st.sampled_from(sorted(families)), UNIT, UNIT, UNIT, UNIT, st.booleans())
    def check(one: str, other: str, a: float, b: float, c: float, d: float, near: bool) -> None:
        if near:  # almost the same: where values cancel
            other, c, d = one, a, b * (1 - 1e-5)
        theta = torch.tensor([a, b], requires_grad=True)
        target = families[other](torch.tensor(c), torch.tensor(d))
        predicted = families[one](theta[0], theta[1])
        try:
            value = divergences[name]()(predicted, target)
        except ChoiceError:
            return  # with what does; see test_between_compare
        assert value.dtype == torch.float32
        number = value.item()
        assert not math.isnan(number)
        assert number >= -1e-6
        if name in BOUNDED:
            assert math.isfinite(number)
        if math.isfinite(number) and value.requires_grad:
            (gradient,) = torch.autograd.grad(value, theta)
            assert bool(gradient.isfinite().all())

    check()


@pytest.mark.parametrize("count", [1e6, 1e9, 1e12])
def test_huge_counts_keep_their_digits(count: float) -> None:
    """Poisson's own formula has lost every digit of a KL of 0.02 at a rate of 10¹²."""
    p, q = (Poisson(torch.tensor(rate, dtype=torch.float64)) for rate in (count, count + 0.2 * math.sqrt(count)))
    shift = 0.2 / math.sqrt(count)
    kl = count * (shift - math.log1p(shift))
    assert divergences["kl"]().compare(p, q).value.item() == pytest.approx(kl, rel=1e-6)
    js = divergences["js"]().compare(p, q)
    # Two normals whose means are 0.2 standard deviations apart, in the limit.
    limit = divergences["js"]().compare(
        Normal(torch.tensor(0.0).double(), 1.0), Normal(torch.tensor(0.2).double(), 1.0)
    )
    assert js.value.item() == pytest.approx(limit.value.item(), rel=3 / math.sqrt(count) + 1e-6)
    w1 = divergences["wasserstein"]().compare(p, q).value.item()
    assert w1 == pytest.approx(0.2 * math.sqrt(count), rel=1e-9)


def test_far_and_narrow_and_heavy() -> None:
    def number(value: float) -> Tensor:
        return torch.tensor(value, dtype=torch.float64)

    narrow, wide = Normal(number(0.0), number(1e-8)), Normal(number(1e6), number(1.0))
    assert divergences["js"]().compare(narrow, wide).value.item() == pytest.approx(math.log(2), rel=1e-9)
    assert divergences["wasserstein2"]().compare(narrow, wide).value.item() == pytest.approx(1e12 + 1, rel=1e-14)
    heavy, shifted = Cauchy(number(0.0), number(1.0)), Cauchy(number(1.0), number(1.0))
    # KL of two Cauchys: log of ((s + s')² + d²) / (4 s s').
    assert divergences["kl"]().compare(heavy, shifted).value.item() == pytest.approx(math.log(5 / 4), rel=1e-10)
    assert divergences["wasserstein"]().compare(heavy, shifted).value.item() == pytest.approx(1.0, rel=1e-9)
    # What diverges is infinite, and not a large number.
    for name in ("kl", "chi2", "wasserstein", "wasserstein2"):
        assert math.isinf(divergences[name]().compare(heavy, Normal(number(0.0), number(1.0))).value.item())
    assert math.isinf(divergences["wasserstein"]().compare(heavy, Cauchy(number(0.0), number(2.0))).value.item())
    student = [StudentT(number(2.2), number(0.0), number(scale)) for scale in (1.0, 2.0)]
    variance = 2.2 / 0.2
    assert divergences["wasserstein2"]().compare(*student).value.item() == pytest.approx(variance, rel=1e-6)
