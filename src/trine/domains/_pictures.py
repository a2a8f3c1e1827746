"""Image files to arrays: opened, turned upright, brought to one size, in parallel."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MOST_PIXELS = 89_478_485
"""Pixels of the largest image that is decoded (a quarter of a gigabyte of RGB); Pillow's own bound against bombs."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")

HALVES = {"left": "#left", "right": "#right"}
"""Half of a picture → what a folder's name has at its end for its files to stand for these halves: ``pairs#left/7.png``."""

_TURNED = frozenset((5, 6, 7, 8))  # orientations of EXIF that exchange height and width
_GREY = frozenset(("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F"))
_CHUNK = 32

T = TypeVar("T")


class Unreadable(Exception):
    """Why a file is no image that can be used."""


def size_of(path: str) -> tuple[int, int, bool, bool]:
    """(height, width, grey, 16 bits) of the image upright, from the file's header.

    Raises:
        Unreadable: why not.
    """
    with _opened(path) as picture:
        width, height = picture.size
        if picture.getexif().get(0x0112) in _TURNED:
            width, height = height, width
        return height, width, picture.mode in _GREY, picture.mode.startswith("I")


def pixels_of(path: str, channels: int, height: int, width: int, bits: int) -> np.ndarray:
    """(channels, height, width) uint8 or uint16 pixels of a file.

    Another size is resized (bicubic, antialiased) so that it covers the frame, and what hangs over is cut off evenly.
    Transparent pixels are laid on white.

    Raises:
        Unreadable: why not.
    """
    from PIL import ImageOps

    with _opened(path) as picture:
        if picture.format == "JPEG":
            # Decodes at a half, a quarter … of the size where that is still larger than asked for.
            picture.draft(None, (2 * max(width, height),) * 2)
        picture = ImageOps.exif_transpose(picture)
        if bits == 16:
            return _deep(picture, height, width)[None]
        picture = _plain(picture, "L" if channels == 1 else "RGB")
        pixels = np.asarray(fitted(picture, height, width))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """(n, h, w, c) pixels at another size, as :func:`pixels_of` does it; the type stays."""
    from PIL import Image

    out = np.empty((len(pixels), height, width, pixels.shape[3]), dtype=pixels.dtype)
    most = np.iinfo(pixels.dtype).max
    for i, c in np.ndindex(len(pixels), pixels.shape[3]):
        picture = fitted(Image.fromarray(pixels[i, :, :, c].astype(np.float32)), height, width)
        out[i, :, :, c] = np.clip(np.rint(np.asarray(picture)), 0, most)
    return out


def fitted(picture: Picture, height: int, width: int) -> Picture:
    """The picture at (height, width): as it is, or resized to cover the frame and cut around the middle."""
    from PIL import Image, ImageOps

    if picture.size == (width, height):
        return picture
    return ImageOps.fit(picture, (width, height), method=Image.Resampling.BICUBIC)


def in_parallel(function: Callable[[T], Any], items: Sequence[T]) -> Iterator[Any]:
    """``function`` of each item, in order, in as many threads as there are cores (Pillow decodes outside the lock)."""
    chunks = [items[i : i + _CHUNK] for i in range(0, len(items), _CHUNK)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with warnings.catch_warnings(), ThreadPoolExecutor(cores) as pool:
        # Sizes are checked here, with a message of our own; damaged metadata does not concern the pixels.
        warnings.simplefilter("ignore")
        for results in pool.map(lambda chunk: [function(item) for item in chunk], chunks):
            yield from results


@contextmanager
def _opened(path: str) -> Iterator[Picture]:
    """The file, or the half of it that is named, as a picture; what goes wrong while it is used is told as :class:`Unreadable`."""
    from PIL import Image, UnidentifiedImageError

    path, half = _half_of(path)
    try:
        if os.path.getsize(path) == 0:
            raise Unreadable("the file is empty, 0 bytes")
        with Image.open(path) as picture:
            width, height = picture.size
            if width * height > MOST_PIXELS:
                raise Unreadable(f"{width:,} × {height:,} pixels, more than the {MOST_PIXELS:,} that are allowed")
            yield picture if half is None else _halved(picture, half)
    except (Unreadable, MemoryError):
        raise
    except FileNotFoundError:
        raise Unreadable("there is no such file") from None
    except UnidentifiedImageError:
        raise Unreadable("its content is no image that is known") from None
    except Image.DecompressionBombError:
        raise Unreadable(f"more than the {MOST_PIXELS:,} pixels that are allowed") from None
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise Unreadable(str(error) or type(error).__name__) from None


def _half_of(path: str) -> tuple[str, str | None]:
    """(path of the file, which half of it); a folder that is really called so is no half."""
    folder, name = os.path.split(path)
    for half, mark in HALVES.items():
        if folder.endswith(mark) and not os.path.isdir(folder):
            return os.path.join(folder.removesuffix(mark), name), half
    return path, None


def _halved(picture: Picture, half: str) -> Picture:
    """The left or right half of the picture upright."""
    from PIL import ImageOps

    picture = ImageOps.exif_transpose(picture)
    width, height = picture.size
    return picture.crop((0, 0, width // 2, height) if half == "left" else (width - width // 2, 0, width, height))


def _plain(picture: Picture, mode: str) -> Picture:
    """Grey or RGB, without transparency."""
    from PIL import Image

    if picture.mode == mode:
        return picture
    if picture.mode.startswith("I") or picture.mode == "F":
        deep = np.asarray(picture, dtype=np.float64)
        most = 255.0 if deep.max(initial=0) <= 255 else 65535.0
        return Image.fromarray((deep * (255.0 / most)).clip(0, 255).astype(np.uint8)).convert(mode)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert(mode)


def _deep(picture: Picture, height: int, width: int) -> np.ndarray:
    """(height, width) uint16 of a grey picture; 8 bits are widened to the same range."""
    from PIL import Image

    if picture.mode.startswith("I") or picture.mode == "F":
        grey = np.asarray(picture, dtype=np.float32)
    else:
        grey = np.asarray(_plain(picture, "L"), dtype=np.float32) * 257.0
    deep = np.rint(np.asarray(fitted(Image.fromarray(grey), height, width)))
    return np.asarray(np.clip(deep, 0, 65535).astype(np.uint16))
