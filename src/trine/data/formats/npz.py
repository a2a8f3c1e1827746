"""Numpy's archives of arrays."""

from __future__ import annotations

import math
import mmap
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trine.data._mapped import Source
from trine.data._memory import room
from trine.data._table import Table
from trine.data.formats._base import Reader, readers
from trine.data.formats.arrays import table_of_arrays
from trine.errors import DataError

PAIRS = (("x", "y"), ("x_train", "y_train"), ("images", "labels"), ("data", "target"))
"""Names, in lower case, under which an archive holds its inputs and targets."""


@readers.register("npz")
class Npz(Reader):
    """A ``.npz`` archive. Arrays called x and y (or X, x_train …) are the data, and whatever else is there is left out. Beside
    an x without a y, the other arrays of as many rows are columns as well, as the target may be among them. Without an x, all
    arrays are the data and must have one length. Pickled objects are refused, since loading them would execute them.
    """

    suffixes = (".npz",)

    def read(self, data: Path, on_bad: str) -> Table:
        try:
            with np.load(data, allow_pickle=False) as archive:
                if isinstance(archive, np.ndarray):
                    raise DataError(
                        f"{data} is a single array, not an archive; save it with `numpy.savez(path, x=...)`."
                    )
                large = room(self.memory) // 4
                wanted = _wanted(archive)
                arrays = {name: _array(data, archive, name, large) for name in wanted}
        except DataError:
            raise
        except (ValueError, zipfile.BadZipFile, EOFError, OSError) as error:
            if "allow_pickle" in str(error) and zipfile.is_zipfile(data):
                raise DataError(
                    f"{data} holds pickled Python objects, which are never loaded since they can execute code; save "
                    "arrays of "
                    "numbers or of fixed-width text."
                ) from None
            raise DataError(
                f"{data} is not a whole .npz archive; it was cut off or is another kind of file. Write or copy it again."
            ) from None
        if not arrays:
            raise DataError(f"{data} holds no arrays; save it with `numpy.savez(path, x=..., y=...)`.")
        rest = [name for name in archive.files if name not in wanted]
        left = (
            f" Left out of the archive, beside {' and '.join(wanted[:2])}: {', '.join(rest)}; save them without an x and y."
            if rest
            else ""
        )
        return table_of_arrays(_titled(arrays), source=str(data), files=[data], hint=left)


def _array(path: Path, archive: Any, name: str, large: int) -> np.ndarray:
    """An array of the archive: pictures and the like of more than ``large`` bytes are mapped, where they are stored as they
    are; columns of a matrix, each of which would touch every page, are not.
    """
    member = archive.zip.NameToInfo.get(f"{name}.npy")
    if member is None or member.file_size <= large or member.compress_type != zipfile.ZIP_STORED:
        return np.asarray(archive[name])
    (shape, fortran, dtype), begins = _header(archive, member)
    if fortran or dtype.hasobject or len(shape) == 2:
        return np.asarray(archive[name])
    with path.open("rb") as file:
        # The name and the extra field before the data may be longer than the archive's directory says.
        file.seek(member.header_offset)
        lengths = np.frombuffer(file.read(30), np.dtype("<u2"), 2, 26)
        whole = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    start = member.header_offset + 30 + int(lengths.sum()) + begins
    return np.frombuffer(whole, dtype, math.prod(shape), start).reshape(shape).view(Source)


def _header(archive: Any, member: zipfile.ZipInfo) -> tuple[tuple[tuple[int, ...], bool, np.dtype[Any]], int]:
    """Shape, whether it is stored column by column, and type of an array; and where its numbers begin."""
    with archive.zip.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return header(stream), stream.tell()


def _wanted(archive: Any) -> list[str]:
    """The arrays that are the data."""
    lower = {name.lower(): name for name in archive.files}
    for x, y in PAIRS:
        if x in lower and y in lower:
            return [lower[x], lower[y]]
        if x in lower:
            rows = _rows(archive, lower[x])
            return [lower[x], *(name for name in archive.files if name != lower[x] and _rows(archive, name) == rows)]
    return list(archive.files)


def _rows(archive: Any, name: str) -> int | None:
    """How many rows an array has; None of a single value, and of what only unpickling could read."""
    member = archive.zip.NameToInfo.get(f"{name}.npy")
    if member is None:
        return None
    (shape, _, dtype), _ = _header(archive, member)
    return shape[0] if shape and not dtype.hasobject else None


def _titled(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays under ``x`` and ``y`` when they are such a pair."""
    for x, y in PAIRS:
        if any(name.lower() == x for name in arrays):
            return {{x: "x", y: "y"}.get(name.lower(), name): array for name, array in arrays.items()}
    return dict(arrays)
