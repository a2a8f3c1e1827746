"""What a format is: it knows what it can read, and reads it into a table."""

from __future__ import annotations

import abc
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar, cast

from trine.data._table import Table
from trine.errors import DataError
from trine.registry import Registry

readers: Registry[type[Reader]] = Registry("format", "trine.data.formats")

BLOCK = 1 << 24
"""Bytes of text parsed at a time; no line may be longer."""


class Reader(abc.ABC):
    """One kind of data that becomes a table; a file in ``trine/data/formats`` each.

    Class attributes:
        suffixes: endings of the file names that are this format, for messages; empty when it is no file.

    Attributes:
        memory: bytes that the process may take; None where no limit was stated.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    memory: int | None = None

    @classmethod
    def accepts(cls, data: Any) -> bool:
        """Whether ``data`` (a :class:`~pathlib.Path` that exists, or an object) is of this format."""
        return isinstance(data, Path) and data.is_file() and data.name.lower().endswith(cls.suffixes)

    @abc.abstractmethod
    def read(self, data: Any, on_bad: str) -> Table:
        """The table that ``data`` holds.

        Args:
            data: what :meth:`accepts` accepted.
            on_bad: ``"stop"`` raises on an unreadable row or file among good ones; ``"skip"`` leaves it out and says so
                in :attr:`Table.skipped`.

        Raises:
            DataError: damaged or unusable data; names file and place.
        """


@contextmanager
def decompressed(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, through gzip when its name ends in ``.gz``.

    Raises:
        DataError: an empty file; a gzip file that is truncated or none.
    """
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes); give a file with data in it.")
    if path.suffix.lower() != ".gz":
        with path.open("rb") as stream:
            yield stream
        return
    try:
        with gzip.open(path, "rb") as stream:
            yield cast(IO[bytes], stream)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        cause = "it ends too early" if isinstance(error, EOFError) else str(error)
        raise DataError(f"{path} is not a whole gzip file ({cause}); copy or download it again.") from None
