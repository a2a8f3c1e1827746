"""Numbers: the codes' formulas, missing values, heavy tails, and vectorisation over columns."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from block_stand_ins import Number
from hypothesis import given, settings
from hypothesis import strategies as st

from trine.blocks import Numbers
from trine.errors import ChoiceError

KINDS = ("piecewise", "periodic", "plain")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("columns", [1, 5])
def test_shapes_gradients_and_scale(kind: str, columns: int) -> None:
    block = Numbers([Number(atoms=(0.0,))] * columns, 16, kind)
    out = block(torch.randn(256, columns))
    assert out.shape == (256, block.features)
    if kind != "plain":
        assert 0.5 < out.square().mean().sqrt() < 2.0
        out.square().sum().backward()
        assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in block.parameters())


def piecewise_by_hand(block: Numbers, knots: tuple[float, ...], column: int, value: float) -> torch.Tensor:
    """Gorishniy et al. 2022, equation 1, with the ends held, for one value."""
    out = block.embedding.bias[column].clone()
    for m, (low, high) in enumerate(itertools.pairwise(knots)):
        code = min(max((value - low) / (high - low), 0.0), 1.0)
        out = out + code * block.embedding.weight[column, m]
    return out


@settings(max_examples=30, deadline=None)
@given(
    knots=st.lists(st.integers(-50, 50), min_size=2, max_size=12, unique=True),
    values=st.lists(st.floats(-80, 80, width=32), min_size=1, max_size=8),
)
def test_piecewise_is_the_published_code(knots: list[int], values: list[float]) -> None:
    increasing = tuple(float(knot) / 4 for knot in sorted(knots))
    block = Numbers([Number(), Number(increasing)], 3)
    x = torch.tensor([[0.0, value] for value in values])
    with torch.no_grad():
        out = block(x).view(len(values), 2, 3)[:, 1]
        expected = torch.stack([piecewise_by_hand(block, increasing, 1, value) for value in values])
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_is_its_own_place_and_no_neighbour_changes(kind: str) -> None:
    block = Numbers([Number()] * 3, 8, kind)
    x = torch.randn(6, 3)
    holed = x.clone()
    holed[2, 1] = math.nan
    a, b = block(x).view(6, 3, -1), block(holed).view(6, 3, -1)
    assert b.isfinite().all()
    changed = (a != b).any(-1)
    assert changed.sum() == 1
    assert changed[2, 1]
    everything_missing = block(torch.full((1, 3), math.nan))
    assert everything_missing.isfinite().all()
    with torch.no_grad():
        grid = block(torch.linspace(-3, 3, 61)[:, None].expand(61, 3)).view(61, 3, -1)
    assert not (grid[:, 1] == b[2, 1]).all(-1).any()


@pytest.mark.parametrize("kind", KINDS)
def test_missing_trains_its_own_place(kind: str) -> None:
    block = Numbers([Number()] * 2, 4, kind)
    x = torch.tensor([[math.nan, 0.3]])
    out = block(x)
    if out.requires_grad:
        out.sum().backward()
        assert all(parameter.grad.isfinite().all() for parameter in block.parameters() if parameter.grad is not None)
        assert (block.embedding.missing.grad[0] != 0).all()
        assert (block.embedding.missing.grad[1] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_heavy_tails_are_harmless(kind: str) -> None:
    block = Numbers([Number()], 8, kind)
    limit = block(torch.tensor([[1e6], [1e30], [-1e30]]))
    assert limit.isfinite().all()
    assert limit.abs().max() < 30
    torch.testing.assert_close(limit[0], limit[1], rtol=1e-3, atol=1e-3)


def test_plain_is_standardised_value_and_indicator() -> None:
    block = Numbers([Number(mean=2.0, std=4.0)], kind="plain")
    out = block(torch.tensor([[2.0], [6.0], [math.nan]]))
    torch.testing.assert_close(out, torch.tensor([[0.0, 0.0], [1 / math.sqrt(1 + 1 / 9), 0.0], [0.0, 1.0]]))


def test_atoms_have_embeddings_of_their_own() -> None:
    atoms = (float(np.float32(0.1)), 1.0)
    block = Numbers([Number(), Number(atoms=atoms)], 4)
    x = torch.tensor([[0.1, 0.1], [1.0, 1.0], [0.2, 0.2]])
    before = block(x).detach()
    with torch.no_grad():
        block.embedding.atom[2:4] += 1.0  # the second column's two atoms
    moved = (block(x) - before).view(3, 2, 4)
    expected = torch.zeros(3, 2, 4)
    expected[:2, 1] = 1.0
    torch.testing.assert_close(moved, expected)


def test_buffers_are_finite_so_that_their_average_is() -> None:
    block = Numbers([Number(), Number(knots=(0.0, 1.0), atoms=(1.0, 2.0)), Number(knots=(3.0,), atoms=(0.5,))], 4)
    assert all(buffer.isfinite().all() for buffer in block.buffers())


def test_domain_of_several_columns_and_constant_columns() -> None:
    date = Number(knots=((0.0, 1.0), (0.0, 0.5, 1.0)), mean=(0.5, 0.5), std=(0.2, 0.0), width=2)
    constant = Number(knots=(3.0,), mean=3.0, std=0.0)
    for kind in KINDS:
        block = Numbers([date, constant], 4, kind)
        assert block.columns == 3
        assert block(torch.rand(5, 3) + 3.0).isfinite().all()


def test_all_columns_at_once_equal_each_alone() -> None:
    domains = [Number(), Number((-1.0, 0.0, 1.0, 3.0)), Number((0.0, 1.0))]
    block = Numbers(domains, 4)
    x = torch.randn(7, 3)
    together = block(x).view(7, 3, 4)
    for i, domain in enumerate(domains):
        for value, row in zip(x[:, i].tolist(), together[:, i], strict=True):
            torch.testing.assert_close(piecewise_by_hand(block, domain.knots, i, value), row, rtol=1e-4, atol=1e-4)


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(ChoiceError, match=r"'peicewise'.*'piecewise'"):
        Numbers([Number()], kind="peicewise")
