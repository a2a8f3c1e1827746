"""The relativistic pairing divergence: points by hand, its value at the best critic against quadrature, what the model descends."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import pytest
import scipy.integrate
import scipy.stats
import torch
from given_critic import Known
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from trine.divergences.learned import Relativistic

TOP = 2 * math.log(2)
RATIO: Callable[[Tensor], Tensor] = lambda x: 0.5 - x  # noqa: E731  log t − log p of N(0, 1) and N(1, 1)


def pairs(shift: float, n: int = 700) -> tuple[Tensor, Tensor]:
    """(n², 1) predicted samples of N(shift, 1) and (n², 1) of N(0, 1): each quantile of the one beside each of the other."""
    levels = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    normal = torch.special.ndtri(levels)
    return (normal + shift).repeat(n)[:, None], normal.repeat_interleave(n)[:, None]


def divergence_of(shift: float) -> float:
    """2 log 2 + 2 E log σ(r(x) − r(y)), r = log t − log p, x ~ t = N(0, 1), y ~ p = N(shift, 1): a normal of mean and variance
    shift² and 2 shift², by quadrature.
    """
    q = scipy.stats.norm(shift**2, math.sqrt(2) * shift)
    value, _ = scipy.integrate.quad(
        lambda d: q.pdf(d) * -math.log1p(math.exp(-d)), -12 * shift, 14 * shift, epsabs=1e-12
    )
    return TOP + 2 * value


def test_points_by_hand_and_the_mirrored_loss() -> None:
    real, fake = torch.tensor([[0.7], [-0.4]]), torch.tensor([[0.2], [1.5]])
    divergence = Relativistic(Known(lambda x: x))
    above = torch.tensor([0.5, -1.9])  # v(t) − v(p)
    torch.testing.assert_close(divergence.tighten(fake, real), torch.log1p(torch.exp(-above)))
    torch.testing.assert_close(divergence(fake, real), torch.log1p(torch.exp(above)))
    torch.testing.assert_close(divergence.bound(fake, real), TOP - 2 * torch.log1p(torch.exp(-above)))
    flat = Relativistic(Known(torch.zeros_like))
    for value, at_zero in ((flat.tighten, math.log(2)), (flat, math.log(2)), (flat.bound, 0.0)):
        torch.testing.assert_close(value(fake, real), torch.full((2,), at_zero))


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_the_best_critic_is_the_log_ratio_and_no_other_gives_more(shift: float) -> None:
    fake, real = pairs(shift)
    best: Callable[[Tensor], Tensor] = lambda x: shift**2 / 2 - shift * x  # noqa: E731
    exact = divergence_of(shift)
    assert Relativistic(Known(best)).bound(fake, real).mean().item() == pytest.approx(exact, rel=5e-3)
    moved = Relativistic(Known(lambda x: best(x) + 5.0))  # a constant drops out of every pair
    assert moved.bound(fake, real).mean().item() == pytest.approx(exact, rel=5e-3)
    for other in (lambda x: 0.6 * best(x), lambda x: 1.6 * best(x), lambda x: best(x) + 0.5 * x.sin()):
        assert Relativistic(Known(other)).bound(fake, real).mean().item() < exact


def test_it_is_twice_jensen_shannon_of_the_pairs_and_of_the_pairs_turned_round() -> None:
    """2 JS(t ⊗ p, p ⊗ t), summed over a grid, against the expectation over the difference of the pair."""
    x = torch.linspace(-9, 10, 1500, dtype=torch.float64)
    t, p = (torch.distributions.Normal(mean, 1.0).log_prob(x).exp() for mean in (0.0, 1.0))
    one, other = t[:, None] * p, p[:, None] * t
    middle = (one + other) / 2
    twice = (one * (one / middle).log() + other * (other / middle).log()).sum() * (x[1] - x[0]) ** 2
    assert twice.item() == pytest.approx(divergence_of(1.0), abs=1e-8)
    assert divergence_of(1.0) == pytest.approx(0.4026909432, abs=1e-9)


def test_its_range() -> None:
    for function in (RATIO, torch.sin, torch.zeros_like, lambda x: -80 * x, lambda x: -x.sign()):
        for shift in (0.0, 1.0, 30.0):
            bound = Relativistic(Known(function)).bound(*pairs(shift, 200))
            assert bound.max() <= TOP
            assert shift != 0.0 or bound.mean() <= 1e-12  # of one distribution no critic makes two
    far = Relativistic(Known(lambda x: -80 * x)).bound(*pairs(30.0, 200)).mean()
    assert far.item() == pytest.approx(TOP, abs=1e-12)


def between_masses(t: Tensor, p: Tensor) -> float:
    """The bound between two laws on a few points, at the best critic, over all pairs of a point of either."""
    r = t.log() - p.log()
    return TOP + 2 * (t[:, None] * p * logsigmoid(r[:, None] - r)).sum().item()


def test_its_root_is_a_distance_of_features() -> None:
    """D = 2 log 2 − E_xy √(t t' p p') k(z − z'), k(z) = e^(z/2) log(1 + e^(−z)) + e^(−z/2) log(1 + e^z): positive definite, for
    its transform is π / (cosh(πω) (ω² + ¼)).
    """
    z = torch.linspace(-80, 80, 160_001, dtype=torch.float64)
    k = (z / 2).exp() * torch.log1p((-z).exp()) + (-z / 2).exp() * torch.log1p(z.exp())
    for w in (0.0, 0.5, 1.3):
        transform = (k * (w * z).cos()).sum().item() * 160 / 160_000
        assert transform == pytest.approx(math.pi / (math.cosh(math.pi * w) * (w**2 + 0.25)), rel=1e-6)


def test_its_statement_holds_between_masses() -> None:
    said = Relativistic.statement
    generator = torch.Generator().manual_seed(0)
    laws = (3 * torch.randn(300, 3, 4, generator=generator, dtype=torch.float64)).softmax(-1)
    excess: dict[str, list[float]] = {"itself": [], "root": []}
    for a, b, c in laws:
        ab, bc, ac, ba = (between_masses(*pair) for pair in ((a, b), (b, c), (a, c), (b, a)))
        assert min(ab, bc, ac) > 0
        assert max(ab, bc, ac) <= TOP
        assert (abs(ab - ba) < 1e-9) == said.symmetric
        for power, name in ((1.0, "itself"), (0.5, "root")):
            excess[name].append(ac**power - ab**power - bc**power)
    assert said.metric == "root"
    assert max(excess["root"]) <= 1e-9
    assert max(excess["itself"]) > 0.1
    apart = [
        between_masses(torch.tensor([1 - e, e]).double(), torch.tensor([e, 1 - e]).double()) for e in (1e-6, 1e-12)
    ]
    assert said.finite_on_disjoint
    assert apart == pytest.approx([TOP, TOP], abs=1e-4)


def test_the_model_s_gradient_follows_its_own_samples_alone() -> None:
    """∂/∂y softplus(v(x) − v(y)) = −σ(v(x) − v(y)) v'(y); the true samples and the critic have none."""
    fake, real = (torch.randn(6, 1, dtype=torch.float64) for _ in range(2))
    fake.requires_grad_()
    slope = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
    divergence = Relativistic(Known(lambda x: slope * x))
    (rise,) = torch.autograd.grad(divergence(fake, real).sum(), fake, retain_graph=True)
    torch.testing.assert_close(rise, -2 * torch.sigmoid(2 * (real - fake.detach())))
    divergence.tighten(fake, real).sum().backward()
    assert fake.grad is None
    assert slope.grad is not None


def test_every_pair_of_one_mode_left_out_is_ranked_above() -> None:
    """Of two modes of which the model makes one, the best critic's bound is far from 0."""
    t, p = torch.tensor([0.5, 0.5], dtype=torch.float64), torch.tensor([1 - 1e-9, 1e-9], dtype=torch.float64)
    by_hand = TOP + 2 * sum(
        float(t[i] * p[j]) * math.log(float(t[i] * p[j] / (t[i] * p[j] + t[j] * p[i])))
        for i, j in product(range(2), repeat=2)
    )
    assert between_masses(t, p) == pytest.approx(by_hand, abs=1e-12)
    assert by_hand == pytest.approx(math.log(2), abs=1e-6)
