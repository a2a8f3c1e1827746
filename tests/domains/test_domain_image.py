"""Images: files and arrays of every kind to pixels of one size, and what happens to the bad ones."""

from __future__ import annotations

import json
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from trine.domains import Column, Domain, Image
from trine.domains import _pictures as pictures
from trine.domains.image import _frame
from trine.errors import DataError


def files(folder: Path, names: list[str | None]) -> Column:
    levels = sorted({name for name in names if name is not None})
    codes = [-1 if name is None else levels.index(name) for name in names]
    return Column("photo", np.array(codes, dtype=np.int32), np.array(levels, dtype=object), base=str(folder))


def pixels(*shape: int, kind: str = "uint8") -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, np.iinfo(kind).max, shape, dtype=kind, endpoint=True)


def save(folder: Path, name: str, array: np.ndarray, **options: object) -> np.ndarray:
    Picture.fromarray(array).save(folder / name, **options)
    return array


def same(domain: Image) -> None:
    assert Domain.from_json(json.loads(json.dumps(domain.to_json(), allow_nan=False))) == domain


@pytest.mark.parametrize("shape", [(6, 28, 20), (6, 9, 9, 1), (6, 12, 10, 3), (6, 8, 8, 4)])
@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_arrays_are_kept_bit_for_bit(shape: tuple[int, ...], kind: str) -> None:
    raw = pixels(*shape, kind=kind)
    column = Column("photo", raw)
    assert Image.recognise(column) is not None
    domain = Image().fit(column)
    channels = shape[3] if len(shape) == 4 else 1
    assert (domain.channels, domain.height, domain.width) == (channels, *shape[1:3])
    assert domain.bits == np.iinfo(kind).bits
    encoded = domain.encode(column)
    assert encoded.shape == (6, channels, *shape[1:3])
    assert encoded.dtype == kind
    np.testing.assert_array_equal(domain.decode(encoded).reshape(shape), raw)
    unit = encoded / np.iinfo(kind).max
    np.testing.assert_allclose(domain.mean, unit.mean((0, 2, 3)))
    np.testing.assert_allclose(domain.std, unit.std((0, 2, 3)))
    same(domain)


def test_grey_arrays_are_not_copied() -> None:
    raw = pixels(5, 8, 8)
    column = Column("photo", raw)
    assert np.shares_memory(Image().fit(column).encode(column), raw)


@pytest.mark.parametrize(
    ("raw", "white", "bits"),
    [
        (np.arange(64.0).reshape(1, 8, 8) % 17, 16.0, 8),
        (pixels(4, 8, 8) / 255.0, 1.0, 8),
        (pixels(4, 8, 8).astype(np.float32), 255.0, 8),
        (np.random.default_rng(0).random((40, 16, 16)), 1.0, 16),
        (pixels(4, 8, 8).astype(np.int64), 255.0, 8),
    ],
)
def test_pixels_of_other_types(raw: np.ndarray, white: float, bits: int) -> None:
    domain = Image().fit(Column("photo", raw))
    assert (domain.black, domain.white, domain.bits) == (0.0, white, bits)
    back = domain.decode(domain.encode(Column("photo", raw)))
    assert back.dtype == raw.dtype
    np.testing.assert_allclose(back, raw, atol=white / (2**bits - 1) / 1.9)
    same(domain)


def test_arrays_of_another_size_or_number_of_channels() -> None:
    domain = Image().fit(Column("photo", pixels(3, 16, 16)))
    flat = np.full((2, 32, 24), 77, dtype=np.uint8)
    encoded = domain.encode(Column("photo", flat))
    assert encoded.shape == (2, 1, 16, 16)
    assert (encoded == 77).all()
    with pytest.raises(DataError, match="3 channels and training had 1"):
        domain.encode(Column("photo", pixels(3, 16, 16, 3)))
    broken = np.zeros((2, 16, 16))
    broken[1, 3, 3] = np.nan
    with pytest.raises(DataError, match="row 2: a pixel is not a finite number"):
        domain.encode(Column("photo", broken))


def test_png_and_jpeg_files(tmp_path: Path) -> None:
    colour = save(tmp_path, "a.png", pixels(12, 10, 3))
    smooth = np.broadcast_to(np.arange(10, dtype=np.uint8)[None, :, None] * 20, (12, 10, 3)).copy()
    save(tmp_path, "b.jpg", smooth, quality=95)
    column = files(tmp_path, ["b.jpg", "a.png", None, "a.png"])
    domain = Image().fit(column)
    assert (domain.channels, domain.height, domain.width, domain.bits) == (3, 12, 10, 8)
    assert domain.missing == 0.25
    encoded, known = domain.encode_known(column)
    assert known.tolist() == [True, True, False, True]
    np.testing.assert_array_equal(encoded[1], colour.transpose(2, 0, 1))
    np.testing.assert_array_equal(encoded[3], encoded[1])
    assert np.abs(encoded[0].transpose(1, 2, 0).astype(int) - smooth).max() < 16
    assert not encoded[2].any()
    same(domain)


def test_sixteen_bits_keep_their_precision(tmp_path: Path) -> None:
    deep = save(tmp_path, "deep.png", pixels(9, 8, kind="uint16"))
    flat = save(tmp_path, "flat.png", pixels(9, 8))
    column = files(tmp_path, ["deep.png", "flat.png"])
    domain = Image().fit(column)
    assert (domain.channels, domain.bits) == (1, 16)
    encoded = domain.encode(column)
    np.testing.assert_array_equal(encoded[0, 0], deep)
    np.testing.assert_array_equal(encoded[1, 0], flat.astype(np.uint16) * 257)


def test_modes(tmp_path: Path) -> None:
    grey = save(tmp_path, "grey.png", pixels(8, 8))
    transparent = np.zeros((8, 8, 4), dtype=np.uint8)
    transparent[:4, :, 3] = 255
    save(tmp_path, "clear.png", transparent)
    palette = pixels(8, 8, 3)
    Picture.fromarray(palette).quantize(4).save(tmp_path / "palette.png")
    Picture.fromarray(palette).convert("CMYK").save(tmp_path / "cmyk.jpg")
    Picture.fromarray(grey).convert("1").save(tmp_path / "bits.png")
    column = files(tmp_path, ["grey.png", "clear.png", "palette.png", "cmyk.jpg", "bits.png"])
    domain = Image().fit(column)
    assert domain.channels == 3
    encoded = domain.encode(column)
    np.testing.assert_array_equal(encoded[0], np.stack([grey] * 3))
    assert (encoded[1, :, :4] == 0).all()
    assert (encoded[1, :, 4:] == 255).all()
    assert Image().fit(files(tmp_path, ["grey.png", "bits.png"])).channels == 1


def test_photos_are_turned_upright(tmp_path: Path) -> None:
    lying = np.zeros((20, 40, 3), dtype=np.uint8)
    lying[:, :20] = 255
    exif = Picture.Exif()
    exif[0x0112] = 6  # turn by a quarter, clockwise
    save(tmp_path, "a.jpg", lying, exif=exif, quality=95)
    column = files(tmp_path, ["a.jpg"])
    domain = Image().fit(column)
    assert (domain.height, domain.width) == (40, 20)
    encoded = domain.encode(column)[0]
    assert encoded[:, :18].min() > 200
    assert encoded[:, 22:].max() < 50


@pytest.mark.parametrize(
    ("sizes", "frame"),
    [
        ([(32, 32)] * 10, (32, 32)),
        ([(200, 100)] * 19 + [(50, 50)], (200, 100)),
        ([(1000, 2000)] * 3, (256, 512)),
        ([(100, 150), (160, 100), (90, 90)], (100, 100)),
        ([(480, 640), (600, 800), (960, 1280)], (128, 171)),
        ([(20, 33), (24, 20)], (20, 20)),
    ],
)
def test_the_frame_is_the_common_size_or_the_median_short_side(
    sizes: list[tuple[int, int]], frame: tuple[int, int]
) -> None:
    assert _frame(sizes) == frame


def test_other_sizes_are_resized_and_cut_around_the_middle(tmp_path: Path) -> None:
    wide = np.zeros((40, 120, 3), dtype=np.uint8)
    wide[:, 40:80] = 200
    save(tmp_path, "wide.png", wide)
    column = files(tmp_path, ["wide.png"])
    domain = Image(channels=3, height=20, width=20).fit(column)
    assert (domain.encode(column)[0, :, :, 2:-2] == 200).all()


def giant(path: Path, side: int = 60_000) -> None:
    """A PNG of a few kilobytes that unpacks to gigabytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")
    )


BAD = {
    "zero.png": "the file is empty, 0 bytes",
    "text.png": "its content is no image that is known",
    "cut.png": "truncated|broken|incomplete",
    "giant.png": "pixels",
    "wide.png": "pixels, more than the 89,478,485",
    "gone.png": "there is no such file",
}


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png", "c.png"):
        save(tmp_path, name, rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    (tmp_path / "zero.png").touch()
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:300])
    giant(tmp_path / "giant.png")
    giant(tmp_path / "wide.png", 10_000)
    return tmp_path


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_file_among_good_ones_stops(mixed: Path, bad: str) -> None:
    good = Image().fit(files(mixed, ["a.png", "b.png"]))
    column = files(mixed, ["a.png", "b.png", bad])
    with pytest.raises(DataError, match=rf"'photo', row 3: .*{bad} cannot be read as an image: .*({BAD[bad]}).*on_bad"):
        good.encode(column)
    with pytest.raises(DataError, match="row 3"):
        Image().fit(column)


def test_bad_files_are_skipped_and_counted(mixed: Path) -> None:
    column = files(mixed, ["a.png", *BAD, "c.png", "zero.png"])
    domain = Image(on_bad="skip").fit(column)
    assert (domain.height, domain.width) == (16, 16)
    with pytest.warns(
        UserWarning, match=r"6 of 8 images cannot be read and count as missing; the first is .*row"
    ) as record:
        encoded, known = domain.encode_known(column)
    assert len(record) == 1
    assert known.tolist() == [True, *[False] * 6, True, False]
    assert not encoded[~known].any()
    assert encoded[known].any(axis=(1, 2, 3)).all()


def test_nothing_but_bad_files(mixed: Path) -> None:
    with pytest.raises(DataError, match="no image that can be read"):
        Image(on_bad="skip").fit(files(mixed, ["zero.png", "text.png"]))


def test_giant_images_are_refused_before_they_are_unpacked(mixed: Path) -> None:
    with pytest.raises(pictures.Unreadable):
        pictures.pixels_of(str(mixed / "giant.png"), 1, 8, 8, 8)


def test_what_is_recognised() -> None:
    assert Image.recognise(files(Path(), ["a.JPG", "b/c.png", None])) is not None
    assert Image.recognise(files(Path(), ["a.jpg", "b.txt"])) is None
    assert Image.recognise(files(Path(), [None])) is None
    assert Image.recognise(Column("x", np.zeros((3, 4)))) is None
    assert Image.recognise(Column("x", np.zeros((3, 100, 6)))) is None
    with pytest.raises(DataError, match="an image is an array"):
        Image().fit(Column("x", np.zeros(3)))


def test_describe() -> None:
    assert Image().describe() == "Image"
    assert Image().fit(Column("x", pixels(2, 8, 9, 3))).describe() == "Image, 8 × 9, RGB, 8 bits"


def test_a_path_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    save(tmp_path, "out.png", pixels(8, 8))
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match=r"Column 'photo', row 1: the path '\.\./out\.png' leads out of"):
        Image().fit(files(tmp_path / "data", ["../out.png"]))
    assert Image().fit(files(tmp_path / "data", [str(tmp_path / "out.png")])).height == 8


def test_pixels_far_beyond_the_range_that_training_had_are_told() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 1, (20, 9, 9)).astype(np.float32)
    fitted = Image().fit(Column("picture", pixels))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.encode(Column("picture", pixels[:3]))
    with pytest.warns(UserWarning, match=r"row 1: pixels lie far beyond the range that training had, 0 to 1"):
        fitted.encode(Column("picture", 255 * pixels[:3]))


def test_shares_of_one_where_bytes_were_are_told() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 9, 9)).astype(np.uint8)
    fitted = Image().fit(Column("picture", pixels))
    with pytest.warns(
        UserWarning, match="between 0 and 1 and training had 0 to 255, so that every picture is nearly black"
    ):
        fitted.encode(Column("picture", pixels / 255.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.encode(Column("picture", np.zeros((3, 9, 9))))
        fitted.encode(Column("picture", pixels.astype(np.float64)))
