"""Pictures of any size from pictures, by networks that keep places: what translating estimators share."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from trine.blocks.tiles import in_tiles
from trine.domains import Column, Image
from trine.domains._pictures import MOST_PIXELS, SUFFIXES, Unreadable, pixels_of, size_of
from trine.errors import DataError
from trine.estimators._arguments import count

TILE = 1024
"""Pixels a side up to which a picture is made in one piece."""

Picture = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Draws:
    """Noise of some answers: the k-th to all pictures share it.

    Attributes:
        z: (n, noise) numbers of the whole pictures. seed: of the numbers at their places.
    """

    z: Tensor
    seed: int

    def grain(self, channels: int, size: tuple[int, int]) -> Tensor:
        """(n, channels, h, w) numbers at each place."""
        found = []
        for k in range(len(self.z)):
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + k + 1) % 2**63)
            found.append(torch.randn(channels, *size, generator=generator))
        return torch.stack(found)


@dataclasses.dataclass(frozen=True)
class Way:
    """How one picture becomes another.

    Attributes:
        read, made: domains of what is read and of what is made.
        noise: width of the noise.
        condition: (n, channels, h, w) pixels in [0, 1] → what ``make`` reads, at the size of what it makes.
        grain: channels of noise that ``make`` reads behind that, a number at each place.
        make: (these, (n, noise)) → (n, channels', h', w') in [−1, 1].
        reach, stride: of ``make``; see :func:`~trine.blocks.tiles.in_tiles`.
        least: pixels a side that ``make`` needs; smaller pictures are lengthened by their last pixels, and cut again.
    """

    read: Image
    made: Image
    noise: int
    condition: Callable[[Tensor], Tensor]
    make: Callable[[Tensor, Tensor], Tensor]
    reach: int
    stride: int
    least: int = 1
    grain: int = 0

    def answers(self, pixels: NDArray[Any], draws: Draws, tile: int = TILE) -> Picture:
        """Answers to one picture under each noise: (n, h', w'[, channels]) in the user's units.

        Args:
            pixels: (channels, h, w) as the domain encodes it. draws: of n answers. tile: longest side that is made in one piece.
        """
        with torch.inference_mode():
            unit = torch.from_numpy(pixels.astype(np.float32)) / self.read.divisor
            read = self.condition(unit[None])
            height, width = read.shape[2:]
            if min(height, width) < self.least:
                more = (0, max(self.least - width, 0), 0, max(self.least - height, 0))
                read = pad(read, more, mode="replicate")
            z, size = draws.z, (read.shape[2], read.shape[3])
            grain = draws.grain(self.grain, size)
            many = max(min(TILE * TILE // max(size[0] * size[1], 1), len(z)), 1)
            found = []
            for some in torch.split(torch.arange(len(z)), many):
                found.append(
                    in_tiles(
                        lambda part, some=some: self.make(part, z[some]),  # type: ignore[misc]
                        torch.cat([read.expand(len(some), -1, -1, -1), grain[some]], 1),
                        tile=tile,
                        reach=self.reach,
                        stride=self.stride,
                    )
                )
            made = ((torch.cat(found)[:, :, :height, :width] + 1) / 2).clamp(0.0, 1.0)
            return self.made.decode(made.numpy())


def noises(way: Way, n: int, seed: int) -> Draws:
    """Noise of n answers, the same for every picture: the k-th answers to all of them are of one kind.

    Raises:
        ChoiceError: n below 1.
    """
    n = count("n", n, "at least 1 answer is made")
    return Draws(torch.randn(n, way.noise, generator=torch.Generator().manual_seed(seed)), seed)


def translated(way: Way, pictures: Any, n: int, seed: int, tile: int = TILE) -> Any:
    """Answers to pictures in the form that these have.

    Args:
        pictures: (rows, h, w[, channels]) array, a list of such pictures of any sizes, or of paths; or a folder's path.
        n: answers for each. seed: of the noise. tile: as of :meth:`Way.answers`.

    Returns:
        Of an array (rows, h', w'[, channels']), or with several answers (rows, n, …); of anything else a list of these, one for
        each picture.

    Raises:
        DataError: no pictures, or one that cannot be read. ChoiceError: n below 1.
    """
    draws = noises(way, n, seed)
    tile = count("tile", tile, "at least 1 pixel a side is made in one piece")
    if isinstance(pictures, str | os.PathLike):
        found = pictures_in(Path(pictures))
        read: Iterable[NDArray[Any]] = (of_file(way.read, path) for path in found)
    else:
        if not hasattr(pictures, "__len__"):
            raise DataError(f"The pictures are {pictures!r}; give an array of them, a list, or the path of a folder.")
        if not len(pictures):
            raise DataError("There are no pictures to translate.")
        read = (_encoded(way.read, picture) for picture in pictures)
    made = (way.answers(pixels, draws, tile) for pixels in read)
    answers = [each if n > 1 else each[0] for each in made]
    return np.stack(answers) if isinstance(pictures, np.ndarray) and pictures.dtype != object else answers


def pictures_in(place: Path) -> list[Path]:
    """The pictures of a folder, at any depth, in the order of their names; or the one that a path names.

    Raises:
        DataError: nothing is there, or no pictures.
    """
    if not place.exists():
        raise DataError(f"There is no file or folder {place}.")
    if place.is_file():
        return [place]
    found = sorted(
        path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
    if not found:
        raise DataError(f"{place} has no pictures in it (files ending in {', '.join(SUFFIXES[:3])}, …).")
    return found


def require_readable(paths: Iterable[Path]) -> None:
    """Look at the head of each file, so that a broken one is told of before the first is made.

    Raises:
        DataError: one is no picture; names it, and why.
    """
    for path in paths:
        try:
            size_of(str(path))
        except Unreadable as why:
            raise _unreadable(path, why) from None


def of_file(domain: Image, path: Path, side: int | None = None) -> NDArray[Any]:
    """(channels, h, w) encoded pixels of a file at its own size, or with its shorter side brought to ``side``.

    Raises:
        DataError: it cannot be read as a picture; names it, and why.
    """
    try:
        height, width, *_ = size_of(str(path))
        factor = 1.0 if side is None else side / min(height, width)
        height, width = max(round(height * factor), 1), max(round(width * factor), 1)
        if side is not None and height * width > MOST_PIXELS:
            raise DataError(
                f"With a shorter side of {side:,} pixels {path} has {height:,} × {width:,}, more than the {MOST_PIXELS:,} that are "
                "allowed; choose a shorter one."
            )
        return pixels_of(str(path), domain.channels, height, width, domain.bits)
    except Unreadable as why:
        raise _unreadable(path, why) from None


def _unreadable(path: Path, why: Unreadable) -> DataError:
    return DataError(f"{path} cannot be read as a picture: {why}. Replace it, or leave it out.")


def _encoded(domain: Image, picture: Any) -> NDArray[Any]:
    """(channels, h, w) of one picture that the user has, a path or pixels."""
    if isinstance(picture, str | os.PathLike):
        return of_file(domain, Path(picture))
    pixels = np.asarray(picture)
    if pixels.ndim not in (2, 3):
        raise DataError(f"A picture is (height, width[, channels]) pixels, and this is of shape {pixels.shape}.")
    own = dataclasses.replace(domain, height=pixels.shape[0], width=pixels.shape[1])
    found: NDArray[Any] = own.encode(Column("picture", pixels[None]))[0]
    return found


def named(paths: Sequence[Path], root: Path, n: int) -> Iterator[tuple[Path, list[str]]]:
    """Each path, and the names of its answers' files: its own place below ``root``, a number behind it where there are several.

    Raises:
        DataError: two pictures would have answers of one name; names both.
    """
    taken: dict[str, Path] = {}
    for path in paths:
        own = path.relative_to(root) if root.is_dir() else Path(path.name)
        names = [str(own.with_suffix("")) + (f"_{k + 1:0{len(str(n))}d}.png" if n > 1 else ".png") for k in range(n)]
        for name in names:
            if name in taken:
                raise DataError(f"{taken[name]} and {path} would both become {name}; rename one of them.")
            taken[name] = path
        yield path, names
