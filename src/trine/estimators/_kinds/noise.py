"""Noise to begin from, in each domain's own way."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from trine.domains import Audio, Domain, Image, Labels, Series, Text, Vector


@functools.singledispatch
def noise(domain: Domain, known: Callable[[], Any], n: int, rng: np.random.Generator) -> Any:
    """``n`` values of noise, in the user's units; open by ``noise.register(DomainType)``.

    In general a value of the known rows, drawn for each column by itself, so that nothing holds the columns together.

    Args:
        domain: fitted. known: gives the column of the known rows. n: how many. rng: generator.
    """
    values = known()
    rows = rng.integers(len(values), size=n)
    return values[rows] if isinstance(values, np.ndarray) else [values[int(row)] for row in rows]


@noise.register
def _(domain: Image, known: Callable[[], Any], n: int, rng: np.random.Generator) -> Any:
    """Each pixel uniform between black and white."""
    return domain.decode(rng.random((n, domain.channels, domain.height, domain.width)).astype(np.float32))


@noise.register
def _(domain: Series, known: Callable[[], Any], n: int, rng: np.random.Generator) -> Any:
    """White noise with each channel's mean and standard deviation, of the usual number of steps."""
    steps = max(round(domain.typical), 1)
    white = rng.normal(size=(n, steps, domain.channels)) * np.array(domain.std) + np.array(domain.mean)
    return np.moveaxis(white, 1, 2) if domain.channels_first else white


@noise.register
def _(domain: Labels, known: Callable[[], Any], n: int, rng: np.random.Generator) -> Any:
    """Each label by itself, as often as in the training rows."""
    return domain.decode(rng.random((n, domain.size)) < np.array(domain.shares))


@noise.register
def _(domain: Audio, known: Callable[[], Any], n: int, rng: np.random.Generator) -> Any:
    """White noise as loud as the training sounds, each as long as a known one."""
    lengths = rng.choice([len(clip) for clip in known() if len(clip)], n)
    white = [rng.normal(scale=domain.loudness or 0.1, size=(int(length), domain.channels)) for length in lengths]
    clips = [clip.clip(-1.0, 1.0).astype(np.float32) for clip in white]
    return [clip[:, 0] for clip in clips] if domain.channels == 1 else clips


@noise.register
def _(domain: Text, known: Callable[[], Any], n: int, rng: np.random.Generator) -> Any:
    """Tokens of the vocabulary, each as likely as any other, as many as a known text has."""
    texts = [text for text in known() if text]
    lengths = rng.choice(domain.tokens.encode(texts).lengths, n)
    first = domain.size - len(domain.vocabulary)
    return domain.decode([rng.integers(first, domain.size, int(length)) for length in lengths])


@noise.register
def _(domain: Vector, known: Callable[[], Any], n: int, rng: np.random.Generator) -> Any:
    """Each entry by itself, normal with its mean and standard deviation."""
    return domain.decode(rng.normal(size=(n, domain.size)) * np.array(domain.std) + np.array(domain.mean))
