"""Winner-take-all layers against points worked out by hand, and the number of units that stay active."""

from __future__ import annotations

import pytest
import torch

from trine.blocks.winners import ChannelWinners, SpatialWinners, Strokes, WinnersReader, maps_of


def test_each_map_keeps_its_maximum() -> None:
    x = torch.tensor([[[[1.0, 3.0], [2.0, 0.5]], [[-1.0, -2.0], [-3.0, -4.0]]]])
    kept = SpatialWinners()(x)
    assert kept.tolist() == [[[[0.0, 3.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]]


def test_each_cell_keeps_the_largest_of_all_maps_and_the_rim_is_a_cell() -> None:
    first = torch.tensor([[1.0, 0.0, 5.0], [0.0, 2.0, 0.0], [4.0, 0.0, 0.0]])
    second = torch.tensor([[0.0, 3.0, 0.0], [0.0, 0.0, 4.0], [0.0, 6.0, 7.0]])
    kept = ChannelWinners(2)(torch.stack([first, second])[None])[0]
    assert kept[0].tolist() == [[0.0, 0.0, 5.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    assert kept[1].tolist() == [[0.0, 3.0, 0.0], [0.0, 0.0, 0.0], [0.0, 6.0, 7.0]]


def test_winners_alone_have_a_gradient() -> None:
    x = torch.tensor([[[[1.0, 3.0], [2.0, 0.5]]]], requires_grad=True)
    SpatialWinners()(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[[[0.0, 1.0], [0.0, 0.0]]]]


@pytest.mark.parametrize(
    ("side", "shape", "units"), [(28, (32, 16, 16), 16), (8, (32, 4, 4), 16), (33, (32, 21, 21), 16)]
)
def test_at_most_sixteen_units_are_active_and_strokes_fill_the_picture(
    side: int, shape: tuple[int, int, int], units: int
) -> None:
    torch.manual_seed(0)
    reader = WinnersReader(1, side, side)
    assert reader.shape == shape == maps_of(side, side, 32)
    code = reader(torch.rand(20, 1, side, side))
    active = (code > 0).sum(1)
    assert code.shape == (20, reader.features)
    assert int(active.max()) <= units
    assert int(active.min()) > 0
    assert Strokes(reader.shape, 3, side, side)(code).shape == (20, 3, side, side)


def test_a_stroke_is_drawn_at_its_units_place() -> None:
    drawing = Strokes((1, 2, 2), 1, 4, 4)
    code = torch.zeros(1, 4)
    code[0, 3] = 2.0
    with torch.no_grad():
        drawn = drawing(code) - drawing.drawing.bias
        stroke = drawing.drawing.weight[0, 0]
        assert torch.allclose(drawn[0, 0, 1:, 1:], 2.0 * stroke)
        assert float(drawn[0, 0, 0].abs().max()) == 0.0
