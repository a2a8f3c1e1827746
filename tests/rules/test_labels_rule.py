"""Sets of labels: a Bernoulli each."""

import itertools

import torch
from torch import nn
from torch.distributions import Bernoulli, Independent

from trine.divergences import KL
from trine.domains import Labels
from trine.rules import mixture, rule_for, rules

DOMAIN = Labels(labels=("a", "b", "c"), separator=";", shares=(0.5, 0.1, 0.0), rows=1000)


def test_starts_at_the_marginal_and_sums_to_one():
    torch.manual_seed(0)
    rule = rule_for(DOMAIN)(6, DOMAIN)
    q = rule(torch.zeros(2, 6))
    torch.testing.assert_close(q.mean[0], torch.tensor([0.5, 0.1, 0.0005]), atol=1e-5, rtol=1e-4)
    every = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)))[:, None].expand(-1, 2, -1)
    torch.testing.assert_close(q.log_prob(every).exp().sum(0), torch.ones(2))


def test_kl_is_the_sum_of_cross_entropies():
    torch.manual_seed(0)
    rule = rules["bernoulli-set"](6, DOMAIN)
    z, y = torch.randn(4, 5, 6), torch.randint(0, 2, (5, 3)).float()
    expected = nn.functional.binary_cross_entropy_with_logits(rule.head(z), y.expand(4, -1, -1), reduction="none")
    torch.testing.assert_close(KL()(rule(z), y), expected.sum(-1).mean(0))


def test_members_are_averaged_label_by_label():
    q = Independent(Bernoulli(probs=torch.tensor([[[0.2, 0.9]], [[0.4, 0.5]]])), 1)
    both = mixture(q)
    assert isinstance(both.base_dist, Bernoulli)
    torch.testing.assert_close(both.mean, torch.tensor([[0.3, 0.7]]))
