"""One of a finite set of labels: binary, nominal or ordered."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Self

import numpy as np

from trine.errors import DataError

from ._base import Column, Domain, domains
from ._numeric import percent
from ._text import missing_levels, number

Label = str | int | float | bool

MOST_LABELS = 10_000
"""Most labels of an x that are kept; of more, the most frequent ones, and the others count as unseen."""


@domains.register("category")
@dataclasses.dataclass(frozen=True)
class Category(Domain):
    """One of finitely many labels, encoded as its place: int32 (n, 1) codes, −1 missing, −2 unseen.

    Labels are told apart by what is written: the text ``"3"``, the integer 3 and the float 3.0 are one label, so that
    a column which a file gives as text today and as numbers tomorrow stays the same column.

    Attributes:
        labels: the user's own, text, integers, floats or truth values; sorted (numbers by size), unless stated in their
            order. Empty: learned by :meth:`fit`.
        ordered: whether the order of the labels means something.
        dtype: NumPy type of the labels in the user's data; ``"object"`` for text.
        shares: share of each label among the training rows with a value.
        missing: share of training rows without a value.
        rows: number of training rows with one of the labels.
        strict: whether ``encode`` refuses an unseen label, as it must for y.
    """

    kind: ClassVar[str] = "category"
    pack: ClassVar[str | None] = "categories"

    labels: tuple[Label, ...] = ()
    ordered: bool = False
    dtype: str = ""
    shares: tuple[float, ...] = ()
    missing: float = 0.0
    rows: int = 0
    strict: bool = False

    @property
    def fitted(self) -> bool:
        return bool(self.dtype) and len(self.shares) == len(self.labels)

    def fit(self, column: Column) -> Self:
        """Learn labels (unless they are stated) and their shares.

        Raises:
            DataError: two stated labels are the same; the column holds several values a row.
        """
        values, counts = distinct(column)
        labels, dtype = self.labels, self.dtype or _dtype(column, self.labels or tuple(values))
        if not labels:
            found: dict[str, list[Any]] = {}
            for value, count in zip(values, counts.tolist(), strict=True):
                entry = found.setdefault(key(value), [value, 0])
                entry[1] += count
            kept = sorted(found.values(), key=lambda entry: -entry[1])[: None if self.strict else MOST_LABELS]
            labels = _sorted([value for value, _ in kept])
        learned = dataclasses.replace(self, labels=labels, dtype=dtype)
        places = learned._places(column.name)
        seen = np.zeros(len(labels), dtype=np.int64)
        for value, count in zip(values, counts.tolist(), strict=True):
            if (place := places.get(key(value), -2)) >= 0:
                seen[place] += count
        total = max(int(seen.sum()), 1)
        return dataclasses.replace(
            learned,
            shares=tuple((seen / total).tolist()),
            rows=int(seen.sum()),
            missing=1.0 - int(counts.sum()) / len(column) if len(column) else 0.0,
        )

    def encode(self, column: Column) -> np.ndarray:
        _single(column)
        places = self._places(column.name)
        if column.levels is not None:
            missing = missing_levels(column.levels)
            table = np.array([places.get(key(level), -2) for level in column.levels] + [-1], dtype=np.int32)
            table[:-1][missing] = -1
            codes = table[column.values]
        else:
            values, inverse = np.unique(_plain(column.values), return_inverse=True)
            table = np.array([places.get(key(v), -2) for v in values.tolist()], dtype=np.int32)
            codes = table[inverse.reshape(-1)] if len(table) else np.zeros(0, dtype=np.int32)
            codes[column.missing] = -1
        if self.strict and (codes == -2).any():
            index = int(np.flatnonzero(codes == -2)[0])
            value = column.values[index] if column.levels is None else column.levels[column.values[index]]
            known = ", ".join(str(label) for label in self.labels[:8]) + (", …" if len(self.labels) > 8 else "")
            raise DataError(
                f"Column {column.name!r}, row {column.row(index)}: {str(value)!r} is none of the classes that training "
                f"had ({known}). Mend the value, leave the row out, or train again with such rows."
            )
        return np.asarray(codes[:, None])

    def decode(self, encoded: np.ndarray) -> np.ndarray:
        """(n,) labels in the user's own type, from (n,) or (n, 1) codes; None where a code is negative."""
        codes = np.asarray(encoded).reshape(-1).astype(np.int64)
        if self.dtype in ("", "object") or (codes < 0).any():
            return np.array([*self.labels, None], dtype=object)[np.where(codes < 0, -1, codes)]
        return np.array(self.labels, dtype=self.dtype)[codes]

    def describe(self) -> str:
        name = "Category, ordered" if self.ordered else "Category"
        if not self.labels:
            return name
        empty = f", {percent(self.missing)} missing" if self.missing else ""
        if len(self.labels) <= 4 and sum(len(str(label)) for label in self.labels) <= 48:
            return f"{name}: {(' < ' if self.ordered else ', ').join(map(str, self.labels))}{empty}"
        return f"{name} of {len(self.labels):,}{empty}"

    def _places(self, name: str) -> dict[str, int]:
        places = {key(label): place for place, label in enumerate(self.labels)}
        if len(places) < len(self.labels):
            raise DataError(
                f"The labels stated for column {name!r} have one twice: {', '.join(map(str, self.labels))}."
            )
        return places


def key(value: Any) -> str:
    """What is written for a label: the same for ``"3"``, 3 and 3.0, and for ``"True"`` and True."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        value = float(value)
        return str(int(value)) if value.is_integer() and abs(value) < 2**63 else repr(value)
    text = str(value).strip()
    # A text that is exactly how a whole float prints reads as the integer.
    return text[:-2] if text.endswith(".0") and text[:-2].lstrip("-").isdigit() else text


def distinct(column: Column) -> tuple[list[Label], np.ndarray]:
    """(distinct values that are there, as Python's own; their numbers of rows)."""
    _single(column)
    if column.levels is not None:
        codes = column.values[~column.missing]
        counts = (
            np.bincount(codes, minlength=len(column.levels)) if len(codes) else np.zeros(len(column.levels), np.int64)
        )
        used = np.flatnonzero(counts)
        return [str(column.levels[i]) for i in used], counts[used]
    values, counts = np.unique(_plain(column.values[~column.missing]), return_counts=True)
    if values.dtype.kind == "f" and column.missing.any() and (values == np.floor(values)).all():
        # Whole numbers that a missing value made floats.
        return [int(v) for v in values.tolist()], counts
    return values.tolist(), counts


def _dtype(column: Column, labels: tuple[Label, ...]) -> str:
    """NumPy's name for the type of the labels."""
    if any(isinstance(label, str) for label in labels):
        return "object"
    if (
        column.levels is None
        and column.values.dtype.kind in "biuf"
        and not (column.values.dtype.kind == "f" and labels and all(type(label) is int for label in labels))
    ):
        return str(column.values.dtype)
    return str(np.array(labels).dtype) if labels else "object"


def _sorted(labels: list[Any]) -> tuple[Any, ...]:
    """Labels by size where all are numbers or written numbers, else by their text."""
    if all(isinstance(label, str) for label in labels):
        sizes = [number(label) for label in labels]
        if all(size is not None for size in sizes):
            return tuple(label for _, label in sorted(zip(sizes, labels, strict=True)))
    return tuple(sorted(labels))


def _plain(values: np.ndarray) -> np.ndarray:
    """Dates and durations as text; everything else as it is."""
    return values.astype(str) if values.dtype.kind in "mM" else values


def _single(column: Column) -> None:
    if column.values.ndim > 1:
        raise DataError(
            f"Column {column.name!r} holds arrays of shape {column.values.shape[1:]}; a category is one value a row. "
            f"Read it with `trine fit --domain {column.name}=image` or `=vector`."
        )
