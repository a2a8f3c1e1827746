"""Images that cannot be read, left out before anything else sees them."""

from __future__ import annotations

import os

import numpy as np

from trine.data._table import Table
from trine.domains._pictures import SUFFIXES, Unreadable, in_parallel, pixels_of
from trine.domains._text import missing_levels
from trine.errors import DataError


def without_unreadable(table: Table) -> Table:
    """The table without the rows whose image cannot be decoded; each is named in :attr:`Table.skipped`.

    A column holds paths of images when every text in it ends like one. Each file is decoded once here and once more by
    its domain: the price of leaving bad ones out, paid only when that is asked for.

    Raises:
        DataError: no row is left.
    """
    keep = np.ones(table.rows, dtype=bool)
    skipped: list[str] = []
    for name in table.names:
        column = table.column(name)
        if column.levels is None or not _are_paths(column.levels):
            continue
        paths = [os.path.join(column.base or "", str(level)) for level in column.levels]
        causes = {code: cause for code, cause in enumerate(in_parallel(_cause, paths)) if cause}
        for index in np.flatnonzero(np.isin(column.values, list(causes)) & ~column.missing):
            keep[index] = False
            code = int(column.values[index])
            skipped.append(f"row {column.row(int(index))}: {column.levels[code]}: {causes[code]}")
    if not skipped:
        return table
    if not keep.any():
        raise DataError(f"None of the {table.rows} images of {table.source} can be read; the first: {skipped[0]}.")
    return table.take(np.flatnonzero(keep)).noting(skipped)


def _are_paths(levels: np.ndarray) -> bool:
    texts = levels[~missing_levels(levels)]
    return len(texts) > 0 and all(str(text).lower().endswith(SUFFIXES) for text in texts)


def _cause(path: str) -> str:
    """Why the image at ``path`` cannot be read; empty when it can."""
    try:
        # All of the file is decoded, at the smallest size that its format allows.
        pixels_of(path, channels=3, height=1, width=1, bits=8)
    except Unreadable as error:
        return str(error)
    return ""
