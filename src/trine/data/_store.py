"""Compact columns, and the batches selected from them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from trine.data._mapped import Mapped
from trine.domains import Sequences
from trine.domains._base import offsets_of
from trine.errors import SchemaError, nearest


@dataclasses.dataclass(frozen=True)
class Field:
    """One array of the store and the columns that live in it.

    Rows of different lengths lie end to end, and ``offsets`` say where each begins and ends. A batch holds them padded at
    the end to the longest of the batch, numbers by 0 and codes by −1, with their lengths as ``"<name>.length"``.

    Attributes:
        data: (n, ...) compact tensor: float32 numbers, small integer codes, uint8 pixels; (total, ...) with ``offsets``.
        columns: logical name (``"x.age"``) → columns of ``data`` (a slice of its second axis), or None for all of it.
        divisor: a batch holds ``data / divisor`` as float32 (255 for 8-bit pixels); None leaves the values.
        index: a batch holds ``data`` as int64 (codes).
        present: (n,) bool, False where the value is missing; None when no row misses it.
        offsets: (n + 1,) int64 of a ragged field; None for any other.
        mapped: the file that ``data`` is a view of; None where it is in memory.
    """

    data: Tensor
    columns: Mapping[str, slice | None]
    divisor: float | None = None
    index: bool = False
    present: Tensor | None = None
    offsets: Tensor | None = None
    mapped: Mapped | None = None

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.data) if self.offsets is None else len(self.offsets) - 1

    @property
    def lengths(self) -> Tensor | None:
        """(n,) int64: steps of each row of a ragged field; None for any other."""
        return None if self.offsets is None else self.offsets.diff()

    def select(self, rows: Tensor) -> Tensor:
        """The working tensor for ``rows``: one index-select, then the cast; (rows, longest, ...) of a ragged field."""
        if self.offsets is None:
            return self._cast(self._taken(rows))
        starts = self.offsets.index_select(0, rows)
        lengths = self.offsets.index_select(0, rows + 1) - starts
        steps = torch.arange(max(int(lengths.max()), 1) if len(rows) else 1, device=rows.device)
        data = self.data
        if self.mapped is not None:
            data = torch.from_numpy(self.mapped.read(starts.numpy(), lengths.numpy()))
            starts = lengths.cumsum(0) - lengths
        if not len(data):
            return self._cast(data.new_full((len(rows), len(steps), *data.shape[1:]), -int(self.index)))
        padding = steps >= lengths[:, None]
        # What lies beyond a row's end is read from its last step, and then overwritten.
        last = (lengths - 1).clamp_min(0)
        places = (starts[:, None] + torch.minimum(steps, last[:, None])).clamp_max(len(data) - 1)
        part = self._cast(data[places])
        return part.masked_fill_(padding.view(*padding.shape, *(1,) * (part.dim() - 2)), -int(self.index))

    def encoded(self, rows: Tensor) -> Any:
        """What the domain encoded, at ``rows``: an array, or :class:`~trine.domains.Sequences` of a ragged field."""
        if self.offsets is None:
            return self._taken(rows).numpy()
        if self.mapped is None:
            return Sequences(self.data.numpy(), self.offsets.numpy()).take(rows.numpy())
        starts, lengths = self.offsets[rows].numpy(), self.offsets.diff()[rows].numpy()
        return Sequences(self.mapped.read(starts, lengths), offsets_of(lengths))

    def _taken(self, rows: Tensor) -> Tensor:
        """``data`` at ``rows``, a copy."""
        if self.mapped is not None:
            return torch.from_numpy(self.mapped.read(rows.numpy()))
        return self.data.index_select(0, rows)

    def _cast(self, part: Tensor) -> Tensor:
        if self.divisor is not None:
            return part.to(torch.float32).mul_(1.0 / self.divisor)
        return part.to(torch.int64) if self.index else part


class Batch(Mapping[str, Tensor]):
    """Named tensors of some rows.

    A name is a field (``"x.numbers"``, (batch, k)), or a logical column in it (``"x.age"``, (batch,)), or
    ``"<name>.present"``, (batch,) bool, or ``"<name>.length"``, (batch,) int64, of a field padded to (batch, longest,
    ...). The short names ``"x"`` and ``"y"`` stand for the only column of their side. Of a column in a pack, which marks what
    is missing, ``"<name>.present"`` is read from the marks: NaN in numbers, below 0 in codes.
    """

    def __init__(
        self,
        tensors: dict[str, Tensor],
        views: Mapping[str, tuple[str, slice | None]] | None = None,
    ) -> None:
        self.tensors = tensors
        self.views = views or {}

    def __getitem__(self, name: str) -> Tensor:
        found = self.tensors.get(name)
        if found is not None:
            return found
        view = self.views.get(name)
        if view is None:
            if (packed := self._packed(name)) is not None:
                part = self.tensors[packed[0]][:, packed[1]]
                return ~part.isnan().any(1) if part.is_floating_point() else (part >= 0).all(1)
            raise KeyError(name)
        field, columns = view
        tensor = self.tensors[field]
        if columns is None:
            return tensor
        part = tensor[:, columns]
        return part.squeeze(1) if part.shape[1] == 1 else part

    def get(self, name: str, default: Any = None) -> Any:
        """The tensor called ``name``, else ``default``: without the error that a mapping's own way raises and catches."""
        return self[name] if name in self else default  # noqa: SIM401 - it would call itself

    def __contains__(self, name: object) -> bool:
        if name in self.tensors:
            return True
        view = self.views.get(name)  # type: ignore[call-overload]
        return (view is not None and view[0] in self.tensors) or self._packed(str(name)) is not None

    def _packed(self, name: str) -> tuple[str, slice] | None:
        """(field, columns) of the packed column of which ``name`` asks whether it is present."""
        if not name.endswith(".present"):
            return None
        field, columns = self.views.get(name.removesuffix(".present"), ("", None))
        return (field, columns) if columns is not None and field in self.tensors else None

    def __iter__(self) -> Iterator[str]:
        yield from self.tensors
        yield from (name for name in self.views if name not in self.tensors and name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(next(iter(self.tensors.values())))

    def to(self, device: torch.device | str) -> Batch:
        """The batch on another device."""
        return Batch({k: v.to(device, non_blocking=True) for k, v in self.tensors.items()}, self.views)


class Store:
    """All rows, encoded once: field name → compact tensor.

    Args:
        fields: name → :class:`Field`; all have the same number of rows.

    Raises:
        SchemaError: the fields differ in their number of rows.
    """

    def __init__(self, fields: Mapping[str, Field]) -> None:
        self.fields = dict(fields)
        lengths = {name: len(field) for name, field in self.fields.items()}
        if len(set(lengths.values())) > 1:
            raise SchemaError(f"The columns differ in their number of rows: {lengths}.")
        self.rows = next(iter(lengths.values()), 0)
        # Where the fields are, and batches are made.
        self.device = next((field.data.device for field in self.fields.values()), torch.device("cpu"))
        self.views: dict[str, tuple[str, slice | None]] = {
            logical: (name, part) for name, field in self.fields.items() for logical, part in field.columns.items()
        }
        for side in ("x", "y"):
            only = [logical for logical in self.views if logical.startswith(f"{side}.")]
            if len(only) == 1 and side not in self.fields:
                self.views[side] = self.views[only[0]]
        self._batch_views = dict(self.views)
        for logical, (name, _) in self.views.items():
            if self.fields[name].present is not None:
                self._batch_views[f"{logical}.present"] = (f"{name}.present", None)
            if self.fields[name].offsets is not None:
                self._batch_views[f"{logical}.length"] = (f"{name}.length", None)
        self._ragged = [field for field in self.fields.values() if field.offsets is not None]

    @classmethod
    def of(cls, **tensors: Tensor) -> Store:
        """A store of plain tensors, each a field of its own: ``Store.of(x=images, y=labels)``."""
        return cls({name: Field(tensor, {name: None}) for name, tensor in tensors.items()})

    def batch(self, rows: Tensor) -> Batch:
        """Rows ``rows`` (int64 index tensor): one index-select a field."""
        rows = rows.to(self.device)
        tensors = {name: field.select(rows) for name, field in self.fields.items()}
        for name, field in self.fields.items():
            if field.present is not None:
                tensors[f"{name}.present"] = field.present.index_select(0, rows)
            if field.offsets is not None:
                starts = field.offsets.index_select(0, rows)
                tensors[f"{name}.length"] = field.offsets.index_select(0, rows + 1) - starts
        return Batch(tensors, self._batch_views)

    def encoded(self, name: str, rows: Tensor) -> Any:
        """What the domain of the column ``name`` encoded, at ``rows``, as of :meth:`Field.encoded`; no other field is read."""
        field, part = self.views[name]
        found = self.fields[field].encoded(rows)
        if part is None:
            return found
        found = found[:, part]
        return found[:, 0] if found.shape[1] == 1 else found

    def batches(self, parts: Iterable[Tensor]) -> Iterator[Batch]:
        """The batch of each of ``parts``, index tensors; what lies in files is read ahead."""
        waiting: Tensor | None = None
        for coming in parts:
            if self.mapped:
                self.expect(coming)
            if waiting is not None:
                yield self.batch(waiting)
            waiting = coming
        if waiting is not None:
            yield self.batch(waiting)

    def expect(self, rows: Tensor) -> None:
        """Let the kernel read ``rows`` of fields in files, which batches will soon ask for."""
        for field in self.fields.values():
            if field.mapped is None:
                continue
            if field.offsets is None:
                field.mapped.expect(rows.numpy())
            else:
                starts = field.offsets.index_select(0, rows)
                field.mapped.expect(starts.numpy(), (field.offsets.index_select(0, rows + 1) - starts).numpy())

    @functools.cached_property
    def lengths(self) -> Tensor | None:
        """(n,) int64: steps that a row takes over all ragged fields; None where there is no such field.

        A field of few long steps counts by the bytes of its steps, not by their number.
        """
        found = [field.offsets.diff() * field.data[:1].nbytes for field in self._ragged if field.offsets is not None]
        return torch.stack(found).sum(0) if found else None

    @property
    def mapped(self) -> bool:
        """Whether some field lies in a file, so that batches are worth preparing ahead."""
        return any(field.mapped is not None for field in self.fields.values())

    def names(self) -> list[str]:
        """All names that a batch of this store answers to, for messages."""
        return sorted({*self.fields, *self.views})

    def require(self, name: str) -> None:
        """Raise :class:`SchemaError` unless batches have ``name``."""
        if name not in self.fields and name not in self.views:
            raise SchemaError(f"The batch has no field {name!r}.{nearest(name, self.names())} It has {self.names()}.")

    def to(self, device: torch.device | str) -> Store:
        """The store on another device, read whole from where it is mapped."""

        def there(value: Tensor | None) -> Tensor | None:
            return None if value is None else value.to(device)

        fields = {
            name: dataclasses.replace(
                field,
                data=field.data.to(device),
                present=there(field.present),
                offsets=there(field.offsets),
                mapped=None,
            )
            for name, field in self.fields.items()
        }
        return Store(fields)

    @property
    def nbytes(self) -> int:
        """Size of all fields in bytes."""
        return sum(field.data.element_size() * field.data.nelement() for field in self.fields.values())
