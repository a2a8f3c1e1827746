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

    In encoded units; the noise's scale is the mode's.
    """
    network = model.derivation_.model.network
    store, _ = model._encode(X)
    batch = store.batch(torch.arange(store.rows))
    with torch.no_grad():
        outputs = network(batch)
    z = torch.cat([outputs["z"], torch.ones(store.rows, 1)], 1).double()
    noise = float(outputs["y_hat"].scale.flatten()[0])
    domain = model.schema_.y["y"]
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
    training = {"epochs": 300, "step_size": 0.02, "patience": 0, "ema": 0.0, "batch_size": 50, "clip": 0.0}
    model = Regressor(
        posterior=request.param,
        hidden=(),
        numbers="plain",
        rule="normal-fixed",
        prior=f"normal({WIDTH})",
        draws=2000,
        validation_fraction=0.0,
        random_state=0,
        threads=1,
        **training | ({"sampling_step": 5e-4, "epochs": 100} if request.param == "langevin" else {}),
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
    assert off.mean() < {"laplace": 0.1, "variational": 0.3, "langevin": 0.4}[name]
    ratio = theta.var(0) / variance
    low, high = {"laplace": (0.85, 1.15), "variational": (0.6, 1.4), "langevin": (0.5, 1.8)}[name]
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
    low, high = {"laplace": (0.9, 1.1), "variational": (0.2, 1.1), "langevin": (0.5, 1.7)}[name]
    assert low < float(ratio) < high


@pytest.mark.parametrize(("sampler", "step"), [("sgld", 2e-2), ("psgld", 5e-4), ("sghmc", 1e-4)])
def test_a_sampler_keeps_a_known_normal(sampler: str, step: float) -> None:
    torch.manual_seed(0)
    rows, chains = 100, 4000
    precision = torch.tensor([[4.0, 1.5], [1.5, 1.0]], dtype=torch.float64)  # of n U
    mean = torch.tensor([1.0, -2.0], dtype=torch.float64)
    theta = torch.randn(chains, 2, dtype=torch.float64)
    how = Sampler(sampler, rows)
    for t in range(3000):
        slope = (theta - mean) @ precision / rows
        how.step([theta], [slope], step * 100, adapt=t < 200)
    assert (theta.mean(0) - mean).abs().max() < 0.08
    covariance = torch.linalg.inv(precision)
    scale = covariance.diagonal().sqrt()
    assert ((theta.T.cov() - covariance).abs() / torch.outer(scale, scale)).max() < 0.15


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
