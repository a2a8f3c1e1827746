"""What one variable is: the contract of every domain, and the raw column it reads."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import functools
import os
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from trine.errors import ChoiceError, DataError, nearest
from trine.registry import Registry

from ._text import missing_levels

domains: Registry[type[Domain]] = Registry("domain", "trine.domains")


@dataclasses.dataclass(frozen=True)
class Sequences:
    """Rows of different lengths, end to end.

    Attributes:
        values: (total, ...) steps of all rows.
        offsets: (n + 1,) int64; row i is ``values[offsets[i]:offsets[i + 1]]``.
    """

    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[np.ndarray]) -> Self:
        """The rows of a list of (length, ...) arrays; of an empty list, none."""
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        values = np.concatenate(rows) if len(rows) else np.zeros(0)
        return cls(values, offsets_of(lengths))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        """(length, ...) steps of one row."""
        return np.asarray(self.values[self.offsets[row] : self.offsets[row + 1]])

    @property
    def lengths(self) -> np.ndarray:
        """(n,) int64: steps of each row."""
        return np.asarray(np.diff(self.offsets))

    def take(self, rows: np.ndarray) -> Self:
        """The rows at ``rows``, an integer index array."""
        rows = np.asarray(rows, dtype=np.int64)
        starts, lengths = self.offsets[rows], self.lengths[rows]
        offsets = offsets_of(lengths)
        return type(self)(self.values[steps_of(starts, lengths, offsets)], offsets)


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """(n + 1,) int64: where rows of these lengths begin and end when they lie end to end."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)])


def steps_of(starts: np.ndarray, lengths: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """(total,) int64: the places of all steps of rows that begin at ``starts``; ``offsets`` are those of ``lengths``."""
    return np.asarray(np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths))


@dataclasses.dataclass(frozen=True)
class Column:
    """Raw values of one variable, as read.

    Text is kept factorised: ``values`` are int32 codes into ``levels`` (−1 is missing), so that a domain looks at each
    distinct text once. Rows of different lengths lie end to end, with ``offsets`` between them. Everything else is a
    plain array (float with NaN for missing, int, bool, datetime64, or (n, height, width[, channels]) pixels).

    Attributes:
        name: the user's name of the column.
        values: (n, ...) numbers; (n,) int32 codes when ``levels`` is given; (total, ...) steps when ``offsets`` is.
        levels: (k,) object array of the distinct texts, or None.
        first_row: number of the first row in the user's source, for messages (rows are counted from 1, without header).
        base: folder that relative paths in the column start from.
        row_numbers: (n,) the user's numbers of the rows, where they are not consecutive.
        offsets: (n + 1,) int64, where the rows of a ragged column begin and end in ``values``; None for any other.
        absent: (n,) bool, which rows of a ragged column have no value at all; None when all have one.
        stamps: (total,) float64, the time of each step of a ragged column; None where it has none.
    """

    name: str
    values: np.ndarray
    levels: np.ndarray | None = None
    first_row: int = 1
    base: str | None = None
    row_numbers: np.ndarray | None = None
    offsets: np.ndarray | None = None
    absent: np.ndarray | None = None
    stamps: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.values) if self.offsets is None else len(self.offsets) - 1

    @property
    def sequences(self) -> Sequences:
        """The rows of a ragged column."""
        assert self.offsets is not None, "only a ragged column has sequences"
        return Sequences(self.values, self.offsets)

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
        if self.offsets is None:
            return dataclasses.replace(self, values=self.values[rows], row_numbers=numbers)
        taken = self.sequences.take(rows)
        absent = None if self.absent is None else self.absent[rows]
        stamps = None if self.stamps is None else Sequences(self.stamps, self.offsets).take(rows).values
        return dataclasses.replace(
            self, values=taken.values, offsets=taken.offsets, absent=absent, stamps=stamps, row_numbers=numbers
        )

    def path(self, index: int) -> str:
        """The file that the text of the row at ``index`` names, relative paths from :attr:`base`.

        Raises:
            DataError: a relative path that leads out of that folder.
        """
        assert self.levels is not None, "only texts are paths"
        written = str(self.levels[self.values[index]]).strip()
        if self.base is not None and os.path.normpath(written).startswith(os.pardir):
            raise DataError(
                f"Column {self.name!r}, row {self.row(index)}: the path {written!r} leads out of the data's folder "
                f"{self.base}. Put the file below that folder, or write its absolute path."
            )
        return os.path.join(self.base or "", written)

    @functools.cached_property
    def missing(self) -> np.ndarray:
        """(n,) bool: which rows have no value; texts such as ``?`` and ``NA`` are none."""
        if self.offsets is not None:
            return np.zeros(len(self), dtype=bool) if self.absent is None else self.absent
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
        ragged: whether rows have different lengths; :meth:`encode` then gives :class:`Sequences`, and :meth:`decode`
            takes them.
    """

    kind: ClassVar[str]
    pack: ClassVar[str | None] = None
    ragged: ClassVar[bool] = False

    @property
    def width(self) -> int:
        """Number of columns taken in the pack."""
        return 1

    @property
    def fitted(self) -> bool:
        """Whether :meth:`fit` has seen the training rows."""
        return True

    @property
    def divisor(self) -> float | None:
        """What encoded whole numbers are divided by in a batch, e.g. 255 for pixels; None: they are codes, or floats."""
        return None

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
    def encode(self, column: Column) -> Any:
        """Compact array for the rows of ``column``: (n, width) for a packed domain, (n, ...) otherwise.

        A ragged domain gives :class:`Sequences` whose missing rows have no step.

        Raises:
            DataError: a value does not belong to the domain; names column, row, value and remedy.
        """

    def known(self, column: Column) -> np.ndarray:
        """(n,) bool, which rows have a value, before anything is read or learned: a file may turn out to be unreadable."""
        return ~column.missing

    def encode_known(self, column: Column) -> tuple[Any, np.ndarray]:
        """What :meth:`encode` gives, and (n,) bool, which rows have a value."""
        encoded = self.encode(column)
        if isinstance(encoded, Sequences):
            return encoded, ~column.missing
        flat = encoded.reshape(len(encoded), -1)
        if encoded.dtype.kind == "f":
            known = ~np.isnan(flat).any(axis=1)
        else:
            known = (flat >= 0).all(axis=1) if encoded.dtype.kind == "i" else ~column.missing
        return encoded, np.asarray(known)

    @abc.abstractmethod
    def decode(self, encoded: Any) -> np.ndarray:
        """The user's own units, categories or pixels for what ``encode`` gave."""

    @abc.abstractmethod
    def describe(self) -> str:
        """One line for the derivation: what the set is and what was learned, in the user's units."""

    @staticmethod
    def stated(spec: str) -> Domain:
        """The domain that a user writes: ``"text"``, or with fields, ``"text(unit=words, longest=200)"``.

        Values are whole numbers, numbers, ``true``, ``false`` or texts.

        Raises:
            ChoiceError: there is no domain, or no field, of that name; or the brackets do not match.
        """
        name, bracket, rest = spec.strip().partition("(")
        kind = domains[name.strip()]
        if bracket and not rest.endswith(")"):
            raise ChoiceError(f"{spec!r} is no domain; write e.g. 'text' or 'text(unit=words)'.")
        known = [field.name for field in dataclasses.fields(kind)]
        given: dict[str, Any] = {}
        for part in filter(None, (part.strip() for part in rest.rstrip(")").split(","))):
            field, equals, value = (side.strip() for side in part.partition("="))
            if field not in known or not equals:
                raise ChoiceError(
                    f"{spec!r}: a {kind.kind!r} domain has no field {field!r}.{nearest(field, known)} Fields: "
                    f"{', '.join(known)}; write e.g. {kind.kind}({known[0]}=…)."
                )
            given[field] = _literal(value)
        return kind(**given)

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


def _literal(text: str) -> Any:
    """A written value: a number where it is one, a truth value, else the text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def _frozen(value: Any) -> Any:
    """JSON lists as tuples, at any depth."""
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value
