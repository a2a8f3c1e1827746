"""Cramér's distance at sets of labels: exact, against enumeration, and against the score-function gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent

import trine
from trine.divergences import Cramer
from trine.gradients import estimator, support


def sets(logits: Tensor) -> Distribution:
    return Independent(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False)


def enumerated(q: Distribution, y: Tensor) -> Tensor:
    """E‖X − y‖ − ½ E‖X − X'‖ as a double sum over all sets."""
    x = support(q)  # (points, batch, labels)
    p = q.log_prob(x).exp()
    near = torch.linalg.vector_norm(x - y, dim=-1)
    apart = torch.linalg.vector_norm(x[:, None] - x[None], dim=-1)
    return (p * near).sum(0) - 0.5 * (p[:, None] * p[None] * apart).sum((0, 1))


@pytest.mark.parametrize("labels", [1, 2, 5])
def test_it_and_its_gradient_are_those_of_the_double_sum(labels: int) -> None:
    logits = (2 * torch.randn(6, labels, dtype=torch.float64)).requires_grad_()
    y = (torch.rand(6, labels) < 0.5).double()
    found, truth = Cramer()(sets(logits), y), enumerated(sets(logits), y)
    torch.testing.assert_close(found, truth, rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(*(torch.autograd.grad(v.sum(), logits)[0] for v in (found, truth)), rtol=1e-6, atol=1e-8)


def test_of_one_label_it_is_half_of_brier_s_score() -> None:
    """E|X − y| − ½ E|X − X'| = (p − y)²."""
    p = torch.tensor([[0.1], [0.7], [0.5]], dtype=torch.float64)
    y = torch.tensor([[0.0], [1.0], [1.0]], dtype=torch.float64)
    assert Cramer()(sets(torch.logit(p)), y).numpy() == pytest.approx((p - y).square().squeeze(1).numpy(), abs=1e-8)


def test_many_labels_agree_with_the_score_function() -> None:
    """200 labels, beyond enumeration: the leave-one-out score function estimates the same value and gradient."""
    logits = torch.randn(1, 200, dtype=torch.float64).requires_grad_()
    y = (torch.rand(1, 200) < 0.3).double()
    exact = Cramer()(sets(logits), y)
    (truth,) = torch.autograd.grad(exact.sum(), logits)
    q = sets(logits)
    with torch.no_grad():
        other = q.sample((4000,))
    value = estimator("score(leave-one-out)")(q, lambda x: torch.linalg.vector_norm(x - y, dim=-1), 4000)
    # E‖X − X'‖ with X' held: half of its gradient, as both move.
    spread = estimator("score(leave-one-out)")(q, lambda x: torch.linalg.vector_norm(x - other, dim=-1), 4000)
    assert (value - 0.5 * spread).item() == pytest.approx(exact.item(), abs=0.02)
    (found,) = torch.autograd.grad((value - spread).sum(), logits)
    assert torch.nn.functional.cosine_similarity(found, truth).item() > 0.9


def test_it_is_proper() -> None:
    """Its mean over data drawn from p is least at p."""
    p = torch.tensor([[0.2, -1.0, 1.5]], dtype=torch.float64)
    points = support(sets(p))
    weights = sets(p).log_prob(points).exp().squeeze(1)
    logits = p.clone().requires_grad_()
    risk = (weights * Cramer()(sets(logits.expand(len(points), -1)), points.squeeze(1))).sum()
    (slope,) = torch.autograd.grad(risk, logits)
    assert slope.abs().max() < 1e-8
    for moved in (p + 0.3, p - 0.3, p * 0.5):
        assert (weights * Cramer()(sets(moved.expand(len(points), -1)), points.squeeze(1))).sum() > risk


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sure_predictions_are_finite_and_members_are_averaged(dtype: torch.dtype) -> None:
    logits = torch.tensor([[300.0, -300.0, 0.0], [-300.0, 300.0, 40.0]], dtype=dtype, requires_grad=True)
    y = torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]], dtype=dtype)
    found = Cramer()(sets(logits), y)
    assert found.dtype == dtype
    (slope,) = torch.autograd.grad(found.sum(), logits)
    assert bool(slope.isfinite().all())
    assert found[1].item() == pytest.approx(3**0.5, abs=1e-5)
    both = Cramer()(sets(torch.stack([logits, logits.flip(0)])), y)
    expected = (Cramer()(sets(logits), y) + Cramer()(sets(logits.flip(0)), y)) / 2
    torch.testing.assert_close(both, expected)


def test_it_trains_a_classifier_of_sets() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    y = (x + 0.3 * rng.normal(size=x.shape) > 0).astype(int)
    model = trine.MultiLabelClassifier(
        divergence="cramer", epochs=20, members=2, hidden=(16,), batch_size=64, step_size=5e-3, random_state=0
    )
    assert (model.fit(x, y).predict(x) == y).mean() > 0.85
