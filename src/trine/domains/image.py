"""Pictures: arrays of pixels, or paths of image files."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from typing import Any, ClassVar, Self

import numpy as np

from trine.errors import DataError

from ._base import Column, Domain, domains
from ._pictures import SUFFIXES, Unreadable, in_parallel, pixels_of, resized, size_of
from ._text import some_texts

LEAST_SIDE = 8
"""Arrays of (n, h, w) with a shorter side are not taken for pictures by their look."""
LOOKED_AT = 2048
"""Most training images whose sizes, and from which means, are taken."""
COMMON = 0.9
"""Share of the images that must have one size for it to be kept."""
SHORT_SIDE = 128
"""Longest short side that images of different sizes are brought to."""
BEYOND = 0.01
"""Share of pixels that must lie half a range beyond what training had for a warning."""
COMMON_SIDE = 256
"""Longest short side that is kept when it is the common one."""


@domains.register("image")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Image(Domain):
    """A picture of a fixed size, encoded as uint8, or uint16 for 16 bits, (n, channels, height, width).

    Raw values are pixels, (n, height, width[, channels]), or paths of files. The size is learned from the training rows
    unless it is stated: the common one, or for images of different sizes their median short side (at most 128), with
    their shape if they have one, else square. Other sizes are resized to cover the frame and cut around the middle.
    Floating-point pixels are mapped linearly from [black, white] to whole numbers.

    Attributes:
        channels: 1 (grey), 3 (RGB), or 4 (RGB with opacity; arrays only). 0 before :meth:`fit`.
        height, width: in pixels. (A picture has an array of its own, so this is no number of columns in a pack.)
        bits: 8 or 16 a channel.
        black, white: raw values that become 0 and 2**bits − 1.
        dtype: NumPy type of the raw pixels.
        mean, std: of each channel, over pixels in [0, 1].
        on_bad: what an unreadable file does: ``"stop"`` raises; ``"skip"`` counts it as missing, with a warning that
            tells how many there are.
        missing: share of training rows without a picture.
        binary: whether all pixels looked at are black or white.
    """

    kind: ClassVar[str] = "image"

    channels: int = 0
    height: int = 0
    width: int = 0
    bits: int = 8
    black: float = 0.0
    white: float = 255.0
    dtype: str = "uint8"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    on_bad: str = "stop"
    missing: float = 0.0
    binary: bool = False

    @property
    def fitted(self) -> bool:
        return bool(self.mean)

    @property
    def divisor(self) -> float:
        return float(2**self.bits - 1)

    @classmethod
    def recognise(cls, column: Column) -> str | None:
        shape = column.values.shape
        if column.offsets is not None:
            return None
        if column.levels is None:
            if len(shape) == 4 and shape[3] in (1, 3, 4):
                return f"pixels, {shape[1]} × {shape[2]}, {shape[3]} channels"
            pixels = len(shape) == 3 and min(shape[1:]) >= LEAST_SIDE and column.values.dtype.kind in "uif"
            return f"pixels, {shape[1]} × {shape[2]}" if pixels else None
        texts = some_texts(column.levels)
        ends = texts and all(text.lower().endswith(SUFFIXES) for text in texts)
        return "paths of image files" if ends else None

    def fit(self, column: Column) -> Self:
        located = self.located(column)
        rows = np.flatnonzero(~column.missing)
        some = column.take(rows[np.linspace(0, len(rows) - 1, min(len(rows), LOOKED_AT)).astype(int)])
        pixels, known = located._encode(some, warn=False)
        if not known.any():
            raise DataError(f"Column {column.name!r} has no image that can be read; {len(column)} rows were tried.")
        # Image by image: float64 copies of all of them would be eight times their size.
        moments = np.array([_moments(pixels[i], float(2**located.bits - 1)) for i in np.flatnonzero(known)])
        mean, square = moments.mean(axis=0)
        std = np.sqrt(np.maximum(square - mean**2, 0.0))
        return dataclasses.replace(
            located,
            mean=tuple(mean.tolist()),
            std=tuple(std.tolist()),
            missing=float(column.missing.mean()),
            binary=all(_two_levels(pixels[i], 2**located.bits - 1) for i in np.flatnonzero(known)),
        )

    def located(self, column: Column) -> Self:
        """A copy that knows size, channels, bits and range of the column's pictures, by headers where they are files."""
        return self._of_pixels(_channelled(column)) if column.levels is None else self._of_files(column)

    def encode(self, column: Column) -> np.ndarray:
        return self.encode_known(column)[0]

    def encode_known(self, column: Column) -> tuple[np.ndarray, np.ndarray]:
        return self._encode(column, warn=True)

    def decode(self, encoded: np.ndarray) -> np.ndarray:
        """(n, height, width) or (n, height, width, channels) pixels as the user's; or of floats in [0, 1]."""
        pixels = np.moveaxis(np.asarray(encoded), 1, 3)
        pixels = pixels[..., 0] if self.channels == 1 else pixels
        most = 2**self.bits - 1
        if pixels.dtype == np.dtype(self.dtype) and (self.black, self.white) == (0.0, most):
            return pixels
        unit = pixels.astype(np.float64) / (1 if pixels.dtype.kind == "f" else most)
        raw = self.black + unit * (self.white - self.black)
        return np.asarray((raw if self.dtype.startswith("f") else np.rint(raw)).astype(self.dtype))

    def describe(self) -> str:
        if not self.fitted:
            return "Image"
        colour = {1: "grey", 3: "RGB", 4: "RGBA"}.get(self.channels, f"{self.channels} channels")
        return f"Image, {self.height} × {self.width}, {colour}, {self.bits} bits"

    def _of_pixels(self, pixels: np.ndarray) -> Self:
        """Size, bits and range of the raw values of (n, height, width, channels) pixels."""
        _, height, width, channels = pixels.shape
        black, white, bits = _range(pixels)
        return dataclasses.replace(
            self, channels=self.channels or channels, height=self.height or height, width=self.width or width,
            bits=bits, black=black, white=white, dtype=str(pixels.dtype),
        )  # fmt: skip

    def _of_files(self, column: Column) -> Self:
        """Size, channels and bits by the headers of some of the files."""
        rows = np.flatnonzero(~column.missing)
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), LOOKED_AT)).astype(int)]
        paths = [column.path(int(index)) for index in rows]
        sizes: list[tuple[int, int, bool, bool]] = []
        for index, found in zip(rows, in_parallel(functools.partial(_try, size_of), paths), strict=True):
            if isinstance(found, Unreadable):
                self._refuse(column, int(index), found)
            else:
                sizes.append(found)
        if not sizes:
            raise DataError(f"Column {column.name!r} has no image that can be read; {len(rows)} files were tried.")
        height, width = (self.height, self.width) if self.height and self.width else _frame([s[:2] for s in sizes])
        grey = self.channels == 1 or (not self.channels and all(s[2] for s in sizes))
        bits = 16 if grey and any(s[3] for s in sizes) else 8
        return dataclasses.replace(
            self, channels=1 if grey else 3, height=height, width=width, bits=bits, black=0.0,
            white=float(2**bits - 1), dtype=f"uint{bits}",
        )  # fmt: skip

    def _encode(self, column: Column, warn: bool) -> tuple[np.ndarray, np.ndarray]:
        """(pixels, (n,) bool of the rows that have a picture)."""
        if column.levels is None:
            return self._whole(column), np.ones(len(column), dtype=bool)
        known = ~column.missing
        used, places = np.unique(column.values[known], return_inverse=True)
        first = np.flatnonzero(known)[np.unique(places, return_index=True)[1]]
        read = functools.partial(
            pixels_of, channels=self.channels, height=self.height, width=self.width, bits=self.bits
        )
        shape = (self.channels, self.height, self.width)
        distinct = np.zeros((len(used), *shape), dtype=f"uint{self.bits}")
        bad: list[tuple[int, Unreadable]] = []
        paths = [column.path(int(index)) for index in first]
        for place, found in enumerate(in_parallel(functools.partial(_try, read), paths)):
            if isinstance(found, Unreadable):
                self._refuse(column, int(first[place]), found)
                bad.append((place, found))
            else:
                distinct[place] = found
        if bad:
            known[np.flatnonzero(known)[np.isin(places, [place for place, _ in bad])]] = False
            if warn:
                place, why = bad[0]
                warnings.warn(
                    f"Column {column.name!r}: {len(bad)} of {len(used)} images cannot be read and count as missing; "
                    f"the first is {paths[place]}, row {column.row(int(first[place]))}: {why}.",
                    stacklevel=2,
                )
        if len(used) == len(column) and (places == np.arange(len(used))).all():
            return distinct, known
        pixels = np.zeros((len(column), *shape), dtype=distinct.dtype)
        there = np.flatnonzero(~column.missing)
        pixels[there] = distinct[places]
        return pixels, known

    def _whole(self, column: Column) -> np.ndarray:
        """(n, channels, height, width) whole numbers of raw pixels, not copied where they are such numbers."""
        pixels = _channelled(column)
        if pixels.shape[3] != self.channels:
            raise DataError(
                f"Column {column.name!r} has images of {pixels.shape[3]} channels and training had {self.channels}; "
                "convert them."
            )
        most = 2**self.bits - 1
        if pixels.dtype != np.dtype(f"uint{self.bits}") or (self.black, self.white) != (0.0, most):
            if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
                index = int(np.flatnonzero(~np.isfinite(pixels).all(axis=(1, 2, 3)))[0])
                raise DataError(
                    f"Column {column.name!r}, row {column.row(index)}: a pixel is not a finite number. Mend the image "
                    "or leave it out."
                )
            unit = (pixels.astype(np.float64) - self.black) * (most / (self.white - self.black))
            self._warn_beyond(column, unit, most)
            pixels = np.clip(np.rint(unit), 0, most).astype(f"uint{self.bits}")
        if pixels.shape[1:3] != (self.height, self.width):
            pixels = resized(pixels, self.height, self.width)
        return np.moveaxis(pixels, 3, 1)

    def _warn_beyond(self, column: Column, unit: np.ndarray, most: int) -> None:
        """Say so where pixels lie far beyond the range that training had, as of bytes where there were shares of one; or where all
        lie in the lowest eighth of it and are no whole numbers, as shares of one where there were bytes.
        """
        raw = self.black + unit * ((self.white - self.black) / most)
        shares = raw.size and raw.min() >= 0 and raw.max() <= 1 and (np.rint(raw) != raw).any()
        if self.black == 0 and self.white >= 8 and shares:
            warnings.warn(
                f"Column {column.name!r}: pixels lie between 0 and {raw.max():g} and training had 0 to {self.white:g}, so that "
                "every picture is nearly black; bring them to that range.",
                stacklevel=2,
            )
        beyond = (unit < -0.5 * most) | (unit > 1.5 * most)
        if beyond.mean() > BEYOND:
            index = int(np.flatnonzero(beyond.reshape(len(unit), -1).any(axis=1))[0])
            warnings.warn(
                f"Column {column.name!r}, row {column.row(index)}: pixels lie far beyond the range that training had, "
                f"{self.black:g} to {self.white:g}, and are cut off there; bring them to that range.",
                stacklevel=2,
            )

    def _refuse(self, column: Column, index: int, why: Unreadable) -> None:
        if self.on_bad != "skip":
            raise DataError(
                f"Column {column.name!r}, row {column.row(index)}: {column.path(index)} cannot be read as an image: "
                f"{why}. Replace the file or leave the row out, or count such images as missing with on_bad='skip' "
                "(`trine fit --on-bad skip`)."
            )


def _frame(sizes: list[tuple[int, int]]) -> tuple[int, int]:
    """(height, width) that images of these sizes are brought to."""
    distinct, counts = np.unique(np.array(sizes), axis=0, return_counts=True)
    common = distinct[counts.argmax()]
    if counts.max() >= COMMON * len(sizes):
        height, width = common.tolist()
        side = min(height, width, COMMON_SIDE)
    else:
        shapes = np.array([h / w for h, w in sizes])
        side = int(min(np.median([min(size) for size in sizes]), SHORT_SIDE))
        one = np.quantile(shapes, 0.95) < 1.1 * np.quantile(shapes, 0.05)
        height, width = (float(np.median(shapes)), 1.0) if one else (1.0, 1.0)
    factor = side / min(height, width)
    return max(round(height * factor), 1), max(round(width * factor), 1)


def _range(pixels: np.ndarray) -> tuple[float, float, int]:
    """(black, white, bits) of raw pixels: their type's own range, or the one that their values suggest."""
    if pixels.dtype == np.uint8:
        return 0.0, 255.0, 8
    if pixels.dtype == np.uint16:
        return 0.0, 65535.0, 16
    sample = pixels[np.linspace(0, len(pixels) - 1, min(len(pixels), LOOKED_AT)).astype(int)].astype(np.float64)
    low, high = float(np.nanmin(sample)), float(np.nanmax(sample))
    if not np.isfinite((low, high)).all():
        low, high = 0.0, 1.0
    black = min(low, 0.0)
    white = high
    if black == 0:
        ends = (1.0, 255.0, 65535.0) if pixels.dtype.kind == "f" else (255.0, 65535.0)
        white = next((end for end in ends if end / 2 < high <= end), high)
    if white <= black:
        white = black + 1.0
    steps = (sample - black) * (255.0 / (white - black))
    fine = np.abs(steps - np.rint(steps)).max() < 1e-3  # eight bits hold every value
    few = len(np.unique(sample[: LOOKED_AT // 8])) <= 64  # and tell few values apart
    return black, white, 8 if fine or few else 16


def _moments(pixels: np.ndarray, most: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and mean square of each channel of one picture, in [0, 1]."""
    unit = pixels.reshape(len(pixels), -1) / most
    return unit.mean(axis=1), np.square(unit).mean(axis=1)


def _two_levels(pixels: np.ndarray, most: int) -> bool:
    """Whether one picture is black and white alone."""
    return bool(((pixels == 0) | (pixels == most)).all())


def _channelled(column: Column) -> np.ndarray:
    """(n, height, width, channels) raw pixels."""
    values = column.values
    if column.levels is not None or values.ndim not in (3, 4) or values.dtype.kind not in "uif":
        raise DataError(
            f"Column {column.name!r} holds {values.dtype} values of shape {values.shape[1:]}; an image is an array of "
            "(height, width[, channels]) numbers, or the path of a file."
        )
    return values[..., None] if values.ndim == 3 else values


def _try(function: Any, path: str) -> Any:
    """The result, or the reason why there is none."""
    try:
        return function(path)
    except Unreadable as why:
        return why
