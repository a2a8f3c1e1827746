"""Arrays in memory: numpy, torch, lists, and mappings of them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trine.data._columns import column_from_numpy
from trine.data._table import Table
from trine.data.formats._base import Reader, readers
from trine.domains import Column
from trine.domains._pictures import SUFFIXES
from trine.errors import DataError

CHANNELS = (1, 3, 4)
"""Numbers of channels that an image may have: grey, RGB, RGB with opacity."""


@readers.register("array")
class Array(Reader):
    """An array: (n, d) numbers are columns ``x0`` to ``x{d-1}``, (n, height, width[, channels]) pixels one column
    ``image``.
    """

    @classmethod
    def accepts(cls, data: Any) -> bool:
        return isinstance(data, np.ndarray | torch.Tensor) or (isinstance(data, list) and not _records(data))

    def read(self, data: Any, on_bad: str) -> Table:
        return table_of_arrays({"x": as_array(data)})


@readers.register("mapping")
class Arrays(Reader):
    """A mapping from name to array, or a list of mappings from name to value, one a row."""

    @classmethod
    def accepts(cls, data: Any) -> bool:
        return isinstance(data, Mapping) or (isinstance(data, list) and _records(data))

    def read(self, data: Any, on_bad: str) -> Table:
        if isinstance(data, list):
            names = dict.fromkeys(name for row in data for name in row)
            data = {name: np.array([row.get(name) for row in data], dtype=object) for name in names}
        return table_of_arrays({str(name): as_array(array) for name, array in data.items()})


def as_array(data: Any) -> np.ndarray:
    """``data`` as a numpy array, without a copy where it can be had.

    Raises:
        DataError: a sparse matrix.
    """
    if isinstance(data, torch.Tensor):
        data = data.detach().cpu()
        return np.asarray((data.to(torch.float32) if data.dtype == torch.bfloat16 else data).numpy())
    if isinstance(data, np.ma.MaskedArray) and data.dtype.kind in "iufb":
        return np.asarray(np.ma.filled(data.astype(np.float64), np.nan))
    if hasattr(data, "toarray"):
        raise DataError("Sparse data are not supported; make them dense with `.toarray()`.")
    try:
        return np.asarray(data)
    except ValueError:
        # Rows of different lengths: series, or steps of them.
        rows = np.empty(len(data), dtype=object)
        rows[:] = [np.asarray(row) if row is not None else None for row in data]
        return rows


def table_of_arrays(
    arrays: Mapping[str, np.ndarray], source: str | None = None, files: Sequence[Path] = (), hint: str = ""
) -> Table:
    """A table of arrays of one length.

    An (n, d) array ``name`` becomes the columns ``name0`` … ``name{d-1}``; pixels become one column, called ``image``
    when the array is ``x``.

    Args:
        source, files, hint: as of :class:`~trine.data.Table`.

    Raises:
        DataError: arrays of different lengths, without rows, or of no dimension.
    """
    where = source or "The data"
    lengths: dict[str, int] = {}
    columns: dict[str, Any] = {}
    for name, array in arrays.items():
        if array.ndim == 0:
            raise DataError(f"{where}: {name!r} is a single value; an array with one entry a row is expected.")
        lengths[name] = len(array)
        if array.ndim == 2 and array.shape[1] == 1 and name != "x":
            array = array[:, 0]
        if array.ndim == 1:
            taken = {_title(name, array): functools.partial(column_from_numpy, _title(name, array), array)}
        elif array.ndim == 2:
            taken = {f"{name}{j}": functools.partial(_slice, f"{name}{j}", array, j) for j in range(array.shape[1])}
        else:
            pixels, title = channels_last(array), _title(name, array)
            taken = {title: functools.partial(column_from_numpy, title, pixels)}
        for title in taken:
            if title in columns:
                raise DataError(f"{where} has two columns called {title!r}; rename the array {name!r}.")
        columns |= taken
    if len(set(lengths.values())) > 1:
        raise DataError(f"{where}: the arrays differ in their number of rows: {lengths}.")
    rows = next(iter(lengths.values()), 0)
    if rows == 0:
        raise DataError(f"{where} has no rows; give at least one.")
    targets = ["y"] if {"x", "y"} <= set(arrays) else []
    return Table(columns, rows, source=source, files=files, targets=targets, hint=hint)


def channels_last(array: np.ndarray) -> np.ndarray:
    """(n, height, width, channels) for (n, channels, height, width) pixels, as a view; others as they are."""
    if array.ndim == 4 and array.shape[1] in CHANNELS and array.shape[3] not in CHANNELS:
        return np.moveaxis(array, 1, 3)
    return array


def _slice(name: str, array: np.ndarray, position: int) -> Column:
    return column_from_numpy(name, array[:, position])


def _title(name: str, array: np.ndarray) -> str:
    """``image`` for an array called ``x`` that holds pixels, or paths of images."""
    if name != "x":
        return name
    if array.ndim == 4 or (array.ndim == 3 and min(array.shape[1:]) >= 8):
        return "image"
    if array.ndim == 1 and array.dtype.kind in "UO" and len(array):
        return "image" if all(isinstance(v, str) and v.lower().endswith(SUFFIXES) for v in array) else name
    return name


def _records(data: Sequence[Any]) -> bool:
    return bool(data) and all(isinstance(row, Mapping) for row in data)
