"""What one variable is: the contract of every domain, and the raw column it reads."""

from __future__ import annotations

import abc
import dataclasses
import functools
from typing import Any, ClassVar, Self

import numpy as np

from trine.registry import Registry

from ._text import missing_levels

domains: Registry[type[Domain]] = Registry("domain", "trine.domains")


@dataclasses.dataclass(frozen=True)
class Column:
    """Raw values of one variable, as read.

    Text is kept factorised: ``values`` are int32 codes into ``levels`` (−1 is missing), so that a domain looks at each
    distinct text once. Everything else is a plain array (float with NaN for missing, int, bool, datetime64, or
    (n, height, width[, channels]) pixels).

    Attributes:
        name: the user's name of the column.
        values: (n, ...) numbers, or (n,) int32 codes when ``levels`` is given.
        levels: (k,) object array of the distinct texts, or None.
        first_row: number of the first row in the user's source, for messages (rows are counted from 1, without header).
        base: folder that relative paths in the column start from.
    """

    name: str
    values: np.ndarray
    levels: np.ndarray | None = None
    first_row: int = 1
    base: str | None = None
    row_numbers: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.values)

    def row(self, index: int) -> int:
        """The user's number of the row at ``index``."""
        return int(self.row_numbers[index]) if self.row_numbers is not None else self.first_row + int(index)

    def take(self, rows: np.ndarray) -> Column:
        """The column at ``rows`` (an integer index array); row numbers in messages stay the user's."""
        numbers = (
            self.row_numbers[rows]
            if self.row_numbers is not None
            else self.first_row + np.asarray(rows, dtype=np.int64)
        )
        return dataclasses.replace(self, values=self.values[rows], row_numbers=numbers)

    @functools.cached_property
    def missing(self) -> np.ndarray:
        """(n,) bool: which rows have no value; texts such as ``?`` and ``NA`` are none."""
        if self.levels is not None:
            # The last entry is for the code −1.
            return np.asarray(np.append(missing_levels(self.levels), True)[self.values])
        if self.values.dtype.kind == "f":
            axes = tuple(range(1, self.values.ndim))
            return np.asarray(np.isnan(self.values).any(axis=axes)) if axes else np.isnan(self.values)
        if self.values.dtype.kind in "mM":
            return np.asarray(np.isnat(self.values))
        return np.zeros(len(self.values), dtype=bool)


@dataclasses.dataclass(frozen=True)
class Domain(abc.ABC):
    """The set that one variable lives in.

    A domain turns raw values into a compact array and back, learns what it needs from the training rows alone
    (``fit``), has a policy for the missing and the unseen, and writes itself as JSON. It is a frozen dataclass whose
    fields are JSON values: what it has learned is part of it.

    Class attributes:
        kind: the registered name, e.g. ``"real"``.
        pack: columns of one pack share one array in the store (``"numbers"``: float32, NaN is missing;
            ``"categories"``: integer codes, −1 is missing and −2 unseen); None: the column has an array of its own.
    """

    kind: ClassVar[str]
    pack: ClassVar[str | None] = None

    @property
    def width(self) -> int:
        """Number of columns taken in the pack."""
        return 1

    @property
    def fitted(self) -> bool:
        """Whether :meth:`fit` has seen the training rows."""
        return True

    @classmethod
    def recognise(cls, column: Column) -> str | None:
        """Why raw values are of this domain, e.g. ``"paths of images"``, or None: they are not, or not by their look.

        The inference asks every registered domain before it takes a column for numbers or categories.
        """
        return None

    @abc.abstractmethod
    def fit(self, column: Column) -> Self:
        """A copy that has learned from ``column`` (training rows only).

        Raises:
            DataError: a value does not belong to the domain; names column, row, value and remedy.
        """

    @abc.abstractmethod
    def encode(self, column: Column) -> np.ndarray:
        """Compact array for the rows of ``column``: (n, width) for a packed domain, (n, ...) otherwise.

        Raises:
            DataError: a value does not belong to the domain; names column, row, value and remedy.
        """

    def encode_known(self, column: Column) -> tuple[np.ndarray, np.ndarray]:
        """What :meth:`encode` gives, and (n,) bool, which rows have a value."""
        encoded = self.encode(column)
        flat = encoded.reshape(len(encoded), -1)
        if encoded.dtype.kind == "f":
            known = ~np.isnan(flat).any(axis=1)
        else:
            known = (flat >= 0).all(axis=1) if encoded.dtype.kind == "i" else ~column.missing
        return encoded, np.asarray(known)

    @abc.abstractmethod
    def decode(self, encoded: np.ndarray) -> np.ndarray:
        """The user's own units, categories or pixels for what ``encode`` gave."""

    @abc.abstractmethod
    def describe(self) -> str:
        """One line for the derivation: what the set is and what was learned, in the user's units."""

    def to_json(self) -> dict[str, Any]:
        """``{"kind": ..., **fields}``."""
        return {"kind": self.kind, **dataclasses.asdict(self)}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Domain:
        """The domain that :meth:`to_json` wrote. Unknown kinds and fields are refused, nothing is executed."""
        from trine.errors import SchemaError

        fields = dict(data)
        kind = domains[str(fields.pop("kind", None))]
        known = {f.name: f for f in dataclasses.fields(kind)}
        unknown = sorted(set(fields) - set(known))
        if unknown:
            raise SchemaError(f"A {kind.kind!r} domain has no field {unknown[0]!r}; it has {sorted(known)}.")
        return kind(**{k: _frozen(v) for k, v in fields.items()})


def _frozen(value: Any) -> Any:
    """JSON lists as tuples, at any depth."""
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value
