"""Convolutions of maps one column wide are right in bfloat16, whatever lay in memory before."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trine.blocks.narrow import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d

SIZES = (64, 256, 1024, 4096, 8192, 16384, 36864, 65536)


def soiled() -> None:
    """Memory that is given out next holds nothing that is a number."""
    held = [torch.full((size,), float("nan")) for size in SIZES for _ in range(3)]
    del held


def passed(conv: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    """The output, and gradients of a weighted sum of it with respect to x and the weights, float64."""
    x = x.clone().requires_grad_()
    soiled()
    y = conv(x)
    shape = (1, -1, *([1] * (y.dim() - 2)))
    weights = (torch.arange(y.shape[1], dtype=torch.float64) / y.shape[1]).to(y.dtype).reshape(shape)
    soiled()
    gradients = torch.autograd.grad((weights * y).sum(), (x, *conv.parameters()))
    return tuple(part.double() for part in (y.detach(), *gradients))


@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        (Conv1d, nn.Conv1d),
        (Conv2d, nn.Conv2d),
        (ConvTranspose1d, nn.ConvTranspose1d),
        (ConvTranspose2d, nn.ConvTranspose2d),
    ],
)
@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_narrow_maps_in_bfloat16_are_near_those_of_double(own: Any, theirs: Any, kernel: int) -> None:
    torch.manual_seed(0)
    flat = own in (Conv1d, ConvTranspose1d)
    for height, width, stride in itertools.product((1,) if flat else (1, 2, 8, 14), (1, 2, 3, 6), (1, 2)):
        padding = kernel // 2 if own in (Conv1d, Conv2d) else 0
        conv, exact = own(32, 64, kernel, stride, padding), theirs(32, 64, kernel, stride, padding)
        exact.load_state_dict(conv.state_dict())
        x = torch.randn(4, 32, width) if flat else torch.randn(4, 32, height, width)
        wanted = passed(exact.double(), x.double())
        with torch.autocast("cpu", torch.bfloat16):
            found = passed(conv, x)
        for value, truth in zip(found, wanted, strict=True):
            assert torch.isfinite(value).all(), (height, width, stride)
            assert (value - truth).abs().max() < 0.03 * truth.abs().max().clamp_min(1.0), (height, width, stride)


def test_in_float32_it_is_torchs_and_under_autocast_of_the_kind_that_is_asked_for() -> None:
    torch.manual_seed(0)
    conv, theirs = Conv2d(16, 32, 3, 2, 1), nn.Conv2d(16, 32, 3, 2, 1)
    theirs.load_state_dict(conv.state_dict())
    x = torch.randn(4, 16, 8, 1)
    assert torch.equal(conv(x), theirs(x))
    with torch.autocast("cpu", torch.bfloat16):
        assert conv(x).dtype == theirs(torch.randn(4, 16, 8, 8)).dtype == torch.bfloat16
