"""The user's rows as named columns, each read when it is asked for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from trine.data._columns import column_from_numpy
from trine.domains import Column
from trine.errors import DataError, nearest

CHUNK = 1 << 20
"""Bytes of a file that are read at a time."""


class Table:
    """Ordered named columns over data that are read column by column.

    Args:
        columns: name → function that gives the :class:`~trine.domains.Column`, all of ``rows`` values.
        rows: number of rows.
        source: path of what was read, for messages and :meth:`fingerprint`; None for data in memory.
        key: the column that names a row, when it is known.
        files: the files that hold the data, when hashing them is cheaper than hashing the columns.
        targets: columns that the form of the data says are to be predicted: a folder's label, the y of a pair (X, y).
        skipped: what was left out as unreadable, a message each.
        hint: a sentence that follows the message on an unknown column.
        selection: the rows, of those that the functions give, that the table has; None for all.
        stream: (names, first row, rows) → the columns of consecutive rows from the first (from 0) on, at most so many at
            a time, with the user's numbers of the rows: for data that should not be read a whole column at a time. None
            where columns are in memory anyway.

    Raises:
        DataError: there is no column.
    """

    def __init__(
        self,
        columns: Mapping[str, Callable[[], Column]],
        rows: int,
        *,
        source: str | None = None,
        key: str | None = None,
        files: Sequence[Path] = (),
        targets: Sequence[str] = (),
        skipped: Sequence[str] = (),
        hint: str = "",
        selection: np.ndarray | None = None,
        stream: Callable[[Sequence[str], int, int], Iterator[list[Column]]] | None = None,
    ) -> None:
        if not columns:
            raise DataError(f"{source or 'The data'} has no columns; give a table with at least one.")
        self._columns = dict(columns)
        self._selection = selection
        self._files = files
        self._stream = stream
        self._hint = hint
        self.names = list(self._columns)
        self.rows = rows
        self.source = source
        self.key = key
        self.targets = tuple(targets)
        self.skipped = tuple(skipped)

    @classmethod
    def of(cls, columns: Sequence[Column], **about: str | None) -> Table:
        """A table of columns that are already in memory, all of one length.

        Raises:
            DataError: columns of different lengths, or two of one name.
        """
        lengths = {column.name: len(column) for column in columns}
        if len(set(lengths.values())) > 1:
            raise DataError(f"The columns differ in their number of rows: {lengths}.")
        unique([column.name for column in columns], "The data")
        loaders: dict[str, Callable[[], Column]] = {c.name: (lambda c=c: c) for c in columns}  # type: ignore[misc]
        return cls(loaders, next(iter(lengths.values()), 0), source=about.get("source"), key=about.get("key"))

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __len__(self) -> int:
        return self.rows

    def __repr__(self) -> str:
        return f"Table({self.rows} rows × {len(self.names)} columns{f', {self.source}' if self.source else ''})"

    @property
    def default_target(self) -> str | None:
        """The one column that the form of the data says is to be predicted, if there is one."""
        return self.targets[0] if len(self.targets) == 1 else None

    def column(self, name: str) -> Column:
        """The column ``name``, read now; nothing else is.

        Raises:
            DataError: no such column, with the nearest name; or the column cannot be read.
        """
        load = self._columns.get(name)
        if load is None:
            shown = ", ".join(self.names[:12]) + (f" and {len(self.names) - 12} more" if len(self.names) > 12 else "")
            where = f" in {self.source}" if self.source else ""
            raise DataError(
                f"There is no column {name!r}{where}.{nearest(name, self.names)} Columns: {shown}.{self._hint}"
            )
        column = load()
        return column if self._selection is None else column.take(self._selection)

    def take(self, rows: np.ndarray) -> Table:
        """The table at ``rows``, an integer index array; row numbers in messages stay the user's."""
        rows = np.asarray(rows, dtype=np.int64)
        return self._with(self._columns, len(rows), rows if self._selection is None else self._selection[rows])

    def blocks(self, names: Sequence[str], size: int, first: int = 0) -> Iterator[Table]:
        """Tables of consecutive rows, in memory, from row ``first`` (from 0) on, of at most ``size`` rows each.

        A file that can be read in parts is; row numbers in messages stay the user's.
        """
        ascending = self._selection is None or bool((np.diff(self._selection) > 0).all())
        if self._stream is None or not ascending:
            columns = {name: self._columns[name]() for name in names}
            for start in range(first, self.rows, size):
                rows = np.arange(start, min(start + size, self.rows))
                rows = rows if self._selection is None else self._selection[rows]
                yield Table.of([column.take(rows) for column in columns.values()], source=self.source)
            return
        at = first if self._selection is None else int(np.append(self._selection, 0)[first])
        for read in self._stream(names, at, size):
            stop = at + len(read[0])
            if self._selection is None:
                yield Table.of(read, source=self.source)
            else:
                inside = self._selection[np.searchsorted(self._selection, at) : np.searchsorted(self._selection, stop)]
                if len(inside):
                    yield Table.of([column.take(inside - at) for column in read], source=self.source)
            at = stop

    def select(self, names: Sequence[str]) -> Table:
        """The table of these columns.

        Raises:
            DataError: no such column, with the nearest name.
        """
        for name in names:
            if name not in self._columns:
                self.column(name)
        return self._with({name: self._columns[name] for name in names}, self.rows, self._selection)

    def beside(self, other: Table, targets: Sequence[str] = ()) -> Table:
        """The columns of both, row by row.

        Raises:
            DataError: the numbers of rows differ, or a name is in both.
        """
        if self.rows != other.rows:
            raise DataError(
                f"The data have {self.rows} rows and {', '.join(other.names)} {other.rows}; give one value for each "
                "row."
            )
        unique([*self.names, *other.names], "x and y together")
        columns: dict[str, Callable[[], Column]] = {}
        for table in (self, other):
            columns |= {name: (lambda t=table, n=name: t.column(n)) for name in table.names}  # type: ignore[misc]
        return Table(
            columns,
            self.rows,
            source=self.source,
            key=self.key,
            targets=targets or (*self.targets, *other.targets),
            skipped=(*self.skipped, *other.skipped),
        )

    def with_column(self, name: str, values: np.ndarray) -> Table:
        """The table with one more column, (rows, ...) values in memory, as its target.

        Raises:
            DataError: another number of rows, or the name is taken.
        """
        return self.beside(Table.of([column_from_numpy(name, np.asarray(values))]), targets=[name])

    def reshaped(self, columns: Mapping[str, Callable[[], Column]], rows: int, key: str | None = None) -> Table:
        """The same source in other columns and rows; targets that are no longer there are forgotten."""
        return Table(
            columns,
            rows,
            source=self.source,
            key=key if key in columns else None,
            files=self._files,
            targets=[name for name in self.targets if name in columns],
            skipped=self.skipped,
            hint=self._hint,
        )

    def noting(self, skipped: Sequence[str]) -> Table:
        """The same table, with more rows listed as left out."""
        table = self._with(self._columns, self.rows, self._selection)
        table.skipped += tuple(skipped)
        return table

    def fingerprint(self) -> str:
        """SHA-256, as hexadecimal digits, of the columns' names, types and values.

        For a table on disk it is taken over the names and the files' bytes, so that nothing has to be decoded.
        """
        digest = hashlib.sha256(repr((self.names, self.rows)).encode())
        if self._selection is not None:
            digest.update(_bytes(self._selection))
        if self._files:
            for file in self._files:
                _hash_file(digest, file)
            if self.key is not None:
                # The paths of images say which class each belongs to.
                digest.update(_text(self.column(self.key)))
            return digest.hexdigest()
        for load in self._columns.values():
            column = load()
            digest.update(f"{column.values.dtype.str}{column.values.shape}".encode())
            digest.update(_bytes(column.values))
            if column.offsets is not None:
                digest.update(_bytes(column.offsets))
            if column.levels is not None:
                digest.update(_text(column))
        return digest.hexdigest()

    @property
    def in_files(self) -> bool:
        """Whether the data lie in files, so that :meth:`manifest` reads none of them."""
        return len(self._files) > 0

    def manifest(self) -> str:
        """SHA-256, as hexadecimal digits, that is another when the data are: of the files' paths, sizes and times.

        Unlike :meth:`fingerprint` it reads no file. The time of the last change of a file's status is one of them, and
        no program can set it back, so an edit that keeps size and time of modification is seen as well. Data in
        memory are hashed as they are.
        """
        if not self._files:
            return self.fingerprint()
        digest = hashlib.sha256(repr((self.names, self.rows)).encode())
        if self._selection is not None:
            digest.update(_bytes(self._selection))
        for file in self._files:
            digest.update(state_of(file).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def _with(self, columns: Mapping[str, Callable[[], Column]], rows: int, selection: np.ndarray | None) -> Table:
        key = self.key if self.key in columns else None
        return Table(
            columns,
            rows,
            source=self.source,
            key=key,
            files=self._files,
            targets=[name for name in self.targets if name in columns],
            skipped=self.skipped,
            hint=self._hint,
            selection=selection,
            stream=self._stream,
        )


def state_of(path: str | os.PathLike[str]) -> str:
    """Path, size, and times of the last change of content and of status of a file; without one, that."""
    try:
        found = os.stat(path)
    except OSError as error:
        return f"{os.fspath(path)}\0{error.strerror}\0"
    return f"{os.path.abspath(path)}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_ctime_ns}\0"


def unique(names: Sequence[str], what: str) -> None:
    """Raise :class:`DataError` when a column name occurs twice in ``names``."""
    if len(set(names)) == len(names):
        return
    places: dict[str, list[int]] = {}
    for position, name in enumerate(names, start=1):
        places.setdefault(name, []).append(position)
    name, found = next((name, found) for name, found in places.items() if len(found) > 1)
    raise DataError(
        f"{what} has {len(found)} columns called {name!r} (columns {', '.join(map(str, found))}); "
        "give every column a name of its own."
    )


def _text(column: Column) -> bytes:
    return b"" if column.levels is None else "\0".join(map(str, column.levels)).encode("utf-8", "surrogatepass")


def _bytes(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _hash_file(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb") as stream:
        while block := stream.read(CHUNK):
            digest.update(block)


def labels_of(table: Table, name: str | None) -> np.ndarray | None:
    """(rows,) texts of the column ``name``, None where a value is missing; None without such a column."""
    if name is None or name not in table:
        return None
    column = table.column(name)
    values = column.values if column.levels is None else column.levels[column.values]
    return np.array(
        [None if gone else str(value) for value, gone in zip(values, column.missing, strict=True)], dtype=object
    )
