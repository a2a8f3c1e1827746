"""Named columns into a file, whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trine.errors import DataError


def write(path: str | os.PathLike[str], columns: Mapping[str, np.ndarray]) -> Path:
    """Write columns of one length to a ``.csv``, ``.tsv``, ``.parquet`` or ``.jsonl`` file.

    The file is written beside its place and moved there when it is whole, so that an older one survives a failure. NaN
    and None are written as missing.

    Args:
        path: the file, whose ending says the format.
        columns: name → (n,) array of numbers, truth values, dates or texts.

    Raises:
        DataError: an ending that is no such format, columns of different lengths, or a disk that does not take the
        file.
    """
    import pyarrow as pa

    target = Path(path)
    writer = WRITERS.get(target.suffix.lower())
    if writer is None:
        raise DataError(f"Cannot write {target}: the ending must be one of {', '.join(WRITERS)}.")
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"Cannot write {target}: the columns differ in their number of rows: {lengths}.")
    table = pa.table({name: _arrow(name, array) for name, array in arrays.items()})
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise DataError(f"Cannot write {target}: {error.strerror}. Choose a folder that exists and is yours.") from None
    try:
        with os.fdopen(handle, "wb") as stream:
            writer(table, stream)
            stream.flush()
            os.fsync(stream.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, target)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise DataError(f"Cannot write {target}: {error.strerror or error}. Nothing was changed.") from None
        raise
    return target


def _arrow(name: str, array: np.ndarray) -> Any:
    import pyarrow as pa

    if array.ndim == 2:
        return pa.array(list(array))
    if array.dtype.kind in "US":
        array = array.astype(object)
    try:
        return pa.array(array, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if value is None or value != value else str(value) for value in array], pa.string())


def _delimited(delimiter: str) -> Callable[[Any, Any], None]:
    def write(table: Any, stream: Any) -> None:
        import pyarrow.csv as pacsv

        pacsv.write_csv(table, stream, pacsv.WriteOptions(delimiter=delimiter))

    return write


def _parquet(table: Any, stream: Any) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, stream)


def _json_lines(table: Any, stream: Any) -> None:
    for batch in table.to_batches(max_chunksize=4096):
        lines = (json.dumps(row, ensure_ascii=False, allow_nan=False, default=str) for row in batch.to_pylist())
        stream.write("".join(line + "\n" for line in lines).encode())


WRITERS: dict[str, Callable[[Any, Any], None]] = {
    ".csv": _delimited(","),
    ".tsv": _delimited("\t"),
    ".parquet": _parquet,
    ".jsonl": _json_lines,
}
"""Ending of a file name → what writes it."""
