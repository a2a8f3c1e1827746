"""Sound files to samples: read, brought to one rate and number of channels."""

from __future__ import annotations

import math
import os
from typing import NamedTuple

import numpy as np

from ._pictures import Unreadable

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".aif", ".aiff", ".mp3")
FULL = 32768.0
"""Full scale of 16 bits."""

RATES = (1_000, 768_000)
"""Fewest and most samples a second of what is taken for sound."""


class About(NamedTuple):
    """What a file's header tells: samples a second, channels, samples of a channel."""

    rate: int
    channels: int
    frames: int


def about(path: str) -> About:
    """The header of a sound file.

    Raises:
        Unreadable: why it is none that can be used.
    """
    import soundfile

    _require_file(path)
    try:
        found = soundfile.info(path)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise Unreadable(_cause(error)) from None
    if found.frames == 0:
        raise Unreadable("it holds no samples")
    if not RATES[0] <= found.samplerate <= RATES[1]:
        raise Unreadable(
            f"its header tells of {found.samplerate:,} samples a second; from {RATES[0]:,} to {RATES[1]:,} are expected"
        )
    return About(int(found.samplerate), int(found.channels), int(found.frames))


def samples_of(path: str, rate: int, channels: int, longest: float) -> np.ndarray:
    """(samples, channels) int16 of a file, at ``rate`` samples a second.

    Args:
        longest: seconds that it may have.

    Raises:
        Unreadable: why not.
    """
    import soundfile

    head = about(path)
    if head.frames > longest * head.rate:
        raise Unreadable(f"it has {head.frames / head.rate:,.0f} seconds, more than {longest:,.0f} (longest)")
    try:
        samples, found = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise Unreadable(_cause(error)) from None
    if not len(samples):
        raise Unreadable("it holds no samples")
    if not np.isfinite(samples).all():
        raise Unreadable("a sample is not a finite number")
    return whole(at_rate(of_channels(samples, channels), int(found), rate))


def of_channels(samples: np.ndarray, channels: int) -> np.ndarray:
    """(samples, channels): their mean where one is wanted, the first ones, or the last repeated."""
    there = samples.shape[1]
    if there == channels:
        return samples
    if channels == 1:
        return np.asarray(samples.mean(axis=1, keepdims=True))
    return np.asarray(samples[:, np.minimum(np.arange(channels), there - 1)])


def at_rate(samples: np.ndarray, found: int, wanted: int) -> np.ndarray:
    """Samples at another rate, through a polyphase filter that keeps out what the new rate cannot hold."""
    if found == wanted:
        return samples
    from scipy.signal import resample_poly

    common = math.gcd(found, wanted)
    return np.asarray(resample_poly(samples, wanted // common, found // common, axis=0), dtype=np.float32)


def whole(samples: np.ndarray) -> np.ndarray:
    """Samples in [−1, 1] as int16."""
    return np.clip(np.rint(samples * FULL), -FULL, FULL - 1).astype(np.int16)


def clipped(samples: np.ndarray) -> float:
    """Share of int16 samples that are at full scale."""
    return float((np.abs(samples.astype(np.int32)) >= FULL - 1).mean()) if samples.size else 0.0


def _require_file(path: str) -> None:
    if not os.path.exists(path):
        raise Unreadable("there is no such file")
    if os.path.isdir(path):
        raise Unreadable("it is a folder")
    if os.path.getsize(path) == 0:
        raise Unreadable("the file is empty, 0 bytes")


def _cause(error: Exception) -> str:
    text = str(getattr(error, "error_string", "") or error).strip().rstrip(".")
    return text[:1].lower() + text[1:] if text else type(error).__name__
