"""Laplace's approximation against posteriors and curvatures that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_iris
from torch import Tensor, nn
from torch.func import functional_call, hessian

from trine import Classifier, Regressor
from trine.blocks import Encoder
from trine.choices import Choices
from trine.data import Batches, Schema, encode, read
from trine.domains import Category, Count, Positive, Real
from trine.errors import ChoiceError
from trine.models import Draws, LinearisedDraws, Supervised
from trine.procedures._curvature import information, kronecker, last_layer, linear_of
from trine.procedures.laplace import draw_factored, draw_full, factored, matrix_of
from trine.rules import rules, spread

ROWS = 120


def parts(X: np.ndarray, y: np.ndarray, kind: str, rule: str, hidden: tuple[int, ...]) -> tuple[Supervised, Batches]:
    table = read((X[:ROWS], y[:ROWS]))
    schema = Schema.infer(table, ["y"], domains={"y": kind}).fit(table)
    torch.manual_seed(0)
    encoder = Encoder(schema.x, Choices(hidden=hidden, numbers="plain"))
    network = Supervised(encoder, {"y": rules[rule](encoder.features, schema.y["y"])})
    return network.eval(), Batches(encode(table, schema), torch.arange(ROWS), 50, 0)


def total_loss(network: Supervised, batches: Batches, names: list[str]) -> tuple[callable, Tensor]:
    """−log q summed over all rows, as a function of some parameters, flat; and those."""
    batch = batches.store.batch(torch.arange(ROWS))
    own = dict(network.named_parameters())
    sizes = [own[name].numel() for name in names]

    def loss(flat: Tensor) -> Tensor:
        theta = {name: part.view(own[name].shape) for name, part in zip(names, flat.split(sizes), strict=True)}
        return -functional_call(network, theta, (batch,))["y_hat"].log_prob(batch["y"]).sum()

    return loss, torch.cat([own[name].detach().flatten() for name in names])


def rows_of_weights(k: int, d: int) -> list[int]:
    """Places of (weight, bias) flat among those of the matrix (k, d + 1), row by row."""
    return [i * d + j if j < d else k * d + i for i in range(k) for j in range(d + 1)]


def test_linear_regression_is_exact() -> None:
    network, batches = parts(*load_diabetes(return_X_y=True), "real", "normal-fixed", ())
    blocks, seen = last_layer(network, batches.epoch(0))
    batch = batches.store.batch(torch.arange(ROWS))
    q = network(batch)["y_hat"]
    z = torch.cat([network(batch)["z"], torch.ones(ROWS, 1)], 1).double().detach()
    expected = z.T @ z / float(q.scale.flatten()[0].detach()) ** 2
    assert seen == ROWS
    torch.testing.assert_close(blocks["y"], expected, rtol=1e-5, atol=1e-5)

    # The posterior of Bayesian linear regression under a normal prior: N(mean, (ZᵀZ/σ² + δ)⁻¹).
    torch.manual_seed(0)
    layer = linear_of(network.rules[0])
    drawn = draw_full(blocks["y"], matrix_of(layer), 100_000, 3.0).flatten(1)
    covariance = torch.linalg.inv(expected + 3.0 * torch.eye(len(expected)))
    scale = covariance.diagonal().sqrt()
    found = (drawn - matrix_of(layer).flatten()).T @ (drawn - matrix_of(layer).flatten()) / len(drawn)
    assert ((found - covariance).abs() / torch.outer(scale, scale)).max() < 0.02
    assert ((drawn.mean(0) - matrix_of(layer).flatten()).abs() / scale).max() < 0.02


def test_the_factored_form_is_exact_for_a_linear_model() -> None:
    network, batches = parts(*load_diabetes(return_X_y=True), "real", "normal-fixed", ())
    blocks, _ = last_layer(network, batches.epoch(0))
    (name, layer) = next((n, m) for n, m in network.named_modules() if m is linear_of(network.rules[0]))
    factors, _ = kronecker(network, {name: layer}, batches.epoch(0))
    torch.testing.assert_close(
        torch.kron(factors[name].slopes, factors[name].inputs), blocks["y"], rtol=1e-4, atol=1e-4
    )
    torch.manual_seed(0)
    drawn = draw_factored(factors[name], matrix_of(layer), 50_000, 2.0).flatten(1) - matrix_of(layer).flatten()
    covariance = torch.linalg.inv(blocks["y"] + 2.0 * torch.eye(len(blocks["y"])))
    scale = covariance.diagonal().sqrt()
    assert ((drawn.T @ drawn / len(drawn) - covariance).abs() / torch.outer(scale, scale)).max() < 0.03


def test_of_logits_it_is_the_hessian_itself() -> None:
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    network, batches = parts(X[order], y[order], "category", "softmax", (7,))
    blocks, _ = last_layer(network, batches.epoch(0))
    loss, flat = total_loss(network, batches, ["rules.0.head.linear.weight", "rules.0.head.linear.bias"])
    at = rows_of_weights(3, linear_of(network.rules[0]).in_features)
    torch.testing.assert_close(blocks["y"], hessian(loss)(flat)[at][:, at].double(), rtol=1e-3, atol=1e-3)


def test_factors_of_one_row_are_exact_in_every_layer() -> None:
    network, batches = parts(*load_diabetes(return_X_y=True), "real", "normal-fixed", (6,))
    batch = batches.store.batch(torch.tensor([3]))
    layers = {name: module for name, module in network.named_modules() if factored(module)}
    assert len(layers) >= 2
    found, _ = kronecker(network, layers, iter([batch]))
    q = network(batch)["y_hat"]
    for name, layer in layers.items():
        slopes = torch.autograd.grad(q.loc.sum(), list(layer.parameters()), retain_graph=True)
        slope = torch.cat([slopes[0], slopes[1].unsqueeze(1)], 1) if len(slopes) > 1 else slopes[0]
        exact = torch.outer(slope.flatten(), slope.flatten()) / float(q.scale.flatten()[0].detach()) ** 2
        torch.testing.assert_close(
            torch.kron(found[name].slopes, found[name].inputs), exact.double(), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(
    ("rule", "domain"),
    [
        ("normal", Real(mean=0.2, std=1.3)),
        ("laplace", Real(mean=0.2, std=1.3)),
        ("student", Real(mean=0.2, std=1.3)),
        ("gamma", Positive(mean=1.2, std=0.5)),
        ("poisson", Count(mean=3.0, std=2.0)),
        ("softmax", Category(labels=("a", "b", "c"), shares=(0.2, 0.5, 0.3))),
    ],
)
def test_information_is_the_expected_outer_product_of_scores(rule: str, domain) -> None:
    torch.manual_seed(0)
    decide = rules[rule](4, domain)
    raw = 0.3 * torch.randn(2, linear_of(decide).out_features)
    found = information(decide, raw)
    assert (torch.linalg.eigvalsh(found) >= -1e-5).all()
    raw = raw.repeat(40_000, 1).requires_grad_(True)
    handle = linear_of(decide).register_forward_hook(lambda *_: raw)
    q = decide(torch.zeros(len(raw), 4))
    handle.remove()
    (score,) = torch.autograd.grad(q.log_prob(q.sample()).sum(), raw)
    sampled = torch.stack([(score[i::2].unsqueeze(2) * score[i::2].unsqueeze(1)).mean(0) for i in range(2)])
    # The mean over 16 quantiles leaves out the tails, which matter to scales: within a sixth; to locations far less.
    size = sampled.diagonal(dim1=1, dim2=2).sqrt()
    off = (found - sampled).abs() / (size.unsqueeze(2) * size.unsqueeze(1))
    assert off.max() < 0.2


def test_linearised_draws_of_a_linear_map_are_draws() -> None:
    network, batches = parts(*load_diabetes(return_X_y=True), "real", "normal", ())
    names = ("rules.0.head.linear.weight", "rules.0.head.linear.bias")
    plain, linearised = Draws(network, 5, names), LinearisedDraws(network, 5, names)
    theta = plain.flat() + 0.1 * torch.randn(5, plain.theta.shape[1])
    plain.fill(theta)
    linearised.fill(theta)
    batch = batches.store.batch(torch.arange(ROWS))
    one, other = plain.eval()(batch)["y_hat"], linearised.eval()(batch)["y_hat"]
    torch.testing.assert_close(one.mean, other.mean)
    torch.testing.assert_close(one.variance, other.variance)


@pytest.mark.parametrize("curvature", ["last", "kron"])
def test_a_prior_holds_the_draws_and_rows_narrow_them(curvature: str) -> None:
    X, y = load_diabetes(return_X_y=True)
    small = {"hidden": (16,), "numbers": "plain", "epochs": 10, "random_state": 0, "threads": 1, "draws": 16}
    open_: list[float] = []
    for rows, prior in ((60, "normal(1)"), (400, "normal(1)"), (60, "normal(0.001)")):
        model = Regressor(posterior="laplace", curvature=curvature, prior=prior, **small).fit(X[:rows], y[:rows])
        aleatoric, epistemic = spread(model.predict_distribution(X[400:]))
        open_.append(float((epistemic / (aleatoric + epistemic)).mean()))
    assert open_[0] > 1.2 * open_[1]
    assert open_[0] > 10 * open_[2]


def test_what_laplace_cannot_do_is_refused() -> None:
    X, y = load_diabetes(return_X_y=True)
    for choices, said in (
        ({"divergence": "cramer"}, "choose divergence=kl"),
        ({"prior": "laplace(1)"}, "normal prior"),
        ({"members": 4}, "members=1"),
    ):
        with pytest.raises(ChoiceError, match=said):
            Regressor(posterior="laplace", epochs=1, **choices).fit(X[:50], y[:50])


def test_overconfident_classes_are_told_to_be_less_sure() -> None:
    from sklearn.datasets import load_wine

    X, y = load_wine(return_X_y=True)
    model = Classifier(posterior="laplace", curvature="kron", random_state=0, threads=1, epochs=60).fit(X[::2], y[::2])
    truth = torch.as_tensor(y[1::2])
    mixed = -model.predict_distribution(X[1::2]).log_prob(truth).mean()
    posterior = model.derivation_.model
    assert isinstance(posterior, LinearisedDraws)
    posterior.drawn.fill_(False)
    assert mixed < -model.predict_distribution(X[1::2]).log_prob(truth).mean()
    assert math.isfinite(float(mixed))
    assert isinstance(posterior.base, nn.Module)
