"""Penalties on a critic's slope, under critics whose slopes differ from side to side and are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from trine.divergences import LearnedDivergence
from trine.divergences.learned import (
    Hellinger,
    Hinge,
    JensenShannon,
    KullbackLeibler,
    LeastSquares,
    MinMax,
    Pearson,
    Relativistic,
    ReverseKullbackLeibler,
    Wasserstein,
)
from trine.divergences.packed import Packed

KINDS = [
    Hellinger,
    Hinge,
    JensenShannon,
    KullbackLeibler,
    LeastSquares,
    MinMax,
    Pearson,
    Relativistic,
    ReverseKullbackLeibler,
]


class Bowl(nn.Module):
    """v(x) = ½ a ‖x‖², whose slope is a x; (batch, ...) → (batch,)."""

    def __init__(self, a: float = 3.0) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * self.a * x.flatten(1).square().sum(1)


REAL = torch.tensor([[1.0, 0.0], [0.3, -0.4], [0.0, 0.0]])
FAKE = torch.tensor([[0.5, 0.5], [0.0, 0.2], [-1.0, 2.0]])
SQUARES = REAL.square().sum(1), FAKE.square().sum(1)


def penalty(divergence: LearnedDivergence) -> Tensor:
    """What the penalties alone add, (batch,)."""
    return divergence.tighten(FAKE, REAL) - type(divergence)(divergence.critic).tighten(FAKE, REAL)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_side_has_half_its_weight_times_its_squared_slope(kind: type[LearnedDivergence]) -> None:
    on_real, on_fake = SQUARES
    for r1, r2 in ((0.7, 0.0), (0.0, 0.4), (0.7, 0.4)):
        expected = 0.5 * 9.0 * (r1 * on_real + r2 * on_fake)
        torch.testing.assert_close(penalty(kind(Bowl(), r1=r1, r2=r2)), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [JensenShannon, Relativistic], ids=lambda kind: kind.__name__)
def test_the_critic_descends_it(kind: type[LearnedDivergence]) -> None:
    """∂/∂a of ½ r a² ‖x‖² is r a ‖x‖²."""
    both, plain = kind(Bowl(), r1=0.7, r2=0.4), kind(Bowl())
    for divergence in (both, plain):
        divergence.tighten(FAKE, REAL).sum().backward()
    on_real, on_fake = (float(squares.sum()) for squares in SQUARES)
    assert (both.critic.a.grad - plain.critic.a.grad).item() == pytest.approx(
        3.0 * (0.7 * on_real + 0.4 * on_fake), rel=1e-4
    )


@pytest.mark.parametrize("kind", [JensenShannon, Relativistic], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("every", [1, 3])
def test_it_is_looked_at_every_so_many_steps_with_as_many_times_the_weight(
    kind: type[LearnedDivergence], every: int
) -> None:
    divergence, plain = kind(Bowl(), r1=0.7, r2=0.4, every=every), kind(Bowl()).tighten(FAKE, REAL)
    on_real, on_fake = SQUARES
    once = 0.5 * 9.0 * (0.7 * on_real + 0.4 * on_fake)
    steps = [divergence.tighten(FAKE, REAL) - plain for _ in range(2 * every + 1)]
    for number, added in enumerate(steps):
        expected = every * once if number % every == 0 else torch.zeros(3)
        torch.testing.assert_close(added, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(sum(steps[: 2 * every], torch.zeros(3)) / (2 * every), once, atol=1e-5, rtol=1e-5)


def test_the_place_between_two_looks_is_kept_and_what_is_only_watched_takes_no_step() -> None:
    def looks(divergence: LearnedDivergence) -> bool:
        return bool((divergence.tighten(FAKE, REAL) - plain).abs().max() > 1e-3)

    plain = JensenShannon(Bowl()).tighten(FAKE, REAL)
    first, again = JensenShannon(Bowl(), r1=1.0, every=3), JensenShannon(Bowl(), r1=1.0, every=3)
    assert looks(first)
    again.load_state_dict(first.state_dict())
    with torch.no_grad():
        for divergence in (first, again):
            divergence.bound(FAKE, REAL)
            divergence(FAKE, REAL)
    assert [looks(first) for _ in range(3)] == [looks(again) for _ in range(3)] == [False, False, True]


def test_the_slope_of_patches_is_that_of_their_mean_and_of_a_pack_that_of_all_its_rows() -> None:
    class Patches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.square().sum(1), 3 * x.square().sum(1)], 1)  # in the mean 2 ‖x‖², of slope 4 x

    on_real, on_fake = SQUARES
    found = penalty(JensenShannon(Patches(), r1=0.5, r2=0.25))
    torch.testing.assert_close(found, 8.0 * (0.5 * on_real + 0.25 * on_fake), atol=1e-4, rtol=1e-5)
    packed = Packed(JensenShannon(Bowl(), r1=1.0), 3).tighten(FAKE, REAL)
    plain = Packed(JensenShannon(Bowl()), 3).tighten(FAKE, REAL)
    torch.testing.assert_close(packed - plain, (0.5 * 9.0 * on_real.sum()).expand(3), atol=1e-4, rtol=1e-5)


def test_wassersteins_is_on_slopes_above_one_where_the_sides_meet() -> None:
    """Between a sample and itself lies itself: there the slope is 3 ‖x‖."""
    weight = 5.0
    steep = 3 * SQUARES[1].sqrt()
    added = Wasserstein(Bowl(), weight=weight).tighten(FAKE, FAKE)
    torch.testing.assert_close(added, weight * (steep - 1).clamp_min(0).square(), atol=1e-4, rtol=1e-5)
    assert added[1] == 0.0  # its slope is 0.6
