"""Translators over time and codes of pairs: any number of steps, what happens when, loudness, rows of other lengths and rates."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from trine.blocks.sequence_makers import Timeline
from trine.blocks.temporal_translation import TemporalBlock, TemporalTranslator
from trine.blocks.unpaired import TimelineCode, TimelineMap, at_pace


@pytest.mark.parametrize("steps", [1, 7, 16, 50])
@pytest.mark.parametrize("halvings", [0, 2])
def test_a_row_of_any_length_comes_back_in_its_length(steps: int, halvings: int) -> None:
    torch.manual_seed(0)
    network = TemporalTranslator(2, 3, base=4, blocks=2, noise=2, halvings=halvings)
    assert network(torch.randn(5, 2, steps), torch.randn(5, 2)).shape == (5, 3, steps)


def test_what_happens_late_is_not_seen_early() -> None:
    torch.manual_seed(0)
    network = TemporalTranslator(1, 1, base=4, blocks=1, halvings=2)
    row = torch.randn(1, 1, 200)
    other = row.clone()
    other[:, :, 150:] += 1
    moved = (network(other) - network(row)).abs()[0, 0]
    assert moved[:100].max() == 0
    assert moved[150:].mean() > 0.1


def test_noise_changes_the_row_from_the_first_step_on_and_its_gradient_comes_back() -> None:
    torch.manual_seed(0)
    network = TemporalTranslator(1, 1, base=8, blocks=2, noise=3)
    row, z = torch.randn(4, 1, 32), torch.randn(4, 3, requires_grad=True)
    made = network(row, z)
    assert (made - network(row, torch.randn(4, 3))).abs().mean() > 0.02
    made.square().sum().backward()
    assert z.grad is not None
    assert z.grad.abs().min() > 0
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_block_keeps_how_loud_a_row_is() -> None:
    torch.manual_seed(0)
    block = TemporalBlock(4, dilation=3)
    maps = torch.randn(2, 4, 20)
    assert torch.allclose(block(5 * maps, None), 5 * block(maps, None), rtol=1e-5, atol=1e-5)


def test_deep_stacks_neither_fade_nor_explode() -> None:
    torch.manual_seed(0)
    spreads, slopes = [], []
    for blocks in (1, 48):
        network = TemporalTranslator(1, 1, base=16, blocks=blocks, noise=2)
        row = torch.randn(8, 1, 64, requires_grad=True)
        made = network(row, torch.randn(8, 2))
        (slope,) = torch.autograd.grad(made.square().sum(), row)
        spreads.append(made.std().item())
        slopes.append(slope.std().item())
    assert 0.3 < spreads[1] / spreads[0] < 4
    assert 0.3 < slopes[1] / slopes[0] < 16


class Aside(nn.Module):
    """The first channel as it is, for each of as many that are made."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, rows: Tensor, z: Tensor) -> Tensor:
        return rows[:, :1].expand(-1, self.channels, -1)


@pytest.mark.parametrize(
    ("steps", "rate"), [((40, 40), (1, 1)), ((30, 50), (1, 1)), ((50, 30), (1, 1)), ((40, 80), (4, 8))]
)
def test_what_is_made_at_a_time_is_of_what_was_then(steps: tuple[int, int], rate: tuple[int, int]) -> None:
    read, line = (Timeline(1, many, many, rate=each) for many, each in zip(steps, rate, strict=True))
    row = torch.zeros(1, 1, steps[0])
    at = 20
    row[0, 0, at] = 1
    made = TimelineMap(read, line, "y.row", Aside(1))(row, torch.zeros(1, 1))
    assert made.shape == (1, 1, steps[1])
    peak = int(made[0, 0].argmax())
    assert abs(peak / rate[1] - at / rate[0]) <= 1 / rate[1]


def test_a_slower_rate_does_not_fold_what_turns_faster() -> None:
    fast = torch.sin(torch.arange(400) * 0.9 * torch.pi)[None, None]
    assert at_pace(fast, 0.25).shape == (1, 1, 100)
    assert at_pace(fast, 0.25).abs().max() < 0.3
    assert torch.equal(at_pace(fast, 1.0), fast)


def test_rows_of_unlike_ends_are_finished_by_their_own() -> None:
    torch.manual_seed(0)
    read, line = Timeline(2, 12, 5), Timeline(1, 9, 4, bounded=True)
    made = TimelineMap(read, line, "y.row", TemporalTranslator(*(t.shape[0] for t in (read, line)), base=4, noise=2))
    seen = read.seen(torch.randn(3, 12, 2), torch.tensor([12, 5, 7]))
    value = made(seen, torch.randn(3, 2))
    assert value.shape == (3, 2, 9)
    assert value.abs().max() <= 1
    (column,) = made.columns(value).items()
    assert column[0] == "row"
    assert column[1].shape == (3, 9, 1)


@pytest.mark.parametrize(
    ("steps", "rate"), [((3, 3), (1, 1)), ((30, 50), (1, 1)), ((40, 80), (4, 8)), ((80, 41), (8, 4))]
)
def test_a_pair_of_any_lengths_has_a_code(steps: tuple[int, int], rate: tuple[int, int]) -> None:
    torch.manual_seed(0)
    a, b = (Timeline(1, many, many, rate=each) for many, each in zip(steps, rate, strict=True))
    code = TimelineCode(a, b, 2, base=4)(torch.randn(5, 1, steps[0]), torch.randn(5, 1, steps[1]))
    assert code.shape == (5, 2)
    assert code.std(0).min() > 0
