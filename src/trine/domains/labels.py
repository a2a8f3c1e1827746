"""A set of labels: none, one or several of finitely many, as tags are."""

from __future__ import annotations

import dataclasses
import re
from typing import ClassVar, Self

import numpy as np

from trine.errors import DataError

from ._base import Column, Domain, domains
from ._numeric import percent

SEPARATORS = (";", "|", ",")
"""What stands between labels in a text, the first that occurs."""
MOST_LABELS = 20_000
SHARE, REUSE = 0.2, 5.0
"""Share of rows with several labels, and rows that a label has in the mean, from which a text is taken for a set."""


@domains.register("labels")
@dataclasses.dataclass(frozen=True)
class Labels(Domain):
    """A set of labels, encoded as uint8 (n, labels): 1 where a row has the label.

    Read from texts (``"red; round"``), from lists of texts, or from (n, labels) arrays of 0 and 1. An empty cell is a missing
    value; the separator alone, an empty list and a row of zeros are the empty set.

    Attributes:
        labels: the labels in use, sorted; of an array, in the order of its columns. Empty: learned by :meth:`fit`.
        separator: what stands between labels in a text; found by :meth:`fit` where it is not stated.
        shares: share of the training rows that have each label.
        mean: labels that a training row has in the mean.
        missing: share of training rows without a value. rows: number of those with one.
        strict: whether ``encode`` refuses an unseen label, as it must for y; it is left out otherwise.
    """

    kind: ClassVar[str] = "labels"

    labels: tuple[str, ...] = ()
    separator: str = ""
    shares: tuple[float, ...] = ()
    mean: float = 0.0
    missing: float = 0.0
    rows: int = 0
    strict: bool = False

    @property
    def fitted(self) -> bool:
        return bool(self.labels) and len(self.shares) == len(self.labels)

    @property
    def divisor(self) -> float | None:
        return 1.0

    @property
    def size(self) -> int:
        """Number of labels."""
        return len(self.labels)

    @classmethod
    def recognise_target(cls, column: Column) -> str | None:
        """Why a column of y is of sets: texts of several labels each, which come again and again."""
        if column.levels is None:
            return None
        if column.offsets is not None:
            return "a list of texts in every row"
        known = np.bincount(column.values[~column.missing], minlength=len(column.levels))
        for separator in SEPARATORS[:2]:
            several = np.fromiter((separator in str(level) for level in column.levels), bool, len(column.levels))
            if known[several].sum() < SHARE * max(int(known.sum()), 1):
                continue
            sets = [_split(str(level), separator) for level in column.levels]
            names = {name for names in sets for name in names}
            held = sum(len(names) * int(count) for names, count in zip(sets, known, strict=True))
            if 2 <= len(names) <= MOST_LABELS and held >= REUSE * len(names):
                return f"sets of {len(names):,} labels, apart by {separator!r}"
        return None

    def fit(self, column: Column) -> Self:
        """Learn the separator and the labels (unless they are stated) and their shares.

        Raises:
            DataError: values that are no sets; an array whose width is not the number of stated labels.
        """
        separator = self.separator or _separator(column)
        labels = self.labels
        if not labels:
            if column.levels is None:
                labels = tuple(str(i) for i in range(self._array(column).shape[1]))
            else:
                levels = column.levels
                used = np.unique(column.values[column.values >= 0])
                labels = tuple(sorted({name for code in used for name in _names(column, levels[code], separator)}))
            if not labels:
                raise DataError(f"Column {column.name!r} has no label in any row; give rows that have some.")
        learned = dataclasses.replace(self, labels=labels, separator=separator)
        # Here an unseen label is one that the user's own list lacks.
        encoded, known = learned.encode(column), ~column.missing
        rows = int(known.sum())
        counts = encoded[known].sum(axis=0, dtype=np.int64)
        return dataclasses.replace(
            learned,
            shares=tuple((counts / max(rows, 1)).tolist()),
            mean=float(counts.sum() / max(rows, 1)),
            missing=1.0 - rows / max(len(column), 1),
            rows=rows,
        )

    def encode(self, column: Column) -> np.ndarray:
        if column.levels is None:
            return self._array(column)
        place = {label: i for i, label in enumerate(self.labels)}
        levels = column.levels
        # Each distinct text is looked at once: its row of a table that all rows are taken from.
        table = np.zeros((len(levels) + 1, len(self.labels)), dtype=np.uint8)
        missing = column.missing
        steps = column.values[~np.repeat(missing, _lengths(column))] if missing.any() else column.values
        for code in np.unique(steps[steps >= 0]):
            for name in _names(column, levels[code], self.separator):
                if name in place:
                    table[code, place[name]] = 1
                elif self.strict:
                    raise self._unseen(column, int(code), name)
        if column.offsets is None:
            encoded = table[column.values]
        else:
            encoded = np.zeros((len(column), len(self.labels)), dtype=np.uint8)
            row, code = np.nonzero(table[column.values])
            encoded[np.repeat(np.arange(len(column)), _lengths(column))[row], code] = 1
        encoded[missing] = 0
        return np.asarray(encoded)

    def decode(self, encoded: np.ndarray) -> np.ndarray:
        """(n,) texts: the labels of each row, the separator and a blank between them; empty for the empty set."""
        names = np.array(self.labels, dtype=object)
        joint = f"{self.separator or SEPARATORS[0]} "
        return np.array([joint.join(names[row]) for row in np.asarray(encoded) > 0.5], dtype=object)

    def describe(self) -> str:
        if not self.labels:
            return "Labels"
        empty = f", {percent(self.missing)} missing" if self.missing else ""
        return f"Labels: a set of {len(self.labels):,}, {self.mean:.1f} a row{empty}"

    def _array(self, column: Column) -> np.ndarray:
        """(n, labels) of 0 and 1.

        Raises:
            DataError: another shape or another value.
        """
        values = column.values
        if column.offsets is not None or values.ndim != 2 or values.dtype.kind not in "biuf":
            raise DataError(
                f"Column {column.name!r} holds no sets of labels: texts with {' or '.join(map(repr, SEPARATORS))} between "
                "labels, lists of texts, or (rows, labels) arrays of 0 and 1 are expected. State another domain."
            )
        if self.labels and values.shape[1] != len(self.labels):
            raise DataError(
                f"Column {column.name!r} has {values.shape[1]} entries a row for {len(self.labels)} labels; give one each."
            )
        wrong = ~np.isin(values, (0, 1)) & ~column.missing[:, None]
        if wrong.any():
            row, entry = (int(i) for i in np.argwhere(wrong)[0])
            raise DataError(
                f"Column {column.name!r}, row {column.row(row)}: entry {entry + 1} is {values[row, entry]}; a set of labels "
                "has 1 where it has the label and 0 elsewhere. State another domain, e.g. vector, for numbers."
            )
        return np.where(column.missing[:, None], 0, values).astype(np.uint8)

    def _unseen(self, column: Column, code: int, name: str) -> DataError:
        step = int(np.flatnonzero(column.values == code)[0])
        row = step if column.offsets is None else int(np.searchsorted(column.offsets, step, side="right") - 1)
        known = ", ".join(self.labels[:8]) + (", …" if len(self.labels) > 8 else "")
        return DataError(
            f"Column {column.name!r}, row {column.row(row)}: {name!r} is none of the labels that training had ({known}). "
            "Mend the value, leave the row out, or train again with such rows."
        )


def _separator(column: Column) -> str:
    """What separates labels in the texts of a column; empty for lists and arrays, which need none."""
    if column.levels is None or column.offsets is not None:
        return ""
    for separator in SEPARATORS:
        if any(separator in str(level) for level in column.levels):
            return separator
    return SEPARATORS[0]


def _names(column: Column, level: object, separator: str) -> list[str]:
    """The labels that a text holds; in a list every text is one label."""
    return [str(level).strip()] if column.offsets is not None else _split(str(level), separator)


def _split(text: str, separator: str) -> list[str]:
    return [name for part in re.split(re.escape(separator), text) if (name := part.strip())]


def _lengths(column: Column) -> np.ndarray:
    """(n,) entries of ``values`` that each row has."""
    return np.ones(len(column), dtype=np.int64) if column.offsets is None else column.sequences.lengths
