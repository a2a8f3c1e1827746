"""Wasserstein and MMD at data points: against integrals, their derivatives, what is proper and what is not."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Distribution,
    Exponential,
    Gamma,
    Independent,
    Laplace,
    LogNormal,
    MixtureSameFamily,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)

from trine.divergences import MMD, Wasserstein, Wasserstein2, divergences
from trine.errors import ChoiceError
from trine.rules import LogitNormal, OrderedCategorical, SoftplusNormal, mixture


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


LINE: dict[str, tuple[Distribution, float]] = {
    "normal": (Normal(t(0.3), t(0.8)), 1.1),
    "normal-far": (Normal(t(0.3), t(0.8)), 400.0),
    "laplace": (Laplace(t(0.3), t(0.8)), -1.1),
    "student": (StudentT(t(4.3), t(0.3), t(0.8)), 1.1),
    "lognormal": (LogNormal(t(0.3), t(0.8)), 1.1),
    "gamma": (Gamma(t(0.3), t(1.3)), 0.2),
    "exponential": (Exponential(t(0.7)), 1.1),
    "beta": (Beta(t(2.0), t(0.7)), 0.3),
    "logit-normal": (LogitNormal(t(0.3), t(0.8)), 0.1),
    "softplus-normal": (SoftplusNormal(t(0.3), t(0.8), t(1.0)), 2.0),
    "mixture": (mixture(Normal(t(0.0, 4.0)[:, None], t(1.0, 0.2)[:, None])), 1.0),
    "mixture-of-gammas": (mixture(Gamma(t(1.0, 4.0)[:, None], t(1.0, 0.2)[:, None])), 1.0),
}


@pytest.mark.parametrize("name", LINE)
def test_the_distance_from_a_point_is_that_from_one_sample(name: str) -> None:
    """E |Y − y| in the closed form of a family against ∫ |F − 1{t ≥ y}|, and E (Y − y)² against quantiles."""
    q, y = LINE[name]
    for divergence, accuracy in ((Wasserstein(), 1e-6), (Wasserstein2(), 1e-5)):
        at_point = divergence(q, t(y)).item()
        integral = divergence.compare(_single(q), t(y)).value.item()
        assert at_point == pytest.approx(integral, rel=accuracy)


def _single(q: Distribution) -> Distribution:
    """The one element of a batch of one."""
    if isinstance(q, MixtureSameFamily):
        part = q.component_distribution
        values = {name: getattr(part, name)[0] for name in part.arg_constraints}
        return MixtureSameFamily(Categorical(q.mixture_distribution.probs[0]), type(part)(**values))
    if isinstance(q, SoftplusNormal):
        return SoftplusNormal(q.loc[0], q.scale[0], q.unit[0])
    return type(q)(**{name: getattr(q, name)[0] for name in q.arg_constraints})


def test_counts_and_categories_by_hand() -> None:
    for q in (Poisson(t(3.0)), NegativeBinomial(t(2.0), logits=t(0.7)), Bernoulli(t(0.3))):
        k = torch.arange(0, 2 if isinstance(q, Bernoulli) else 400, dtype=torch.float64)
        masses = q.log_prob(k[:, None]).exp()[:, 0]
        for y in (0.0, 1.0):
            assert Wasserstein()(q, t(y)).item() == pytest.approx(float((masses * (k - y).abs()).sum()), rel=1e-6)
            assert Wasserstein2()(q, t(y)).item() == pytest.approx(float((masses * (k - y) ** 2).sum()), rel=1e-9)
    shares = t(0.5, 0.2, 0.3)[None]
    free, ordered = Categorical(shares), OrderedCategorical(shares)
    for divergence, in_order in ((Wasserstein(), (0.8, 0.8, 1.2)), (Wasserstein2(), (1.4, 0.8, 2.2))):
        for y in range(3):
            assert divergence(free, torch.tensor([y])).item() == pytest.approx(1 - shares[0, y].item())
            assert divergence(ordered, torch.tensor([y])).item() == pytest.approx(in_order[y])
    # Half of Brier's score, as Cramér's.
    assert MMD()(free, torch.tensor([1])).item() == pytest.approx(0.5 * (0.25 + 0.64 + 0.09))


@pytest.mark.parametrize("name", ["student", "gamma", "logit-normal", "mixture-of-gammas"])
def test_quadrature_at_points_has_the_gradient_of_its_value(name: str) -> None:
    """∂ E |Y − y| / ∂ parameters, by quadrature, against differences; and 2F(y) − 1 where the location moves."""
    family, start = {
        "student": (lambda a: StudentT(t(4.0), a[:1], a[1:]), t(0.3, 0.8)),
        "gamma": (lambda a: Gamma(a[:1], a[1:]), t(2.0, 1.3)),
        "logit-normal": (lambda a: LogitNormal(a[:1], a[1:]), t(0.3, 0.8)),
        "mixture-of-gammas": (
            lambda a: mixture(Gamma(torch.stack([a[:1], 2 * a[:1]]), a[1:].expand(2, 1))),
            t(2.0, 1.3),
        ),
    }[name]
    at, y = start.requires_grad_(), t(0.6)
    (gradient,) = torch.autograd.grad(Wasserstein()(family(at), y).sum(), at)
    for i in range(2):
        h = torch.zeros(2, dtype=torch.float64)
        h[i] = 1e-5
        with torch.no_grad():
            slope = (Wasserstein()(family(at + h), y) - Wasserstein()(family(at - h), y)).item() / 2e-5
        assert gradient[i].item() == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_the_kernel_score_is_proper_by_half_of_mmd() -> None:
    """E_t score(q) − E_t score(t) = ½ MMD²(t, q), by a fine quadrature over t."""
    truth, other = Normal(t(0.3), t(0.8)), Normal(t(-0.5), t(1.7))
    y = torch.linspace(-8, 9, 40_001, dtype=torch.float64)
    weight = truth.log_prob(y).exp() * (y[1] - y[0])
    for h in (0.5, 1.0, 3.0):
        score = MMD(bandwidth=h)
        excess = (weight * (score(other.expand(y.shape), y) - score(truth.expand(y.shape), y))).sum().item()
        assert excess == pytest.approx(0.5 * score.compare(truth, other).value.item(), rel=1e-6)
        assert excess > 0


def test_sampled_kernel_scores_are_unbiased_for_the_closed_form() -> None:
    torch.manual_seed(0)
    q, y = Normal(t(0.3), t(0.8)), t(1.1)
    exact = MMD()(q, y).item()
    one = Independent(Normal(t(0.3)[None], t(0.8)[None]), 1)
    drawn = torch.stack([MMD(samples=4)(one, y[None]) for _ in range(1500)])
    assert drawn.mean().item() == pytest.approx(exact, abs=4 * drawn.std().item() / 1500**0.5)
    mixed = MixtureSameFamily(
        Categorical(t(0.5, 0.5)[None]), Independent(Normal(t(0.3, 0.3)[None, :, None], t(0.8, 0.8)[None, :, None]), 1)
    )
    drawn = torch.stack([MMD(samples=4)(mixed, y[None]) for _ in range(1500)])
    assert drawn.mean().item() == pytest.approx(exact, abs=4 * drawn.std().item() / 1500**0.5)


def test_distances_of_vectors_are_unbiased() -> None:
    torch.manual_seed(0)
    q = Independent(Normal(torch.zeros(1, 2), torch.ones(1, 2)), 1)
    drawn = torch.stack([Wasserstein(samples=2)(q, torch.zeros(1, 2)) for _ in range(4000)])
    assert drawn.mean().item() == pytest.approx(math.sqrt(math.pi / 2), abs=4 * drawn.std().item() / 4000**0.5)
    assert Wasserstein2()(q, torch.ones(1, 2)).item() == pytest.approx(4.0)


def test_what_is_no_proper_score_is_least_for_a_point() -> None:
    """Of skewed data the least E |Y − y| is that of a point at the median, far from the data's distribution."""
    data = torch.distributions.Exponential(1.0).icdf((torch.arange(2000) + 0.5) / 2000).double()
    scores = {}
    for scale in (1e-6, 0.3, 1.0):
        for loc in (0.5, math.log(2), 1.0):
            q = Normal(t(loc).expand(2000), t(scale).expand(2000))
            scores[scale, loc] = [divergences[n]()(q, data).mean().item() for n in ("wasserstein", "cramer", "kl")]
    assert min(scores, key=lambda each: scores[each][0]) == (1e-6, math.log(2))
    for i in (1, 2):
        assert min(scores, key=lambda each, i=i: scores[each][i])[0] > 1e-6  # type: ignore[misc]


def test_refusals_at_points() -> None:
    q = Normal(t(0.0), t(1.0))
    for name in ("js", "tv", "hellinger", "chi2", "renyi", "reverse_kl"):
        with pytest.raises(ChoiceError, match=r"a data point has none\. Choose divergence=kl"):
            divergences[name]()(q, t(0.5))
    with pytest.raises(ChoiceError, match=r"counts, which have no gradient of a sample\. Choose divergence=cramer"):
        MMD()(Poisson(t(3.0)), t(2.0))
    labels = Independent(Bernoulli(torch.full((1, 3), 0.5)), 1)
    for divergence in (Wasserstein(), Wasserstein2(), MMD()):
        with pytest.raises(ChoiceError, match="sequences or sets"):
            divergence(labels, torch.ones(1, 3))
        with pytest.raises(ChoiceError, match="one target for each example"):
            divergence(q, t(0.0, 1.0))
        with pytest.raises(ChoiceError, match="Draw samples of the target first"):
            divergence(t(0.0, 1.0), q)


def test_samples_train_by_gradients_of_two_sample_estimates() -> None:
    """A generator of samples descends each to the place of the target's samples."""
    torch.manual_seed(0)
    target = torch.randn(256) * 0.5 + 2.0
    for name in ("wasserstein", "wasserstein2", "cramer", "mmd"):
        noise = torch.randn(256)
        shift = torch.zeros(1, requires_grad=True)
        optimiser = torch.optim.Adam([shift], 0.2)
        for _ in range(50):
            values = divergences[name]()(0.5 * noise + shift, target)
            assert values.shape == (256,)
            optimiser.zero_grad()
            values.mean().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        assert shift.item() == pytest.approx(2.0, abs=0.15)
