"""Convolutions and augmentation."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from trine.blocks import Augment, Convolutional, layer_scales
from trine.errors import ChoiceError


@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 160, 160), (3, 1, 1), (1, 3, 50), (2, 97, 65)]
)
def test_any_size_of_image(shape: tuple[int, int, int]) -> None:
    block = Convolutional(*shape, 8)
    out = block(torch.rand(2, *shape))
    assert out.shape == (2, block.features)
    out.sum().backward()
    assert all(parameter.grad is not None for parameter in block.parameters())


@pytest.mark.parametrize("normalization", ["batch", "layer", "rms", "none"])
@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
def test_scales_are_kept(normalization: str, activation: str) -> None:
    block = Convolutional(3, 32, 32, 16, normalization=normalization, activation=activation, mean=0.5, std=0.29)

    def run_backward() -> torch.Tensor:
        out = block(torch.rand(16, 3, 32, 32))
        loss = (out * torch.randn_like(out)).sum()
        loss.backward()
        return loss

    rows = layer_scales(block, run_backward)
    assert rows
    assert all(0.1 < row["activation"] < 10 for row in rows)
    gradients = [row["gradient"] for row in rows]
    # Pooling concentrates the gradient: positions are compared by their sum, so only the order of magnitude is bounded.
    assert max(gradients) / min(gradients) < 1e3


def test_input_is_standardised() -> None:
    block = Convolutional(3, 8, 8, 4, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.125))
    seen: list[torch.Tensor] = []
    block.stages[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    block(torch.full((1, 3, 8, 8), 0.35))
    torch.testing.assert_close(seen[0][0, :, 0, 0], torch.tensor([0.5, 0.6, 0.4]))


def test_unknown_normalisation_is_refused() -> None:
    with pytest.raises(ChoiceError, match="'group'"):
        Convolutional(1, 8, 8, 4, normalization="group")


def test_learns_digits() -> None:
    pixels, digits = load_digits(return_X_y=True)
    x = torch.tensor(pixels / 16.0, dtype=torch.float32).view(-1, 1, 8, 8)
    y = torch.tensor(digits)
    block = Convolutional(1, 8, 8, 16, mean=float(x.mean()), std=float(x.std()))
    model = nn.Sequential(Augment(1), block, nn.Linear(block.features, 10))
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    order = torch.randperm(len(x))
    train, test = order[:1400], order[1400:]
    for _ in range(5):
        for rows in train[torch.randperm(1400)].split(64):
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    model.eval()
    assert (model(x[test]).argmax(1) == y[test]).float().mean() > 0.93


def test_augment_is_off_in_evaluation() -> None:
    images = torch.rand(4, 3, 8, 8)
    assert torch.equal(Augment(2, "both").eval()(images), images)
    assert torch.equal(Augment(0, "none")(images), images)


def test_augment_mirrors_half_of_the_images() -> None:
    images = torch.rand(400, 2, 5, 4)
    for flip, dims in (("horizontal", [3]), ("vertical", [2])):
        out = Augment(0, flip)(images)
        same = (out == images).flatten(1).all(1)
        mirrored = (out == images.flip(dims)).flatten(1).all(1)
        assert (same ^ mirrored).all()
        assert 140 < int(mirrored.sum()) < 260


def test_augment_shifts_each_image_by_its_own_offset_with_reflection() -> None:
    images = torch.rand(64, 1, 6, 6)
    out = Augment(2)(images)
    padded = nn.functional.pad(images, (2, 2, 2, 2), mode="reflect")
    offsets = set()
    for i in range(64):
        found = [(y, x) for y in range(5) for x in range(5) if torch.equal(padded[i, :, y : y + 6, x : x + 6], out[i])]
        assert len(found) == 1
        offsets.add(found[0])
    assert len(offsets) > 12


@pytest.mark.parametrize("side", [1, 2])
def test_augment_of_tiny_images(side: int) -> None:
    assert Augment(4, "both")(torch.rand(3, 1, side, side)).shape == (3, 1, side, side)


def test_augment_refuses_bad_choices() -> None:
    with pytest.raises(ChoiceError, match=r"'horizontl'.*'horizontal'"):
        Augment(1, "horizontl")
    with pytest.raises(ChoiceError, match="-1"):
        Augment(-1)
