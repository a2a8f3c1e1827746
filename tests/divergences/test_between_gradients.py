"""Divergences between distributions: gradients through fixed nodes are the slopes of the values."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import (
    Beta,
    Categorical,
    Distribution,
    Gamma,
    Laplace,
    LogNormal,
    MixtureSameFamily,
    MultivariateNormal,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)

from trine.divergences import divergences
from trine.rules import LogitNormal, OrderedCategorical


def t(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


TARGET: dict[str, tuple[Distribution, Callable[[Tensor], Distribution]]] = {
    "gamma": (LogNormal(t(0.0), t(0.5)), lambda a: Gamma(a[:1], a[1:])),
    "normal": (Laplace(t(0.2), t(0.6)), lambda a: Normal(a[:1], a[1:])),
    "student": (Normal(t(0.0), t(1.0)), lambda a: StudentT(t(5.0), a[:1], a[1:])),
    "beta": (LogitNormal(t(0.0), t(1.0)), lambda a: Beta(a[:1], a[1:])),
    "poisson": (NegativeBinomial(t(4.0), logits=t(0.1)), lambda a: Poisson(a[:1] * a[1:])),
    "ordered": (
        OrderedCategorical(t(0.5, 0.2, 0.3)[None]),
        lambda a: OrderedCategorical((t(0.0, 1.0, 2.0) * a.prod()).softmax(-1)[None]),
    ),
    "mixture": (
        Laplace(t(0.2), t(0.6)),
        lambda a: MixtureSameFamily(
            Categorical(logits=torch.stack([a[:1], t(0.0)], -1)), Normal(torch.stack([a[:1], t(3.0)], -1), a[1:, None])
        ),
    ),
}  # fmt: skip
NAMES = [
    "kl", "reverse_kl", "js", "tv", "hellinger", "chi2", "renyi", "cramer", "wasserstein", "wasserstein2", "mmd"
]  # fmt: skip


@pytest.mark.parametrize("family", TARGET)
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_slopes(name: str, family: str) -> None:
    target, predicted = TARGET[family]
    options = {"bandwidth": 0.7} if name == "mmd" else {}
    divergence = divergences[name](**options)  # type: ignore[call-arg]
    at = t(1.3, 0.8).requires_grad_()
    value = divergence(predicted(at), target)
    if not value.isfinite().all():
        assert name in ("chi2", "kl", "reverse_kl")
        return
    (gradient,) = torch.autograd.grad(value.sum(), at)
    step = 1e-4
    with torch.no_grad():
        for i in range(2):
            h = torch.zeros(2, dtype=torch.float64)
            h[i] = step
            slope = (divergence(predicted(at + h), target) - divergence(predicted(at - h), target)).sum() / (2 * step)
            assert gradient[i].item() == pytest.approx(slope.item(), rel=2e-5, abs=2e-6)


def test_gelbrich_in_many_dimensions_has_the_gradient_of_its_value() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(4, 4, dtype=torch.float64), torch.randn(4, 4, dtype=torch.float64)
    fixed = MultivariateNormal(torch.ones(4, dtype=torch.float64), b @ b.T + torch.eye(4))

    def distance(root: Tensor) -> Tensor:
        moved = MultivariateNormal(torch.zeros(4, dtype=torch.float64), root @ root.T + 0.1 * torch.eye(4))
        value: Tensor = divergences["wasserstein2"]()(moved, fixed)
        return value

    assert torch.autograd.gradcheck(distance, a.requires_grad_(), atol=1e-6)


def test_descent_reaches_the_moments_under_kl_and_a_mode_under_its_reverse() -> None:
    """Mass covering against mode seeking: the best normal for two humps."""
    humps = MixtureSameFamily(Categorical(t(0.5, 0.5)), Normal(t(-3.0, 3.0), t(1.0, 1.0)))
    found = {}
    for name, start in (("kl", 0.3), ("reverse_kl", 2.0)):
        theta = t(start, 0.0).requires_grad_()
        optimiser = torch.optim.LBFGS([theta], max_iter=40, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimiser.zero_grad()  # noqa: B023
            value: Tensor = divergences[name]()(Normal(theta[0], theta[1].exp()), humps).sum()  # noqa: B023
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimiser.step(loss)  # type: ignore[arg-type]
        found[name] = (theta[0].item(), theta[1].exp().item())
    assert found["kl"] == (pytest.approx(0.0, abs=1e-4), pytest.approx(10**0.5, abs=1e-4))
    assert found["reverse_kl"] == (pytest.approx(3.0, abs=0.05), pytest.approx(1.0, abs=0.05))
