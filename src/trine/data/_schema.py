"""What the user has: column → domain, for x and for y, inferred with reasons and open to correction."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np

from trine.domains import Category, Column, Date, Domain, Image, Labels, Numeric, Text
from trine.domains.category import distinct, key
from trine.domains.image import LOOKED_AT
from trine.errors import DataError, SchemaError, nearest

from ._guess import MOST_CLASSES, Guess, guess_input, guess_target

LISTED = 60
"""Most columns of a side that :meth:`Schema.describe` lists one by one."""


class Columns(Protocol):
    """What a table must offer; :class:`~trine.data.Table` does."""

    names: list[str]

    @property
    def rows(self) -> int: ...
    def column(self, name: str) -> Column: ...


@dataclasses.dataclass(frozen=True)
class Schema:
    """The domains of x and y.

    Attributes:
        x, y: column → domain, in the order of the table.
        ignored: column → why it is left out.
        reasons: column of x or y → why it has its domain.
        key: the column that names a row in what ``predict`` writes, or None.
    """

    x: dict[str, Domain]
    y: dict[str, Domain]
    ignored: dict[str, str] = dataclasses.field(default_factory=dict)
    reasons: dict[str, str] = dataclasses.field(default_factory=dict)
    key: str | None = None

    @classmethod
    def infer(
        cls,
        table: Columns,
        y: Sequence[str] = (),
        x: Sequence[str] | None = None,
        domains: Mapping[str, str | Domain] | None = None,
        *,
        on_bad: str = "stop",
        fewest: int = 2,
        classes: bool = False,
    ) -> Self:
        """The schema of ``table``, not yet fitted.

        Args:
            table: named columns.
            y: the target columns; may be empty where a method has none.
            x: the input columns; they are used even where the inference would leave them out. None: all others. Empty: y is
                modelled alone.
            domains: column → what it is, where the inference is overridden: a kind (``"real"``), a kind with fields
                (``"text(unit=words)"``), ``"ordered"``, labels in their order (``"low<medium<high"``), ``"ignore"``, or a
                :class:`~trine.domains.Domain`.
            on_bad: what an unreadable image does, ``"stop"`` or ``"skip"``.
            fewest: rows that each class of y needs, 1 or 2.
            classes: whether few whole numbers are taken for classes in x too, as they are in y.

        Raises:
            SchemaError: y is also in x, a column cannot be used as asked, or nothing is left for x.
            DataError: no such column; y has no value, a single value, or a class in one row only.
            ChoiceError: there is no domain of that name.
        """
        y = (y,) if isinstance(y, str) else tuple(y)
        x = (x,) if isinstance(x, str) else x
        stated = dict(domains or {})
        _check_names(table, y, x, stated)
        targets, inputs, ignored, reasons = {}, {}, {}, {}
        for name in y:
            targets[name], reasons[name] = _target(table.column(name), stated.get(name), on_bad, fewest)
        guesses: dict[str, Guess] = {}
        for name in x if x is not None else [name for name in table.names if name not in y]:
            guesses[name] = found = _input(
                table.column(name), stated.get(name), asked=x is not None, on_bad=on_bad, classes=classes
            )
            if found.domain is None:
                ignored[name] = found.reason
            else:
                inputs[name], reasons[name] = found.domain, found.reason
        if not inputs:
            for name, found in guesses.items():
                if found.key and not found.named and found.asked is not None:
                    inputs[name], reasons[name] = found.asked, f"{found.reason}, yet is all there is"
                    del ignored[name]
        sequence = any(domain.ragged for domain in targets.values())
        if sequence and x is None:
            # Texts that hardly repeat tell nothing as categories, and are what a sequence is made from.
            for name, found in guesses.items():
                if found.domain is None and isinstance(found.asked, Category) and not found.named:
                    inputs[name], reasons[name] = Text(), f"{found.reason}, read as y is"
                    del ignored[name]
        alone = (x is not None and not x) or (sequence and not guesses)
        if not inputs and not alone:
            why = "; ".join(f"{name}: {reason}" for name, reason in list(ignored.items())[:6])
            raise SchemaError(
                f"No column is left for x ({why or 'the table has only y'}). State what a column is to use it anyway, "
                f"e.g. `trine fit --domain {next(iter(ignored), 'COL')}=category`."
            )
        row_key = getattr(table, "key", None) or next((n for n, g in guesses.items() if g.key and n in ignored), None)
        if row_key in ignored and guesses[row_key].key:
            ignored[row_key] += "; kept as the key"
        return cls(inputs, targets, ignored, reasons, row_key)

    @property
    def fitted(self) -> bool:
        """Whether every domain has learned from training rows."""
        return all(domain.fitted for domain in (*self.x.values(), *self.y.values()))

    def fit(self, table: Columns, rows: np.ndarray | None = None, seen: np.ndarray | None = None) -> Self:
        """A copy whose domains have learned from ``rows`` (integer index; None: all) and from no other row.

        Those of x learn from ``seen`` in their place, where it is given: rows of which no y is known tell of x all the same.

        The classes of a categorical y are those of the whole table, as inferred; their shares are those of ``rows``.

        Raises:
            DataError: a value that does not belong to its domain; names column, row, value and remedy.
        """

        def learned(name: str, domain: Domain, rows: np.ndarray | None) -> Domain:
            column = table.column(name)
            taken = rows
            if (
                rows is not None
                and isinstance(domain, Image)
                and column.levels is None
                and column.values.dtype.kind in "iu"
            ):
                # Those that the domain would look at: a copy of all pictures may not fit.
                taken = rows[np.linspace(0, len(rows) - 1, min(len(rows), LOOKED_AT)).astype(int)]
            return domain.fit(column if taken is None else column.take(taken))

        return dataclasses.replace(
            self,
            x={name: learned(name, domain, rows if seen is None else seen) for name, domain in self.x.items()},
            y={name: learned(name, domain, rows) for name, domain in self.y.items()},
        )

    def to_json(self) -> dict[str, Any]:
        """The schema as JSON values."""
        return {
            "x": {name: domain.to_json() for name, domain in self.x.items()},
            "y": {name: domain.to_json() for name, domain in self.y.items()},
            "ignored": dict(self.ignored),
            "reasons": dict(self.reasons),
            "key": self.key,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The schema that :meth:`to_json` wrote.

        Raises:
            SchemaError, ChoiceError: an unknown field or domain.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown or not {"x", "y"} <= set(data):
            raise SchemaError(f"A schema has the fields {sorted(known)}, and this one {sorted(data)}.")
        sides = {side: {name: Domain.from_json(value) for name, value in data[side].items()} for side in ("x", "y")}
        return cls(**{**data, **sides})

    def describe(self, x: str = "x", y: str = "y") -> str:
        """Aligned lines: y, then x, then what is left out, each with its domain and why.

        Args:
            x, y: how the two sides are called.
        """
        lines = [(y, name, domain.describe(), self.reasons.get(name, "")) for name, domain in self.y.items()]
        shown = list(self.x.items())[: LISTED if len(self.x) > LISTED + 1 else None]
        lines += [(x, name, domain.describe(), self.reasons.get(name, "")) for name, domain in shown]
        rest = Counter(type(domain).__name__ for domain in list(self.x.values())[len(shown) :])
        if rest:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in rest.most_common())
            lines.append((x, f"and {rest.total():,} more", kinds, ""))
        lines += [("–", name, "left out", reason) for name, reason in self.ignored.items()]
        widths = [max(len(line[i]) for line in lines) for i in range(3)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, [*widths, 0], strict=True)).rstrip()
            for line in lines
        )


def _check_names(table: Columns, y: Sequence[str], x: Sequence[str] | None, stated: Mapping[str, str | Domain]) -> None:
    for name, count in Counter(table.names).items():
        if count > 1:
            raise DataError(f"{count} columns are called {name!r}; give every column a name of its own.")
    for side, names in (("y", y), ("x", x or ())):
        for name, count in Counter(names).items():
            if count > 1:
                raise SchemaError(f"Column {name!r} is named {count} times for {side}; name it once.")
            if name not in table.names:
                table.column(name)  # raises, with what the table knows to say
                raise DataError(f"There is no column {name!r}.{nearest(name, table.names)}")
    for name in stated:
        if name not in table.names:
            raise SchemaError(
                f"A domain is stated for column {name!r}, which is not there.{nearest(name, table.names)}"
            )
    both = sorted(set(y) & set(x or ()))
    if both:
        raise SchemaError(f"Column {both[0]!r} is in both x and y; a model that is given the answer learns nothing.")


def _stated(name: str, spec: str | Domain, on_bad: str) -> Domain | None:
    """The domain that the user states; None for ``"ignore"``."""
    if isinstance(spec, Domain):
        return spec
    if spec == "ignore":
        return None
    if "<" in spec:
        return Category(labels=tuple(label.strip() for label in spec.split("<")), ordered=True)
    if spec == "ordered":
        return Category(ordered=True)
    return _with(Domain.stated(spec), on_bad=on_bad)


def _input(column: Column, spec: str | Domain | None, *, asked: bool, on_bad: str, classes: bool) -> Guess:
    if spec is not None:
        domain = _stated(column.name, spec, on_bad)
        return Guess(domain, "as stated" if domain is not None else "not an input")
    found = guess_input(column)
    if classes and isinstance(found.domain, Numeric) and isinstance((read := guess_target(column)).domain, Category):
        found = read
    if asked and found.domain is None:
        if found.asked is None:
            raise SchemaError(
                f"Column {column.name!r} cannot be an input: {found.reason}. Leave it out of x, or state what it is, "
                f"e.g. `trine fit --domain {column.name}=category`."
            )
        found = Guess(found.asked, f"as asked, although {found.reason}")
    return dataclasses.replace(found, domain=None if found.domain is None else _with(found.domain, on_bad=on_bad))


def _target(column: Column, spec: str | Domain | None, on_bad: str, fewest: int) -> tuple[Domain, str]:
    """The domain of a column of y, checked to be learnable, and why it is so."""
    name = column.name
    if column.missing.all():
        raise DataError(f"Column {name!r} is y and has no value in any row; give rows whose {name!r} is known.")
    if spec is not None:
        domain, reason = _stated(name, spec, on_bad), "as stated"
        if domain is None:
            raise SchemaError(f"Column {name!r} is y and cannot be ignored.")
    else:
        found = guess_target(column)
        if found.domain is None:
            raise SchemaError(
                f"Column {name!r} cannot be y as it is: {found.reason}. Group the texts into fewer classes, or state "
                f"that they are classes: `trine fit --domain {name}=category`, or of a transfer `--task classification`."
            )
        domain, reason = found.domain, found.reason
    if isinstance(domain, Date):
        raise SchemaError(
            f"Column {name!r} holds dates, which cannot be y; predict a number made from them, e.g. days until then, or have them "
            f"written as a text: `trine fit --domain {name}=text`."
        )
    if isinstance(domain, Category):
        domain = _classes(column, dataclasses.replace(domain, strict=True), fewest)
    elif isinstance(domain, Labels):
        # Those of all rows, as with classes: a rare label may be in held-out rows alone.
        found_set = domain.fit(column)
        domain = dataclasses.replace(domain, labels=found_set.labels, separator=found_set.separator)
    elif isinstance(domain, Numeric):
        learned = domain.fit(column)
        if learned.low == learned.high:
            raise DataError(
                f"Column {name!r} is y and is {learned.low:g} in every row; there is nothing to learn from it."
            )
    return _with(domain, strict=True, on_bad=on_bad), reason


def _classes(column: Column, domain: Category, fewest: int) -> Category:
    """The classes of y with their labels, each in two rows or more.

    Raises:
        DataError: a single class, a class seen once, or a value that is none of the stated labels.
    """
    name = column.name
    counts: Counter[str] = Counter()
    for value, count in zip(*distinct(column), strict=True):
        counts[key(value)] += int(count)
    if len(counts) == 1:
        raise DataError(
            f"Column {name!r} is y and has 1 class, {next(iter(counts))!r}; there is nothing to learn from it."
        )
    if len(counts) > MOST_CLASSES:
        fewest = 1  # where classes are thousands, some are always rare
    learned = domain.fit(column)
    learned.encode(column)  # refuses a value that is none of the stated labels
    single = [label for label, count in counts.items() if count < fewest]
    if single:
        place = {key(label): code for code, label in enumerate(learned.labels)}[single[0]]
        row = column.row(int(np.flatnonzero(learned.encode(column)[:, 0] == place)[0]))
        others = f" (and {len(single) - 1} more classes)" if len(single) > 1 else ""
        raise DataError(
            f"Column {name!r}, row {row}: the class {single[0]!r} is in this row only{others}; a class needs 2 rows or "
            "more, to learn from and to test on. Merge it with another, drop the row, or get more of it."
        )
    return dataclasses.replace(learned, shares=(), missing=0.0, rows=0)


def _with(domain: Domain, **changes: Any) -> Domain:
    """The domain with those of the changes that it has a field for."""
    names = {field.name for field in dataclasses.fields(domain)}
    if getattr(domain, "on_bad", "stop") != "stop":
        changes.pop("on_bad", None)
    return dataclasses.replace(domain, **{k: v for k, v in changes.items() if k in names})
