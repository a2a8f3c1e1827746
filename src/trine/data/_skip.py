"""Images and sounds that cannot be read, left out before anything else sees them."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from trine.data._table import Table
from trine.domains import _pictures, _sound
from trine.domains._pictures import in_parallel
from trine.domains._text import missing_levels
from trine.errors import DataError


def without_unreadable(table: Table) -> Table:
    """The table without the rows whose image or sound cannot be decoded; each is named in :attr:`Table.skipped`.

    A column holds paths of such files when every text in it ends like one. Each file is decoded once here and once more by
    its domain: the price of leaving bad ones out, paid only when that is asked for.

    Raises:
        DataError: no row is left.
    """
    keep = np.ones(table.rows, dtype=bool)
    skipped: list[str] = []
    for name in table.names:
        column = table.column(name)
        cause = None if column.levels is None else _check_of(column.levels)
        if cause is None or column.levels is None:
            continue
        paths = [os.path.join(column.base or "", str(level)) for level in column.levels]
        causes = {code: why for code, why in enumerate(in_parallel(cause, paths)) if why}
        for index in np.flatnonzero(np.isin(column.values, list(causes)) & ~column.missing):
            keep[index] = False
            code = int(column.values[index])
            skipped.append(f"row {column.row(int(index))}: {column.levels[code]}: {causes[code]}")
    if not skipped:
        return table
    if not keep.any():
        raise DataError(f"None of the {table.rows} files of {table.source} can be read; the first: {skipped[0]}.")
    return table.take(np.flatnonzero(keep)).noting(skipped)


def _check_of(levels: np.ndarray) -> Callable[[str], str] | None:
    """What tells why a file cannot be read, when all texts are paths of images or of sounds; else None."""
    texts = [str(text).lower() for text in levels[~missing_levels(levels)]]
    for suffixes, cause in ((_pictures.SUFFIXES, _no_image), (_sound.SUFFIXES, _no_sound)):
        if texts and all(text.endswith(suffixes) for text in texts):
            return cause
    return None


def _no_image(path: str) -> str:
    """Why the image at ``path`` cannot be read; empty when it can."""
    try:
        # All of the file is decoded, at the smallest size that its format allows.
        _pictures.pixels_of(path, channels=3, height=1, width=1, bits=8)
    except _pictures.Unreadable as error:
        return str(error)
    return ""


def _no_sound(path: str) -> str:
    """Why the sound at ``path`` cannot be read; empty when it can."""
    try:
        _sound.samples_of(path, _sound.about(path).rate, channels=1, longest=float("inf"))
    except _pictures.Unreadable as error:
        return str(error)
    return ""
