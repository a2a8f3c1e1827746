"""Gradients over time: what is recorded is the derivative, and recording changes nothing."""

from __future__ import annotations

import pytest
import torch

from trine.blocks import time_scales
from trine.blocks.recurrent import Recurrent


def test_the_gradient_at_each_step_is_that_of_the_chain_rule() -> None:
    block = Recurrent(1, 1, kind="rnn")
    layer = block.layers[0].onward
    with torch.no_grad():
        layer.weight_ih_l0.zero_()
        layer.weight_hh_l0.fill_(0.5)  # states stay 0, where tanh has slope 1
    lengths = torch.tensor([4])

    def backward() -> torch.Tensor:
        loss = block(torch.ones(1, 4, 1), lengths).sum()
        loss.backward()
        return loss

    (row,) = time_scales(block, backward)
    assert (row["layer"], row["direction"]) == ("layers.0", "onward")
    assert row["gradient"] == pytest.approx([0.125, 0.25, 0.5, 1.0])


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_observing_changes_nothing(kind: str) -> None:
    block = Recurrent(2, 3, kind=kind, layers=2, bidirectional=True, dropout=0.5)
    x, lengths = torch.randn(3, 6, 2), torch.tensor([6, 2, 4])

    def backward() -> torch.Tensor:
        loss = block(x, lengths).square().sum()
        loss.backward()
        return loss

    backward()
    kept = [parameter.grad.clone() for parameter in block.parameters()]
    generator = torch.get_rng_state()
    rows = time_scales(block, backward)
    assert [(row["layer"], row["direction"]) for row in rows] == [
        (f"layers.{depth}", way) for depth in (0, 1) for way in ("onward", "back")
    ]
    assert all(len(row["gradient"]) == 6 and None not in row["gradient"] for row in rows)
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(p.grad, g) for p, g in zip(block.parameters(), kept, strict=True))
    assert all(layer.watch is None for layer in block.layers)


def test_a_model_without_recurrence_is_not_run() -> None:
    assert time_scales(torch.nn.Linear(2, 1), lambda: pytest.fail("ran")) == []
