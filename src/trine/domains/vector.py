"""Numbers of one kind that come together: sensor readings, another network's features."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Self

import numpy as np

from trine.errors import DataError

from ._base import Column, Domain, domains
from ._numeric import FENCE, encoded32, robust, subsample


@domains.register("vector")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Vector(Domain):
    """A fixed number of reals a row, encoded as float32 (n, size): (v − centre) / scale, an entry each.

    A row with a missing entry is missing: all of it is NaN.

    Attributes:
        size: number of entries.
        centre, scale: median and robust scale of each entry in the training rows.
        mean, std: of each encoded entry, tails fenced as in :class:`Numeric`.
        missing: share of training rows without a value.
    """

    kind: ClassVar[str] = "vector"

    size: int = 0
    centre: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    missing: float = 0.0

    @property
    def fitted(self) -> bool:
        return bool(self.centre)

    @classmethod
    def recognise(cls, column: Column) -> str | None:
        if column.offsets is None and column.values.ndim == 2 and column.values.dtype.kind in "fiub":
            return f"{column.values.shape[1]} numbers in every row"
        return None

    def fit(self, column: Column) -> Self:
        values = self._rows(column)
        known = values[~np.isnan(values).any(axis=1)]
        located = [robust(entry) if len(entry) else (0.0, 1.0) for entry in subsample(known).T]
        fitted = dataclasses.replace(
            self,
            size=values.shape[1],
            centre=tuple(centre for centre, _ in located),
            scale=tuple(scale for _, scale in located),
            missing=1.0 - len(known) / max(len(values), 1),
        )
        encoded = np.clip(fitted._forward(known), -FENCE, FENCE)
        mean, std = (encoded.mean(axis=0), encoded.std(axis=0)) if len(known) else (np.zeros(fitted.size),) * 2
        return dataclasses.replace(fitted, mean=tuple(mean.tolist()), std=tuple(std.tolist()))

    def encode(self, column: Column) -> np.ndarray:
        values = self._rows(column)
        if self.fitted and values.shape[1] != self.size:
            raise DataError(f"Column {column.name!r} has {values.shape[1]} numbers a row and training had {self.size}.")
        encoded = encoded32(self._forward(values))
        encoded[np.isnan(encoded).any(axis=1)] = np.nan
        return encoded

    def decode(self, encoded: np.ndarray) -> np.ndarray:
        """(n, size) float64 in the user's units."""
        return np.asarray(np.asarray(encoded, dtype=np.float64) * np.array(self.scale) + np.array(self.centre))

    def describe(self) -> str:
        return f"Vector of {self.size}" if self.size else "Vector"

    def _forward(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.asarray((values - np.array(self.centre)) / np.array(self.scale))

    def _rows(self, column: Column) -> np.ndarray:
        """(n, size) float64, checked to be numbers and finite."""
        values = column.values
        if column.levels is not None or values.dtype.kind not in "fiub" or values.ndim < 2:
            raise DataError(
                f"Column {column.name!r} does not hold several numbers a row, as a vector does; state another domain."
            )
        flat = values.reshape(len(values), -1).astype(np.float64)
        infinite = np.isinf(flat).any(axis=1)
        if infinite.any():
            row = column.row(int(np.flatnonzero(infinite)[0]))
            raise DataError(f"Column {column.name!r}, row {row}: a number is infinite; finite ones are expected.")
        return flat
