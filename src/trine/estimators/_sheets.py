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


def pillow(pixels: NDArray[np.uint8]) -> Any:
    """Pillow's image of (height, width[, channels]) bytes."""
    from PIL import Image as Pillow

    return Pillow.fromarray(pixels)


def as_uri(picture: Any) -> str:
    """Pillow's image as a PNG data URI."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
