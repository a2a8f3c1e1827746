"""The UCR archive's files of series: a row each, the class first, then the values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from trine.data._table import Table
from trine.data.formats._base import Reader, decompressed, readers
from trine.domains import Column
from trine.domains._base import offsets_of
from trine.errors import DataError

FEWEST = 16
"""Values that a row has at least: a tab-separated table of numbers without a header and with fewer columns is no such file."""


@readers.register("ucr")
class UCR(Reader):
    """A ``.tsv`` file without a header whose columns are all numbers, the first of them a whole number, the class.

    Columns ``series`` and ``label``. Values that are missing (NaN) at the end of a row end it there: series of different lengths
    are filled up so in the archive. (Dau et al., `The UCR Time Series Archive`, 2019.)
    """

    suffixes = (".tsv", ".tsv.gz")

    @classmethod
    def accepts(cls, data: Any) -> bool:
        if not super().accepts(data):
            return False
        try:
            with decompressed(data) as stream:
                fields = stream.readline(1 << 24).decode().split("\t")
            numbers = [float(field) for field in fields]
        except (DataError, ValueError):
            return False
        return len(numbers) > FEWEST and numbers[0].is_integer()

    def read(self, data: Path, on_bad: str) -> Table:
        rows: list[np.ndarray] = []
        with decompressed(data) as stream:
            for line, text in enumerate(stream, start=1):
                if not text.strip():
                    continue
                try:
                    rows.append(np.array(text.split(b"\t"), dtype=np.float64))
                except ValueError:
                    raise DataError(
                        f"{data}, line {line}: a value is no number; a file of series has a class and numbers in each row."
                    ) from None
                if len(rows[-1]) < 2 or not rows[-1][0].is_integer():
                    raise DataError(
                        f"{data}, line {line}: a whole number, the class, and then the values are expected."
                    )
        label = np.array([row[0] for row in rows]).astype(np.int64)
        lengths = np.array([_length(row[1:]) for row in rows], dtype=np.int64)
        values = np.concatenate([row[1 : 1 + length] for row, length in zip(rows, lengths, strict=True)])
        absent = lengths == 0
        series = Column("series", values, offsets=offsets_of(lengths), absent=absent if absent.any() else None)
        return Table(
            {"series": lambda: series, "label": lambda: Column("label", label)},
            len(rows),
            source=str(data),
            files=[data],
            targets=["label"],
        )


def _length(values: np.ndarray) -> int:
    """Steps up to the last that is there."""
    there = np.flatnonzero(~np.isnan(values))
    return int(there[-1]) + 1 if len(there) else 0
