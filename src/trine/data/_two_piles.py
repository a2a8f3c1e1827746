"""Two piles of rows of the same columns, A and B, of which no row belongs to another: what unpaired translation learns from.

One schema holds both: x are the domains of A, y those of B. So a batch has A's columns as ``x.…`` and B's as ``y.…``, as any batch
has its two sides; the difference is that here the rows of a batch were put side by side at random.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from trine.data._batches import Batches
from trine.data._disk import stored
from trine.data._read import read
from trine.data._schema import Schema
from trine.data._store import Batch, Store
from trine.data._table import Table, labels_of
from trine.domains import Column, Domain, Image, Numeric, Real
from trine.errors import DataError, SchemaError, nearest

FEW = 16
"""Rows of a pile below which a user is warned: so few are learned by heart."""
COMPARED = 1024
"""Rows of two piles of equal size that are compared to tell whether they are one."""
NO_COLUMNS = "x.constant"
"""The field of a store without a column of x."""


@dataclasses.dataclass(frozen=True)
class TwoPiles:
    """Two tables with the same columns, and a schema with those of A as x and those of B as y.

    Attributes:
        a, b: the tables; pictures of other channels than the other pile's are converted.
        schema: domains of A's columns (x) and of B's (y), each of its own pile.
        labels: of A's rows and of B's, as of :func:`~trine.data.labels_of`: what rows show, by which translations are judged.
    """

    a: Table
    b: Table
    schema: Schema
    labels: tuple[np.ndarray | None, np.ndarray | None] = (None, None)

    @classmethod
    def read(cls, a: Any, b: Any, *, on_bad: str = "stop", memory: int | None = None, **more: Any) -> Self:
        """The two piles that the user has, each as :func:`~trine.data.read` takes it.

        Args:
            a, b: paths, folders, DataFrames, arrays. on_bad, memory: as of ``read``. more: as of :meth:`of`.

        Raises:
            DataError, SchemaError, ChoiceError: as of ``read`` and :meth:`of`; says which pile.
        """
        tables = []
        for name, data in (("A", a), ("B", b)):
            try:
                tables.append(read(data, on_bad=on_bad, memory=memory))
            except DataError as error:
                raise DataError(f"Pile {name}: {error}") from None
        return cls.of(*tables, on_bad=on_bad, **more)

    @classmethod
    def of(
        cls,
        a: Table,
        b: Table,
        *,
        columns: Sequence[str] | None = None,
        domains: Mapping[str, str | Domain] | None = None,
        label: str | None = None,
        on_bad: str = "stop",
    ) -> Self:
        """The two piles, checked, with domains that are not yet fitted.

        Args:
            a, b: the rows; their columns may be in another order, and have other names where each has one only.
            columns: those to translate; None: all but what the form of the data says is a label.
            domains: column → what it is, as of :meth:`Schema.infer`; it holds for both piles.
            label: column of both piles that is left out, and says what a row shows; None: what the form of the data says is one.
            on_bad: what an unreadable picture does, ``"stop"`` or ``"skip"``.

        Raises:
            DataError: a pile without rows or with one, or a column that one pile has and the other has not.
            SchemaError: a column that is one thing in A and another in B, or no column that can be used.
        """
        for name, table in (("A", a), ("B", b)):
            _require_rows(name, table)
        labels = tuple(_labels(name, table, label) for name, table in (("A", a), ("B", b)))
        if label is not None:
            a, b = (table.select([name for name in table.names if name != label]) for table in (a, b))
        a, b = _same_columns(a, b, columns)
        stated = dict(domains or {})
        ours = Schema.infer(a, x=columns, domains=stated, on_bad=on_bad)
        theirs = Schema.infer(b, x=columns, domains=stated, on_bad=on_bad)
        x, y = {}, {}
        ignored, reasons = {**theirs.ignored, **ours.ignored}, {}
        for name in a.names:
            if name not in ours.x or name not in theirs.x:
                continue
            reasons[name] = ours.reasons[name]
            one, other, why = _alike(name, ours.x[name], theirs.x[name])
            if why:
                reasons[name] = why
            if isinstance(one, Image) and isinstance(other, Image):
                one, other, a, b = _pictures(name, a, b, one, other)
            x[name], y[name] = one, other
        if not x:
            why = "; ".join(f"{name}: {reason}" for name, reason in list(ignored.items())[:6])
            raise SchemaError(
                f"No column of A and B is left to translate ({why}). State what a column is to use it anyway, e.g. "
                f"`trine fit --domain {next(iter(ignored), 'COL')}=real`."
            )
        return cls(a, b, Schema(x, y, ignored, reasons, ours.key), (labels[0], labels[1]))

    def fit(self, rows_a: np.ndarray | None = None, rows_b: np.ndarray | None = None) -> Self:
        """A copy whose domains have learned, each from rows of its own pile (integer index; None: all)."""
        ours = Schema(self.schema.x, {}).fit(self.a, rows_a)
        theirs = Schema(self.schema.y, {}).fit(self.b, rows_b)
        return dataclasses.replace(self, schema=dataclasses.replace(self.schema, x=ours.x, y=theirs.x))

    def stored(self, *, memory: int | None = None, verbose: bool = False) -> Piles:
        """All rows of both, encoded, in memory or in files as of :func:`~trine.data.stored`.

        Warns where the piles are one and the same, or have few rows.

        Raises:
            DataError, ChoiceError: as of :func:`~trine.data.stored`.
        """
        a = stored(self.a, Schema(self.schema.x, {}), memory=memory, verbose=verbose)
        b = stored(self.b, Schema({}, self.schema.y), memory=memory, verbose=verbose)
        piles = Piles(a, Store({name: field for name, field in b.fields.items() if name != NO_COLUMNS}))
        for name, rows in (("A", a.rows), ("B", b.rows)):
            if rows < FEW:
                warnings.warn(
                    f"Pile {name} has {rows} rows: a translator learns so few by heart. Give it some hundreds.",
                    stacklevel=2,
                )
        if self._one_pile():
            warnings.warn(
                "Piles A and B hold the same rows, so that translating leaves everything as it is; give two piles that differ in "
                "what is to be translated.",
                stacklevel=2,
            )
        return piles

    @property
    def rows(self) -> int:
        """Rows of both."""
        return self.a.rows + self.b.rows

    @property
    def skipped(self) -> tuple[str, ...]:
        """What was left out of either as unreadable, a message each."""
        return (*self.a.skipped, *self.b.skipped)

    def fingerprint(self) -> str:
        """SHA-256, as hexadecimal digits, of what both tables hold; see :meth:`Table.fingerprint`."""
        return hashlib.sha256(f"{self.a.fingerprint()} {self.b.fingerprint()}".encode()).hexdigest()

    def _one_pile(self) -> bool:
        """Whether both have the same values in the same order, as far as some rows tell."""
        if self.a.rows != self.b.rows:
            return False
        rows = np.unique(np.linspace(0, self.a.rows - 1, min(self.a.rows, COMPARED)).astype(int))
        a, b = self.a.take(rows), self.b.take(rows)
        # What is left out, say because it is constant in one pile, may be what the piles differ in.
        left = [name for name in self.schema.ignored if name != self.schema.key and name in a and name in b]
        columns = {**dict.fromkeys(left), **self.schema.x}
        return all(_same_values(a.column(name), b.column(name), domain) for name, domain in columns.items())


class Piles(Store):
    """Two stores as one, whose rows are pairs: what :class:`PiledBatches` takes batches of.

    Args:
        a, b: the stores; no name is in both.

    Raises:
        SchemaError: a name is in both.
    """

    def __init__(self, a: Store, b: Store) -> None:
        both = sorted(set(a.views) & set(b.views) | set(a.fields) & set(b.fields))
        if both:
            raise SchemaError(f"{both[0]!r} is in both piles; A's columns are called x.…, B's y.….")
        self.a, self.b = a, b
        self.fields = {**a.fields, **b.fields}
        self.rows = max(a.rows, b.rows)
        self.device = a.device
        self.views = {**a.views, **b.views}
        self._batch_views = {**a._batch_views, **b._batch_views}

    def batch(self, rows: Tensor) -> Batch:
        """Rows ``rows``, (batch, 2) int64: of A in the first column, of B in the second."""
        a, b = self.a.batch(rows[:, 0]), self.b.batch(rows[:, 1])
        return Batch({**a.tensors, **b.tensors}, self._batch_views)

    def expect(self, rows: Tensor) -> None:
        """Let the kernel read ``rows``, pairs, from fields in files."""
        for store, own in ((self.a, rows[:, 0]), (self.b, rows[:, 1])):
            if store.mapped:
                store.expect(own.contiguous())

    @functools.cached_property
    def lengths(self) -> Tensor | None:
        """None: each pile puts its own rows of like length together."""
        return None

    def to(self, device: torch.device | str) -> Piles:
        """Both on another device."""
        return Piles(self.a.to(device), self.b.to(device))


class PiledBatches(Batches):
    """Batches of rows of A beside rows of B, put together at random: an epoch is a pass over the larger pile.

    The rows of the smaller pile come in random orders one after another, each once before any comes again, from epoch to epoch too.
    As of :class:`Batches`, which rows are in a batch is a pure function of (seed, epoch, index), so that a place in training is two
    numbers.

    Args:
        piles: the stores.
        rows_a, rows_b: (n,) int64 indices of the rows of each to go through; None for all.
        batch_size: rows of each pile in a batch, 1 or more.
        seed: fixes the orders of both piles.
        shuffle: whether orders are random; the given orders otherwise.
        drop_last: whether a last batch of fewer rows is left out.

    Raises:
        ChoiceError: a batch size below 1, or a pile without rows.
    """

    def __init__(
        self,
        piles: Piles,
        rows_a: Tensor | None = None,
        rows_b: Tensor | None = None,
        batch_size: int = 32,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
    ) -> None:
        # The piles' orders must be strangers: with one seed, piles of one size would pair the same rows in every epoch.
        other = int(np.random.SeedSequence([seed % 2**64, 2]).generate_state(1, np.uint64)[0])
        ours = Batches(piles.a, rows_a, batch_size, seed, shuffle, drop_last)
        theirs = Batches(piles.b, rows_b, batch_size, other, shuffle, drop_last)
        self.sides = (ours, theirs)
        self.larger = 0 if len(ours.rows) >= len(theirs.rows) else 1
        lead = self.sides[self.larger]
        super().__init__(piles, lead.rows, batch_size, seed, shuffle, drop_last)

    def order(self, epoch: int) -> Tensor:
        """(n,) int64: the rows of the larger pile in the order of ``epoch``."""
        return self.sides[self.larger].order(epoch)

    def pairs(self, epoch: int) -> Tensor:
        """(n, 2) int64: the rows of A and of B in the order of ``epoch``."""
        lead, other = self.sides[self.larger], self.sides[1 - self.larger]
        first, n = epoch * len(lead.rows), len(other.rows)
        places = torch.arange(first, first + len(lead.rows))
        turns = range(first // n, int(places[-1]) // n + 1)
        beside = torch.cat([self._turn(turn)[places[places // n == turn] % n] for turn in turns])
        columns = [lead.order(epoch), beside]
        return torch.stack(columns if self.larger == 0 else columns[::-1], 1)

    @functools.lru_cache(maxsize=2)  # noqa: B019 - the batches live as long as the training
    def _turn(self, turn: int) -> Tensor:
        """(n,) the rows of the smaller pile in the order of their pass number ``turn``."""
        return self.sides[1 - self.larger].order(turn)

    def index(self, epoch: int, start: int = 0) -> Iterator[Tensor]:
        """The pairs of rows of each batch of ``epoch`` from number ``start`` on, (batch, 2) int64."""
        pairs = self.pairs(epoch)
        last = self.steps_per_epoch - 1
        for index in range(start, self.steps_per_epoch):
            first = index * self.batch_size
            yield pairs[first : first + self.batch_size if index < last or self.drop_last else len(pairs)]

    def all(self, chunk: int = 1024) -> Iterator[Batch]:
        """All rows of the larger pile once, beside rows of the smaller, ``chunk`` at a time."""
        lead, other = (side.rows for side in (self.sides[self.larger], self.sides[1 - self.larger]))
        columns = [lead, other.repeat(-(-len(lead) // len(other)))[: len(lead)]]
        return self.cut(torch.split(torch.stack(columns if self.larger == 0 else columns[::-1], 1), chunk))


def matched(table: Table, domains: Mapping[str, Domain]) -> Table:
    """Rows of one pile as the pile had them: with its columns, in the name of the only one, and with its channels.

    Args:
        table: the rows. domains: column → fitted domain, of that pile.

    Raises:
        DataError: no rows, or a column that the pile had is not there; names it and the nearest.
    """
    if table.rows == 0:
        raise DataError("There are no rows to translate.")
    names = [name for name in table.names if name not in table.targets]
    only = next(iter(domains))
    if len(domains) == len(names) == 1 and only != names[0]:
        table = table.reshaped({only: functools.partial(_renamed, table, names[0], only)}, table.rows)
    absent = [name for name in domains if name not in table]
    if absent:
        raise DataError(
            f"The rows lack the column {absent[0]!r} that the pile had.{nearest(absent[0], table.names)} Give all of: "
            f"{', '.join(domains)}."
        )
    for name, domain in domains.items():
        if isinstance(domain, Image) and domain.channels == 3:
            table = _in_colour(table, name)
    return table


def _require_rows(name: str, table: Table) -> None:
    where = f"Pile {name}{f' ({table.source})' if table.source else ''}"
    if table.rows == 0:
        raise DataError(f"{where} is empty; give rows of both piles to learn from.")
    if table.rows == 1:
        raise DataError(f"{where} has 1 row, which shows no population; give at least 2, better hundreds.")


def _labels(pile: str, table: Table, label: str | None) -> np.ndarray | None:
    """What the rows of a pile show, by the column of that name or the one that the form of the data names."""
    if label is not None and label not in table:
        raise DataError(
            f"Pile {pile} has no column {label!r}, the label.{nearest(label, table.names)} Columns: {', '.join(table.names)}."
        )
    return labels_of(table, label or next(iter(table.targets), None))


def _same_columns(a: Table, b: Table, columns: Sequence[str] | None) -> tuple[Table, Table]:
    """Both tables with the columns that are to be translated, in A's order."""
    if columns is not None:
        return a.select(columns), b.select(columns)
    ours, theirs = ([name for name in table.names if name not in table.targets] for table in (a, b))
    if len(ours) == len(theirs) == 1 and ours != theirs:
        return a.select(ours), b.reshaped({ours[0]: functools.partial(_renamed, b, theirs[0], ours[0])}, b.rows)
    for has, has_not, one, other in ((ours, theirs, "A", "B"), (theirs, ours, "B", "A")):
        alone = [name for name in has if name not in has_not]
        if alone:
            both = " ".join(f"--x {name}" for name in [name for name in ours if name in theirs][:3])
            raise DataError(
                f"Column {alone[0]!r} is in pile {one} and not in pile {other}.{nearest(alone[0], has_not)} "
                f"{other} has {', '.join(has_not[:12])}. Give both piles the same columns"
                f"{f', or name those to translate: `{both}`' if both else ''}."
            )
    return a.select(ours), b.select(ours)


def _renamed(table: Table, name: str, new: str) -> Column:
    return dataclasses.replace(table.column(name), name=new)


def _alike(name: str, ours: Domain, theirs: Domain) -> tuple[Domain, Domain, str]:
    """The domains of a column in both piles, of one kind, and why where they were not."""
    if type(ours) is type(theirs):
        return ours, theirs, ""
    if isinstance(ours, Numeric) and isinstance(theirs, Numeric):
        return Real(), Real(), f"{ours.kind} in A and {theirs.kind} in B: numbers"
    raise SchemaError(
        f"Column {name!r} is {ours.kind} in pile A and {theirs.kind} in pile B; mend the values, or state what it is in both: "
        f"`trine fit --domain {name}={ours.kind}`."
    )


def _pictures(name: str, a: Table, b: Table, ours: Image, theirs: Image) -> tuple[Image, Image, Table, Table]:
    """Domains and tables whose pictures have the same channels and size."""
    one, other = ours.located(a.column(name)), theirs.located(b.column(name))
    said = []
    if one.channels != other.channels:
        # Grey ones become colour ones, and opacity is left out where the other pile has none.
        counts = f"{one.channels} channels in A and {other.channels} in B"
        said.append(f"{counts}: both are taken as RGB")
        a, b = (_in_colour(table, name) for table in (a, b))
        ours, theirs = (dataclasses.replace(domain, channels=3) for domain in (ours, theirs))
    sizes = {(domain.height, domain.width) for domain in (one, other)}
    if len(sizes) > 1:
        height, width = min(sizes, key=lambda size: size[0] * size[1])
        said.append(
            f"{one.height} × {one.width} pixels in A and {other.height} × {other.width} in B: both are brought to "
            f"{height} × {width}"
        )
        ours, theirs = (dataclasses.replace(domain, height=height, width=width) for domain in (ours, theirs))
    if said:
        warnings.warn(f"Column {name!r}: pictures have {'; '.join(said)}.", stacklevel=3)
    return ours, theirs, a, b


def _in_colour(table: Table, name: str) -> Table:
    """The table with that column's pixels as RGB; files are read so anyway."""

    def column() -> Column:
        found = table.column(name)
        if found.levels is not None:
            return found
        pixels = found.values[..., None] if found.values.ndim == 3 else found.values
        pixels = np.repeat(pixels, 3, axis=3) if pixels.shape[3] == 1 else pixels[..., :3]
        return dataclasses.replace(found, values=pixels)

    others = {other: functools.partial(table.column, other) for other in table.names}
    return table.reshaped({**others, name: column}, table.rows, table.key)


def _same_values(a: Column, b: Column, domain: Domain | None) -> bool:
    """Whether two columns hold the same, row by row; files of pictures are told by their paths."""
    if a.offsets is not None or b.offsets is not None:
        same = a.offsets is not None and b.offsets is not None and np.array_equal(a.offsets, b.offsets)
        return same and np.array_equal(a.values, b.values)
    if a.levels is not None and b.levels is not None:
        if isinstance(domain, Image):
            return all(a.path(row) == b.path(row) for row in range(len(a)))
        return all(
            (i < 0 and j < 0) or (i >= 0 and j >= 0 and a.levels[i] == b.levels[j])
            for i, j in zip(a.values.tolist(), b.values.tolist(), strict=True)
        )
    if a.values.shape != b.values.shape or a.values.dtype.kind != b.values.dtype.kind:
        return False
    return np.array_equal(a.values, b.values, equal_nan=a.values.dtype.kind == "f")
