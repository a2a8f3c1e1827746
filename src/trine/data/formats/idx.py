"""IDX files, the format of MNIST, gzipped or not."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from trine.data._columns import column_from_numpy
from trine.data._table import CHUNK, Table
from trine.data.formats._base import Reader, decompressed, readers
from trine.domains import Column
from trine.errors import DataError

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""The third byte of the file → type of its numbers, big-endian."""

NAME = re.compile(r"(?P<part>.*?)(?P<side>images|labels)[.-]idx(?P<rank>\d)(-ubyte)?(\.gz)?$", re.IGNORECASE)


@readers.register("idx")
class Idx(Reader):
    """An IDX file of images and the labels beside it (``train-images-idx3-ubyte.gz`` and
    ``train-labels-idx1-ubyte.gz``), or a folder of such files, of which the training pair is taken. Columns ``image``
    and ``label``.
    """

    suffixes = ("-images-idx3-ubyte", "-images-idx3-ubyte.gz", ".idx")

    @classmethod
    def accepts(cls, data: Any) -> bool:
        if not isinstance(data, Path):
            return False
        if data.is_dir():
            return _images(data) is not None
        return bool(NAME.match(data.name)) or data.name.lower().endswith((".idx", ".idx.gz"))

    def read(self, data: Path, on_bad: str) -> Table:
        path = _images(data) if data.is_dir() else data
        assert path is not None  # as accepts() has seen
        first = load(path)
        title = "label" if first.ndim == 1 else "image"
        columns, files = [column_from_numpy(title, first)], [path]
        labels = _labels(path)
        if title == "image" and labels is not None:
            values = load(labels)
            if values.shape != first.shape[:1]:
                raise DataError(
                    f"{labels.name} has {len(values)} labels and {path.name} {len(first)} images; the two files do "
                    "not belong "
                    "together."
                )
            columns.append(column_from_numpy("label", values))
            files.append(labels)
        return Table(
            {c.name: _keep(c) for c in columns}, len(first), source=str(data), files=files, targets=_label(columns)
        )


def load(path: Path) -> np.ndarray:
    """The array of an IDX file: two zero bytes, a type, a rank, the sizes as big-endian 32-bit integers, the numbers.

    Raises:
        DataError: another magic number, or fewer or more bytes than the sizes say.
    """
    with decompressed(path) as stream:
        head = stream.read(4)
        if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in TYPES or head[3] == 0:
            raise DataError(f"{path} is not an IDX file: it begins with {head.hex(' ')}, not 00 00, a type and a rank.")
        sizes = stream.read(4 * head[3])
        if len(sizes) < 4 * head[3]:
            raise DataError(f"{path} is cut off within its header; copy or download it again.")
        shape = tuple(int(n) for n in np.frombuffer(sizes, ">u4"))
        kind = np.dtype(TYPES[head[2]])
        expected = math.prod(shape) * kind.itemsize
        # The header may claim any size: memory is taken only for what is there.
        content = bytearray()
        while block := stream.read(min(CHUNK, expected - len(content))):
            content += block
        if len(content) < expected or stream.read(1):
            found = f"only {len(content)}" if len(content) < expected else "more"
            raise DataError(
                f"{path} is damaged: its header says {' × '.join(map(str, shape))} values ({expected} bytes), and "
                "there are "
                f"{found}. Copy or download it again."
            )
    if shape[0] == 0:
        raise DataError(f"{path} holds no rows.")
    return np.frombuffer(content, kind).reshape(shape)


def _label(columns: list[Column]) -> list[str]:
    return [column.name for column in columns if column.name == "label" and len(columns) > 1]


def _keep(column: Column) -> Any:
    return lambda: column


def _images(folder: Path) -> Path | None:
    """The images file of a folder: the training one, or the only one."""
    found = sorted(p for p in folder.iterdir() if (m := NAME.match(p.name)) and m["side"].lower() == "images")
    training = [p for p in found if p.name.lower().startswith("train")]
    return training[0] if training else found[0] if len(found) == 1 else None


def _labels(images: Path) -> Path | None:
    """The labels file beside an images file, gzipped or not."""
    match = NAME.match(images.name)
    if match is None:
        return None
    for path in sorted(images.parent.iterdir()):
        other = NAME.match(path.name)
        if other and other["side"].lower() == "labels" and other["part"].lower() == match["part"].lower():
            return path
    return None
