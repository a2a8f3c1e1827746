"""What a critic sees changed at random: how often, how far, and that a gradient passes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from trine.blocks.differentiable_augmentation import DifferentiableAugmentation, augmented
from trine.errors import ChoiceError

SIDE, MEAN, STRIPE = 16, 0.3, 0.1


def stripes(n: int) -> Tensor:
    """(n, 1, 16, 16) of two values in turns, so that each change can be told from the others."""
    signs = 1 - 2 * (torch.arange(SIDE) % 2)
    return (MEAN + STRIPE * signs).expand(n, 1, SIDE, SIDE).clone()


def changes(pictures: Tensor) -> dict[str, Tensor]:
    """(n,) which of them are relit, shifted and holed, and by how much."""
    gone = pictures[:, 0] == -1
    strips = gone.all(2, keepdim=True) | gone.all(1, keepdim=True)  # a hole is half as wide as the picture at most
    values = torch.where(gone, float("nan"), (pictures[:, 0] - MEAN).abs() / STRIPE)
    factor = values.flatten(1).nanmedian(1).values
    return {
        "lit": (factor - 1).abs() > 1e-4,
        "shifted": strips.flatten(1).any(1),
        "holed": (gone & ~strips).flatten(1).any(1),
        "factor": factor,
        "strip": gone.all(2).sum(1),
        "hole": (gone & ~strips).flatten(1).sum(1),
    }


@pytest.mark.parametrize("probability", [0.3, 0.8])
def test_each_change_is_made_as_often_as_is_said_by_itself(probability: float) -> None:
    torch.manual_seed(0)
    n = 6000
    found = changes(DifferentiableAugmentation(probability)(stripes(n)))
    p, room = probability, 4 * (0.25 / n) ** 0.5
    seen = p * 24 / 25  # of 5 × 5 shifts one is none
    assert found["lit"].float().mean().item() == pytest.approx(p, abs=room)
    assert found["shifted"].float().mean().item() == pytest.approx(seen, abs=room)
    assert found["holed"].float().mean().item() == pytest.approx(p, abs=room)
    assert (found["lit"] & found["shifted"]).float().mean().item() == pytest.approx(p * seen, abs=room)
    assert (found["lit"] & found["holed"]).float().mean().item() == pytest.approx(p * p, abs=room)


def test_no_change_is_larger_than_is_said() -> None:
    torch.manual_seed(0)
    found = changes(DifferentiableAugmentation(1.0)(stripes(4000)))
    assert found["factor"].min().item() == pytest.approx(0.5, abs=0.01)
    assert found["factor"].max().item() == pytest.approx(1.5, abs=0.01)
    assert found["factor"].mean().item() == pytest.approx(1.0, abs=0.02)
    assert found["strip"].max() == SIDE // 8
    assert found["hole"].max() <= (SIDE // 2) ** 2
    assert found["hole"].max() > (SIDE // 2 - 2) ** 2


def test_a_probability_of_zero_leaves_pictures_and_the_generator_alone() -> None:
    before = torch.get_rng_state()
    picture = stripes(3)
    assert torch.equal(DifferentiableAugmentation(0.0)(picture), picture)
    assert torch.equal(torch.get_rng_state(), before)
    critic = nn.Identity()
    assert augmented(critic, 0.0) is critic
    for probability in (-0.1, 1.1):
        with pytest.raises(ChoiceError, match="a probability from 0 to 1"):
            DifferentiableAugmentation(probability)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_gradient_is_that_of_what_is_made(channels: int) -> None:
    """A change, once drawn, is linear up to the −1 of what is gone: the slope along a step is the difference that it makes."""
    torch.manual_seed(1)
    change = DifferentiableAugmentation(0.7)
    x, step, weight = (torch.randn(40, channels, SIDE, SIDE, dtype=torch.float64) for _ in range(3))
    x.requires_grad_()

    def drawn(pictures: Tensor) -> Tensor:
        torch.manual_seed(2)
        return (weight * change(pictures)).sum((1, 2, 3))

    (rise,) = torch.autograd.grad(drawn(x).sum(), x)
    along = (rise * step).sum((1, 2, 3))
    torch.testing.assert_close(along, (drawn(x + step) - drawn(x)).detach())
    assert (rise.flatten(1).abs().amax(1) > 0).all()


def test_a_penalty_on_the_critic_s_slope_passes_too() -> None:
    class Bowl(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.tensor(3.0))

        def forward(self, x: Tensor, given: object = None) -> Tensor:
            return 0.5 * self.a * x.square().sum((1, 2, 3))

    torch.manual_seed(0)
    critic = Bowl()
    x = stripes(20).requires_grad_()
    (rise,) = torch.autograd.grad(augmented(critic, 0.5)(x).sum(), x, create_graph=True)
    squares = rise.square().sum()
    squares.backward()
    assert critic.a.grad is not None
    assert critic.a.grad.item() == pytest.approx(2 * squares.item() / 3.0, rel=1e-5)  # the slope is a times a number
