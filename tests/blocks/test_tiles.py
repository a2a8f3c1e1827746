"""Pictures made in tiles are the pictures made whole."""

from __future__ import annotations

import pytest
import torch

from trine.blocks.paired import UNet
from trine.blocks.tiles import in_tiles
from trine.errors import ChoiceError


@pytest.mark.parametrize("size", [(200, 300), (97, 260), (130, 131)])
@pytest.mark.parametrize("halvings", [1, 2])
def test_a_picture_made_in_tiles_is_the_one_made_whole(size: tuple[int, int], halvings: int) -> None:
    torch.manual_seed(0)
    net, picture, z = UNet(3, 2, 4, 4, halvings).eval(), torch.rand(2, 3, *size) * 2 - 1, torch.randn(2, 4)
    parts = []

    def make(part: torch.Tensor) -> torch.Tensor:
        parts.append(part.shape[2:])
        return net(part, z)

    with torch.inference_mode():
        made = in_tiles(make, picture, tile=96, reach=net.reach, stride=net.stride)
        assert torch.allclose(made, net(picture, z), atol=1e-5)
    assert len(parts) > 1
    assert all(max(part) <= 96 for part in parts)


def test_what_looks_at_the_whole_leaves_no_seam() -> None:
    """Each part less its own mean: of a ramp the parts differ by what lies between their middles, 96 pixels of 160."""
    ramp = torch.arange(400.0).expand(1, 1, 160, 400)
    made = in_tiles(lambda part: part - part.mean(), ramp, tile=160, reach=16)[0, 0, 0]
    cut = torch.cat([part - part.mean() for part in ramp.split(160, 3)], 3)[0, 0, 0]
    assert cut.diff().abs().max() > 100
    assert made.diff().sub(1).abs().max() < 96 / 32 + 0.1


def test_small_pictures_are_made_whole_and_small_tiles_refused() -> None:
    picture = torch.rand(1, 1, 50, 60)
    assert in_tiles(lambda part: part * 2, picture, tile=64, reach=1000) is not None
    with pytest.raises(ChoiceError, match="at least 65"):
        in_tiles(lambda part: part, picture, tile=40, reach=16)
