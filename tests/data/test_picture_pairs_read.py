"""Pairs of pictures read from folders: halves of one file, equal names in two folders; what has no partner is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from trine.data import Schema, read
from trine.domains import Image
from trine.errors import DataError

RNG = np.random.default_rng(0)


def picture(path: Path, height: int = 8, width: int = 8) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)
    Pillow.fromarray(pixels).save(path)
    return pixels


def encoded(folder: Path, **more: str) -> dict[str, np.ndarray]:
    """Column → (n, channels, height, width)."""
    table = read(folder, pairs=(), **more)
    schema = Schema.infer(table, table.targets).fit(table)
    domains = {**schema.x, **schema.y}
    assert all(isinstance(domain, Image) for domain in domains.values())
    return {name: domain.encode(table.column(name)) for name, domain in domains.items()}


def test_halves_of_one_file(tmp_path: Path) -> None:
    pixels = np.stack([picture(tmp_path / f"{i}.png", 8, 20) for i in range(5)])
    table = read(tmp_path, pairs=())
    assert (table.names, table.targets, table.rows) == (["left", "right"], ("right",), 5)
    found = encoded(tmp_path)
    assert np.array_equal(found["left"], pixels[:, :, :10].transpose(0, 3, 1, 2))
    assert np.array_equal(found["right"], pixels[:, :, 10:].transpose(0, 3, 1, 2))


def test_a_picture_that_a_camera_turned_is_halved_upright(tmp_path: Path) -> None:
    upright = picture(tmp_path / "0.png", 8, 16)
    picture(tmp_path / "1.png", 8, 16)
    exif = Pillow.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    turned = Pillow.fromarray(np.rot90(upright).copy())
    turned.save(tmp_path / "0.png", exif=exif)
    found = encoded(tmp_path)
    assert np.array_equal(found["left"][0], upright[:, :8].transpose(2, 0, 1))
    assert np.array_equal(found["right"][0], upright[:, 8:].transpose(2, 0, 1))


def test_a_folder_that_is_called_like_a_half_is_no_half(tmp_path: Path) -> None:
    pixels = np.stack([picture(tmp_path / "a#left" / f"{i}.png", 8, 16) for i in range(2)])
    assert np.array_equal(encoded(tmp_path / "a#left")["left"], pixels[:, :, :8].transpose(0, 3, 1, 2))


def test_equal_names_in_two_folders_whatever_the_endings_at_any_depth(tmp_path: Path) -> None:
    edges, photos = [], []
    for name in ("1", "2", "deep/3"):
        edges.append(picture(tmp_path / "edges" / f"{name}.png"))
        photos.append(picture(tmp_path / "photos" / f"{name}.bmp", 12, 12))
    table = read(tmp_path, pairs=())
    assert (table.names, table.targets) == (["edges", "photos"], ("photos",))
    found = encoded(tmp_path)
    assert np.array_equal(found["edges"], np.stack(edges).transpose(0, 3, 1, 2))
    assert np.array_equal(found["photos"], np.stack(photos).transpose(0, 3, 1, 2))
    two = read((tmp_path / "photos", str(tmp_path / "edges")), pairs=())
    assert (two.names, two.targets) == (["photos", "edges"], ("edges",))


def test_of_parts_the_training_part_is_read(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / "train" / f"{i}.png", 8, 16)
        picture(tmp_path / "val" / f"{i + 3}.png", 8, 16)
    assert [path.name for path in read(tmp_path, pairs=())._files] == ["0.png", "1.png", "2.png"]
    assert read(tmp_path / "val", pairs=()).rows == 3


def test_pictures_without_a_partner_are_named_or_left_out(tmp_path: Path) -> None:
    for name in ("1", "2", "3"):
        picture(tmp_path / "a" / f"{name}.png")
    for name in ("2", "3", "4"):
        picture(tmp_path / "b" / f"{name}.png")
    with pytest.raises(DataError, match=r"2 of 6 pictures have no partner: .*a/1\.png \(there is no .*b/1\.\*\)"):
        read(tmp_path, pairs=())
    table = read(tmp_path, pairs=(), on_bad="skip")
    assert table.rows == 2
    assert len(table.skipped) == 2
    assert "1.png" in table.skipped[0]


def test_what_cannot_be_pairs_is_said(tmp_path: Path) -> None:
    picture(tmp_path / "odd" / "7.png", 8, 15)
    with pytest.raises(DataError, match=r"7\.png is 15 pixels wide"):
        read(tmp_path / "odd", pairs=())
    picture(tmp_path / "twice" / "a" / "1.png")
    picture(tmp_path / "twice" / "a" / "1.bmp")
    picture(tmp_path / "twice" / "b" / "1.png")
    with pytest.raises(DataError, match=r"has 1\.bmp and 1\.png"):
        read(tmp_path / "twice", pairs=())
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no pictures in it"):
        read((tmp_path / "odd", tmp_path / "empty"), pairs=())
    with pytest.raises(DataError, match="There is no file or folder"):
        read(tmp_path / "nowhere", pairs=())


def test_a_damaged_file_is_named_or_left_out(tmp_path: Path) -> None:
    for i in range(4):
        picture(tmp_path / f"{i}.png", 8, 16)
    (tmp_path / "4.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"4\.png"):
        encoded(tmp_path)
    assert len(encoded(tmp_path, on_bad="skip")["left"]) == 4


def test_classes_stay_classes(tmp_path: Path) -> None:
    for kind in ("cat", "cow", "dog"):
        picture(tmp_path / kind / "1.png")
        picture(tmp_path / kind / "2.png")
    assert read(tmp_path, pairs=()).names == ["image", "label"]


def test_a_named_column_says_whether_folders_are_pairs_or_classes(tmp_path: Path) -> None:
    for kind in ("cat", "dog"):
        picture(tmp_path / kind / "1.png")
        picture(tmp_path / kind / "2.png")
    assert read(tmp_path, pairs=("cat",)).names == ["cat", "dog"]
    assert read(tmp_path, pairs=("image",)).names == ["image", "label"]
