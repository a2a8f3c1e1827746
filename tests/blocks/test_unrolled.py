"""What draws sequences from features, and the pooling that keeps places: shapes, padding, what a length means."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from trine.blocks import own_steps
from trine.blocks.pooling import SHARES, WAVES, Places
from trine.blocks.unrolled import Unrolled, stages


def unrolled(steps: int, varied: bool, factors: tuple[int, ...], normalization: str = "batch") -> Unrolled:
    torch.manual_seed(0)
    block = Unrolled(5, 2, steps, varied=varied, factors=factors, channels=8, normalization=normalization).eval()
    with torch.no_grad():
        block.last.weight.mul_(10.0)
    return block


@pytest.mark.parametrize("varied", [False, True])
@pytest.mark.parametrize(("steps", "factors"), [(7, ()), (50, (2,)), (300, (4, 4))])
def test_any_number_of_steps_is_drawn(steps: int, factors: tuple[int, ...], varied: bool) -> None:
    block = unrolled(steps, varied, factors)
    for wanted in (1, steps, steps + 13):  # longer than any of training too
        found = block(torch.randn(3, 5), torch.full((3,), wanted), wanted)
        assert found.shape == (3, wanted, 2)
        assert found.isfinite().all()


@pytest.mark.parametrize("normalization", ["batch", "layer", "rms", "none"])
@pytest.mark.parametrize("training", [True, False])
def test_what_is_padded_changes_nothing(normalization: str, training: bool) -> None:
    features, lengths = torch.randn(4, 5), torch.tensor([9, 30, 17, 1])
    block = unrolled(30, True, (2, 2), normalization)
    block.train(training)
    short = block(features, lengths, 30)
    longer = block(features, lengths, 61)
    assert torch.allclose(longer[:, :30], short, atol=1e-4)
    assert not longer[:, 30:].any()
    assert not short.masked_fill(own_steps(lengths, 30)[..., None], 0.0).any()


def test_rows_of_another_length_are_stretched_and_not_only_cut() -> None:
    features = torch.randn(1, 5)

    def of_half(block: Unrolled) -> tuple[Tensor, Tensor]:
        whole, half = block(features, torch.tensor([40]), 40), block(features, torch.tensor([20]), 20)
        return whole[:, :10], half[:, :10]

    assert torch.allclose(*of_half(unrolled(40, False, ())), atol=1e-5)
    assert not torch.allclose(*of_half(unrolled(40, True, ())), atol=1e-2)


@pytest.mark.parametrize(("steps", "factor", "expected"), [(32, 2, 0), (33, 2, 1), (140, 2, 3), (8000, 4, 4)])
def test_stages_bring_few_places_to_all_steps(steps: int, factor: int, expected: int) -> None:
    found = stages(steps, factor)
    assert found == (factor,) * expected
    assert -(-steps // math.prod(found)) <= 32


def test_a_mapping_with_places_can_be_learned_exactly() -> None:
    """Two shapes at two places: a decoder that lost one of them would stay at their mean."""
    torch.manual_seed(0)
    t = torch.arange(48) / 48
    target = torch.stack([torch.exp(-(((t - 0.2) / 0.05) ** 2)), torch.sin(12 * t)])[..., None]
    block = Unrolled(2, 1, 48, factors=(2,), channels=16)
    optimiser = torch.optim.Adam(block.parameters(), 5e-3)
    for _ in range(200):
        loss = nn.functional.mse_loss(block(torch.eye(2), torch.tensor([48, 48]), 48), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.01 * target.var().item()


def test_places_are_means_of_shares_whatever_is_padded() -> None:
    torch.manual_seed(0)
    states, lengths = torch.randn(4, 40, 3), torch.tensor([32, 40, 5, 0])
    found = Places(3)(states, lengths)
    assert found.shape == (4, SHARES * 3 + 2 * len(WAVES))
    assert torch.allclose(found[0, : SHARES * 3].view(SHARES, 3), states[0, :32].view(SHARES, 2, 3).mean(1), atol=1e-5)
    # Shares of 2.5 steps: the first has two steps and half of the third.
    assert torch.allclose(found[1, :3], (states[1, 0] + states[1, 1] + states[1, 2] / 2) / 2.5, atol=1e-5)
    assert torch.allclose(found[2, : SHARES * 3].view(SHARES, 3)[0], states[2, 0], atol=1e-5)
    assert not found[3].any()
    noisy = states.clone()
    noisy[0, 32:], noisy[2, 5:], noisy[3] = 9.0, 9.0, 9.0
    assert torch.allclose(Places(3)(noisy, lengths), found)
    told = Places(3)(torch.zeros(2, 110, 3), torch.tensor([100, 104]))[:, SHARES * 3 :]
    assert (told[0] - told[1]).abs().max() > 0.3  # four parts in a hundred are plain
