"""Sequences a token at a time: probabilities sum to 1, searches find what enumeration finds."""

import itertools
import math

import pytest
import torch

from trine.blocks.decoder import AttentionDecoder
from trine.rules import map_arguments
from trine.rules.autoregressive import BEGIN, END, Autoregressive

LETTERS = (0, 3, 4, 5)  # unknown and three letters
LONGEST = 3


def _q(rows=2, memory=True, longest=LONGEST, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = AttentionDecoder(6, 4, (5, 3) if memory else (), units=8)
    with torch.no_grad():
        for parameter in decoder.parameters():  # far from uniform, so that an error shows
            parameter.mul_(2.5)
    z = torch.randn(rows, 4, generator=generator)
    states = [
        (torch.randn(rows, 4, 5, generator=generator), torch.tensor([4, 2, 0, 1])[:rows]),
        (torch.randn(rows, 2, 3, generator=generator), torch.tensor([1, 2, 2, 0])[:rows]),
    ]
    offset = torch.zeros(6)
    offset[BEGIN] = -math.inf
    return Autoregressive(decoder.eval(), z, states if memory else [], longest, offset)


def _every(longest=LONGEST):
    """All sequences of at most ``longest`` tokens, padded."""
    found = [s for n in range(longest + 1) for s in itertools.product(LETTERS, repeat=n)]
    return torch.tensor([[*s, *(-1,) * (longest - len(s))] for s in found])


def _table(q, longest=LONGEST):
    """(sequences, rows) log-probabilities."""
    every = _every(longest)
    with torch.no_grad():
        return every, torch.stack([q.log_prob(s.expand(len(q.z), -1)) for s in every])


@pytest.mark.parametrize("memory", [True, False], ids=["attending", "alone"])
def test_probabilities_of_all_sequences_and_the_rest_sum_to_one(memory):
    q = _q(rows=3, memory=memory)
    every, log_prob = _table(q)
    ended = log_prob.exp().sum(0)
    # What has not ended after three tokens: the probability of all prefixes of three, without their ends.
    full = every[(every >= 0).all(1)]
    with torch.no_grad():
        open_ = torch.stack([q.token_log_prob(s.expand(3, -1))[:, :LONGEST].sum(1).exp() for s in full]).sum(0)
        its_end = torch.stack([q.log_prob(s.expand(3, -1)).exp() for s in full]).sum(0)
    torch.testing.assert_close(ended + open_ - its_end, torch.ones(3), atol=1e-5, rtol=0)


def test_log_prob_is_the_product_of_steps_taken_one_at_a_time():
    q = _q(rows=4)
    y = torch.tensor([[3, 4, 5], [5, -1, -1], [-1, -1, -1], [4, 4, -1]])
    expected = torch.zeros(4)
    with torch.no_grad():
        for row in range(4):
            one = map_arguments(q, lambda value, row=row: value[row : row + 1])
            state, read = one.decoder.begin(one.z), one.decoder.read(one.memory)
            last = BEGIN
            for token in [*y[row][y[row] >= 0].tolist(), END]:
                logits, state = one.decoder(torch.tensor([[last]]), state, read)
                expected[row] += (logits[0, 0] + q.offset).log_softmax(-1)[token]
                last = token
        torch.testing.assert_close(q.log_prob(y), expected, atol=1e-5, rtol=1e-5)


def test_padding_of_sequence_and_memory_changes_nothing():
    q = _q(rows=4)
    y = torch.tensor([[3, 4], [5, -1], [-1, -1], [4, 4]])
    longer = torch.cat([y, torch.full((4, 3), -1)], 1)
    wider = [(torch.cat([s, 9.0 * torch.ones(4, 3, s.shape[2])], 1), lengths) for s, lengths in q.memory]
    padded = Autoregressive(q.decoder, q.z, wider, q.longest, q.offset)
    with torch.no_grad():
        torch.testing.assert_close(padded.log_prob(longer), q.log_prob(y), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(padded.greedy(), q.greedy())


def test_a_row_without_memory_has_a_finite_gradient():
    q = _q(rows=4)
    q.decoder.train()
    loss = -q.log_prob(torch.tensor([[3, 4], [5, -1], [-1, -1], [4, 4]])).mean()
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in q.decoder.parameters())


@pytest.mark.parametrize("penalty", [0.0, 0.6, 2.0])
def test_a_wide_beam_finds_the_best_of_all_sequences(penalty):
    q = _q(rows=4)
    every, log_prob = _table(q)
    written = (every != 0).all(1)  # an unknown token is never written
    every, log_prob = every[written], log_prob[written]
    length = (every >= 0).sum(1) + 1.0
    best = (log_prob / ((5 + length) / 6)[:, None] ** penalty).argmax(0)
    found, value = q.beam(100, penalty)
    padded = torch.nn.functional.pad(found, (0, LONGEST - found.shape[1]), value=-1)
    torch.testing.assert_close(padded, every[best])
    torch.testing.assert_close(value, log_prob[best, torch.arange(4)], atol=1e-5, rtol=1e-5)


def test_one_beam_is_greedy_and_more_are_no_worse():
    q = _q(rows=4, longest=12)
    greedy, value = q.greedy()
    one, its = q.beam(1)
    torch.testing.assert_close(one, greedy)
    torch.testing.assert_close(its, value, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(q.log_prob(greedy), value, atol=1e-5, rtol=1e-5)
    assert bool((q.beam(50, 0.0)[1] >= value - 1e-5).all())


def test_samples_come_as_often_as_they_are_likely():
    q = _q(rows=2)
    every, log_prob = _table(q)
    torch.manual_seed(0)
    n = 20_000
    drawn = q.sample((n,))
    assert drawn.shape[:2] == (n, 2)
    drawn = torch.nn.functional.pad(drawn, (0, LONGEST - drawn.shape[2]), value=-1)
    short = (every >= 0).sum(1) < LONGEST  # longer ones are cut, and stand for all that begin so
    for row in range(2):
        share = torch.stack([(drawn[:, row] == s).all(1).float().mean() for s in every])
        p = log_prob[:, row].exp()
        error = ((share - p) / (p * (1 - p) / n).sqrt().clamp_min(1e-6))[short & (p > 1e-3)]
        assert error.abs().max() < 4.5


def test_kl_is_the_log_likelihood_of_the_whole_sequence_and_cramer_refuses():
    from trine.divergences import KL
    from trine.divergences.cramer import Cramer
    from trine.errors import ChoiceError

    q = _q(rows=2)
    y = torch.tensor([[3, 4, 5, 3, 3], [5, -1, -1, -1, -1]])
    torch.testing.assert_close(KL()(q, y), -q.log_prob(y))
    with pytest.raises(ChoiceError, match="divergence=kl"):
        Cramer()(q, y)
    with pytest.raises(ChoiceError, match="one target for each example"):
        KL()(q, y[:1])
