"""The network from picture to picture: any size, noise that shows, a reach that is what it says; the critic of pairs."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv2d, pad

from trine.blocks.differentiable_augmentation import DifferentiableAugmentation
from trine.blocks.paired import ModulatedConvolution, PairCritic, SeenPicture, UNet, halvings_of
from trine.domains import Image


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (33, 50), (16, 7)])
@pytest.mark.parametrize("halvings", [1, 3])
def test_any_size_comes_back(size: tuple[int, int], halvings: int) -> None:
    torch.manual_seed(0)
    net = UNet(3, 1, 8, 4, halvings)
    made = net(torch.rand(2, 3, *size) * 2 - 1, torch.randn(2, 4))
    assert made.shape == (2, 1, *size)
    assert (made.abs() <= 1).all()


def test_sides_that_do_not_suit_the_stride_are_made_as_if_the_picture_went_on() -> None:
    torch.manual_seed(0)
    net, picture, z = UNet(1, 1, 8, 4, 2), torch.rand(1, 1, 13, 16), torch.randn(1, 4)
    longer = torch.cat([picture, picture[:, :, -1:].expand(-1, -1, 3, -1)], 2)
    assert torch.equal(net(picture, z), net(longer, z)[:, :, :13])


@pytest.mark.parametrize("halvings", [1, 2, 3])
def test_nothing_beyond_the_reach_decides_a_place_and_something_near_it_does(halvings: int) -> None:
    torch.manual_seed(0)
    net = UNet(1, 1, 4, 2, halvings)
    middle = 2 * net.stride * (net.reach // net.stride + 1)
    picture = torch.randn(1, 1, 2 * middle, 2 * middle, requires_grad=True)
    made = net(picture, torch.randn(1, 2))[0, 0]
    farthest = 0
    for place in range(middle, middle + net.stride):  # where a place lies in its square matters
        (slope,) = torch.autograd.grad(made[place, place], picture, retain_graph=True)
        away = (slope[0, 0].nonzero() - place).abs().max().item()
        farthest = max(farthest, int(away))
    assert net.reach // 2 < farthest <= net.reach


def test_noise_shows_in_what_is_made() -> None:
    torch.manual_seed(0)
    net, picture = UNet(1, 1, 16, 8, 2), torch.rand(1, 1, 16, 16).expand(32, -1, -1, -1) * 2 - 1
    made = net(picture, torch.randn(32, 8))
    assert made.std(0).mean() > 0.04 * made.std()
    grained = UNet(2, 1, 16, 0, 2, 1)
    flat = torch.cat([torch.zeros(1, 1, 16, 16), torch.randn(1, 1, 16, 16)], 1)
    assert grained(flat).std() > 0.02  # noise at its places is what a flat picture has to differ by
    assert UNet(1, 1, 16, 0, 2)(picture).std(0).max() == 0


def test_a_modulated_convolution_is_the_convolution_with_scaled_weights() -> None:
    torch.manual_seed(0)
    layer, maps, z = ModulatedConvolution(5, 7, 3), torch.randn(4, 5, 6, 6), torch.randn(4, 3)
    assert layer.scale is not None
    assert layer.shift is not None
    for i in range(4):
        heard = layer.heard * z[i]
        weight = layer.convolution.weight * (1 + layer.scale(heard)).view(1, -1, 1, 1)
        weight = weight / weight.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        longer = pad(maps[i : i + 1], (1, 1, 1, 1), mode="replicate")
        expected = conv2d(longer, weight) + layer.shift(heard).view(1, -1, 1, 1)
        assert torch.allclose(layer(maps, z)[i : i + 1], expected, atol=1e-5)


def test_maps_keep_their_second_moment_from_layer_to_layer() -> None:
    torch.manual_seed(0)
    layer = ModulatedConvolution(64, 64, 8)
    inner = layer(torch.randn(16, 64, 16, 16), torch.randn(16, 8))[:, :, 2:-2, 2:-2]
    assert inner.square().mean().item() == pytest.approx(1 + 0.01, rel=0.1)  # 1 of the maps, SPREAD² of the shift


@pytest.mark.parametrize(("side", "halvings"), [(7, 1), (8, 1), (16, 2), (28, 2), (64, 4), (128, 4), (1024, 4)])
def test_halvings_by_the_side(side: int, halvings: int) -> None:
    assert halvings_of(side) == halvings


def test_a_critic_of_pairs_tells_the_same_picture_beside_another_condition() -> None:
    torch.manual_seed(0)
    domain = Image(channels=3, height=32, width=32)
    critic = PairCritic(SeenPicture("x.photo", domain, (16, 16)), 4, 8, 2)
    value = torch.rand(5, 1, 16, 16) * 2 - 1
    one, other = ({"x.photo": torch.rand(5, 3, 32, 32)} for _ in range(2))
    assert critic(value, one).shape[0] == 5
    assert critic(value, one).dim() == 3
    assert not torch.allclose(critic(value, one), critic(value, other))


def test_a_change_moves_both_pictures_alike() -> None:
    torch.manual_seed(0)
    change, same = DifferentiableAugmentation(1.0), torch.rand(8, 1, 16, 16) * 2 - 1
    both = change(torch.zeros_like(same), torch.cat([same, same], 1))
    assert both.shape == (8, 3, 16, 16)
    assert torch.equal(both[:, 1], both[:, 2])  # what is beside is not relit
    moved = both[:, :1] == -1  # zeros keep being zeros but where something was shifted in or holed
    assert (both[:, 1:2][moved] == -1).all()
    assert 0.1 < moved.float().mean() < 0.9
