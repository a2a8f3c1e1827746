"""Made pixels come back from black and white, however far steps have driven them."""

from __future__ import annotations

import torch

from trine.blocks.bounded import bounded
from trine.blocks.pictures_made import PictureGenerator


def test_numbers_beyond_their_bounds_come_back_and_go_no_farther() -> None:
    value = torch.tensor([-3.0, -3.0, 0.5, 2.0, 2.0], requires_grad=True)
    found = bounded(value)
    assert found.tolist() == [-1.0, -1.0, 0.5, 1.0, 1.0]
    (found * torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0])).sum().backward()  # descent moves against the slope
    assert value.grad is not None
    assert value.grad.tolist() == [0.0, -1.0, 1.0, 1.0, 0.0]


def test_a_generator_that_is_far_beyond_black_comes_back() -> None:
    torch.manual_seed(0)
    network = PictureGenerator(16, 1, 28, 28, maps=8)
    with torch.no_grad():
        network.last.bias.fill_(-20.0)
    noise = torch.randn(16, 16)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.0, 0.99))
    assert (network(noise) == -1).all()
    for _ in range(200):
        optimiser.zero_grad()
        (-network(noise).mean()).backward()
        optimiser.step()
    assert network(noise).mean().item() > 0.9
