"""The mixture over draws of θ and the division of its spread."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Independent, Normal

from trine.rules import ParameterMixture, map_arguments, mixture, over_parameters, parameters, spread
from trine.rules.cumulative import OrderedCategorical


def test_numbers_by_the_law_of_total_variance() -> None:
    torch.manual_seed(0)
    each = Normal(torch.randn(5, 3).double(), torch.rand(5, 3).double() + 0.1)
    q = over_parameters(each)
    assert isinstance(q, ParameterMixture)
    aleatoric, epistemic = spread(q)
    torch.testing.assert_close(aleatoric, each.variance.mean(0))
    torch.testing.assert_close(epistemic, each.mean.var(0, correction=0))
    drawn = q.sample((400_000,))
    torch.testing.assert_close(drawn.var(0), aleatoric + epistemic, rtol=0.02, atol=0.0)
    assert parameters(q) == {}


@pytest.mark.parametrize("family", [Categorical, OrderedCategorical])
def test_classes_by_entropy_and_information(family: type[Categorical]) -> None:
    torch.manual_seed(0)
    each = family(logits=2 * torch.randn(6, 4, 3).double())
    q = over_parameters(each)
    assert isinstance(q, family)
    torch.testing.assert_close(q.probs, each.probs.mean(0))
    aleatoric, epistemic = spread(q)
    torch.testing.assert_close(aleatoric, each.entropy().mean(0))
    torch.testing.assert_close(aleatoric + epistemic, q.entropy())
    assert (epistemic > 0).all()
    half = map_arguments(q, lambda value: value[:2])
    torch.testing.assert_close(spread(half)[1], epistemic[:2])


def test_two_classes_and_certainty() -> None:
    each = Bernoulli(logits=torch.tensor([[60.0, -2.0], [-60.0, -2.0]], dtype=torch.float64))
    q = over_parameters(each)
    aleatoric, epistemic = spread(q)
    # θ's that contradict each other, each of them certain; and θ's that agree.
    torch.testing.assert_close(aleatoric[0], torch.tensor(0.0, dtype=torch.float64))
    torch.testing.assert_close(epistemic[0], torch.tensor(2.0, dtype=torch.float64).log())
    torch.testing.assert_close(epistemic[1], torch.tensor(0.0, dtype=torch.float64), atol=1e-12, rtol=0.0)


def test_without_a_posterior_nothing_is_epistemic() -> None:
    q = Normal(torch.zeros(3), torch.ones(3))
    assert spread(q)[1].abs().max() == 0
    assert spread(Categorical(logits=torch.randn(3, 4)))[1].abs().max() < 1e-6


def test_vectors_and_mixtures_of_mixtures() -> None:
    torch.manual_seed(0)
    vector = Independent(Normal(torch.randn(4, 3, 2), torch.rand(4, 3, 2) + 0.1), 1)
    q = over_parameters(vector)
    aleatoric, epistemic = spread(q)
    assert aleatoric.shape == (3, 2)
    torch.testing.assert_close(aleatoric + epistemic, q.variance)
    members = Normal(torch.randn(8, 4, 3), torch.rand(8, 4, 3) + 0.1)
    nested = over_parameters(mixture(members))
    assert nested.batch_shape == (3,)
    flat = members.mean.flatten(0, 1)
    y = torch.tensor([0.1, -0.4, 2.0])
    expected = members.log_prob(y).flatten(0, 1).logsumexp(0) - torch.log(torch.tensor(32.0))
    torch.testing.assert_close(nested.log_prob(y), expected)
    torch.testing.assert_close(nested.mean, flat.mean(0))
    torch.testing.assert_close(spread(nested)[1], members.mean.mean(0).var(0, correction=0))
