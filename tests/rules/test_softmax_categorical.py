"""The categorical distribution that softmax rules give is torch's."""

import torch
from torch.distributions import Categorical, kl_divergence

from trine.divergences import KL
from trine.rules import SoftmaxCategorical, map_arguments


def test_it_is_torchs_categorical() -> None:
    logits = 30 * torch.randn(4, 5, 3)
    ours, theirs = SoftmaxCategorical(logits), Categorical(logits=logits)
    y = torch.randint(0, 3, (4, 5))
    torch.testing.assert_close(ours.log_prob(y), theirs.log_prob(y))
    torch.testing.assert_close(ours.probs, theirs.probs)
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    other = Categorical(logits=torch.randn(4, 5, 3))
    torch.testing.assert_close(kl_divergence(other, ours), kl_divergence(other, theirs))


def test_it_expands_and_is_put_together_again_as_itself() -> None:
    q = SoftmaxCategorical(torch.randn(5, 3))
    wide = q.expand((2, 5))
    assert type(wide) is SoftmaxCategorical
    assert wide.sample().shape == (2, 5)
    torch.testing.assert_close(wide.logits[1], q.logits)
    part = map_arguments(q, lambda value: value[:2])
    assert isinstance(part, SoftmaxCategorical)
    torch.testing.assert_close(part.logits, q.logits[:2])


def test_its_score_and_gradient_are_those_of_cross_entropy_over_members_too() -> None:
    logits = torch.randn(4, 5, 3, dtype=torch.float64, requires_grad=True)
    y = torch.randint(0, 3, (5,))
    score = KL()(SoftmaxCategorical(logits), y)
    expected = -torch.log_softmax(logits, -1)[:, torch.arange(5), y].mean(0)
    torch.testing.assert_close(score, expected)
    ours, theirs = (torch.autograd.grad(value.sum(), logits)[0] for value in (score, expected))
    torch.testing.assert_close(ours, theirs)
