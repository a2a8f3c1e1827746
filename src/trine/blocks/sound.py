"""Sound → features: a filterbank, the mel spectrogram's or a learned one on the waveform, and convolutions over it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from trine.choices import Choices
from trine.domains import Domain
from trine.domains.audio import Audio

from ._base import field_encoder
from .activations import activation_for
from .initialisation import init_conv
from .narrow import Conv2d
from .pooling import pooling_for
from .sequence import SequenceBlock, own_steps

WINDOW, HOP = 0.032, 0.010
"""Seconds of a frame, and between the starts of two."""
BANDS = 64
"""Bands of a filterbank."""
LOWEST = 40.0
"""Hertz of the lowest band's edge."""
LOUD = -3.0
"""About the mean of the logarithm of the power in a band, where loudness is not taken out."""
QUIET = 1e-4
"""Root mean square below which a clip is not made louder."""
FLOOR = 1e-3
"""Added to a band's power, in units of a clip's mean power, before the logarithm."""
WARPS = 21
"""Filterbanks with other vocal tract lengths that training draws from."""
WARP, STRETCH, NOISE, MASK = 0.2, 0.2, 0.03, 0.15
"""Bounds while training: how far frequencies are warped and time is stretched; noise's amplitude, and the share of bands and
of frames that is masked."""


HEARD, LONG = 10.0, 4.0
"""While training at most this many seconds of a clip are heard, or this many times the typical length."""


def mel(hertz: Tensor) -> Tensor:
    """O'Shaughnessy's scale of pitch, 2595 log10(1 + f / 700)."""
    return 2595.0 * torch.log10(1.0 + hertz / 700.0)


def band_edges(rate: int, bands: int = BANDS) -> Tensor:
    """(bands + 2,) hertz: edges and centres of triangular bands, evenly spaced in mel."""
    low, high = mel(torch.tensor([LOWEST, rate / 2.0], dtype=torch.float64))
    return 700.0 * (10.0 ** (torch.linspace(float(low), float(high), bands + 2, dtype=torch.float64) / 2595.0) - 1.0)


def mel_matrix(rate: int, window: int, bands: int = BANDS, warp: float = 1.0) -> Tensor:
    """(bands, window // 2 + 1) triangular filters over the bins of a spectrum, each of area 1.

    Args:
        warp: factor of all frequencies: as if the speaker's vocal tract were shorter (> 1) or longer.
    """
    edges = (band_edges(rate, bands) * warp).clamp_max(rate / 2.0)
    bins = torch.linspace(0.0, rate / 2.0, window // 2 + 1, dtype=torch.float64)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    width = rate / window  # a band narrower than a bin still takes the nearest
    rise = (bins - low) / (centre - low).clamp_min(width)
    fall = (high - bins) / (high - centre).clamp_min(width)
    filters = torch.minimum(rise, fall).clamp_min(0.0)
    return (filters / filters.sum(1, keepdim=True).clamp_min(1e-9)).to(torch.float32)


class MelSpectrogram(nn.Module):
    """Power in mel bands, a frame every 10 ms: (batch, samples) → (batch, bands, ⌈samples / hop⌉).

    (Davis and Mermelstein, 1980.) While training each clip is heard as if through another vocal tract: frequencies are warped
    by a factor of its own (Jaitly and Hinton, `Vocal Tract Length Perturbation improves speech recognition`, 2013).

    Args:
        rate: samples a second. warp: how far frequencies are warped while training, 0.2 for 1/1.2 to 1.2; 0 for none.
    """

    hann: Tensor
    filters: Tensor

    def __init__(self, rate: int, warp: float = WARP) -> None:
        super().__init__()
        self.hop = max(1, round(HOP * rate))
        self.window = 2 ** math.ceil(math.log2(max(WINDOW * rate, 16)))
        self.register_buffer("hann", torch.hann_window(self.window), persistent=False)
        factors = [1.0, *torch.linspace(-1.0, 1.0, WARPS).mul(math.log1p(warp)).exp().tolist()]
        self.register_buffer(
            "filters", torch.stack([mel_matrix(rate, self.window, warp=f) for f in factors]), persistent=False
        )
        self.warped = warp > 0

    def forward(self, x: Tensor) -> Tensor:
        frames = -(-x.shape[1] // self.hop)
        after = (frames - 1) * self.hop + self.window // 2 - x.shape[1]
        x = functional.pad(x, (self.window // 2, max(after, 0)))
        spectrum = torch.stft(x, self.window, self.hop, window=self.hann, center=False, return_complex=True)[
            :, :, :frames
        ]
        power = (spectrum.real.square() + spectrum.imag.square()) / self.hann.square().sum()
        if self.training and self.warped:
            which = torch.randint(1, len(self.filters), (len(x),), device=x.device)
            return torch.bmm(self.filters[which], power)
        return self.filters[0] @ power


class LearnedFilterbank(nn.Module):
    """Power through learned filters on the waveform, a frame every 10 ms: (batch, samples) → (batch, bands, ⌈samples / hop⌉).

    Pairs of strided convolutions, each pair's squares added; they start as Gabor wavelets in the places of the mel bands, and
    every sample of them is learned (Zeghidour et al., `Learning Filterbanks from Raw Speech for Phone Recognition`, 2018).

    Args:
        rate: samples a second.
    """

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.hop = max(1, round(HOP * rate))
        self.window = 2 * round(0.5 * WINDOW * rate) + 1
        edges = band_edges(rate)
        centre, width = edges[1:-1, None], (edges[2:] - edges[:-2])[:, None] / 2.0
        t = (torch.arange(self.window, dtype=torch.float64) - self.window // 2) / rate
        # The Gaussian's width in time, from the band's: a half at the band's edges; not longer than the window.
        spread = (0.5 * math.sqrt(2.0 * math.log(2.0)) / (math.pi * width)).clamp_max(0.25 * WINDOW)
        envelope = torch.exp(-0.5 * (t / spread) ** 2)
        waves = torch.cat(
            [envelope * torch.cos(2 * math.pi * centre * t), envelope * torch.sin(2 * math.pi * centre * t)]
        )
        waves = waves / waves.square().sum(1, keepdim=True).sqrt()
        self.filters = nn.Parameter(waves.to(torch.float32)[:, None])

    def forward(self, x: Tensor) -> Tensor:
        frames = -(-x.shape[1] // self.hop)
        after = (frames - 1) * self.hop + self.window // 2 + 1 - x.shape[1]
        x = functional.pad(x, (self.window // 2, max(after, 0)))
        cosine, sine = functional.conv1d(x[:, None], self.filters, stride=self.hop).float().chunk(2, dim=1)
        return (cosine.square() + sine.square())[:, :, :frames]


class SoundUnit(nn.Module):
    """φ(N(conv x)) with a 3 × 3 convolution over bands and frames, of stride ``stride``; what is padded stays 0.

    (batch, channels_in, bands, frames) → (batch, channels, ⌈bands / stride⌉, ⌈frames / stride⌉). With ``residual`` the input is
    added, and the sum scaled to keep its variance.
    """

    is_layer: ClassVar[bool] = True

    def __init__(
        self,
        channels_in: int,
        channels: int,
        activation: str,
        *,
        stride: int = 1,
        residual: bool = False,
        reads: str = "relu",
    ) -> None:
        super().__init__()
        self.conv = Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        init_conv(self.conv, reads)
        self.conv.weight.data = self.conv.weight.data.contiguous(memory_format=torch.channels_last)
        self.norm = OwnBatchNorm2d(channels)
        self.activation = activation_for(activation)
        self.stride = stride
        self.residual = residual

    def forward(self, x: Tensor, own: Tensor | None) -> Tensor:
        """``own``: (batch, frames out) bool, which are clips' own; None when all are."""
        found = self.activation(self.norm(self.conv(x), own))
        if self.residual:
            found = (found + x) * math.sqrt(0.5)
        return found if own is None else found.masked_fill(~own[:, None, None], 0.0)


class OwnBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the frames that are clips' own: (batch, channels, bands, frames) → the same."""

    def forward(self, x: Tensor, own: Tensor | None = None) -> Tensor:
        """``own``: (batch, frames) bool; None when all frames are."""
        if not self.training or own is None:
            return super().forward(x)
        weight = own.to(torch.float32)[:, None, None]
        count = (own.sum() * x.shape[2]).clamp_min(1).to(torch.float32)
        wide = x.float()
        mean = (wide * weight).sum((0, 2, 3)) / count
        variance = ((wide - mean[:, None, None]).square() * weight).sum((0, 2, 3)) / count
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            momentum = self.momentum if self.momentum is not None else 0.1
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * count / (count - 1).clamp_min(1), momentum)
            self.num_batches_tracked += 1
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return torch.addcmul((self.bias - mean * scale)[:, None, None], wide, scale[:, None, None]).to(x.dtype)


class Sound(SequenceBlock):
    """Waveforms → log power in bands → convolutions over bands and time → pooled: (batch, samples, channels) → (batch, features).

    A clip's loudness is taken out, since how far the speaker stood tells nothing. Then the logarithm of the power in each band,
    less its mean over the clip; convolutions that halve bands and frames four times; the maximum over bands; pooling over
    time. Padding changes nothing: frames of padding are held at 0 and count in no statistic.

    While training, with ``augment``: noise, frequencies warped (mel), time stretched, some bands and frames masked (Park et al.,
    `SpecAugment`, 2019); and of a clip that is far longer than others a part, another each time, so that one long recording
    does not decide what a batch costs.

    Args:
        rate: samples a second.
        channels_in: channels of the sound; each is a picture's colour to the convolutions.
        typical: seconds of a typical clip.
        learned: whether the filterbank is learned from the waveform.
        channels: width of the first convolution; it doubles twice.
        activation: name. augment: as above. dropout: share of features zeroed while training.
        pooling: ``mean``, ``max``, ``attention``, ``last`` or ``places``.
        loudness: in units of which clips are read where how loud they are tells; 0: it is taken out.
    """

    def __init__(
        self,
        rate: int,
        channels_in: int = 1,
        *,
        typical: float = 0.0,
        learned: bool = False,
        channels: int = 32,
        activation: str = "relu",
        augment: bool = True,
        dropout: float = 0.0,
        pooling: str = "mean",
        loudness: float = 0.0,
    ) -> None:
        super().__init__()
        self.augment, self.loudness = augment, loudness
        self.most = round(max(HEARD, LONG * typical) * rate)
        self.front = LearnedFilterbank(rate) if learned else MelSpectrogram(rate, WARP if augment else 0.0)
        self.first = Conv2d(channels_in, channels, 5, (2, 2), 2, bias=False)
        init_conv(self.first, "linear")
        self.first_norm = OwnBatchNorm2d(channels)
        self.activation = activation_for(activation)
        self.stages = nn.ModuleList()
        before = channels
        for after in (2 * channels, 4 * channels, 4 * channels):
            self.stages.append(SoundUnit(before, after, activation, stride=2, reads=activation))
            self.stages.append(SoundUnit(after, after, activation, residual=True, reads=activation))
            before = after
        self.width = before
        self.pooling = pooling_for(pooling, before)
        self.features = self.pooling.features
        self.dropout = nn.Dropout(dropout)
        how = "learned filterbank on the waveform" if learned else "log-mel spectrogram"
        self.words = (
            f"{rate:,} Hz, {how} of {BANDS} bands, {len(self.stages) + 1} convolutions, {activation}, batch norm, "
            f"residual, maximum over bands, {pooling} over time"
        )

    def states(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x, frames = self._picture(values, lengths)
        x = x.contiguous(memory_format=torch.channels_last)
        frames, own = self._halved(frames, x.shape[3])
        x = self.activation(self.first_norm(self.first(x), own))
        x = x if own is None else x.masked_fill(~own[:, None, None], 0.0)
        for unit in self.stages:
            if unit.stride == 2:
                frames, own = self._halved(frames, x.shape[3])
            x = unit(x, own)
        return x.amax(2).transpose(1, 2), frames

    def pool(self, states: Tensor, lengths: Tensor) -> Tensor:
        pooled: Tensor = self.dropout(self.pooling(states, lengths))
        return pooled

    def title(self) -> str:
        """The row of the derivation."""
        return self.words

    @staticmethod
    def _halved(frames: Tensor, there: int) -> tuple[Tensor, Tensor | None]:
        frames = (frames + 1) // 2
        steps = (there + 1) // 2
        own = own_steps(frames, steps)
        return frames, None if bool(own.all()) else own

    def _picture(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """((batch, channels, bands, frames) normalised log power, (batch,) frames of each clip)."""
        augment = self.augment and self.training
        if augment and values.shape[1] > self.most:
            values, lengths = _part(values, lengths, self.most)
        batch, samples, channels = values.shape
        own = own_steps(lengths, samples)[:, :, None]
        x = values.float().masked_fill(~own, 0.0)
        count = lengths.clamp_min(1)[:, None, None] * channels
        loud = (
            (x.square().sum((1, 2), keepdim=True) / count).sqrt() if not self.loudness else x.new_tensor(self.loudness)
        )
        x = x / loud.clamp_min(QUIET)
        if augment:
            x = x + (torch.randn_like(x) * NOISE * torch.rand(batch, 1, 1, device=x.device)).masked_fill(~own, 0.0)
        with torch.autocast(x.device.type, enabled=False):
            power = self.front(x.transpose(1, 2).reshape(batch * channels, samples))
        frames = (lengths + self.front.hop - 1) // self.front.hop
        picture = torch.log(power + FLOOR).view(batch, channels, *power.shape[1:])
        if augment:
            picture, frames = _stretched(picture, frames)
        own = own_steps(frames, picture.shape[3])[:, None, None]
        number = frames.clamp_min(1)[:, None, None, None] * picture.shape[2]
        middle = picture.masked_fill(~own, 0.0).sum((2, 3), keepdim=True) / number if not self.loudness else LOUD
        picture = picture - middle
        if augment:
            picture = _masked(picture, frames)
        return picture.masked_fill(~own, 0.0) * 0.5, frames


def _part(values: Tensor, lengths: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """At most ``most`` samples of each clip, (batch, most, channels), from a place that is drawn; and their numbers."""
    spare = (lengths - most).clamp_min(0)
    first = (torch.rand(len(values), device=values.device) * (spare + 1)).long().clamp_max(spare)
    places = first[:, None] + torch.arange(most, device=values.device)
    return values.gather(1, places[:, :, None].expand(-1, -1, values.shape[2])), lengths.clamp_max(most)


def _stretched(picture: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
    """The batch at another tempo: linear interpolation over frames."""
    factor = math.exp(float(torch.empty(()).uniform_(-1.0, 1.0)) * math.log1p(STRETCH))
    steps = max(1, round(picture.shape[3] * factor))
    places = (torch.arange(steps, device=picture.device) / factor).clamp_max(picture.shape[3] - 1.0)
    low = places.floor().long()
    high = (low + 1).clamp_max(picture.shape[3] - 1)
    share = (places - low).to(picture.dtype)
    longer = torch.where(frames > 0, (frames * factor).round().long().clamp(1, steps), frames)
    return picture[..., low] * (1.0 - share) + picture[..., high] * share, longer


def _masked(picture: Tensor, frames: Tensor) -> Tensor:
    """The batch with a stretch of bands and one of frames at the mean, of lengths drawn for each clip."""
    batch, _, bands, steps = picture.shape
    draw = torch.rand(4, batch, 1, device=picture.device)
    band = torch.arange(bands, device=picture.device)
    wide = draw[0] * MASK * 2 * bands
    first = draw[1] * (bands - wide)
    out = (band >= first) & (band < first + wide)
    picture = picture.masked_fill(out[:, None, :, None], 0.0)
    step = torch.arange(steps, device=picture.device)
    long = draw[2] * MASK * 2 * frames[:, None]
    start = draw[3] * (frames[:, None] - long)
    out = (step >= start) & (step < start + long)
    return picture.masked_fill(out[:, None, None], 0.0)


@field_encoder.register(Audio)
def sounds(first: Audio, domains: Sequence[Domain], choices: Choices) -> Sound:
    """The block of a sound's own field; by default on a log-mel spectrogram, augmented while training."""
    return Sound(
        first.rate,
        first.channels,
        typical=first.typical,
        learned=choices.audio == "waveform",
        channels=choices.channels or 32,
        activation=choices.activation or "relu",
        augment=choices.augment is not False,
        dropout=choices.dropout or 0.0,
        pooling=choices.pooling or "mean",
        # What is pooled so is to be given again, and as loud.
        loudness=first.loudness if choices.pooling == "places" else 0.0,
    )
