"""Sound: files and arrays of any rate, length and number of channels; bad ones named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from trine.domains import Audio, Column, Domain, Sequences
from trine.errors import DataError

RATE = 8000


def tone(seconds: float, hertz: float = 440.0, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def files(folder: Path, clips: dict[str, np.ndarray | None], rate: int = RATE) -> Column:
    for name, clip in clips.items():
        if clip is not None:
            soundfile.write(folder / name, clip, rate)
    names = np.array(list(clips), dtype=object)
    return Column("voice", np.arange(len(names), dtype=np.int32), names, base=str(folder))


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_files_are_read_bit_for_bit_or_as_their_format_keeps_them(tmp_path: Path, suffix: str) -> None:
    clips = {f"a.{suffix}": tone(0.3), f"b.{suffix}": tone(0.5, 300.0)}
    column = files(tmp_path, clips)
    assert Audio.recognise(column) == "paths of sound files"
    domain = Audio().fit(column)
    assert (domain.rate, domain.channels) == (RATE, 1)
    assert (domain.shortest, domain.furthest) == pytest.approx((0.3, 0.5))
    assert domain.loudness == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
    encoded = domain.encode(column)
    assert encoded.values.dtype == np.int16
    assert encoded.lengths.tolist() == [2400, 4000]
    for clip, back in zip(clips.values(), domain.decode(encoded), strict=True):
        np.testing.assert_allclose(back, clip, atol=0.05 if suffix == "ogg" else 1 / 32768)
    assert Domain.from_json(json.loads(json.dumps(domain.to_json()))) == domain


def test_another_rate_is_resampled_once_and_keeps_its_pitch(tmp_path: Path) -> None:
    domain = Audio().fit(files(tmp_path, {"a.wav": tone(0.5), "b.wav": tone(0.4)}))
    (tmp_path / "other").mkdir()
    encoded = domain.encode(files(tmp_path / "other", {"c.wav": tone(1.0, 440.0, 22050)}, 22050))
    assert encoded.lengths.tolist() == [RATE]
    spectrum = np.abs(np.fft.rfft(encoded.values[:, 0]))
    assert int(spectrum.argmax()) == 440


def test_channels_are_averaged_unless_nearly_all_have_more(tmp_path: Path) -> None:
    stereo = np.stack([tone(0.1), np.zeros(800, np.float32)], axis=1)
    both = files(tmp_path, {"a.wav": stereo, "b.wav": stereo})
    domain = Audio().fit(both)
    assert domain.channels == 2
    assert domain.encode(both).values.shape == (1600, 2)
    mono = Audio(channels=1).fit(both)
    np.testing.assert_allclose(mono.decode(mono.encode(both))[0], stereo.mean(1), atol=1e-4)


def test_arrays_need_a_rate_and_are_kept() -> None:
    clips = Sequences.of([tone(0.1), tone(0.2)])
    column = Column("voice", clips.values, offsets=clips.offsets)
    with pytest.raises(DataError, match=r"how many a second are they\? State it"):
        Audio().fit(column)
    domain = Audio(rate=RATE).fit(column)
    np.testing.assert_allclose(domain.decode(domain.encode(column))[1], tone(0.2), atol=1 / 32768)
    whole = Column("voice", np.full((3, 100), 1234, np.int16))
    assert (Audio(rate=RATE).fit(whole).encode(whole).values == 1234).all()


def test_missing_and_skipped_sounds_have_no_sample(tmp_path: Path) -> None:
    column = files(tmp_path, {"a.wav": tone(0.1), "b.wav": tone(0.1), "": None})
    (tmp_path / "b.wav").write_bytes(b"RIFF no sound at all")
    domain = Audio(on_bad="skip").fit(column)
    with pytest.warns(UserWarning, match="1 of 2 sounds cannot be read"):
        encoded, known = domain.encode_known(column)
    assert known.tolist() == [True, False, False]
    assert encoded.lengths.tolist() == [800, 0, 0]


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "the file is empty, 0 bytes"),
        (b"RIFF and nothing else", "format not recognised"),
        (None, "there is no such file"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, content: bytes | None, cause: str) -> None:
    column = files(tmp_path, {"a.wav": tone(0.1), "bad.wav": None})
    if content is not None:
        (tmp_path / "bad.wav").write_bytes(content)
    with pytest.raises(DataError, match=rf"'voice', row 2: .*bad\.wav cannot be read as sound: .*{cause}"):
        Audio().fit(column)


def test_no_samples_not_finite_too_long_and_clipped(tmp_path: Path) -> None:
    good = files(tmp_path, {"a.wav": tone(0.1)})
    domain = Audio(longest=2.0).fit(good)
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.float32), RATE)
    soundfile.write(tmp_path / "nan.wav", np.full(99, np.nan, np.float32), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "long.wav", np.zeros(3 * RATE, np.float32), RATE)
    soundfile.write(tmp_path / "loud.wav", np.sign(tone(0.1)), RATE)
    for name, cause in (("none", "no samples"), ("nan", "not a finite number"), ("long", "3 seconds, more than 2")):
        with pytest.raises(DataError, match=cause):
            domain.encode(files(tmp_path, {f"{name}.wav": None}))
    with pytest.warns(UserWarning, match=r"1 of 1 sounds are clipped.*loud\.wav, row 1"):
        domain.encode(files(tmp_path, {"loud.wav": None}))
    clip = np.array([[0.1, np.nan], [0.1, 0.2]])
    with pytest.raises(DataError, match="row 1: a sample is not a finite number"):
        Audio(rate=RATE).fit(Column("voice", np.array([[0.0, 0.1]]))).encode(Column("voice", clip))
