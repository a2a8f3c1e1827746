"""Convolutions over time: padding changes no row, in training either."""

from __future__ import annotations

import pytest
import torch

from trine.blocks.temporal import OwnBatchNorm, Temporal, normalizations
from trine.errors import ChoiceError

LENGTHS = torch.tensor([7, 1, 12, 0, 4])


def series(channels: int = 3, longest: int = 12) -> torch.Tensor:
    return torch.randn(len(LENGTHS), longest, channels, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("normalization", list(normalizations))
@pytest.mark.parametrize("strides", [None, (2, 1, 3)])
def test_padding_changes_no_row(normalization: str, strides: tuple[int, ...] | None, training: bool) -> None:
    block = Temporal(3, 4, normalization=normalization, strides=strides, residual=True).train(training)
    x = series()
    together = block(x, LENGTHS)
    wide = torch.nn.functional.pad(x, (0, 0, 0, 9), value=50.0)
    wide[:, :12] = torch.where((torch.arange(12) >= LENGTHS[:, None])[:, :, None], -50.0, x)
    torch.testing.assert_close(block(wide, LENGTHS), together, atol=1e-5, rtol=1e-5)
    assert torch.isfinite(together).all()
    if not training:
        for row in (0, 1, 2, 4):
            alone = block(x[row : row + 1, : int(LENGTHS[row])], LENGTHS[row : row + 1])
            torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-5)


def test_statistics_are_of_own_steps_alone() -> None:
    norm = OwnBatchNorm(3, momentum=1.0)
    x = series().transpose(1, 2)
    own = torch.arange(12) < LENGTHS[:, None]
    out = norm(x, own)
    steps = x.transpose(1, 2)[own]
    torch.testing.assert_close(norm.running_mean, steps.mean(0))
    torch.testing.assert_close(norm.running_var, steps.var(0))
    torch.testing.assert_close(out.transpose(1, 2)[own].std(0, correction=0), torch.ones(3), atol=1e-3, rtol=0)


def test_rows_of_one_length_pass_as_in_torch() -> None:
    block = Temporal(2, 4, widths=(1.0,), kernels=(3,)).train()
    x, lengths = series(2), torch.full((5,), 12)
    unit = block.units[0]
    expected = torch.relu(
        torch.nn.functional.batch_norm(
            torch.nn.functional.conv1d(x.transpose(1, 2), unit.conv.weight, padding=1), None, None, training=True
        )
    )
    torch.testing.assert_close(block(x, lengths), expected.mean(2), atol=1e-5, rtol=1e-5)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ChoiceError, match="no normalization called 'bach'"):
        Temporal(1, normalization="bach")
