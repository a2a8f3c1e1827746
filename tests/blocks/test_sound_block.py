"""Sound through filterbanks and convolutions: padding and loudness change nothing, bands are where they should be."""

from __future__ import annotations

import math

import pytest
import torch

from trine.blocks.sound import (
    BANDS,
    LearnedFilterbank,
    MelSpectrogram,
    OwnBatchNorm2d,
    Sound,
    _part,
    band_edges,
    mel_matrix,
)

LENGTHS = torch.tensor([3000, 801, 4100, 0, 1])


def clips(channels: int = 1) -> torch.Tensor:
    return torch.randn(5, 4100, channels, generator=torch.Generator().manual_seed(0)) * 0.1


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("learned", [False, True])
def test_padding_changes_no_clip(learned: bool, channels: int) -> None:
    block = Sound(8000, channels, learned=learned, channels=8).eval()
    x = clips(channels)
    together = block(x, LENGTHS)
    assert torch.isfinite(together).all()
    wide = torch.nn.functional.pad(x, (0, 0, 0, 1700), value=3.0)
    torch.testing.assert_close(block(wide, LENGTHS), together, atol=1e-4, rtol=1e-4)
    for row in (0, 1, 2, 4):
        alone = block(x[row : row + 1, : int(LENGTHS[row])], LENGTHS[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], atol=1e-4, rtol=1e-4)


def test_padding_changes_no_statistic_while_training() -> None:
    x = clips()
    wide = torch.nn.functional.pad(x, (0, 0, 0, 1700), value=3.0)
    blocks = []
    for batch in (x, wide):
        torch.manual_seed(0)
        block = Sound(8000, augment=False, channels=8).train()
        block(batch, LENGTHS)
        blocks.append(block)
    for (name, one), other in zip(blocks[0].named_buffers(), blocks[1].buffers(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4, msg=name)


def test_batch_norm_of_own_frames_is_torchs_when_all_are() -> None:
    x = torch.randn(4, 3, 5, 6)
    ours, torchs = OwnBatchNorm2d(3), torch.nn.BatchNorm2d(3)
    own = torch.ones(4, 6, dtype=torch.bool)
    torch.testing.assert_close(ours(x, own), torchs(x))
    torch.testing.assert_close(ours.running_mean, torchs.running_mean)
    torch.testing.assert_close(ours.running_var, torchs.running_var)


@pytest.mark.parametrize("front", [MelSpectrogram, LearnedFilterbank])
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_tone_lights_its_band(front: type, rate: int) -> None:
    centres = band_edges(rate)[1:-1]
    block = front(rate).eval()
    for hertz in (500.0, 1500.0, 3000.0):
        wave = torch.sin(2 * math.pi * hertz * torch.arange(rate // 2) / rate)[None]
        power = block(wave)[0].detach()
        assert power.shape == (BANDS, math.ceil(wave.shape[1] / block.hop))
        found = float(centres[power[:, 10:-10].mean(1).argmax()])
        assert found == pytest.approx(hertz, rel=0.08)


def test_a_clip_that_is_louder_gives_the_same() -> None:
    block = Sound(8000, channels=8).eval()
    x, lengths = clips()[:1], LENGTHS[:1]
    torch.testing.assert_close(block(x, lengths), block(x * 7, lengths), atol=1e-4, rtol=1e-4)
    assert torch.isfinite(block(torch.zeros_like(x), lengths)).all()


def test_a_warped_filterbank_hears_another_pitch() -> None:
    plain, warped = mel_matrix(8000, 256), mel_matrix(8000, 256, warp=1.2)
    assert plain.sum(1).tolist() == pytest.approx([1.0] * BANDS, abs=1e-5)
    centre = torch.linspace(0, 4000, 129)
    where = [float((matrix[30] * centre).sum() / matrix[30].sum()) for matrix in (plain, warped)]
    assert where[1] / where[0] == pytest.approx(1.2, rel=0.05)


def test_augmentation_changes_training_alone() -> None:
    block = Sound(8000, channels=8)
    x, lengths = clips()[:3], LENGTHS[:3]
    block.train()
    assert not torch.allclose(block(x, lengths), block(x, lengths))
    block.eval()
    assert torch.equal(block(x, lengths), block(x, lengths))


def test_of_a_very_long_clip_training_hears_a_part_and_evaluation_all() -> None:
    block = Sound(1000, typical=0.1, channels=8)
    assert block.most == 10_000
    x, lengths = torch.randn(3, 25_000, 1), torch.tensor([25_000, 9_000, 0])
    assert block.train().states(x, lengths)[0].shape[1] <= math.ceil(1.21 * 1000 / 16) + 1
    assert block.eval().states(x, lengths)[0].shape[1] == math.ceil(2500 / 16)
    ramp = torch.arange(25_000.0)[None, :, None].expand(3, -1, -1)
    part, left = _part(ramp, lengths, 10_000)
    assert left.tolist() == [10_000, 9_000, 0]
    assert part.shape == (3, 10_000, 1)
    assert 0 <= part[0, 0, 0] <= 15_000
    assert (part[:, 1:] - part[:, :-1] == 1).all()
    assert torch.equal(part[1, :9_000], ramp[1, :9_000])
