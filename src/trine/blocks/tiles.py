"""Large pictures made part by part, so that no part shows where it ends."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from trine.errors import ChoiceError

BLENDED = 32
"""Pixels over which one part passes into the next."""


def in_tiles(make: Callable[[Tensor], Tensor], picture: Tensor, *, tile: int, reach: int, stride: int = 1) -> Tensor:
    """``make(picture)``, computed from overlapping parts of at most ``tile`` pixels a side.

    Of each part the pixels within ``reach`` of its inner edges are left out and over the next some 32 it passes linearly into its
    neighbour. So where what ``make`` gives at a place depends on nothing farther than ``reach``, the result is ``make(picture)``
    itself, up to rounding, and elsewhere it has no seam. Parts begin at multiples of ``stride``.

    Args:
        make: (batch, channels, h, w) → (batch, channels', h, w). picture: (batch, channels, height, width).
        tile: longest side of a part, in pixels. reach: of ``make``, 0 or more. stride: of ``make``, 1 or more.

    Raises:
        ChoiceError: a tile that is no larger than its margins.
    """
    height, width = picture.shape[2:]
    if max(height, width) <= tile:
        return make(picture)
    margin, blended, step = parts_of(tile, reach, stride)
    tile = tile // stride * stride
    made: Tensor | None = None
    total = picture.new_zeros(1, 1, height, width)
    for top in _starts(height, tile, step):
        for left in _starts(width, tile, step):
            rows, columns = slice(top, min(top + tile, height)), slice(left, min(left + tile, width))
            part = make(picture[:, :, rows, columns])
            weight = torch.outer(
                _weight(rows, height, margin, blended, part), _weight(columns, width, margin, blended, part)
            )
            if made is None:
                made = part.new_zeros(len(part), part.shape[1], height, width)
            made[:, :, rows, columns] += part * weight
            total[:, :, rows, columns] += weight
    assert made is not None
    return made / total


def parts_of(tile: int, reach: int, stride: int = 1) -> tuple[int, int, int]:
    """(left out at an inner edge, blended, new) pixels along a side of a part of ``tile`` pixels.

    Raises:
        ChoiceError: a tile that is no larger than its margins.
    """
    margin, blended = (math.ceil(pixels / stride) * stride for pixels in (reach, BLENDED))
    new = tile // stride * stride - 2 * margin - blended
    if new < stride:
        shared = 2 * margin + blended
        raise ChoiceError(
            f"A tile of {tile} pixels is too small: {shared} of a side are shared with its neighbours. Take tiles of at least "
            f"{shared + stride}."
        )
    return margin, blended, new


def _starts(side: int, tile: int, step: int) -> list[int]:
    """Where parts begin along a side, the last of which ends it."""
    return [i * step for i in range(max(math.ceil((side - tile) / step), 0) + 1)]


def _weight(part: slice, side: int, margin: int, blended: int, like: Tensor) -> Tensor:
    """(length,) how much each pixel of a part counts along a side: 0 in margins, 1 inside and at the picture's own edges."""
    place = torch.arange(part.start, part.stop, device=like.device, dtype=like.dtype) + 0.5
    weight = torch.ones_like(place)
    if part.start > 0:
        weight = ((place - part.start - margin) / blended).clamp(0, 1)
    if part.stop < side:
        weight = weight * ((part.stop - margin - place) / blended).clamp(0, 1)
    return weight
