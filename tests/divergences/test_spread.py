"""Answers that are kept apart: by a share of other rows' distance, or as far as an absolute error leaves room for."""

from __future__ import annotations

import math

import pytest
import torch

from trine.divergences import divergences
from trine.divergences.mode_seeking import ModeSeeking
from trine.divergences.spread import Spread
from trine.errors import ChoiceError
from trine.models.translator import around


def score(scale: float, draws: int = 200_000) -> float:
    """Of answers N(0, scale²) where y is N(0, 1): the likelihood's term and the spread's."""
    torch.manual_seed(0)
    a, b, y = (width * torch.randn(draws, 1) for width in (scale, scale, 1.0))
    return float((divergences["kl"]()(around(a), y) + Spread()(a, b)).mean())


def test_beside_the_absolute_error_the_spread_is_a_proper_score() -> None:
    scores = {scale: score(scale) for scale in (0.0, 0.5, 0.8, 1.0, 1.25, 2.0)}
    assert min(scores, key=lambda scale: scores[scale]) == 1.0
    apart = 2 / math.pi**0.5  # E|a − a'| of unit normals
    assert scores[1.0] == pytest.approx(2 * apart - apart, abs=0.01)


def test_the_spread_is_of_the_rows_that_are_made_twice() -> None:
    torch.manual_seed(0)
    made, other = torch.randn(8, 2, 3), torch.randn(2, 2, 3)
    found = Spread()(made, other)
    assert found.shape == (8,)
    assert found[0].item() == pytest.approx(-(made[:2] - other).abs().sum().item() / 2, rel=1e-5)
    assert (found == found[0]).all()


def test_mode_seeking_ends_at_its_share() -> None:
    made = torch.tensor([[0.0, 0.0], [2.0, 2.0]])
    far = torch.ones(2)
    term = ModeSeeking(0.5)
    assert term(made, made, (far, made)).tolist() == [1.0, 1.0]
    assert term(made, made + 0.5, (far, made)).tolist() == [0.5, 0.5]
    assert term(made, made + 1.0, (far, made)).tolist() == [0.0, 0.0]
    assert term(made, made + 0.5, (2 * far, made)).tolist() == [0.75, 0.75]
    with pytest.raises(ChoiceError, match="above 0 and at most 1"):
        ModeSeeking(0.0)
