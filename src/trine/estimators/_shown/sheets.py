"""Pictures side by side."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.domains import Image

SHEET = 1600
"""Pixels of a contact sheet's longer side, about."""
GAP = 2
"""Pixels between its pictures."""
GROUND = 128
"""Grey of what is between."""
SHARP, SHARP_IN_MOTION = 48, 16
"""Pixels a side below which a picture is kept as it is, on a sheet and in a film; larger ones may lose what no eye sees."""
LARGEST = 128
"""Pixels a side that a picture of a sheet has at most."""
APART = 24
"""A picture's side over what is between two of them on a sheet, at least a pixel."""
HELD, PACE = 2500, 200
"""Milliseconds of a film's last frame, and of any other."""
SHOWN = 66
"""Pixels a side, about, that a small picture has on a page: whole multiples of its own."""


def eight_bits(domain: Image, pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """(height, width[, channels]) pixels in the user's units as bytes."""
    unit = (np.asarray(pixels, dtype=np.float64) - domain.black) / (domain.white - domain.black)
    return np.rint(255 * np.clip(unit, 0, 1)).astype(np.uint8)


def contact_sheet(pictures: Sequence[NDArray[np.uint8]], across: int | None = None, longest: int = SHEET) -> Any:
    """All pictures side by side in rows of ``across`` (by default about a square), small ones enlarged by whole pixels."""
    height, width = pictures[0].shape[:2]
    across = across or max(math.ceil(math.sqrt(len(pictures) * height / width)), 1)
    down = math.ceil(len(pictures) / across)
    times = max(min(longest // (max(across * width, down * height)), 8), 1)
    colour = pictures[0].ndim == 3
    shape = (down * (height * times + GAP) - GAP, across * (width * times + GAP) - GAP)
    sheet = np.full((*shape, pictures[0].shape[2]) if colour else shape, GROUND, dtype=np.uint8)
    for i, picture in enumerate(pictures):
        top, left = (i // across) * (height * times + GAP), (i % across) * (width * times + GAP)
        large = picture.repeat(times, 0).repeat(times, 1)
        sheet[top : top + height * times, left : left + width * times] = large
    return pillow(sheet)


def beside_sheet(rows: Sequence[Sequence[NDArray[np.uint8]]], side: int = LARGEST) -> Any:
    """Pictures of any sizes, a row of them for each sequence, each within a square of ``side`` pixels at most.

    Args:
        rows: sequences of equal length of (height, width) or (height, width, 3) bytes.
    """
    from PIL import Image as Pillow

    cell = min(side, max(max(picture.shape[:2]) for row in rows for picture in row))
    cells = []
    for picture in (picture for row in rows for picture in row):
        small = pillow(picture).convert("RGB")
        scale = cell / max(small.size)
        if scale != 1:
            size = tuple(max(round(length * scale), 1) for length in small.size)
            small = small.resize(size, Pillow.Resampling.LANCZOS if scale < 1 else Pillow.Resampling.NEAREST)
        square = Pillow.new("RGB", (cell, cell), (GROUND,) * 3)
        square.paste(small, tuple((cell - length) // 2 for length in small.size))
        cells.append(np.asarray(square))
    return contact_sheet(cells, len(rows[0]))


def pillow(pixels: NDArray[np.uint8]) -> Any:
    """Pillow's image of (height, width[, channels]) bytes."""
    from PIL import Image as Pillow

    return Pillow.fromarray(pixels)


def as_uri(picture: Any) -> str:
    """Pillow's image as a PNG data URI."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def sheet(pictures: NDArray[np.uint8], across: int) -> dict[str, Any]:
    """Pictures in rows of ``across`` with nothing between: ``image``, a data URI, the ``width`` that it has on a page,
    and the ``count`` of pictures.

    Args:
        pictures: (n, height, width[, 3]) bytes.
    """
    pixels, width = _laid_out(pictures, across)
    side = max(pictures.shape[1:3])
    return {"image": _packed([pillow(pixels)], side), "width": width, "count": len(pictures), "smooth": side >= SHARP}


def moving_sheet(frames: Sequence[NDArray[np.uint8]], across: int) -> dict[str, Any]:
    """The same of several moments one after another, over and over; ``still`` is the last of them, for who wants no motion."""
    laid = [_laid_out(frame, across) for frame in frames]
    side = max(frames[0].shape[1:3])
    film = [pillow(pixels) for pixels, _ in laid]
    return {
        "image": _packed(film, side),
        "still": _packed(film[-1:], side),
        "width": laid[0][1],
        "frames": len(frames),
        "smooth": side >= SHARP,
    }


def _laid_out(pictures: NDArray[np.uint8], across: int) -> tuple[NDArray[np.uint8], int]:
    """All in one, with something transparent between, and its width on a page."""
    if max(pictures.shape[1:3]) > LARGEST:
        from PIL import Image as Pillow

        scale = LARGEST / max(pictures.shape[1:3])
        size = tuple(max(round(side * scale), 1) for side in pictures.shape[2:0:-1])
        pictures = np.stack(
            [np.asarray(pillow(picture).resize(size, Pillow.Resampling.LANCZOS)) for picture in pictures]
        )
    n, height, width = pictures.shape[:3]
    down = math.ceil(n / across)
    colour = pictures if pictures.ndim == 4 else pictures[..., None].repeat(3, -1)
    gap = max(round(max(height, width) / APART), 1)
    laid = np.zeros((down * (height + gap) - gap, across * (width + gap) - gap, 4), dtype=np.uint8)
    for i, picture in enumerate(colour):
        top, left = (i // across) * (height + gap), (i % across) * (width + gap)
        laid[top : top + height, left : left + width, :3] = picture
        laid[top : top + height, left : left + width, 3] = 255
    return laid, laid.shape[1] * max(round(SHOWN / max(height, width)), 1)


def _packed(frames: Sequence[Any], side: int) -> str:
    """One picture, or a film, as a data URI; small pictures to the bit."""
    from PIL import features

    kind = "WEBP" if features.check("webp") else "PNG"
    moving = len(frames) > 1
    lossless = side < (SHARP_IN_MOTION if moving else SHARP)
    more: dict[str, Any] = {"optimize": True}
    if kind == "WEBP":
        more = {"lossless": lossless, "quality": 60 if moving and not lossless else 80, "method": 4}
    if moving:
        pace = [PACE] * (len(frames) - 1) + [HELD]
        more |= {"save_all": True, "append_images": list(frames[1:]), "duration": pace, "loop": 0}
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, **more)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(buffer.getvalue()).decode()
