"""Translators of pictures and critics of patches: sizes, noise, what places tell."""

from __future__ import annotations

import pytest
import torch

from trine.blocks.translation import NoisyNorm, PatchCritic, ResidualTranslator
from trine.blocks.unpaired import FieldsCode, PictureCode


@pytest.mark.parametrize("size", [(8, 8), (13, 18), (32, 24), (29, 31)], ids=str)
@pytest.mark.parametrize("halvings", [0, 1])
def test_a_picture_of_any_size_comes_back_in_its_size(size, halvings):
    torch.manual_seed(0)
    network = ResidualTranslator(3, 1, base=4, blocks=2, noise=2, halvings=halvings)
    made = network(torch.randn(2, 3, *size), torch.randn(2, 2))
    assert made.shape == (2, 1, *size)
    assert made.abs().max() < 1
    assert made.std() > 0.05


def test_noise_changes_the_picture_from_the_first_step_on_and_its_gradient_comes_back():
    torch.manual_seed(0)
    network = ResidualTranslator(1, 1, base=8, blocks=2, noise=3, halvings=1)
    picture, z = torch.randn(4, 1, 16, 16), torch.randn(4, 3, requires_grad=True)
    made = network(picture, z)
    assert (made - network(picture, torch.randn(4, 3))).abs().mean() > 0.02
    made.square().sum().backward()
    assert z.grad.abs().min() > 0
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_features_beside_what_is_made_are_those_of_the_encoder_alone():
    torch.manual_seed(0)
    network = ResidualTranslator(1, 2, base=4, blocks=3, noise=2, halvings=2)
    picture, z = torch.randn(2, 1, 16, 16), torch.randn(2, 2)
    made, found = network.with_features(picture, z)
    assert torch.equal(made, network(picture, z))
    again = network.features(picture, z)
    assert [values.shape[1] for values in found] == network.channels == [4, 8, 16, 16]
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))


def test_a_normalised_map_has_the_noise_s_gain_and_shift_in_every_row():
    torch.manual_seed(0)
    norm = NoisyNorm(2, 3)
    maps, z = torch.randn(4, 2, 9, 9) * 5 + 3, torch.randn(4, 3)
    gain, shift = norm.modulation(z).chunk(2, 1)
    out = norm(maps, z)
    assert torch.allclose(out.mean((2, 3)), shift, atol=1e-5)
    assert torch.allclose(out.std((2, 3), unbiased=False), (1 + gain).abs(), rtol=1e-4)
    assert torch.allclose(NoisyNorm(2)(maps, None).mean((2, 3)), torch.zeros(4, 2), atol=1e-5)


def test_a_critic_of_patches_sees_each_patch_and_each_picture_by_itself():
    torch.manual_seed(0)
    critic = PatchCritic(1, base=4, layers=2)
    picture = torch.randn(2, 1, 64, 64)
    values = critic(picture)
    assert values.shape == (2, 16, 16)
    changed = picture.clone()
    changed[:, :, :8, :8] += 1
    moved = (critic(changed) - values).abs()
    assert moved[:, 0, 0].min() > 0
    # A number is of 18 × 18 pixels.
    assert moved[:, 5:].max() == moved[:, :, 5:].max() == 0
    assert torch.allclose(critic(picture[:1]), values[:1], atol=1e-6)
    assert PatchCritic(3)(torch.randn(1, 3, 64, 64)).shape == (1, 7, 7)


def test_a_penalty_on_a_critic_s_slope_reaches_its_weights():
    torch.manual_seed(0)
    critic = PatchCritic(1, base=4, layers=2)
    picture = torch.randn(2, 1, 16, 16, requires_grad=True)
    (slope,) = torch.autograd.grad(critic(picture).sum(), picture, create_graph=True)
    slope.square().sum().backward()
    assert critic.stages[0].weight.grad.abs().sum() > 0


def test_codes_are_of_both_of_a_pair_each_pair_by_itself():
    torch.manual_seed(0)
    picture, fields = PictureCode(4, 3, base=4, side=16), FieldsCode(7, 3)
    for code, a, b in (
        (picture, torch.randn(5, 1, 16, 16), torch.randn(5, 3, 16, 16)),
        (picture, torch.randn(5, 1, 16, 16), torch.randn(5, 3, 24, 24)),
        (fields, torch.randn(5, 4), torch.randn(5, 3)),
    ):
        found = code(a, b)
        assert found.shape == (5, 3)
        assert torch.allclose(code(a[:2], b[:2]), found[:2], atol=1e-6)
        assert (code(a, b + 1) - found).abs().min() > 0
        assert (code(a + 1, b) - found).abs().min() > 0
