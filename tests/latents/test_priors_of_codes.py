"""Priors of codes: their densities against closed forms and draws, their codes at hand-computed points, refusals."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.distributions import Independent, Normal

import trine
from trine.errors import ChoiceError
from trine.latents import latent_for
from trine.latents.ball import UniformBall
from trine.latents.discrete import OneHots, QuantisedLatent
from trine.methods._shapes import RowKL

X = load_digits().data


def test_a_ball_has_the_volume_and_variance_of_its_form() -> None:
    torch.manual_seed(0)
    ball = UniformBall(3, torch.tensor(2.0))
    assert float(ball.log_prob(torch.zeros(3))) == pytest.approx(-math.log(4 / 3 * math.pi * 8))
    assert float(ball.log_prob(torch.tensor([2.1, 0.0, 0.0]))) == -math.inf
    drawn = ball.sample((40_000,))
    assert drawn.norm(dim=1).max() <= 2.0
    assert torch.allclose(drawn.var(0), ball.variance, atol=0.02)
    assert torch.allclose(drawn.mean(0), ball.mean, atol=0.02)
    # The share within half the radius is (1/2)³.
    assert float((drawn.norm(dim=1) < 1).float().mean()) == pytest.approx(1 / 8, abs=0.01)


def test_one_hots_are_independent_categories() -> None:
    torch.manual_seed(0)
    logits = torch.tensor([[[0.0, 1.0], [2.0, 0.0]]])
    q = OneHots(logits)
    p = torch.softmax(logits, -1)
    value = torch.tensor([[0.0, 1.0, 1.0, 0.0]])
    assert float(q.log_prob(value)) == pytest.approx(float((p[0, 0, 1] * p[0, 1, 0]).log()))
    drawn = q.sample((20_000,))[:, 0]
    assert (drawn.view(-1, 2, 2).sum(-1) == 1).all()
    assert torch.allclose(drawn.mean(0), q.mean[0], atol=0.02)
    assert q.mode.tolist() == [[0.0, 1.0, 1.0, 0.0]]
    even = OneHots(torch.zeros(2, 2))
    by_hand = (p * (p.log() + math.log(2))).sum()
    assert float(RowKL()(even, q)) == pytest.approx(float(by_hand), rel=1e-5)
    assert torch.allclose(q.relaxed(0.01), q.relaxed(0.01).round(), atol=0.3)


def test_where_no_closed_form_is_known_one_draw_has_no_bias() -> None:
    torch.manual_seed(0)
    latent = latent_for("mixture(1)", 4, 2, True)
    prior = latent.prior()
    code = Independent(Normal(torch.tensor([[0.3, -0.5]]), torch.tensor([[0.7, 1.2]])), 1)
    # Of one part a mixture is a normal, whose divergence is known.
    part = prior.component_distribution.base_dist  # type: ignore[attr-defined]
    exact = torch.distributions.kl_divergence(code.base_dist, Normal(part.loc[0], part.scale[0])).sum()
    drawn = torch.stack([RowKL()(prior, code, code.sample()) for _ in range(4000)]).detach()
    error = drawn.std() / math.sqrt(len(drawn))
    assert abs(float(drawn.mean() - exact)) < 4 * float(error)


def test_codes_are_moved_to_the_nearest_vector_and_vectors_follow_them() -> None:
    torch.manual_seed(0)
    latent = latent_for("vq(2, 1)", 2, 2, False)
    assert isinstance(latent, QuantisedLatent)
    with torch.no_grad():
        latent.linear.weight.copy_(torch.eye(2))
        latent.linear.bias.zero_()
        latent.vectors.copy_(torch.tensor([[[0.0, 0.0], [1.0, 1.0]]]))
        latent.sums.copy_(latent.vectors)
    x = torch.tensor([[0.2, 0.1], [0.9, 1.2], [0.8, 0.7]], requires_grad=True)
    code, z = latent.eval()(x)
    assert torch.allclose(code, x)
    assert z.detach().tolist() == [[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]
    (slope,) = torch.autograd.grad(z.sum(), x)
    assert (slope == 1).all()  # straight through
    latent.train()
    for _ in range(600):
        latent(x)
    assert torch.allclose(latent.vectors[0, 1], torch.tensor([0.85, 0.95]), atol=0.02)
    shares = latent.prior().shares  # type: ignore[attr-defined]
    assert torch.allclose(shares[0], torch.tensor([1 / 3, 2 / 3]), atol=0.02)


@pytest.mark.parametrize(
    ("prior", "shape"),
    [
        ("ball", "mmd"),
        ("mixture(4)", "kl"),
        ("normal", "cramer"),
        ("vamp(10)", "kl"),
        ("categorical(6, 5)", "kl"),
        ("vq(16, 4)", None),
    ],
    ids=["ball", "mixture", "samples", "vamp", "categorical", "vq"],
)
def test_an_autoencoder_learns_under_every_prior(prior: str, shape: str | None, tmp_path: Path) -> None:
    model = trine.Autoencoder(8, shape, prior, epochs=20, hidden=(64,), numbers="plain", random_state=0).fit(X)
    assert model.evaluate(X).metrics["unexplained"].value < 0.75
    drawn = model.sample(400, seed=0)
    assert np.abs(drawn.mean(0) - X.mean(0)).mean() < 0.6  # of grey levels from 0 to 16
    again = trine.load(model.save(tmp_path / "model.trine"))
    assert (again.transform(X[:20]) == model.transform(X[:20])).all()
    assert (again.sample(5) == model.sample(5)).all()
    if shape == "kl":
        found = model.log_likelihood(X[:50], 20)
        assert found.bounds[1] <= found.bounds[20]


def test_samples_of_a_plain_autoencoder_come_from_a_mixture_fitted_to_its_codes(tmp_path: Path) -> None:
    model = trine.Autoencoder(4, epochs=20, hidden=(64,), numbers="plain", random_state=0).fit(X)
    assert set(model.density_) == {"weights", "means", "factors"}
    drawn = model.sample(1000, seed=0)
    plain = trine.Autoencoder(4, "kl", epochs=1, hidden=(64,), numbers="plain", random_state=0).fit(X)
    assert plain.density_ == {}
    codes = model.transform(X)
    assert np.abs(model.transform(drawn).mean(0) - codes.mean(0)).max() < 0.5 * codes.std(0).max()
    assert np.abs(drawn.mean(0) - X.mean(0)).mean() < 0.5
    assert (trine.load(model.save(tmp_path / "m.trine")).sample(5) == model.sample(5)).all()


def test_samples_have_all_kinds_of_rows_where_these_are_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trine.estimators.autoencoding.DENSITY_ROWS", 50)
    x = np.random.default_rng(0).normal(np.repeat([-5.0, 5.0], 150), 1.0)
    table = {"a": x, "b": x + 1.0, "c": x - 1.0}
    model = trine.fit(table, method="autoencoder", code=1, epochs=10, hidden=(16,), seed=0)
    assert 0.3 < np.mean(model.sample(500, seed=0)["a"] > 0) < 0.7


@pytest.mark.parametrize(
    ("prior", "shape", "said"),
    [
        ("ball", "kl", "shape=mmd"),
        ("vamp", "mmd", "shape=kl"),
        ("mixture(4)", "cramer", "learned by its density"),
        ("mixture", "js", "choose shape=kl, or shape=none"),
        ("categorical(3)", "kl", "two whole numbers"),
        ("categorical", None, "shape=kl"),
        ("mixture(2.5)", "kl", "whole number"),
        ("vq(8, 3)", None, "divide evenly"),
        ("vq", "kl", "no distribution"),
        ("vq(8, 4)", "mmd", "leave shape out"),
    ],
)
def test_priors_that_do_not_fit_are_refused(prior: str, shape: str | None, said: str) -> None:
    with pytest.raises(ChoiceError, match=said):
        trine.Autoencoder(8, shape, prior, epochs=1).fit(X[:100])


@pytest.mark.parametrize("sparsity", ["topk(2)", "lifetime(0.1)", "l1(0.1)"])
def test_learned_vectors_are_not_made_sparse(sparsity: str) -> None:
    with pytest.raises(ChoiceError, match=r"code_prior=vq .* leave sparsity out"):
        trine.Autoencoder(8, prior="vq(8, 4)", sparsity=sparsity, epochs=1).fit(X[:100])


def test_what_is_known_of_a_standard_prior_changes_no_divergence() -> None:
    torch.manual_seed(0)
    location, scale = torch.randn(40, 5, dtype=torch.float64), torch.rand(40, 5, dtype=torch.float64) + 0.05
    code = Independent(Normal(location, scale), 1)
    prior = Independent(Normal(torch.zeros(5, dtype=torch.float64), torch.ones(5, dtype=torch.float64)), 1)
    torch.testing.assert_close(RowKL(standard=True)(prior, code), torch.distributions.kl_divergence(code, prior))
