"""AdamW straight to its kernel: the bits that torch's own step gives."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from trine.procedures._adamw import AdamW


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3), nn.Linear(3, 1))


def _groups(net: nn.Module) -> list[dict[str, object]]:
    parameters = list(net.parameters())
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": 0.1},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]


def _gradients(net: nn.Module, t: int, skip: int | None) -> None:
    torch.manual_seed(100 + t)
    for i, parameter in enumerate(net.parameters()):
        parameter.grad = None if i == skip else torch.randn_like(parameter)


@pytest.mark.parametrize("skip", [None, 4])
def test_the_same_bits_as_a_step(skip: int | None) -> None:
    """Groups with and without decay, a step size that changes, and a parameter without gradients for a while."""
    own, other = _network(), _network()
    fast = AdamW(_groups(own), betas=(0.8, 0.99), fused=True)
    plain = torch.optim.AdamW(_groups(other), betas=(0.8, 0.99), fused=True)
    for t in range(8):
        for net, optimiser in ((own, fast), (other, plain)):
            _gradients(net, t, skip if t < 4 else None)
            for group in optimiser.param_groups:
                group["lr"] = 0.1 / (t + 1)
        fast.advance()
        plain.step()
    for a, b in zip(own.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    assert {k: v["step"].item() for k, v in fast.state_dict()["state"].items()} == {
        k: v["step"].item() for k, v in plain.state_dict()["state"].items()
    }


def test_goes_on_from_a_state_that_was_kept() -> None:
    own = _network()
    optimiser = AdamW(_groups(own), fused=True)
    for t in range(3):
        _gradients(own, t, None)
        optimiser.advance()
    other = copy.deepcopy(own)
    loaded = AdamW(_groups(other), fused=True)
    loaded.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    for net, chosen in ((own, optimiser), (other, loaded)):
        _gradients(net, 3, None)
        chosen.advance()
    assert all(torch.equal(a, b) for a, b in zip(own.parameters(), other.parameters(), strict=True))


def test_other_types_go_the_whole_way() -> None:
    """A parameter in double precision: the kernel is left to torch, which sorts tensors by type."""
    own, other = _network().double(), _network().double()
    fast, plain = AdamW(own.parameters(), fused=True), torch.optim.AdamW(other.parameters(), fused=True)
    for t in range(3):
        _gradients(own, t, None)
        _gradients(other, t, None)
        fast.advance()
        plain.step()
    assert all(torch.equal(a, b) for a, b in zip(own.parameters(), other.parameters(), strict=True))
