"""Images that cannot be read, left out before anything else sees them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from trine.data._table import Table
from trine.data.formats.images import SUFFIXES
from trine.domains import Column
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
        causes = {code: cause for code, path in enumerate(column.levels) if (cause := _cause(column, path))}
        for index in np.flatnonzero(np.isin(column.values, list(causes))):
            keep[index] = False
            code = int(column.values[index])
            skipped.append(f"row {column.row(int(index))}: {column.levels[code]}: {causes[code]}")
    if not skipped:
        return table
    if not keep.any():
        raise DataError(f"None of the {table.rows} images of {table.source} can be read; the first: {skipped[0]}.")
    return table.take(np.flatnonzero(keep)).noting(skipped)


def _are_paths(levels: np.ndarray) -> bool:
    return len(levels) > 0 and all(str(level).lower().endswith(SUFFIXES) for level in levels)


def _cause(column: Column, path: str) -> str:
    """Why the image at ``path`` cannot be read; empty when it can."""
    from PIL import Image

    file = Path(column.base or ".") / path
    try:
        if file.stat().st_size == 0:
            return "the file is empty"
        with warnings.catch_warnings():
            # A picture of a size that only an attack or a mistake has.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as picture:
                picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        return "there is no such file" if isinstance(error, FileNotFoundError) else str(error) or type(error).__name__
    return ""
