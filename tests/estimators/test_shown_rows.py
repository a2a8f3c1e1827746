"""What a report shows of a row: a sound's waveform and spectrogram, and in words what has no picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import trine
from trine.domains import Audio, Column, Real, Sequences
from trine.estimators._shown.record import SHOWN_SIDE, WAVE_HEIGHT, picture

RATE = 8000


def sound(samples: np.ndarray) -> Column:
    rows = Sequences.of([samples.astype(np.float32)])
    return Column("voice", rows.values, offsets=rows.offsets)


def tone(hertz: float, seconds: float = 0.5) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def shown(samples: np.ndarray) -> np.ndarray:
    pixels = picture(Audio(rate=RATE, channels=1), sound(samples))
    assert pixels is not None
    assert (pixels.shape, pixels.dtype) == ((1, SHOWN_SIDE, SHOWN_SIDE), np.uint8)
    return pixels[0]


def test_a_higher_tone_is_higher_and_later_is_to_the_right() -> None:
    places = [int(shown(tone(hertz))[WAVE_HEIGHT:].mean(1).argmax()) for hertz in (300.0, 1000.0, 3000.0)]
    assert places == sorted(places, reverse=True)
    late = shown(np.concatenate([np.zeros(4000), tone(500.0)]))
    half = SHOWN_SIDE // 2
    wave, bands = late[:WAVE_HEIGHT] > 0, late[WAVE_HEIGHT:]
    assert (wave[:, : half - 2].sum(0) == 1).all(), "silence is a line"
    assert wave[:, half + 2 :].sum(0).mean() > 0.8 * WAVE_HEIGHT
    assert bands[:, : half - 4].max() == 0
    assert bands[:, half + 4 :].max() == 255


@pytest.mark.parametrize("samples", [np.zeros(800), np.full(1, 0.1), tone(400.0, 60.0)], ids=["silent", "one", "long"])
def test_any_sound_can_be_drawn(samples: np.ndarray) -> None:
    shown(samples)


def test_other_domains_have_no_picture() -> None:
    assert picture(Real(), Column("a", np.zeros(1))) is None


def test_mistaken_sounds_are_kept_as_pictures_and_the_rest_as_words(tmp_path: Path) -> None:
    # Labels by chance: some evaluated rows are mistaken, and some of these lack their sound or their series.
    rng = np.random.default_rng(0)
    count = 60
    voices = [None if i % 3 == 0 else tone(500.0, 0.1 + 0.002 * i).astype(np.float32) for i in range(count)]
    series = [None if i % 4 == 0 else rng.normal(size=10 + i % 7) for i in range(count)]
    data = {"voice": voices, "curve": series, "a": rng.normal(size=count), "y": rng.integers(0, 2, count)}
    domains = {"voice": f"audio(rate={RATE})", "y": "category"}
    trine.fit(data, y="y", domains=domains, valid=0.5, epochs=1, channels=4, seed=0, out=tmp_path / "run")
    mistakes = json.loads((tmp_path / "run" / "record.json").read_text())["mistakes"]
    assert mistakes
    kinds = set()
    for mistake in mistakes:
        index = int(mistake["row"]) - 1
        voice, curve = voices[index], series[index]
        assert (mistake["image"] is None) == (voice is None and curve is None)
        assert mistake["image"] is None or mistake["image"].startswith("data:image/png;base64,")
        assert mistake["values"]["voice"] == ("missing" if voice is None else f"{len(voice):,} steps")
        words = "missing" if curve is None else f"{len(curve)} steps" if len(curve) > 12 else None
        assert mistake["values"]["curve"] == (words or " ".join(f"{number:.6g}" for number in curve))
        kinds.add((voice is None, curve is None))
    assert len(kinds) > 2
