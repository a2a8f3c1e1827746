"""The history pool, and contrast between places."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from trine.criterion import Criterion, Term
from trine.divergences import JensenShannon
from trine.divergences.patch_nce import PatchNCE
from trine.divergences.pooled import Pooled
from trine.errors import ChoiceError
from trine.procedures import Descent


class Recorder(nn.Module):
    """A critic that remembers what it was shown."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.seen = []

    def forward(self, value):
        self.seen.append(value.detach().clone())
        return value.flatten(1).sum(1) * self.weight


def pooled(size=50, shape=(1,)):
    return Pooled(JensenShannon(Recorder()), shape, size)


def numbered(first, count):
    return torch.arange(first, first + count, dtype=torch.float32)[:, None]


def test_until_it_is_full_the_pool_takes_in_and_the_critic_sees_what_comes():
    pool = pooled(10)
    torch.manual_seed(0)
    assert torch.equal(pool.mixed(numbered(0, 4)), numbered(0, 4))
    assert torch.equal(pool.mixed(numbered(4, 4)), numbered(4, 4))
    assert int(pool.count) == 8
    out = pool.mixed(numbered(8, 4))
    assert torch.equal(out[:2], numbered(8, 2))
    assert int(pool.count) == 10


def test_every_sample_is_seen_or_kept_and_none_twice():
    pool = pooled(20)
    torch.manual_seed(0)
    seen = torch.cat([pool.mixed(numbered(8 * i, 8)) for i in range(60)]).flatten()
    # While the pool fills, what is shown is kept too; a sample of the pool is shown a second time when it leaves.
    later = seen[20:].tolist()
    kept = pool.held.flatten().tolist()
    assert sorted(set(later) | set(kept) | set(range(20))) == list(range(480))
    assert len(set(later)) == len(later)
    assert not set(later) & set(kept)


def test_half_of_what_the_critic_sees_is_past_and_stays_about_twice_the_size():
    pool = pooled(50)
    torch.manual_seed(0)
    ages = []
    for i in range(2_000):
        out = pool.mixed(torch.full((10, 1), float(i)))
        ages += (i - out.flatten()).tolist()
    ages = torch.tensor(ages[2_000:])
    assert (ages > 0).float().mean() == pytest.approx(0.5, abs=0.02)
    # A place is taken by one sample in ten of 50 · ½ a step: five of fifty, so ten steps in the mean.
    assert ages[ages > 0].mean() == pytest.approx(10.0, rel=0.05)


def test_of_a_batch_larger_than_the_pool_each_place_is_met_once():
    pool = pooled(5)
    torch.manual_seed(0)
    pool.mixed(numbered(0, 5))
    out = pool.mixed(numbered(100, 32))
    assert torch.equal(out[5:], numbered(105, 27))
    assert {*out.flatten().tolist(), *pool.held.flatten().tolist()} == {*range(5), *range(100, 132)}


def test_the_model_descends_its_present_samples_alone_and_the_pool_is_left_as_it_is():
    pool = pooled(4)
    torch.manual_seed(0)
    for i in range(5):
        pool.tighten(numbered(10 * i, 4), torch.zeros(4, 1))
    before = {name: value.clone() for name, value in pool.state_dict().items()}
    present = numbered(90, 4).requires_grad_()
    value = pool(present, torch.zeros(4, 1))
    assert torch.equal(pool.divergence.critic.seen[-1], present)
    (slope,) = torch.autograd.grad(value.sum(), present)
    assert slope.abs().sum() > 0
    assert all(torch.equal(value, before[name]) for name, value in pool.state_dict().items())


def test_a_criterion_that_is_put_back_with_its_pool_goes_on_in_the_same_bits():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(3))

        def forward(self, batch):
            return {"fake": torch.randn(8, 3) + self.shift}

    def parts():
        torch.manual_seed(0)
        critic = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
        model, criterion = Model(), Criterion(Term(Pooled(JensenShannon(critic, r1=0.1), (3,), 20), "fake", "x"))
        procedure = Descent(step_size=1e-2)
        return model, criterion, procedure, procedure.init(model, criterion)

    def go(model, criterion, procedure, state, steps):
        for _ in range(steps):
            procedure.step(state, model, criterion, {"x": torch.randn(8, 3) + 1})

    torch.manual_seed(1)
    whole = parts()
    torch.manual_seed(1)
    go(*whole, 9)
    first = parts()
    torch.manual_seed(1)
    go(*first, 5)
    kept = [part.state_dict() for part in (first[0], first[1], first[3])]
    noise = torch.get_rng_state()
    second = parts()
    for part, values in zip((second[0], second[1], second[3]), kept, strict=True):
        part.load_state_dict(values)
    torch.set_rng_state(noise)
    go(*second, 4)
    for part in (0, 1):
        ends = whole[part].state_dict(), second[part].state_dict()
        assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert int(whole[1].state_dict()["terms.0.divergence.count"]) == 20


def test_a_pool_of_nothing_and_a_condition_are_refused():
    with pytest.raises(ChoiceError, match="at least 1"):
        pooled(0)
    with pytest.raises(ChoiceError, match="without their condition"):
        pooled().tighten(numbered(0, 2), numbered(0, 2), numbered(0, 2))


# Contrast -----------------------------------------------------------------------------------------------------------


def test_contrast_is_log_n_at_chance_and_nothing_where_places_tell():
    places = 16
    same = torch.ones(3, 2, places, 8)
    assert PatchNCE()(same, same).tolist() == pytest.approx([math.log(places)] * 3)
    told = torch.eye(places).expand(3, 2, places, places)
    expected = math.log(1 + (places - 1) * math.exp(-1 / 0.07))
    assert PatchNCE()(told, told).tolist() == pytest.approx([expected] * 3, abs=1e-6)
    assert PatchNCE()(told, told.flip(2)).min() > 10


def test_contrast_by_hand_whatever_the_lengths_of_the_features():
    torch.manual_seed(0)
    made, source = torch.randn(2, 5, 4), torch.randn(2, 5, 4)
    expected = []
    for v, u in zip(made, source, strict=True):
        cosine = torch.cosine_similarity(v[:, None], u[None], dim=-1) / 0.5
        expected.append(-(cosine.diag() - cosine.logsumexp(1)).mean().item())
    assert PatchNCE(0.5)(made * 7, source).tolist() == pytest.approx(expected, rel=1e-5)


def test_contrast_has_no_gradient_through_what_was_there_before():
    made, source = (torch.randn(2, 5, 4, requires_grad=True) for _ in range(2))
    PatchNCE()(made, source).sum().backward()
    assert made.grad.abs().sum() > 0
    assert source.grad is None


def test_layers_of_other_numbers_of_places_have_each_their_own_contrast():
    torch.manual_seed(0)
    many, few = (torch.randn(2, 2, places, 4) for places in (6, 3))  # made and source
    filled = torch.cat([few, torch.full((2, 2, 3, 4), float("nan"))], 2)
    made, source = torch.stack([many, filled], 2)
    made.requires_grad_()
    together = PatchNCE()(made, source)
    alone = (PatchNCE()(many[0], many[1]) + PatchNCE()(few[0], few[1])) / 2
    torch.testing.assert_close(together, alone)
    together.sum().backward()
    assert made.grad.isfinite().all()
    assert (made.grad[:, 1, :3].abs().sum(-1) > 0).all()
    assert not made.grad[:, 1, 3:].any()


def test_contrast_of_one_place_or_of_other_shapes_is_refused():
    for made, source in ((torch.ones(2, 1, 4), torch.ones(2, 1, 4)), (torch.ones(2, 5, 4), torch.ones(2, 6, 4))):
        with pytest.raises(ChoiceError, match="places"):
            PatchNCE()(made, source)
    with pytest.raises(ChoiceError, match="positive"):
        PatchNCE(0.0)
