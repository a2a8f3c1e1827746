"""Counts and draws of training: known without reading a buffer, right where it is put back, and of the run's seed."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from trine.blocks.counted import APART
from trine.divergences import JensenShannon
from trine.models import Noise
from trine.models.translator import Contrast

ROWS = {"x": torch.zeros(6, 2)}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one wherever a tensor is made a number, which would wait for its device."""
    found: list[int] = []
    plain = torch.Tensor.__int__

    def noted(tensor: torch.Tensor) -> int:
        found.append(1)
        return plain(tensor)

    monkeypatch.setattr(torch.Tensor, "__int__", noted)
    return found


def test_noise_and_places_of_a_step_are_drawn_without_reading_how_many_there_were(reads: list[int]) -> None:
    noise, contrast = Noise(3).train(), Contrast([4], 5, 3).train()
    features = [torch.rand(2, 4, 3, 3)]
    drawn = [(noise(ROWS), contrast("a", features, features)[0]) for _ in range(5)]
    assert len(reads) == 2
    assert int(noise.drawn) == int(contrast.drawn) == 5
    assert len({tuple(one.flatten().tolist()) for one, _ in drawn}) == 5


def test_the_penalty_comes_every_so_many_steps_without_reading_which_it_is(reads: list[int]) -> None:
    divergence = JensenShannon(nn.Sequential(nn.Linear(2, 1), nn.Flatten(0)), r1=1.0, every=3)
    assert [divergence._weight() for _ in range(7)] == [3, 0, 0, 3, 0, 0, 3]
    assert len(reads) == 1
    with torch.no_grad():
        assert divergence._weight() == divergence._weight() == 0


def test_where_a_count_is_put_back_what_follows_is_as_it_was() -> None:
    noise = Noise(3).train()
    first = noise(ROWS)
    kept = copy.deepcopy(noise.state_dict())
    second, third = noise(ROWS), noise(ROWS)
    noise.load_state_dict(kept)
    assert torch.equal(noise(ROWS), second)
    twin = copy.deepcopy(noise)
    assert torch.equal(twin(ROWS), third)
    assert torch.equal(noise(ROWS), third)
    with torch.no_grad():
        noise.drawn.copy_(torch.tensor(0))  # as after a look that is to change nothing
    assert torch.equal(noise(ROWS), first)


def test_noise_follows_from_the_seed_of_the_run_the_stream_and_how_many_there_were() -> None:
    noise = Noise(3, 2).train()
    noise.seed = 5
    noise(ROWS)
    generator = torch.Generator().manual_seed(2 * 1_000_003 + 5 * APART + 1)
    assert torch.equal(noise(ROWS), torch.randn(6, 3, generator=generator))
