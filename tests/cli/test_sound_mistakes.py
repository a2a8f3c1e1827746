"""Bad sound in tables: each named by row and column, in one sentence with its remedy; silence and gaps are no mistakes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import trine
from trine.cli import main
from trine.errors import ChoiceError, DataError

RATE, ROWS = 8000, 24


def clip(index: int) -> np.ndarray:
    """Samples of a low tone for odd rows and of a high one for even, of a length of their own."""
    t = np.arange(1200 + 50 * index) / RATE
    return 0.3 * np.sin(2 * np.pi * (400 if index % 2 else 1200) * t)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sounds")
    for i in range(ROWS):
        soundfile.write(root / f"{i}.wav", clip(i), RATE)
    soundfile.write(root / "none.wav", np.zeros(0), RATE)
    soundfile.write(root / "nan.wav", np.full(1000, np.nan, np.float32), RATE, subtype="FLOAT")
    soundfile.write(root / "silent.wav", np.zeros(1000), RATE)
    soundfile.write(root / "loud.wav", np.sign(clip(1)), RATE)
    soundfile.write(root / "slow.wav", clip(1), 50)
    with soundfile.SoundFile(root / "long.flac", "w", RATE, 1) as file:
        for _ in range(11):
            file.write(np.zeros(RATE * 60, np.int16))
    (root / "empty.wav").write_bytes(b"")
    (root / "bad.wav").write_bytes(b"no sound at all")
    (root / "cut.wav").write_bytes((root / "3.wav").read_bytes()[:30])
    (root / "folder.wav").mkdir()
    return root


def table(folder: Path, fifth: str) -> Path:
    """A table of the folder's sounds whose fifth row names another file."""
    path = folder / "table.csv"
    names = [fifth if i == 4 else f"{i}.wav" for i in range(ROWS)]
    path.write_text("sound,y\n" + "".join(f"{name},{'ab'[i % 2]}\n" for i, name in enumerate(names)))
    return path


def fit(data: Any, **more: Any) -> Any:
    return trine.fit(data, y="y", epochs=1, seed=0, channels=4, **more)


def samples(change: Callable[[np.ndarray], Any] | None = None, kind: type = np.float64) -> dict[str, Any]:
    """A mapping of samples whose sixth row is changed."""
    rows = [(clip(i) * (32768 if kind is np.int16 else 1)).astype(kind) for i in range(ROWS)]
    if change is not None:
        rows[5] = change(rows[5])
    return {"sound": rows, "y": np.array(list("ab") * (ROWS // 2))}


STATED = {"sound": f"audio(rate={RATE})"}


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("none.wav", "none.wav cannot be read as sound: it holds no samples"),
        ("nan.wav", "nan.wav cannot be read as sound: a sample is not a finite number"),
        ("empty.wav", "empty.wav cannot be read as sound: the file is empty, 0 bytes"),
        ("bad.wav", "bad.wav cannot be read as sound: format not recognised"),
        ("cut.wav", "cut.wav cannot be read as sound: error in WAV file"),
        ("folder.wav", "folder.wav cannot be read as sound: it is a folder"),
        ("slow.wav", "its header tells of 50 samples a second; from 1,000 to 768,000 are expected"),
        ("long.flac", "long.flac cannot be read as sound: it has 660 seconds, more than 600"),
        ("nowhere.wav", "nowhere.wav cannot be read as sound: there is no such file"),
        ("../../outside.wav", "the path '../../outside.wav' leads out of the data's folder"),
    ],
)
def test_a_bad_file_is_named_with_row_column_and_remedy(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, cause: str
) -> None:
    arguments = ["fit", str(table(folder, name)), "--y", "y", "--out", str(tmp_path / "out"), "-q"]
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    said = capsys.readouterr().err.strip()
    assert stop.value.code == 2
    assert said.startswith("trine: ")
    assert "Column 'sound', row 5: " in said
    assert cause in said
    assert any(remedy in said for remedy in ("--on-bad skip", "Put the file below that folder"))
    assert "Traceback" not in said


@pytest.mark.parametrize("name", ["bad.wav", "nowhere.wav", "long.flac", ""])
def test_a_bad_or_missing_file_may_count_as_missing(folder: Path, name: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Column 'sound': 1 of 24 sounds cannot be read")
        model = fit(table(folder, name), on_bad="skip")
    assert np.isfinite(model.predict_proba(table(folder, ""))).all()


def test_a_sound_that_is_missing_when_predicting_is_answered_by_the_prior(folder: Path) -> None:
    model = fit(table(folder, "4.wav"))
    assert model.predict_proba(table(folder, ""))[4] == pytest.approx([0.5, 0.5], abs=0.02)


def test_silence_is_a_legal_value(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(table(folder, "silent.wav"))


def test_clipped_files_and_samples_are_told(folder: Path) -> None:
    with pytest.warns(
        UserWarning, match=r"1 of 24 sounds are clipped.*at full scale; the first is .*loud\.wav, row 5\."
    ):
        fit(table(folder, "loud.wav"))
    with pytest.warns(UserWarning, match=r"1 of 24 sounds are clipped.*at full scale; the first is row 6\."):
        fit(samples(np.sign), domains=STATED)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda row: np.append(row, np.nan), "a sample is not a finite number"),
        (lambda row: np.append(row, -np.inf), "a sample is not a finite number"),
        (lambda row: row[:0], "the sound has no samples"),
        (lambda row: row * 2**31, "where full scale is 1. Divide the samples by their own full scale"),
        (lambda row: np.zeros(601 * RATE), r"601 seconds, more than 600.*audio\(rate=8000, longest=601\)"),
    ],
    ids=["nan", "inf", "empty", "integers as floats", "long"],
)
def test_bad_samples_are_named_with_row_and_column(change: Callable[[np.ndarray], Any], cause: str) -> None:
    with pytest.raises(DataError, match=f"Column 'sound', row 6: .*{cause}"):
        fit(samples(change), domains=STATED)


def test_samples_of_32_bits_are_refused_and_not_cut_off() -> None:
    data = samples()
    data["sound"] = [(row * 2**31).astype(np.int32) for row in data["sound"]]
    with pytest.raises(DataError, match=r"Column 'sound', row 1: a sample is .* where full scale is 32,768"):
        fit(data, domains=STATED)


def test_samples_of_16_bits_beside_a_missing_row_keep_their_scale() -> None:
    # NumPy makes them floats, since the missing row's are.
    encoded = [fit(samples(change, np.int16), domains=STATED) for change in (None, lambda row: None)]
    assert [model.schema_.x["sound"].loudness for model in encoded] == pytest.approx([0.3 / np.sqrt(2)] * 2, rel=1e-3)


@pytest.mark.parametrize(
    ("stated", "cause"),
    [
        ("audio(rate=50)", "rate is 50; it is a whole number of samples a second, from 1,000 to 768,000"),
        ("audio(rate=-8000)", "rate is -8000"),
        ("audio(rate=8000, channels=-1)", "channels is -1; it is a whole number, 1 or more"),
        ("audio(rate=8000, longest=0)", "longest is 0; it is a number of seconds above 0"),
    ],
)
def test_settings_that_no_sound_has_are_named(stated: str, cause: str) -> None:
    with pytest.raises(ChoiceError, match=cause):
        fit(samples(), domains={"sound": stated})


def test_samples_without_a_rate_ask_for_it() -> None:
    with pytest.raises(DataError, match=r"'sound' holds samples and not files.*--domain 'sound=audio\(rate=16000\)'"):
        fit(samples(), domains={"sound": "audio"})
