"""Whatever the user has, as a table."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trine.data._columns import column_from_numpy
from trine.data._pairs import read_pairs, read_two
from trine.data._skip import without_unreadable
from trine.data._table import Table
from trine.data.formats import readers
from trine.data.formats.arrays import as_array
from trine.data.formats.folders import CONTENTS
from trine.errors import ChoiceError, DataError, nearest


def read(
    data: Any,
    *,
    y: Any = None,
    on_bad: str = "stop",
    memory: int | None = None,
    pairs: Sequence[str] | None = None,
) -> Table:
    """The user's data as a :class:`Table`.

    Args:
        data: a path to a CSV, TSV, Parquet, JSON-lines, ``.npz`` or IDX file or a folder of class folders of images or
            sounds; a
            pandas or polars DataFrame; an array or tensor, alone or as a pair ``(X, y)``; a mapping from name to
            array; a table.
        y: name or names of target columns, which must be there; or an array of targets beside ``data``, as in a pair,
        which
            become the column ``y`` (``y0``, ``y1`` … when there are several). See :attr:`Table.targets`.
        on_bad: ``"stop"`` raises on an unreadable row or image among good ones; ``"skip"`` leaves it out and lists it
            in :attr:`Table.skipped`.
        memory: bytes that the process may take; a text table or archive that is too large for it is read in parts.
        pairs: where pairs of pictures are wanted, the columns of them that are named, maybe none: then a folder of pictures side
            by side, or with two sub-folders of pictures, is read as such pairs, unless they have no column of such a name; and so
            are two paths of folders.

    Raises:
        DataError: no such file, an unknown or damaged format, no rows; names the place and the remedy.
        ChoiceError: another ``on_bad``.
    """
    if on_bad not in ("stop", "skip"):
        raise ChoiceError(f"on_bad is {on_bad!r}; it is 'stop' or 'skip'.")
    pair = isinstance(data, tuple) and len(data) == 2 and y is None
    if pairs is not None:
        found = _of_pairs(data, on_bad, pairs)
        if found is not None:
            return found
    if pair:
        data, y = data
    table = _read(data, on_bad, memory)
    if y is None:
        return table
    names = [y] if isinstance(y, str) else y
    if pair or not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return _beside(table, y)
    for name in names:
        if name not in table:
            table.column(name)
    if table.key in CONTENTS and table.default_target in names:
        _several_classes(table, str(table.default_target))
    return table


def table_of(columns: Mapping[str, Any]) -> Table:
    """A column for each name, whatever its values are; :func:`read` takes an (n, d) array for d columns.

    Raises:
        DataError: values that no column holds, or columns of different lengths.
    """
    return Table.of([column_from_numpy(name, as_array(values)) for name, values in columns.items()])


def _of_pairs(data: Any, on_bad: str, named: Sequence[str]) -> Table | None:
    """The pairs of pictures that a folder, or two, hold; None where ``data`` is something else."""
    paths = data if isinstance(data, tuple) and len(data) == 2 else (data,)
    if not all(isinstance(path, str | os.PathLike) for path in paths):
        return None
    folders = [Path(path).expanduser() for path in paths]
    for folder in folders:
        if not folder.exists():
            raise DataError(f"There is no file or folder {folder}.{_similar(folder)}")
    if not all(folder.is_dir() for folder in folders):
        return None
    table = read_two(folders[0], folders[1], on_bad) if len(folders) == 2 else read_pairs(folders[0], on_bad, named)
    return without_unreadable(table) if on_bad == "skip" and table is not None else table


def _read(data: Any, on_bad: str, memory: int | None = None) -> Table:
    if isinstance(data, Table):
        return data
    if isinstance(data, str | os.PathLike):
        data = Path(data).expanduser()
        if not data.exists():
            raise DataError(f"There is no file {data}.{_similar(data)}")
    for reader in readers.values():
        if reader.accepts(data):
            try:
                form = reader()
                form.memory = memory
                table = form.read(data, on_bad)
            except OSError as error:
                raise DataError(f"{data} cannot be read: {error.strerror or error}.") from None
            return without_unreadable(table) if on_bad == "skip" and isinstance(data, Path) else table
    known = ", ".join(dict.fromkeys(suffix for reader in readers.values() for suffix in reader.suffixes))
    if isinstance(data, Path):
        raise DataError(
            f"{data} is of no format that trine reads. It reads files ending in {known}, and folders with a "
            "sub-folder of images, or of sounds, for each class."
        )
    raise DataError(
        f"A {type(data).__name__} is no data that trine reads; give a path, a DataFrame, an array or tensor, a pair "
        "(X, y), or a "
        "mapping from column name to array."
    )


def _similar(path: Path) -> str:
    """A hint on the nearest name in the folder, or on the folder that is not there either."""
    if not path.parent.is_dir():
        return f" The folder {path.parent} does not exist either."
    return nearest(path.name, [other.name for other in path.parent.iterdir()]) or " Check the path."


def _beside(table: Table, y: Any) -> Table:
    """The table with its targets as further columns."""
    from trine.data.formats.arrays import as_array, table_of_arrays

    if hasattr(y, "columns"):
        other = _read(y, "stop")
    else:
        name = "y"
        while name in table:
            name += "_"
        # A Series keeps its own type, which may be richer than an array's.
        series = hasattr(y, "to_frame")
        other = _read(y.rename(name), "stop") if series else table_of_arrays({name: as_array(y)})
    return table.beside(other, targets=other.names)


def _several_classes(table: Table, label: str) -> None:
    """Refuse a folder whose files are all of one class."""
    levels = table.column(label).levels
    if levels is not None and len(levels) == 1:
        raise DataError(
            f"{table.source} has {table.key}s of a single class, {levels[0]!r}; put the {table.key}s of each class "
            "into a sub-folder of its own, two or more."
        )
