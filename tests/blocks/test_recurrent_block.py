"""Recurrent layers and pooling: padding changes nothing, both ways read everything, weights start as they say."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trine.blocks.pooling import poolings
from trine.blocks.recurrent import Recurrent, kinds
from trine.errors import ChoiceError

LENGTHS = torch.tensor([5, 1, 9, 0, 3])


def padded(lengths: torch.Tensor, channels: int, longest: int | None = None) -> torch.Tensor:
    steps = longest or int(lengths.max())
    x = torch.randn(len(lengths), steps, channels, generator=torch.Generator().manual_seed(1))
    return x.masked_fill((torch.arange(steps) >= lengths[:, None])[:, :, None], 0.0)


@pytest.mark.parametrize("pooling", list(poolings))
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", list(kinds))
def test_a_row_in_a_padded_batch_is_what_it_is_alone(kind: str, both: bool, pooling: str) -> None:
    block = Recurrent(3, 4, layers=2, kind=kind, bidirectional=both, pooling=pooling).eval()
    x = padded(LENGTHS, 3)
    together = block(x, LENGTHS)
    wider = block(torch.nn.functional.pad(x, (0, 0, 0, 7)), LENGTHS)
    garbage = torch.where((torch.arange(x.shape[1]) >= LENGTHS[:, None])[:, :, None], 1e3, x)
    assert torch.isfinite(together).all()
    torch.testing.assert_close(wider, together, atol=1e-6, rtol=0)
    torch.testing.assert_close(block(garbage, LENGTHS), together, atol=1e-6, rtol=0)
    for row in (0, 1, 2, 4):
        n = int(LENGTHS[row])
        alone = block(x[row : row + 1, :n], LENGTHS[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], atol=1e-6, rtol=0)


def test_the_states_are_those_of_torchs_packed_sequences() -> None:
    block = Recurrent(3, 4, kind="lstm", bidirectional=True)
    peer = torch.nn.LSTM(3, 4, batch_first=True, bidirectional=True)
    layer = block.layers[0]
    with torch.no_grad():
        for name, value in layer.onward.named_parameters():
            getattr(peer, name).copy_(value)
        for name, value in layer.back.named_parameters():
            getattr(peer, f"{name}_reverse").copy_(value)
    lengths = torch.tensor([5, 1, 9, 3])
    x = padded(lengths, 3)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(peer(packed)[0], batch_first=True)
    torch.testing.assert_close(block.states(x, lengths)[0], expected)


@pytest.mark.parametrize("kind", list(kinds))
def test_watching_changes_no_number(kind: str) -> None:
    block = Recurrent(2, 3, kind=kind, bidirectional=True)
    x, lengths = padded(LENGTHS, 2), LENGTHS
    before = block(x, lengths)
    seen: list[tuple[str, int]] = []
    block.layers[0].watch = lambda direction, step, state: seen.append((direction, step))
    torch.testing.assert_close(block(x, lengths), before)
    assert seen == [(d, t) for d in ("onward", "back") for t in range(9)]


@pytest.mark.parametrize("kind", list(kinds))
def test_recurrent_matrices_are_orthogonal_gate_by_gate(kind: str) -> None:
    layer = Recurrent(2, 5, kind=kind).layers[0].onward
    for gate in layer.weight_hh_l0.split(5):
        torch.testing.assert_close(gate @ gate.T, torch.eye(5), atol=1e-5, rtol=0)


def test_gates_start_open_or_as_long_as_the_memory() -> None:
    lstm = Recurrent(2, 4, kind="lstm").layers[0].onward
    assert lstm.bias_ih_l0.tolist() == [0] * 4 + [1] * 4 + [0] * 8
    gru = Recurrent(2, 2000, kind="gru", memory=101).layers[0].onward
    kept = torch.sigmoid(gru.bias_ih_l0.detach()[2000:4000])
    scales = 1 / (1 - kept)  # steps until 1/e of a state is left, roughly
    assert 1.5 < float(scales.min()) < 4
    assert 90 < float(scales.max()) < 102
    assert float(scales.median()) == pytest.approx(51, rel=0.1)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=5),
    st.integers(0, 4),
    st.sampled_from(sorted(set(poolings) - {"places"})),
)
def test_pooling_reads_own_steps_alone(lengths: list[int], more: int, name: str) -> None:
    own = torch.tensor(lengths)
    pool = poolings[name](4, True)
    states = torch.randn(len(lengths), max(max(lengths), 1) + more, 4)
    other = torch.where((torch.arange(states.shape[1]) >= own[:, None])[:, :, None], 99.0, states)
    torch.testing.assert_close(pool(states, own), pool(other, own))
    for row, n in enumerate(lengths):
        expected = {
            "last": torch.cat([states[row, n - 1, :2], states[row, 0, 2:]]),
            "mean": states[row, :n].mean(0),
            "attention": states[row, :n].mean(0),  # before training the weights are equal
            "max": states[row, : max(n, 1)].amax(0),
        }[name]
        torch.testing.assert_close(pool(states, own)[row], expected if n else torch.zeros(4))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ChoiceError, match="no recurrent layer called 'gru2'"):
        Recurrent(1, 2, kind="gru2")
    with pytest.raises(ChoiceError, match="no pooling called 'avg'"):
        Recurrent(1, 2, pooling="avg")


def test_it_learns_in_bfloat16_what_needs_memory() -> None:
    """The sign of the first of twelve steps: nothing but a state carried through can tell it."""
    torch.manual_seed(0)
    block, head = Recurrent(1, 16, kind="gru"), torch.nn.Linear(16, 1)
    optimiser = torch.optim.Adam([*block.parameters(), *head.parameters()], 1e-2)
    for _ in range(60):
        x = torch.randn(128, 12, 1)
        with torch.autocast("cpu", torch.bfloat16):
            score = head(block(x, torch.full((128,), 12)))[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(score.float(), (x[:, 0, 0] > 0).float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss) < 0.3
