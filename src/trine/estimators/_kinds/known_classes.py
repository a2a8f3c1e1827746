"""The labels beside x: which known class each row is of, and which classes count as new."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.data import Table, read
from trine.domains import Category
from trine.errors import ChoiceError, DataError, SchemaError


def labelled(X: Any, y: Any) -> tuple[Table, str | None]:
    """(table, name of the column of labels or None).

    Raises:
        DataError: X and y of different lengths, or a label that names no column. SchemaError: nothing is left for x.
    """
    if y is None or isinstance(y, str):
        table = read(X)
        label = y if y is not None else table.default_target
        if label is not None:
            table.column(label)  # raises, with what the table knows to say
    else:
        if not np.ndim(y):
            raise DataError(f"y is {y!r}; it is one label for each row, or the name of a column of X.")
        if len(np.asarray(y)) != len(X):
            raise DataError(f"X has {len(X)} rows and y {len(np.asarray(y))}; give one label for each row.")
        table = read((X, np.asarray(y)))
        label = table.targets[0]
    if not [name for name in table.names if name != label]:
        raise SchemaError(f"The data have no column besides the labels {label!r}; x is empty.")
    return table, label


def classes(table: Table, label: str | None) -> tuple[list[str], NDArray[np.int64]]:
    """Names of the classes, and (rows,) which each row is of, −1 where it has no label.

    Raises:
        SchemaError: so many labels that they name rows, and no classes.
    """
    if label is None:
        return [], np.full(table.rows, -1, dtype=np.int64)
    domain = Category().fit(table.column(label))
    codes = np.asarray(domain.encode(table.column(label)), dtype=np.int64).reshape(-1)
    if len(domain.labels) > 0.5 * table.rows and table.rows > 20:
        raise SchemaError(
            f"The column {label!r} has {len(domain.labels)} different labels in {table.rows} rows; labels name classes of many "
            "rows. Name another column, or none."
        )
    return [str(name) for name in domain.decode(np.arange(len(domain.labels)))], codes


def held_out(new: Sequence[Any], names: list[str], label: str | None) -> list[int]:
    """Which of the classes are ``new``, by their places in ``names``.

    Raises:
        SchemaError: the rows have no labels. DataError: a label that no row has.
    """
    if not isinstance(new, str | int | Iterable):
        raise ChoiceError(f"new is {new!r}; it is a list of labels.")
    wanted = [str(name) for name in ([new] if isinstance(new, str | int) else new)]
    if wanted and label is None:
        raise SchemaError("new names labels, and the rows have none; give y, or the name of the column with labels.")
    if unknown := [name for name in wanted if name not in names]:
        raise DataError(f"new names the label {unknown[0]!r}, which no row has; there are {', '.join(names[:20])}.")
    return [names.index(name) for name in wanted]
