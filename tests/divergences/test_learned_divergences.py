"""Divergences learned by a critic: points by hand, the value reached against quadrature, what the model descends."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import scipy.integrate
import scipy.stats
import torch
from given_critic import Known
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from trine.criterion import Criterion, Term
from trine.data import Batches, Store
from trine.divergences import LearnedDivergence
from trine.divergences.by_member import by_member
from trine.divergences.learned import (
    Cramer,
    Dual,
    Hellinger,
    Hinge,
    JensenShannon,
    KullbackLeibler,
    LeastSquares,
    MaxMin,
    MinMax,
    Pearson,
    ReverseKullbackLeibler,
    Wasserstein,
    learned,
)
from trine.divergences.packed import Packed
from trine.divergences.two_sample import energy_distance
from trine.errors import ChoiceError
from trine.procedures import Descent
from trine.training import train


class Line(nn.Module):
    """v(x) = slope · x + height, (batch,)."""

    def __init__(self, slope: float, height: float = 0.0) -> None:
        super().__init__()
        self.slope, self.height = nn.Parameter(torch.tensor(slope)), nn.Parameter(torch.tensor(height))

    def forward(self, x: Tensor) -> Tensor:
        return self.slope * x.squeeze(1) + self.height


def stratified(mean: float, std: float, n: int, dtype: torch.dtype = torch.float32, *, jitter: bool = False) -> Tensor:
    """(n, 1) of a normal: its quantiles at the midpoints of n equal levels, or at a random place within each."""
    places = torch.rand(n, dtype=torch.float64) if jitter else 0.5
    levels = (torch.arange(n, dtype=torch.float64) + places) / n
    return (mean + std * torch.special.ndtri(levels)).to(dtype).unsqueeze(1)


P, Q = (0.0, 1.0), (1.0, 1.0)
"""Target and predicted, mean and standard deviation."""


def integral(function: Callable[[float, float], float]) -> float:
    """∫ function(t(x), p(x)) dx."""
    t, p = scipy.stats.norm(*P), scipy.stats.norm(*Q)
    return scipy.integrate.quad(lambda x: function(t.pdf(x), p.pdf(x)), -12, 12, epsabs=1e-11, limit=200)[0]


F_DIVERGENCES: dict[type[Dual], Callable[[float, float], float]] = {
    KullbackLeibler: lambda t, p: t * math.log(t / p),
    ReverseKullbackLeibler: lambda t, p: p * math.log(p / t),
    Pearson: lambda t, p: (t - p) ** 2 / p,
    Hellinger: lambda t, p: 0.5 * (math.sqrt(t) - math.sqrt(p)) ** 2,
    JensenShannon: lambda t, p: 0.5 * t * math.log(2 * t / (t + p)) + 0.5 * p * math.log(2 * p / (t + p)),
    LeastSquares: lambda t, p: 0.5 * (t - p) ** 2 / (t + p),
    Hinge: lambda t, p: 0.5 * abs(t - p),
}
F_DIVERGENCES[MinMax] = F_DIVERGENCES[JensenShannon]
RATIO: Callable[[Tensor], Tensor] = lambda x: 0.5 - x  # noqa: E731  log t − log p
OPTIMAL: dict[type[Dual], Callable[[Tensor], Tensor]] = {
    Pearson: lambda x: RATIO(x).expm1(),
    LeastSquares: lambda x: RATIO(x).sigmoid(),
    Hinge: lambda x: RATIO(x).sign(),
}


def name_of(kind: object) -> str:
    return getattr(kind, "__name__", str(kind))


def test_golden_values_of_the_integrals() -> None:
    assert integral(F_DIVERGENCES[JensenShannon]) == pytest.approx(0.1114214822, abs=1e-9)
    assert integral(F_DIVERGENCES[KullbackLeibler]) == pytest.approx(0.5, abs=1e-9)
    assert integral(F_DIVERGENCES[Pearson]) == pytest.approx(math.e - 1, abs=1e-9)
    assert integral(F_DIVERGENCES[Hellinger]) == pytest.approx(1 - math.exp(-1 / 8), abs=1e-9)
    assert integral(F_DIVERGENCES[Hinge]) == pytest.approx(math.erf(0.5 / math.sqrt(2)), abs=1e-6)


@pytest.mark.parametrize("kind", F_DIVERGENCES, ids=name_of)
def test_the_best_critic_gives_the_divergence_and_no_other_more(kind: type[Dual]) -> None:
    real, fake = stratified(*P, 100_000, torch.float64), stratified(*Q, 100_000, torch.float64)
    exact = integral(F_DIVERGENCES[kind])
    best = OPTIMAL.get(kind, RATIO)
    assert kind(Known(best)).bound(fake, real).mean().item() == pytest.approx(exact, rel=5e-3)
    for other in (lambda x: 0.7 * best(x), lambda x: best(x) + 0.2, lambda x: best(x) + 0.3 * x.sin()):
        assert kind(Known(other)).bound(fake, real).mean().item() < exact


@pytest.mark.parametrize("kind", F_DIVERGENCES, ids=name_of)
def test_a_small_critic_reaches_the_divergence_within_a_hundredth(kind: type[Dual]) -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0))
    divergence = kind(critic)
    steps, step_size = (1500, 0.1) if kind in (Pearson, Hinge) else (600, 0.03)
    optimiser = torch.optim.Adam(critic.parameters(), step_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):  # new samples each time: on any fixed ones the critic would come to know them
        optimiser.zero_grad()
        divergence.tighten(stratified(*Q, 1024, jitter=True), stratified(*P, 1024, jitter=True)).mean().backward()
        optimiser.step()
        schedule.step()
    reached = divergence.bound(stratified(*Q, 200_000), stratified(*P, 200_000)).mean().item()
    assert reached == pytest.approx(integral(F_DIVERGENCES[kind]), rel=0.01)


def test_hand_computed_points() -> None:
    """Values of the critic r on the target, f on what is predicted (published results, 3.11)."""
    r, f = torch.tensor([[0.7], [-0.4]]), torch.tensor([[0.2], [1.5]])
    a, b = r.squeeze(1), f.squeeze(1)
    same, zero = Line(1.0), Line(0.0)
    relu, exp, log2 = torch.relu, torch.exp, math.log(2)
    expected: list[tuple[LearnedDivergence, Tensor, Tensor, float, float]] = [
        (JensenShannon(same), (1 + exp(-a)).log() + (1 + exp(b)).log(), (1 + exp(-b)).log(), 2 * log2, log2),
        (MinMax(same), (1 + exp(-a)).log() + (1 + exp(b)).log(), -0.5 * (1 + exp(b)).log(), 2 * log2, -0.5 * log2),
        (LeastSquares(same), 0.5 * (a - 1) ** 2 + 0.5 * b**2, 0.5 * (b - 1) ** 2, 0.5, 0.5),
        (Hinge(same), relu(1 - a) + relu(1 + b), -b, 2.0, 0.0),
        (Wasserstein(same), b - a, -b, 0.0, 0.0),
        (KullbackLeibler(same), -a + exp(b), -b, 1.0, 0.0),
        (ReverseKullbackLeibler(same), exp(-a) + b, -b, 1.0, 0.0),
        (Pearson(same), -2 * a + b**2 + 2 * b, -2 * b, 0.0, 0.0),
        (Hellinger(same), exp(-a / 2) + exp(b / 2), 0.5 * exp(-b / 2), 2.0, 0.5),
    ]
    for divergence, critic, model, critic_at_zero, model_at_zero in expected:
        name = type(divergence).__name__
        torch.testing.assert_close(divergence.tighten(f, r), critic, msg=name)
        torch.testing.assert_close(divergence(f, r), model, msg=name)
        divergence.critic = zero
        torch.testing.assert_close(divergence.tighten(f, r), torch.full((2,), critic_at_zero), msg=name)
        torch.testing.assert_close(divergence(f, r), torch.full((2,), model_at_zero), msg=name)


@pytest.mark.parametrize(
    ("kind", "exact"),
    [(KullbackLeibler, 1.0), (ReverseKullbackLeibler, 1.0), (Pearson, 2 * math.e), (Hellinger, math.exp(-1 / 8) / 4)],
    ids=name_of,
)
def test_the_saturating_form_has_the_gradient_of_the_divergence(kind: type[Dual], exact: float) -> None:
    """Of D(N(0, 1) ‖ N(m, 1)) at m = 1, under the best critic there."""
    m = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    fake = stratified(0.0, 1.0, 200_000, torch.float64) + m
    divergence = kind(Known(OPTIMAL.get(kind, RATIO)), saturating=True)
    (rise,) = torch.autograd.grad(divergence(fake, fake.detach()).mean(), m)
    assert rise.item() == pytest.approx(exact, rel=5e-3)
    (other,) = torch.autograd.grad(kind(Known(OPTIMAL.get(kind, RATIO)))(fake, fake.detach()).mean(), m)
    assert other.item() > 0


@pytest.mark.parametrize("m", [0.5, 1.0, 2.5])
def test_the_game_of_2014_has_the_gradient_of_jensen_shannon_under_its_best_critic(m: float) -> None:
    """The slope of JS(N(0, 1), N(m, 1)) in m, by quadrature; the form that does not saturate has a gradient of its own."""

    def js(m: float) -> float:
        t, p = scipy.stats.norm(0, 1), scipy.stats.norm(m, 1)
        value = F_DIVERGENCES[JensenShannon]
        return scipy.integrate.quad(lambda x: value(t.pdf(x), p.pdf(x)), -12, 14, epsabs=1e-12, limit=200)[0]

    exact = (js(m + 1e-3) - js(m - 1e-3)) / 2e-3
    shift = torch.tensor(m, dtype=torch.float64, requires_grad=True)
    fake = stratified(0.0, 1.0, 100_000, torch.float64) + shift
    best = Known(lambda x: m**2 / 2 - m * x)
    (rise,) = torch.autograd.grad(MinMax(best)(fake, fake.detach()).mean(), shift)
    assert rise.item() == pytest.approx(exact, rel=1e-3)
    (other,) = torch.autograd.grad(JensenShannon(best)(fake.detach() - m + shift, fake.detach()).mean(), shift)
    assert other.item() > 1.5 * exact


def test_a_critic_that_is_too_sure_has_finite_gradients() -> None:
    for kind in (KullbackLeibler, ReverseKullbackLeibler, Hellinger):
        divergence = kind(Line(1000.0))
        value = divergence.tighten(torch.ones(2, 1), -torch.ones(2, 1))
        value.sum().backward()
        assert value.isfinite().all()
        assert divergence.critic.slope.grad.isfinite()


BEST: dict[type[Dual], Callable[[Tensor, Tensor], Tensor]] = {
    Pearson: lambda t, p: t / p - 1,
    LeastSquares: lambda t, p: t / (t + p),
    Hinge: lambda t, p: (t - p).sign(),
}


def between_masses(kind: type[Dual], t: Tensor, p: Tensor) -> float:
    """The bound between two laws on a few points, at the best critic."""
    divergence = kind(nn.Identity())
    best = BEST.get(kind, lambda t, p: t.log() - p.log())(t, p)
    loss = (t * divergence.on_target(best) + p * divergence.on_predicted(best)).sum()
    return divergence.top - divergence.share * loss.item()


@pytest.mark.parametrize("kind", F_DIVERGENCES, ids=name_of)
def test_statements_hold_between_masses(kind: type[Dual]) -> None:
    said = kind.statement
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(300, 3, 4, generator=generator, dtype=torch.float64)
    excess: dict[str, list[float]] = {"itself": [], "root": []}
    asymmetry = 0.0
    for a, b, c in logits.softmax(-1):
        ab, bc, ac, ba = (between_masses(kind, *pair) for pair in ((a, b), (b, c), (a, c), (b, a)))
        assert min(ab, bc, ac) > 0
        asymmetry = max(asymmetry, abs(ab - ba))
        for power, name in ((1.0, "itself"), (0.5, "root")):
            excess[name].append(ac**power - ab**power - bc**power)
    assert (asymmetry < 1e-9) == said.symmetric
    assert (max(excess["itself"]) <= 1e-9) == (said.metric == "itself")
    assert (max(excess["root"]) <= 1e-9) == (said.metric in ("itself", "root"))
    apart = [
        between_masses(kind, torch.tensor([1 - e, e]).double(), torch.tensor([e, 1 - e]).double())
        for e in (1e-6, 1e-9, 1e-12)
    ]
    assert (apart[-1] < apart[0] + 0.01) == said.finite_on_disjoint


def test_every_learned_divergence_makes_its_statement() -> None:
    for name, kind in learned.items():
        assert kind.statement.domain == "samples", name
        assert kind.statement.unbiased
    assert Wasserstein.statement.metric == "itself"
    assert Cramer.statement.metric == "root"


# Wasserstein -------------------------------------------------------------------------------------------------------


def descend(divergence: LearnedDivergence, fake: Tensor, real: Tensor, steps: int, step_size: float) -> float:
    """Full-batch Adam on the critic, its step size falling to zero; the bound it ends with."""
    optimiser = torch.optim.Adam(divergence.parameters(), step_size, betas=(0.5, 0.9))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        divergence.tighten(fake, real).mean().backward()
        optimiser.step()
        schedule.step()
    return divergence.bound(fake, real).mean().item()


@pytest.mark.parametrize(("shift", "weight"), [(3.0, 10.0), (1.0, 2.0)])
def test_the_penalty_has_its_own_optimum(shift: float, weight: float) -> None:
    """A shift D under a linear critic: slope 1 + D/(2λ), gap D + D²/(2λ); for D = 3, λ = 10, 1.15 and 3.45."""
    torch.manual_seed(0)
    real, fake = stratified(shift, 1.0, 64), stratified(0.0, 1.0, 64)
    divergence = Wasserstein(Line(0.2), weight=weight)
    gap = descend(divergence, fake, real, 300, 0.05)
    assert divergence.critic.slope.item() == pytest.approx(1 + shift / (2 * weight), rel=0.01)
    assert gap == pytest.approx(shift + shift**2 / (2 * weight), rel=0.01)


def test_the_penalty_is_one_sided_and_drawn_between_the_samples() -> None:
    flat, steep = Wasserstein(Line(0.5), weight=7.0), Wasserstein(Line(-1.5), weight=7.0)
    fake, real = torch.randn(5, 1), torch.randn(5, 1)
    gap = (fake - real).squeeze(1)
    assert torch.allclose(flat.tighten(fake, real), 0.5 * gap)
    assert torch.allclose(steep.tighten(fake, real), -1.5 * gap + 7.0 * 0.25, atol=1e-6)
    seen: list[Tensor] = []
    curious = Wasserstein(Known(lambda x: seen.append(x) or x))
    curious.tighten(torch.zeros(500, 1), torch.full((500, 1), 2.0))
    assert 0 <= seen[-1].min() < 0.1
    assert 1.9 < seen[-1].max() <= 2


def test_a_constrained_critic_gives_the_distance_of_a_shift() -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(1, 8), nn.Linear(8, 1), nn.Flatten(0))
    divergence = Wasserstein(critic, "spectral")
    assert descend(divergence, stratified(0.0, 1.0, 64), stratified(3.0, 1.0, 64), 50, 0.1) == pytest.approx(
        3.0, rel=1e-3
    )


def test_a_constrained_critic_that_keeps_slope_reaches_w1() -> None:
    """N(0.3, 0.8) and N(−0.5, 1.7): W1 = 0.98449, under a potential that turns round."""
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(1, 16), MaxMin(), nn.Linear(16, 16), MaxMin(), nn.Linear(16, 1), nn.Flatten(0))
    divergence = Wasserstein(critic, "spectral")
    real, fake = stratified(0.3, 0.8, 1000), stratified(-0.5, 1.7, 1000)
    reached = descend(divergence, fake, real, 400, 0.02)
    assert reached == pytest.approx(0.9844869128, rel=0.01)
    x = torch.linspace(-6, 6, 400).unsqueeze(1).requires_grad_()
    (steep,) = torch.autograd.grad(critic(x).sum(), x)
    assert steep.abs().max().item() <= 1 + 1e-3


def test_maxmin_sorts_pairs_and_keeps_norms() -> None:
    x = torch.randn(7, 6)
    y = MaxMin()(x)
    assert torch.equal(y[:, 0], x[:, :2].amax(1))
    assert torch.equal(y[:, 5], x[:, 4:].amin(1))
    assert torch.equal(y.sort(1).values, x.sort(1).values)


# Cramér ------------------------------------------------------------------------------------------------------------


def test_with_the_identity_the_critic_sees_the_energy_distance() -> None:
    for features in (3, 40):
        torch.manual_seed(features)
        real, fake = torch.randn(20, features), torch.randn(20, features) + 0.5
        divergence = Cramer(nn.Identity(), weight=0.0)
        exact = 0.5 * energy_distance(fake, real, unbiased=True).item()
        assert divergence(fake, real).mean().item() == pytest.approx(exact, abs=2e-4)
        assert divergence.tighten(fake, real).mean().item() == pytest.approx(-exact, abs=2e-4)


def test_cramers_pairs_count_by_the_weights_of_both_rows() -> None:
    torch.manual_seed(0)
    real, fake, weight = torch.randn(9, 3), torch.randn(9, 3) + 0.5, torch.arange(9.0)
    share = weight / weight.sum()
    pairs = share[:, None] * share
    apart = 1 - torch.eye(9)

    def mean(a: Tensor, b: Tensor, counted: Tensor) -> Tensor:
        return (torch.cdist(a, b) * counted).sum() / counted.sum()

    exact = mean(fake, real, pairs) - 0.5 * (mean(fake, fake, pairs * apart) + mean(real, real, pairs * apart))
    criterion = Criterion(Term(Cramer(nn.Identity(), weight=0.0), "fake", "real"))
    outputs, batch = {"fake": fake}, {"real": real, "weight": weight}
    assert float(criterion(outputs, batch).total) == pytest.approx(float(exact), abs=1e-5)
    assert float(criterion.tighten(outputs, batch).total) == pytest.approx(-float(exact), abs=1e-5)
    members = Criterion(Term(by_member(Cramer(nn.Identity(), weight=0.0)), "fake", "real"))
    outputs_of_two = {"fake": fake.expand(2, 9, 3), "real": real.expand(2, 9, 3)}
    assert float(members(outputs_of_two, batch).total) == pytest.approx(float(exact), abs=1e-5)
    assert float(members.tighten(outputs_of_two, batch).total) == pytest.approx(-float(exact), abs=1e-5)
    whole, known = torch.ones(9), torch.arange(9) < 6
    missing = {"real": torch.where(known[:, None], real, torch.nan), "real.present": known}
    six = criterion({"fake": fake[:6]}, {"real": real[:6]}).total
    assert float(criterion(outputs, missing).total) == pytest.approx(float(six), abs=1e-5)
    alike = criterion(outputs, {"real": real, "weight": whole}).total
    assert float(alike) == pytest.approx(float(criterion(outputs, {"real": real}).total), abs=1e-5)


def test_cramers_distance_of_a_target_that_weights_make_what_is_made_is_zero() -> None:
    torch.manual_seed(0)
    real = (torch.arange(2000.0)[:, None] % 2).expand(2000, 1)
    weight = torch.where(real[:, 0] == 1, 0.1, 0.9)
    fake = (torch.rand(2000, 1) < 0.1).float()
    criterion = Criterion(Term(Cramer(nn.Identity()), "fake", "real"))
    assert float(criterion({"fake": fake}, {"real": real, "weight": weight}).total) == pytest.approx(0.0, abs=0.002)


def test_weights_of_rows_that_are_compared_in_packs_are_refused() -> None:
    criterion = Criterion(Term(Packed(Cramer(nn.Flatten()), 2), "fake", "real"))
    rows = {"real": torch.ones(4, 1), "weight": torch.ones(4)}
    for said in (criterion, criterion.tighten):
        with pytest.raises(ChoiceError, match="pack=2 compares rows that count alike; leave pack out, or the weights"):
            said({"fake": torch.ones(4, 1)}, rows)


@pytest.mark.parametrize("features", [3, 64])
def test_the_witness_is_no_steeper_than_the_critic_where_rows_coincide(features: int) -> None:
    """A matrix product cannot tell rows in one place from rows that are near; the root of what it leaves has any slope."""
    torch.manual_seed(0)
    turn = torch.linalg.qr(torch.randn(features, features)).Q
    rows = 100.0 + torch.randn(50, features)
    points = rows.clone().requires_grad_()
    witness = Cramer(nn.Identity()).witness(points @ turn, rows @ turn, (rows + 1e-4 * torch.randn_like(rows)) @ turn)
    (slope,) = torch.autograd.grad(witness.sum(), points)
    assert slope.isfinite().all()
    assert slope.norm(dim=1).max() <= 1.01  # h turns rows, and w is half a difference of two means of distances


def test_the_witness_is_high_where_rows_are_real() -> None:
    torch.manual_seed(0)
    fake, real = torch.randn(100, 5), torch.randn(100, 5) + 2
    divergence = Cramer(nn.Identity())
    assert divergence.witness(real, fake, real).mean() > divergence.witness(fake, fake, real).mean() + 1
    packed = Packed(divergence, 2)
    assert torch.equal(packed.witness(fake, fake, real), divergence.witness(fake, fake, real))
    assert torch.equal(Wasserstein(nn.Identity()).witness(real, fake, real), real.mean(1))


def test_cramers_critic_reaches_the_penalised_optimum() -> None:
    """Features c · x of a shift: c C − λ E max(c |F − G| − 1, 0)², at its best c found by quadrature."""

    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c = nn.Parameter(torch.tensor(0.5))

        def forward(self, x: Tensor) -> Tensor:
            return self.c * x

    torch.manual_seed(0)
    shift, weight = 3.0, 2.0
    # All samples but one pair of tails lie apart: between 0 and D the witness of two points has the slope c.
    real, fake = torch.full((40, 1), shift), torch.zeros(40, 1)
    real, fake = real + 1e-3 * torch.randn(40, 1), fake + 1e-3 * torch.randn(40, 1)
    divergence = Cramer(Scale(), weight=weight)
    reached = descend(divergence, fake, real, 300, 0.05)
    c = 1 + shift / (2 * weight)  # as of Wasserstein: c D − λ (c − 1)²
    assert divergence.critic.c.item() == pytest.approx(c, rel=0.02)
    assert reached == pytest.approx(c * shift, rel=0.02)


def test_cramers_gradient_over_minibatches_is_unbiased_and_wassersteins_is_not() -> None:
    """Real Bernoulli(0.6), fake Bernoulli(q): by enumeration of minibatches of three."""
    p, n = 0.6, 3

    def expected(distance: Callable[[Tensor, Tensor], Tensor], q: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for i in range(n + 1):
            for j in range(n + 1):
                chance = math.comb(n, i) * p**i * (1 - p) ** (n - i) * math.comb(n, j) * q**j * (1 - q) ** (n - j)
                real, fake = ((torch.arange(n) < k).double().unsqueeze(1) for k in (i, j))
                total = total + chance * distance(fake, real)
        return total

    q = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)
    critic = Cramer(nn.Identity(), weight=0.0)
    (cramer,) = torch.autograd.grad(expected(lambda f, r: critic(f, r).mean(), q), q)
    assert cramer.item() == pytest.approx(0.0, abs=1e-12)  # the truth is where it rests
    (w1,) = torch.autograd.grad(expected(lambda f, r: (f.mean() - r.mean()).abs(), q), q)
    assert abs(w1.item()) > 0.05


# Shared ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "chi2",
        "cramer",
        "hellinger",
        "hinge",
        "js",
        "kl",
        "least_squares",
        "minimax",
        "relativistic",
        "reverse_kl",
        "wasserstein",
    ],
)
def test_every_learned_divergence_trains_a_generator_by_the_one_loop(name: str) -> None:
    """From N(0, 1) to N(2, 1): the model moves towards the data under every one of them."""

    class Shift(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.m = nn.Parameter(torch.zeros(1))

        def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            return {"fake": torch.randn_like(batch["x"]) + self.m}

    torch.manual_seed(0)
    outputs = 4 if name == "cramer" else 1
    critic = nn.Sequential(nn.Linear(1, 16), nn.ReLU(), nn.Linear(16, outputs), nn.Flatten(0 if outputs == 1 else 1))
    model, divergence = Shift(), learned[name](critic)
    data = Store.of(x=torch.randn(512, 1) + 2)
    train(
        model,
        Criterion(Term(divergence, "fake", "x")),
        Descent(step_size=1e-2),
        Batches(data, batch_size=64),
        epochs=50,
    )
    assert model.m.item() == pytest.approx(2.0, abs=1.0)
    batch = torch.randn(8, 1)
    assert divergence(batch, batch + 1).shape == divergence.bound(batch, batch + 1).shape == (8,)
    assert "v" in divergence.describe("fake", "x") or "D" in divergence.describe("fake", "x")


@pytest.mark.parametrize("name", ["kl", "wasserstein", "cramer"])
def test_distributions_are_sampled_and_gradients_go_where_they_should(name: str) -> None:
    critic = nn.Linear(2, 3) if name == "cramer" else nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))
    divergence = learned[name](critic)
    location = torch.zeros(6, 2, requires_grad=True)
    prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    divergence(Independent(Normal(location, torch.ones(6, 2)), 1), prior).sum().backward()
    assert location.grad is not None
    location.grad = None
    divergence.tighten(location, prior).sum().backward()
    assert location.grad is None
    assert all(p.grad is not None for p in divergence.parameters())


def test_conditions_are_passed_to_the_critic_and_its_penalty() -> None:
    class Conditional(nn.Module):
        def forward(self, x: Tensor, given: Tensor) -> Tensor:
            return (x * given).squeeze(1)

    given, fake, real = torch.full((3, 1), 2.0), torch.rand(3, 1), torch.rand(3, 1)
    value = Wasserstein(Conditional(), weight=5.0).tighten(fake, real, given)
    assert torch.allclose(value, 2 * (fake - real).squeeze(1) + 5.0)
    penalised = KullbackLeibler(Conditional(), r1=0.5).tighten(fake, real, given)
    plain = KullbackLeibler(Conditional()).tighten(fake, real, given)
    assert torch.allclose(penalised - plain, torch.full((3,), 1.0))
    assert Cramer(Conditional(), weight=5.0).tighten(fake, real, given).isfinite().all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Hinge(nn.Identity(), r1=-1.0), "at least 0"),
        (lambda: Wasserstein(nn.Identity(), weight=0.0), "positive"),
        (lambda: Wasserstein(nn.Identity(), "spectral"), "no linear or convolutional layer"),
        (lambda: Cramer(nn.Identity(), weight=-1.0), "at least 0"),
        (lambda: Cramer(nn.Identity())(torch.ones(1, 1), torch.ones(1, 1)), "at least 2"),
    ],
    ids=["r1", "weight", "spectral", "cramer", "batch"],
)
def test_what_cannot_be_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ChoiceError, match=message):
        call()
