"""Bayesian linear regression, whose posterior is known, through every posterior that should find it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes
from torch import Tensor

from trine import Regressor
from trine.models import Chains, Draws
from trine.procedures._diagnostics import effective_draws, split_r_hat
from trine.procedures.langevin import Sampler
from trine.rules import spread

WIDTH = 0.3
"""Of the prior of each weight; the bias has a flat one."""
ROWS = 150


def posterior_of(model: Regressor, X: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """(mean, covariance) of (weights, bias) given the noise that was found, and (rows, weights + 1) what they multiply.

    In encoded units; the noise's variance is the mean over draws.
    """
    network = model.derivation_.model.network
    store, _ = model._encode(X)
    batch = store.batch(torch.arange(store.rows))
    with torch.no_grad():
        outputs = network(batch)
    z = torch.cat([outputs["z"], torch.ones(store.rows, 1)], 1).double()
    domain = model.schema_.y["y"]
    # Chains draw the noise too: the covariance is the mean over it.
    noise = float(spread(model.predict_distribution(X))[0].mean()) ** 0.5 / domain.scale
    start = network.rules[0].head.start.double()
    y = (
        torch.as_tensor(load_diabetes(return_X_y=True)[1][:ROWS] - 150.0).double() - domain.centre
    ) / domain.scale - start
    precision = z[:ROWS].T @ z[:ROWS] / noise**2
    precision += torch.diag(torch.tensor([1 / WIDTH**2] * (z.shape[1] - 1) + [0.0], dtype=torch.float64))
    covariance = torch.linalg.inv(precision)
    return covariance @ (z[:ROWS].T @ y) / noise**2, covariance, z


def drawn(model: Regressor) -> Tensor:
    """(draws, weights + 1) of the last linear map."""
    posterior = model.derivation_.model
    assert isinstance(posterior, Draws | Chains)
    names = list(posterior.names)
    sizes = [s[0].numel() for s in posterior.stacks] if isinstance(posterior, Chains) else None
    if sizes is None:
        own = posterior.base.state_dict()
        sizes = [own[name].numel() for name in names]
    parts = dict(zip(names, posterior.theta.split(sizes, 1), strict=True))
    return torch.cat([parts["rules.0.head.linear.weight"], parts["rules.0.head.linear.bias"]], 1).double()


@pytest.fixture(scope="module", params=["laplace", "variational", "langevin"])
def fitted(request: pytest.FixtureRequest) -> tuple[str, Regressor, np.ndarray]:
    X, y = load_diabetes(return_X_y=True)
    X, y = (X / X.std(0))[:, :4], y - 150.0
    training = {
        "draws": 2000,
        "epochs": 300,
        "step_size": 0.02,
        "patience": 0,
        "ema": 0.0,
        "batch_size": 50,
        "clip": 0.0,
    }
    model = Regressor(
        posterior=request.param,
        hidden=(),
        numbers="plain",
        rule="normal-fixed",
        prior=f"normal({WIDTH})",
        validation_fraction=0.0,
        random_state=0,
        threads=1,
        **training | ({"epochs": 40, "sampling_steps": 2400, "draws": 800} if request.param == "langevin" else {}),
    )
    return request.param, model.fit(X[:ROWS], y[:ROWS]), X


def test_weights_are_drawn_from_the_exact_posterior(fitted) -> None:
    name, model, X = fitted
    mean, covariance, z = posterior_of(model, X)
    theta = drawn(model)
    # A mean field has the exact mean, and the variances that each weight has when all others are known.
    variance = 1 / torch.linalg.inv(covariance).diagonal() if name == "variational" else covariance.diagonal()
    # Means are compared as functions of the rows, in units of the spread there: two columns that say nearly the same make some
    # weights' own means slow to find.
    off = ((theta.mean(0) - mean) * z).sum(1).abs() / ((z @ covariance) * z).sum(1).sqrt()
    assert off.mean() < {"laplace": 0.1, "variational": 0.3, "langevin": 0.15}[name]
    ratio = theta.var(0) / variance
    low, high = {"laplace": (0.85, 1.15), "variational": (0.6, 1.4), "langevin": (0.8, 1.25)}[name]
    assert low < float(ratio.log().mean().exp()) < high
    if name == "laplace":
        assert low < float(ratio.min())
        assert float(ratio.max()) < high


def test_the_spread_that_theta_leaves_open_is_the_exact_one(fitted) -> None:
    name, model, X = fitted
    _, covariance, z = posterior_of(model, X)
    exact = ((z @ covariance) * z).sum(1) * model.schema_.y["y"].scale ** 2
    _, epistemic = spread(model.predict_distribution(X))
    ratio = (epistemic / exact).log().mean().exp()
    low, high = {"laplace": (0.9, 1.1), "variational": (0.2, 1.1), "langevin": (0.8, 1.25)}[name]
    assert low < float(ratio) < high


def test_chains_that_agree_say_so(fitted) -> None:
    name, model, _ = fitted
    if name != "langevin":
        assert not hasattr(model.derivation_.model, "convergence")
        return
    r_hat, effective = model.derivation_.model.convergence.tolist()
    assert r_hat < 1.05
    assert effective > 100


@pytest.mark.parametrize("sampler", ["sgld", "psgld", "sghmc"])
def test_a_sampler_keeps_a_known_normal(sampler: str) -> None:
    torch.manual_seed(0)
    rows, chains = 100, 4000
    precision = torch.tensor([[4.0, 1.5], [1.5, 1.0]], dtype=torch.float64)  # of n U
    mean = torch.tensor([1.0, -2.0], dtype=torch.float64)
    theta = torch.randn(chains, 2, dtype=torch.float64)
    scales = torch.ones(2).double() if sampler == "sgld" else precision.diagonal()
    how = Sampler(sampler, rows)
    root = scales.sqrt()
    largest = torch.linalg.eigvalsh(precision / torch.outer(root, root)).max()
    how.measured([(scales / rows).expand(chains, 2)], largest.expand(chains))
    share = 0.5 if sampler == "sghmc" else 0.02
    for _ in range(200 if sampler == "sghmc" else 3000):
        how.step([theta], [(theta - mean) @ precision / rows], share)
    covariance = torch.linalg.inv(precision)
    scale = covariance.diagonal().sqrt()
    # Of 4,000 independent chains: means within 4 standard errors, variances within 4 · √(2/4000) and the Euler step's 2 %.
    assert ((theta.mean(0) - mean).abs() / scale).max() < 4 / chains**0.5
    wide = 0.09 if sampler == "sghmc" else 0.11
    assert ((theta.T.cov() - covariance).abs() / torch.outer(scale, scale)).max() < wide


def test_momentum_that_heats_up_calls_for_smaller_steps() -> None:
    torch.manual_seed(0)
    rows, precision = 10, torch.full((2, 50), 9.0, dtype=torch.float64)
    theta = torch.zeros(2, 50, dtype=torch.float64)
    how = Sampler("sghmc", rows)
    # The second chain's curvature is taken for a hundredth of what it is: its steps are far beyond what is stable.
    how.measured([precision / rows * torch.tensor([[1.0], [0.01]])], torch.ones(2))
    for _ in range(2000):
        how.step([theta], [theta * precision / rows], 0.25)
        how.calm(1.02)
    assert how.caution[0] > 0.9
    assert how.caution[1] < 0.6
    assert theta.abs().max() < 10.0


def test_convergence_is_judged_as_for_chains_that_are_known() -> None:
    torch.manual_seed(0)
    chains, n, rho = 4, 4000, 0.8
    noise = torch.randn(chains, n, 3, dtype=torch.float64)
    draws = torch.zeros_like(noise)
    draws[:, 0] = noise[:, 0] / (1 - rho**2) ** 0.5
    for t in range(1, n):
        draws[:, t] = rho * draws[:, t - 1] + noise[:, t]
    # An AR(1) sequence has (1 − ρ)/(1 + ρ) effective draws for each.
    expected = chains * n * (1 - rho) / (1 + rho)
    assert ((effective_draws(draws) / expected - 1).abs() < 0.2).all()
    assert (split_r_hat(draws) < 1.02).all()
    independent = torch.randn(chains, n, dtype=torch.float64)
    assert abs(float(effective_draws(independent)) / (chains * n) - 1) < 0.15
    apart = independent + torch.arange(chains, dtype=torch.float64).unsqueeze(1)
    assert float(split_r_hat(apart)) > 1.2
    assert float(effective_draws(apart)) < 40
    drifting = independent + torch.linspace(0, 4, n, dtype=torch.float64)
    assert float(split_r_hat(drifting)) > 1.2
