"""Weight-sharing members."""

from __future__ import annotations

import pytest
import torch

from trine.blocks import MemberLinear, Members
from trine.errors import ChoiceError


@pytest.mark.parametrize("initial", ["sign", "normal"])
def test_each_member_scales_the_shared_input(initial: str) -> None:
    block = Members(4, 3, initial)
    x = torch.randn(5, 3)
    out = block(x)
    assert out.shape == (4, 5, 3)
    for member in range(4):
        torch.testing.assert_close(out[member], x * block.scale[member])
    if initial == "sign":
        assert (block.scale.abs() == 1).all()


def test_member_linear_is_a_linear_map_for_each() -> None:
    block = MemberLinear(3, 4, 2)
    x = torch.randn(3, 5, 4)
    torch.nn.init.normal_(block.bias)
    out = block(x)
    for member in range(3):
        torch.testing.assert_close(out[member], x[member] @ block.weight[member] + block.bias[member])


def test_member_linear_keeps_variance() -> None:
    assert MemberLinear(8, 256, 256)(torch.randn(8, 64, 256)).std().item() == pytest.approx(1.0, abs=0.05)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ChoiceError, match="members is 0"):
        Members(0, 3)
    with pytest.raises(ChoiceError, match="'ones'"):
        Members(2, 3, "ones")
