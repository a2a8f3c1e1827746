"""Tables that hold series in another shape: a row a step, or a column a step."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from trine.data._table import Table
from trine.domains import Column, Sequences
from trine.domains._base import offsets_of
from trine.domains._text import numbers_of
from trine.errors import DataError, SchemaError


def reshape(table: Table, long: tuple[str, str] | None = None, group: Mapping[str, str] | None = None) -> Table:
    """The table in the shape that the user states: see :func:`one_row_each` and :func:`grouped`."""
    if long is not None:
        table = one_row_each(table, *long)
    return grouped(table, group) if group else table


def one_row_each(table: Table, key: str, time: str) -> Table:
    """A long table, a row for each step, as a table with a row for each thing that is followed.

    Rows are put together by ``key`` and sorted by ``time`` (numbers, or dates, which become seconds). A column that is the same
    in all rows of each key stays what it is; the numeric columns that change become one column of series, called by their
    names joined with "+", with time stamps unless the steps of every row are equally far apart.

    Args:
        table: the steps. key: the column that says whose step it is. time: the column that says when.

    Raises:
        DataError: no such column, a key or time that is missing, or a text that changes over time.
        SchemaError: no numeric column changes over time.
    """
    keys, times = table.column(key), table.column(time)
    for column in (keys, times):
        if column.missing.any():
            row = column.row(int(np.flatnonzero(column.missing)[0]))
            raise DataError(f"Column {column.name!r}, row {row}: it is missing; each step needs it. Leave the row out.")
    codes, first = _codes(keys)
    when = _seconds(times)
    order = np.lexsort((np.arange(len(codes)), when, codes))
    counts = np.bincount(codes, minlength=len(first))
    offsets = offsets_of(counts)
    starts = order[offsets[:-1]]
    static: list[Column] = []
    moving: list[Column] = []
    for name in table.names:
        if name == time:
            continue
        column = table.column(name)
        if column.offsets is None and _constant(column, order, offsets):
            taken = column.take(starts)
            static.append(taken)
        else:
            moving.append(column)
    values = np.stack([_numbers(column)[order] for column in moving], axis=1) if moving else None
    if values is None:
        raise SchemaError(
            f"No column changes over {time!r} within a {key!r}, so there is no series; leave --long out, or name other columns."
        )
    when = when[order]
    title = "+".join(column.name for column in moving)
    stamps = None if _regular(when, offsets) else when
    series = Column(
        title,
        values,
        offsets=offsets,
        stamps=stamps,
        row_numbers=np.asarray([keys.row(int(index)) for index in starts]),
    )
    loaders: dict[str, Callable[[], Column]] = {c.name: (lambda c=c: c) for c in [*static, series]}  # type: ignore[misc]
    return table.reshaped(loaders, len(first), key)


def grouped(table: Table, groups: Mapping[str, str]) -> Table:
    """A table with several columns put together into one of series, in the order of the table.

    Numbers that are missing at the end of a row end it there.

    Args:
        table: wide. groups: name of the new column → pattern of the columns that are its steps, e.g. ``"t*"`` (``*``, ``?`` and
            ``[...]`` as in a shell).

    Raises:
        DataError: a pattern that meets fewer than two columns, a name that is taken, or a column that holds no numbers.
    """
    columns: dict[str, Callable[[], Column]] = {
        name: (lambda n=name: table.column(n))  # type: ignore[misc]
        for name in table.names
    }
    for title, pattern in groups.items():
        members = [name for name in table.names if fnmatch.fnmatchcase(name, pattern) and name in columns]
        if len(members) < 2:
            raise DataError(
                f"The group {title!r} takes the columns {pattern!r} together, and {len(members)} of {len(table.names)} are "
                f"called so; there are {', '.join(table.names[:8])}, …"
            )
        for name in members:
            del columns[name]
        if title in columns:
            raise DataError(f"The group {title!r} has the name of another column; call it differently.")
        columns[title] = lambda t=title, m=tuple(members): _together(table, t, m)  # type: ignore[misc]
    return table.reshaped(columns, table.rows, table.key)


def _together(table: Table, title: str, members: Sequence[str]) -> Column:
    columns = [table.column(name) for name in members]
    values = np.stack([_numbers(column) for column in columns], axis=1)
    there = ~np.isnan(values)
    # Steps up to the last number of a row; a row without any is missing.
    lengths = np.where(there.any(axis=1), values.shape[1] - there[:, ::-1].argmax(axis=1), 0)
    absent = lengths == 0
    own = np.arange(values.shape[1]) < lengths[:, None]
    first = columns[0]
    return Column(
        title,
        values[own],
        offsets=offsets_of(lengths),
        absent=absent if absent.any() else None,
        first_row=first.first_row,
        row_numbers=first.row_numbers,
    )


def _numbers(column: Column) -> np.ndarray:
    """(n,) float64.

    Raises:
        DataError: it holds something else; names the first row.
    """
    if column.levels is not None:
        numbers, wrong = numbers_of(column.levels)
        bad = np.flatnonzero(np.append(wrong, False)[column.values])
        if len(bad):
            text = str(column.levels[column.values[bad[0]]])
            raise DataError(
                f"Column {column.name!r}, row {column.row(int(bad[0]))}: {text!r} changes over time and is no number; a "
                "series holds numbers. Leave the column out."
            )
        return np.asarray(np.append(numbers, np.nan)[column.values])
    if column.offsets is not None or column.values.ndim != 1 or column.values.dtype.kind not in "iufb":
        raise DataError(
            f"Column {column.name!r} does not hold a number in each row, as a step of a series does; leave it out."
        )
    return column.values.astype(np.float64)


def _seconds(column: Column) -> np.ndarray:
    """(n,) float64: numbers as they are, dates in seconds."""
    if column.values.dtype.kind == "M":
        return np.asarray(column.values.astype("datetime64[us]").astype(np.int64) / 1e6)
    if column.levels is not None and numbers_of(column.levels)[1].any():
        try:
            dates = np.array(
                [re.sub("[Zz]$", "", str(level).strip()) for level in column.levels], dtype="datetime64[us]"
            )
        except ValueError:
            raise DataError(
                f"Column {column.name!r} holds neither numbers nor dates such as 2024-03-01T12:00:00, so it cannot say when a step "
                "is."
            ) from None
        return np.asarray(dates.astype(np.int64)[column.values] / 1e6)
    return _numbers(column)


def _codes(column: Column) -> tuple[np.ndarray, np.ndarray]:
    """((n,) number of each row's key by first appearance, (k,) row in which each first appears)."""
    _, first, codes = np.unique(column.values, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[codes.reshape(-1)], first[order]


def _constant(column: Column, order: np.ndarray, offsets: np.ndarray) -> bool:
    """Whether the column has one value within each key."""
    values = column.values[order]
    missing = column.missing[order]
    first = np.repeat(offsets[:-1], np.diff(offsets))
    same = (values == values[first]) | (missing & missing[first])
    return bool(np.all(same))


def _regular(when: np.ndarray, offsets: np.ndarray) -> bool:
    """Whether all steps of all rows are equally far apart."""
    rows = Sequences(when, offsets)
    since = np.diff(when)
    inside = np.ones(len(since), dtype=bool)
    inside[rows.offsets[1:-1] - 1] = False
    steps = since[inside]
    return not len(steps) or bool(np.allclose(steps, steps[0], rtol=1e-6) and steps[0] > 0)
