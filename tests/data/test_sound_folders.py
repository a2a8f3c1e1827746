"""A folder of class folders of sounds is read as one of images is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from trine.data import read
from trine.errors import DataError


def write(path: Path, hertz: float = 440.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hertz * np.arange(800) / 8000), 8000)


def test_class_folders_of_sounds(tmp_path: Path) -> None:
    for name in ("high/a.wav", "high/b.flac", "low/deep/c.ogg"):
        write(tmp_path / "train" / name)
    write(tmp_path / "val" / "high" / "d.wav")
    table = read(tmp_path)
    assert (table.names, table.key, table.targets, table.rows) == (["sound", "label"], "sound", ("label",), 3)
    assert read(tmp_path / "val").rows == 1
    label = table.column("label")
    assert [label.levels[code] for code in label.values] == ["high", "high", "low"]


def test_a_flat_folder_and_one_file(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    assert read(tmp_path).names == ["sound"]
    assert read(tmp_path / "a.wav").rows == 1


def test_images_and_sounds_in_one_folder_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "one" / "a.wav")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "one" / "b.png")
    with pytest.raises(DataError, match=r"has images \(one/b\.png\) and sounds \(one/a\.wav\)"):
        read(tmp_path)


def test_unreadable_sounds_are_left_out_when_asked(tmp_path: Path) -> None:
    for name in ("high/a.wav", "low/b.wav"):
        write(tmp_path / name)
    (tmp_path / "low" / "c.wav").write_bytes(b"nothing")
    table = read(tmp_path, on_bad="skip")
    assert table.rows == 2
    assert "c.wav" in table.skipped[0]


def test_sounds_of_one_class_are_refused_as_y(tmp_path: Path) -> None:
    write(tmp_path / "high" / "a.wav")
    with pytest.raises(DataError, match="has sounds of a single class, 'high'"):
        read(tmp_path, y="label")
