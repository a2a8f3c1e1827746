"""Parquet files: a column is read when it is asked for."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trine.data._columns import column_from_arrow
from trine.data._table import Table, unique
from trine.data.formats._base import Reader, readers
from trine.domains import Column
from trine.errors import DataError

BUFFER = 1 << 16
"""Bytes of a column that are read ahead where a file is read a block of rows at a time."""


@readers.register("parquet")
class Parquet(Reader):
    """A Parquet file. Nothing is kept in memory: a file larger than memory is read column by column."""

    suffixes = (".parquet", ".pq")

    def read(self, data: Path, on_bad: str) -> Table:
        return table_of_parquet(data, data)


def table_of_parquet(path: Path, source: Path, numbers: np.ndarray | None = None, skipped: Sequence[str] = ()) -> Table:
    """The table in the Parquet file ``path``.

    Args:
        source: the user's own file, which ``path`` is or was made from: relative paths start from its folder.
        numbers: (rows,) the user's numbers of the rows, where some were left out; ``skipped`` says which.

    Raises:
        DataError: no Parquet file, or one without rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes); give a file with data in it.")
    try:
        # Neither mapped nor buffered ahead: what is read and used is not kept.
        file = pq.ParquetFile(path, pre_buffer=False)
        schema = file.schema_arrow
        text = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
        # Text comes factorised, so that a long column is never held as strings.
        file = pq.ParquetFile(path, pre_buffer=False, read_dictionary=text)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{path} is not a whole Parquet file ({str(error).splitlines()[0]}); it was cut off or is of another "
            "format. Write or copy it again."
        ) from None
    if file.metadata.num_rows == 0:
        raise DataError(f"{path} has columns and no rows; give a file with at least one row.")
    # What pandas wrote as the index of its frame is no column of the user's.
    names = [name for name in schema.names if not re.fullmatch(r"__index_level_\d+__", name)]
    unique(names, str(path))
    base = str(source.resolve().parent)
    return Table(
        {name: functools.partial(_load, file, name, base, numbers) for name in names},
        file.metadata.num_rows,
        source=str(source),
        files=[source],
        skipped=skipped,
        stream=functools.partial(_blocks, path, text, base, numbers),
    )


def _load(file: Any, name: str, base: str, numbers: np.ndarray | None) -> Column:
    import pyarrow as pa

    try:
        data = file.read(columns=[name], use_threads=False).column(name)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"Column {name!r} of the Parquet file cannot be read: {str(error).splitlines()[0]}.") from None
    return dataclasses.replace(column_from_arrow(name, data, base), row_numbers=numbers)


def _blocks(
    path: Path,
    text: list[str],
    base: str,
    numbers: np.ndarray | None,
    names: Sequence[str],
    first: int,
    size: int,
) -> Iterator[list[Column]]:
    """The columns of at most ``size`` rows at a time, from row ``first`` on."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # A buffer a column: otherwise all of a group of rows, which may be all of the file, would be read at once.
        file = pq.ParquetFile(path, pre_buffer=False, read_dictionary=text, buffer_size=BUFFER)
        groups, skip = list(range(file.metadata.num_row_groups)), first
        while groups and skip >= (rows := file.metadata.row_group(groups[0]).num_rows):
            skip -= rows
            groups.pop(0)
        for batch in file.iter_batches(size, row_groups=groups, columns=list(names), use_threads=False):
            part = batch.slice(skip) if skip else batch
            skip = max(skip - len(batch), 0)
            if not len(part):
                continue
            own = np.arange(first + 1, first + 1 + len(part)) if numbers is None else numbers[first : first + len(part)]
            first += len(part)
            columns = [column_from_arrow(name, part.column(name), base) for name in names]
            yield [dataclasses.replace(column, row_numbers=own) for column in columns]
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"The Parquet file {path} cannot be read: {str(error).splitlines()[0]}.") from None
    finally:
        pa.default_memory_pool().release_unused()
