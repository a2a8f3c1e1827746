"""What each divergence states of itself, established by numbers: symmetry, metric, disjoint supports, unbiased gradients."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Categorical, Distribution, Normal, Uniform

from trine.divergences import Divergence, divergences
from trine.rules import OrderedCategorical

NAMES = sorted(divergences)
OPTIONS: dict[str, dict[str, Any]] = {"renyi": {"alpha": 2.0}, "mmd": {"bandwidth": 1.0}}


def number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def made(name: str) -> Divergence:
    kind: Any = divergences[name]
    built: Divergence = kind(**OPTIONS.get(name, {}))
    return built


def between(name: str, p: Distribution, q: Distribution) -> torch.Tensor:
    return made(name).compare(p, q).value


def shares(n: int, values: int, seed: int, concentration: float = 0.5) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.dirichlet([concentration] * values, size=n)).clamp_min(1e-9)


P, Q, R = (OrderedCategorical(shares(4000, 3, seed)) for seed in (1, 2, 3))


def test_every_divergence_states_what_it_is() -> None:
    for name, kind in divergences.items():
        assert kind.statement.domain, name
        assert kind.statement.unbiased == kind.unbiased
        assert set(kind.statement.cells().values()) <= {"yes", "no", "its root"}


def test_the_documentation_says_the_same() -> None:
    page = (Path(__file__).parents[2] / "docs" / "divergences.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| `")
    ]
    told = {row[0].strip("`"): (row[2], *row[3:]) for row in rows}
    stated = {name: kind.statement for name, kind in divergences.items()}
    assert told == {name: (each.domain, *each.cells().values()) for name, each in stated.items()}


@pytest.mark.parametrize("name", NAMES)
def test_nowhere_below_zero_and_zero_between_equals_alone(name: str) -> None:
    values = between(name, P, Q)
    assert bool((values >= 0).all())
    assert bool((between(name, P, P).abs() < 1e-12).all())
    far = (P.probs - Q.probs).abs().sum(-1) > 0.1
    assert values[far].min().item() > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_symmetric_or_not(name: str) -> None:
    apart = (between(name, P, Q) - between(name, Q, P)).abs()
    if divergences[name].statement.symmetric:
        assert apart.max().item() < 1e-12
        one, other = Normal(number(0.3), 0.8), Normal(number(-0.5), 1.7)
        assert between(name, one, other).item() == pytest.approx(between(name, other, one).item(), abs=1e-10)
    else:
        assert apart.max().item() > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_triangle_inequality_or_not(name: str) -> None:
    """d(p, r) ≤ d(p, q) + d(q, r) for 4000 triples, of the value, of its root, or of neither."""
    direct, there, onward = between(name, P, R), between(name, P, Q), between(name, Q, R)
    longer = {
        "itself": (direct - there - onward).max().item(),
        "root": (direct.sqrt() - there.sqrt() - onward.sqrt()).max().item(),
    }
    if name == "wasserstein2":
        # Of its own accord on three values; on a line of normals |d|² alone shows what squares lack.
        a, b, c = (Normal(number(m), 1.0) for m in (0.0, 1.0, 2.0))
        longer["itself"] = max(longer["itself"], (between(name, a, c) - 2 * between(name, a, b)).item())
        assert between(name, b, c).item() == between(name, a, b).item()
    metric = divergences[name].statement.metric
    if metric == "itself":
        assert longer["itself"] < 1e-12
    elif metric == "root":
        assert longer["root"] < 1e-9
        assert longer["itself"] > 0.01
    else:
        assert longer["itself"] > 0.01
        assert longer["root"] > 0.01


@pytest.mark.parametrize("name", NAMES)
def test_finite_on_disjoint_supports_or_not(name: str) -> None:
    def apart(gap: float) -> float:
        one = Uniform(number(0.0), number(1.0))
        other = Uniform(number(1.0 + gap), number(2.0 + gap))
        return between(name, one, other).item()

    near, far = apart(0.5), apart(2.0)
    finite = divergences[name].statement.finite_on_disjoint
    assert math.isfinite(near) == math.isfinite(far) == finite
    # Of those that are finite some only say "disjoint"; the others tell near from far, and have a gradient there.
    if name in ("js", "tv", "hellinger"):
        assert near == pytest.approx(far, abs=1e-12)
        assert far == pytest.approx(math.log(2) if name == "js" else 1.0, abs=1e-12)
    elif finite:
        assert far > near + 0.1


def test_the_shift_of_a_point() -> None:
    """Between narrow normals θ apart: KL without bound, JS log 2, TV 1, W₁ |θ|, twice Cramér's 2 |θ|."""
    width, theta = 1e-9, 3.0
    one, other = (Normal(number(m), number(width)) for m in (0.0, theta))
    assert between("kl", one, other).item() > 1e18
    # Of numbers at 3 the widths have seven digits, and the error says so.
    for name, limit in (("js", math.log(2)), ("tv", 1.0)):
        found = made(name).compare(one, other)
        assert found.error is not None
        assert abs(found.value.item() - limit) <= found.error.item() < 1e-8
    assert between("wasserstein", one, other).item() == pytest.approx(theta, abs=1e-8)
    assert between("wasserstein2", one, other).item() == pytest.approx(theta**2, abs=1e-8)
    assert 2 * between("cramer", one, other).item() == pytest.approx(2 * theta, abs=1e-8)


def expected_gradient(name: str, theta: float, truth: float, n: int) -> tuple[float, float]:
    """The mean over all minibatches of n draws of ∂ D(batch ‖ Bernoulli(θ)) / ∂θ, exactly, and the whole divergence's.

    With a batch of k ones in n, the batch is Bernoulli(k/n), and k is binomial: nothing is sampled.
    """
    k = torch.arange(n + 1, dtype=torch.float64)
    weight = torch.distributions.Binomial(n, number(truth)).log_prob(k).exp()
    batches = torch.cat([k / n, torch.tensor([truth]).double()])
    at = torch.full_like(batches, theta).requires_grad_()
    values = between(name, Bernoulli(batches, validate_args=False), Bernoulli(at))
    (slope,) = torch.autograd.grad(values[values.isfinite()].sum(), at)
    slope = torch.where(values.isfinite(), slope, -math.inf)
    return float((weight * slope[:-1]).sum()), float(slope[-1])


@pytest.mark.parametrize("n", [2, 5])
@pytest.mark.parametrize("name", NAMES)
def test_minibatch_gradients_are_unbiased_or_not(name: str, n: int) -> None:
    biases = []
    for theta, truth in itertools.product((0.25, 0.45, 0.7), (0.3, 0.62)):
        mean, whole = expected_gradient(name, theta, truth, n)
        biases.append(abs(mean - whole))
    if divergences[name].statement.unbiased:
        assert max(biases) < 1e-6
    else:
        assert max(biases) > 0.02


def test_wassersteins_sample_loss_is_least_elsewhere_and_cramers_at_the_truth() -> None:
    """Bellemare et al., 2017: fitting a Bernoulli to minibatches, W₁ ends at 0 or 1, Cramér at the truth."""
    truth, n = 0.6, 1
    grid = torch.linspace(0.0, 1.0, 1001, dtype=torch.float64).clamp(1e-9, 1 - 1e-9)
    k = torch.arange(n + 1, dtype=torch.float64)[:, None]
    weight = torch.distributions.Binomial(n, number(truth)).log_prob(k).exp()
    found = {}
    for name in ("wasserstein", "cramer", "kl"):
        batch = Bernoulli((k / n).expand(-1, len(grid)), validate_args=False)
        loss = (weight * between(name, batch, Bernoulli(grid.expand(n + 1, -1)))).sum(0)
        found[name] = grid[loss.argmin()].item()
    assert found["wasserstein"] == pytest.approx(1.0, abs=1e-6)
    assert found["cramer"] == pytest.approx(truth, abs=1e-3)
    assert found["kl"] == pytest.approx(truth, abs=1e-3)


probabilities = st.lists(st.floats(1e-6, 1.0), min_size=4, max_size=4)


@settings(max_examples=150, deadline=None)
@given(probabilities, probabilities)
def test_inequalities_between_them(a: list[float], b: list[float]) -> None:
    p, q = (Categorical(torch.tensor(v, dtype=torch.float64)) for v in (a, b))
    kl, js, tv, h2, chi2 = (between(name, p, q).item() for name in ("kl", "js", "tv", "hellinger", "chi2"))
    slack = 1e-12
    assert js <= math.log(2) + slack
    assert tv <= math.sqrt(max(kl, 0) / 2) + 1e-7  # Pinsker
    assert h2 <= tv + slack
    assert tv <= math.sqrt(2 * h2) + 1e-7
    assert kl <= math.log1p(chi2) + 1e-9 * (1 + kl)
    assert tv**2 / 2 <= js + slack
    assert js <= tv * math.log(2) + slack
    assert h2 / 2 <= js + slack
    assert 2 * h2 <= kl + slack
    assert between("wasserstein", p, q).item() == pytest.approx(tv, abs=1e-12)  # categories are equally far apart
    orders = [
        divergences["renyi"](alpha=alpha).compare(p, q).value.item()  # type: ignore[call-arg]
        for alpha in (0.2, 0.5, 0.9, 1.5, 2.0, 4.0)
    ]
    assert all(one <= other + 1e-9 * (1 + other) for one, other in itertools.pairwise(orders))
    assert orders[1] == pytest.approx(-2 * math.log1p(-h2), abs=1e-10)
    assert orders[4] == pytest.approx(math.log1p(chi2), rel=1e-9, abs=1e-12)


@settings(max_examples=12, deadline=None)
@given(st.floats(-5, 5), st.floats(0.05, 5), st.floats(-5, 5), st.floats(0.05, 5), st.floats(-9, 9), st.floats(0.1, 9))
def test_on_the_line_shifts_and_scales(m: float, s: float, n: float, r: float, shift: float, scale: float) -> None:
    """Densities' divergences do not change with the coordinate; transport does with its scale alone."""
    p, q = Normal(number(m), number(s)), Normal(number(n), number(r))
    p_, q_ = (Normal(scale * d.loc + shift, scale * d.scale) for d in (p, q))
    for name in ("kl", "js", "tv", "hellinger"):
        assert between(name, p_, q_).item() == pytest.approx(between(name, p, q).item(), rel=1e-6, abs=1e-9)
    for name, power in (("wasserstein", 1), ("wasserstein2", 2), ("cramer", 1)):
        expected = scale**power * between(name, p, q).item()
        assert between(name, p_, q_).item() == pytest.approx(expected, rel=1e-6, abs=1e-9)
    first, second = between("wasserstein", p, q).item(), between("wasserstein2", p, q).item()
    assert first**2 <= second + 1e-9
    assert abs(m - n) <= first + 1e-9
