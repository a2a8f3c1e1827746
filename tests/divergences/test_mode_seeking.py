"""Answers to one condition are kept apart by a share of how far rows are from each other."""

from __future__ import annotations

import pytest
import torch

from trine.divergences.mode_seeking import LEAST, ModeSeeking

TRUE = torch.tensor([[0.0, 1.0], [2.0, 0.0], [1.0, 1.0], [0.0, 3.0]])


def test_it_is_one_less_the_ratio_of_the_distances() -> None:
    made = torch.tensor([[0.0], [1.0], [0.0], [1.0]])
    other = torch.tensor([[0.02], [1.01]])
    noises = torch.tensor([1.0, 2.0])
    # Rows are 1 from each other, so that a tenth is asked for: one lacks 0.8 of it, the other, of noise twice as far, 0.95.
    found = ModeSeeking(0.1)(made, other, (noises, made))
    assert found.tolist() == pytest.approx([(0.8 + 0.95) / 2] * 4)
    assert torch.equal(ModeSeeking(0.1)(made, other + 1, (noises, made)), torch.zeros(4))


def slope(made: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Of the term in made rows, the first of which have answers a millionth from them."""
    made = made.clone().requires_grad_()
    other = (made[:1] - 1e-6).detach()
    value = ModeSeeking()(made, other, (torch.ones(1), true))
    (found,) = torch.autograd.grad(value.sum(), made)
    assert value.isfinite().all()
    return found


def test_where_all_that_is_made_is_alike_its_slope_is_bounded_by_the_true_rows() -> None:
    usual = slope(TRUE, TRUE)
    assert usual.abs().max() > 0
    collapsed = slope(torch.ones(4, 2), TRUE)
    assert collapsed.abs().max() == pytest.approx(float(usual.abs().max()) / LEAST, rel=1e-4)
    # Until made rows are as near to each other as that, true rows have no part in it.
    near = TRUE[0] + 2 * LEAST * (TRUE - TRUE[0])
    assert torch.equal(slope(near, TRUE), slope(near, near))


@pytest.mark.parametrize(("made", "true"), [(TRUE[:1], TRUE[:1]), (torch.ones(4, 2), torch.ones(4, 2))])
def test_where_no_two_true_rows_differ_nothing_is_asked_for(made: torch.Tensor, true: torch.Tensor) -> None:
    assert torch.equal(slope(made, true), torch.zeros_like(made))
