"""Tables that others hold in memory: pandas, polars, and whatever else speaks arrow."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from trine.data._columns import column_from_arrow, column_from_numpy
from trine.data._table import Table, unique
from trine.data.formats._base import Reader, readers
from trine.domains import Column
from trine.errors import DataError


@readers.register("frame")
class Frame(Reader):
    """A pandas or polars DataFrame or Series, or any table with arrow's C stream interface."""

    @classmethod
    def accepts(cls, data: Any) -> bool:
        return hasattr(data, "__arrow_c_stream__") or _is_pandas(data)

    def read(self, data: Any, on_bad: str) -> Table:
        if _is_pandas(data):
            return _read_pandas(data)
        import pyarrow as pa

        if hasattr(data, "to_frame") and hasattr(data, "name"):  # a polars Series
            data = data.rename(data.name or "x").to_frame()
        try:
            table = pa.table(data)
        except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError) as error:
            raise DataError(f"The {type(data).__name__} cannot be read as a table: {error}.") from None
        unique(table.column_names, "The table")
        return table_of_arrow(table)


def table_of_arrow(table: Any, source: Path | None = None) -> Table:
    """A table over a ``pyarrow.Table``, each column converted when it is asked for."""
    base = None if source is None else str(source.resolve().parent)
    return Table(
        {
            name: functools.partial(column_from_arrow, name, column, base)
            for name, column in zip(table.column_names, table.columns, strict=True)
        },
        table.num_rows,
        source=None if source is None else str(source),
        files=[] if source is None else [source],
    )


def _is_pandas(data: Any) -> bool:
    kind = type(data)
    return any(base.__module__.split(".")[0] == "pandas" for base in kind.__mro__) and hasattr(data, "to_numpy")


def _read_pandas(data: Any) -> Table:
    """A pandas DataFrame or Series; pandas itself is the caller's and is not imported."""
    if not hasattr(data, "columns"):
        data = data.to_frame(name="x" if getattr(data, "name", None) is None else data.name)
    names = [str(name) for name in data.columns]
    unique(names, "The DataFrame")
    series = [data.iloc[:, position] for position in range(len(names))]
    return Table(
        {name: functools.partial(_pandas_column, name, part) for name, part in zip(names, series, strict=True)},
        len(data),
    )


def _pandas_column(name: str, series: Any) -> Column:
    kind = getattr(series.dtype, "kind", "O")
    if kind in "iufbmM" and type(series.dtype).__module__.startswith("numpy"):
        return column_from_numpy(name, series.to_numpy())
    if kind == "c" or (kind == "O" and str(series.dtype) == "object"):
        return column_from_numpy(name, series.to_numpy())
    import pyarrow as pa

    return column_from_arrow(name, pa.array(series, from_pandas=True))
