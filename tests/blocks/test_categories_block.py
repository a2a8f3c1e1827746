"""Categories: one look-up, places for the missing and the unseen."""

from __future__ import annotations

import pytest
import torch
from block_stand_ins import Labelled

from trine.blocks import Categories
from trine.errors import ChoiceError

DOMAINS = [Labelled(("a", "b", "c")), Labelled(("x",)), Labelled(tuple("pqrst"))]


def test_every_code_has_a_place_of_its_own() -> None:
    block = Categories(DOMAINS, dims=4).eval()
    for column, domain in enumerate(DOMAINS):
        codes = torch.zeros(len(domain.labels) + 2, 3, dtype=torch.int64)
        codes[:, column] = torch.arange(-2, len(domain.labels))
        out = block(codes).view(len(codes), 3, 4)[:, column]
        assert len(torch.unique(out, dim=0)) == len(codes)
    places = torch.cat([torch.arange(-2, len(d.labels)) + first for d, first in zip(DOMAINS, block.first, strict=True)])
    assert sorted(places.tolist()) == list(range(block.places))


def test_onehot_holds_one_per_column() -> None:
    block = Categories(DOMAINS, "onehot").eval()
    out = block(torch.tensor([[2, 0, 4], [-1, -2, -1]]))
    assert out.shape == (2, block.features) == (2, 3 + 1 + 5 + 6)
    assert (out.sum(1) == 3).all()
    assert out[0].nonzero().flatten().tolist() == [4, 7, 14]
    assert out[1].nonzero().flatten().tolist() == [1, 5, 9]


def test_embedding_has_second_moment_one_and_trains() -> None:
    block = Categories([Labelled(tuple(map(str, range(500))))], dims=16).eval()
    out = block(torch.arange(500)[:, None])
    assert out.square().mean().item() == pytest.approx(1.0, abs=0.1)
    out.sum().backward()
    assert block.table.grad is not None


def test_a_category_of_one_row_shares_the_place_of_the_unseen() -> None:
    domains = [Labelled(("a", "b", "c", "d"), (0.90, 0.08, 0.02, 0.0), 50), Labelled(("x", "y"), (0.5, 0.5), 2)]
    block = Categories(domains, dims=4)
    first = torch.tensor([[0, 0], [1, 0], [2, 0], [3, 0], [-2, 0], [-1, 0]])
    out = block(first).view(6, 2, 4)[:, 0]
    assert (out[2:5] == 0).all(), "the unseen start at the mean of the known"
    assert len(torch.unique(out, dim=0)) == 4
    out[2].sum().backward()  # a rare category teaches what an unseen one is
    assert (block.table.grad[block.first[0] - 2] == 1).all()
    both = block(torch.tensor([[0, 0], [0, 1], [0, -2], [0, -1]])).view(4, 2, 4)[:, 1]
    assert (both[:3] == both[0]).all()
    assert (both[3] != both[0]).all()


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(ChoiceError, match=r"'one-hot'.*'onehot'"):
        Categories(DOMAINS, "one-hot")
