"""A torch module that somebody has."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trine.data import Field, Store, Table, read
from trine.domains import Image
from trine.errors import DataError
from trine.models.foreign import INPUT, Foreign

from ._source import Inputs, Source, state_of


class Module(Source):
    """A ``torch.nn.Module``: arrays and tensors go in as they are."""

    kind = "module"

    def __init__(self, module: nn.Module, name: str | None = None) -> None:
        self.module = module
        self.name = name or type(module).__name__
        self._network = Foreign(module, self.name)

    @property
    def network(self) -> nn.Module:
        return self._network

    def inputs(self, data: Any, y: str | None = None) -> Inputs:
        if isinstance(data, Tensor):
            x = data.detach().cpu()
        elif isinstance(data, np.ndarray) and data.dtype.kind in "biuf":
            x = torch.from_numpy(np.ascontiguousarray(data))
        else:
            x = _numbers(data if isinstance(data, Table) else read(data), y, self.name)
        if x.dim() < 2 or not len(x):
            raise DataError(f"X has the shape {tuple(x.shape)}; an encoder reads (rows, ...) with at least one row.")
        x = x if x.dtype in (torch.float32, torch.int64) else x.float()
        if x.is_floating_point() and not bool(x.isfinite().all()):
            raise DataError(
                f"X holds numbers that are missing or not finite, and {self.name} says nothing on how to read them."
            )
        table = data if isinstance(data, Table) else None
        print_ = hashlib.sha256(f"{x.dtype} {tuple(x.shape)}".encode() + x.contiguous().numpy().tobytes()).hexdigest()
        return Inputs(len(x), table, lambda: Store({INPUT: Field(x, {INPUT: None})}), print_)

    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return {"kind": self.kind, "name": self.name}, state_of(self.module)


def _numbers(table: Table, y: str | None, name: str) -> Tensor:
    """The columns of a table as one tensor: all numbers, or one column of pictures, in [0, 1] with channels first."""
    names = [column for column in table.names if column != y]
    columns = [table.column(column) for column in names]
    if len(columns) == 1 and Image.recognise(columns[0]) is not None:
        domain = Image().fit(columns[0])
        return torch.from_numpy(domain.encode(columns[0]).astype(np.float32) / domain.divisor)
    for column in columns:
        if column.levels is not None or column.offsets is not None or column.values.dtype.kind not in "biuf":
            raise DataError(
                f"Column {column.name!r} is not made of numbers, and the encoder {name} is a network that reads tensors; leave "
                "the column out, or give X as an array."
            )
    parts = [np.asarray(column.values, dtype=np.float32).reshape(len(column), -1) for column in columns]
    return torch.from_numpy(np.concatenate(parts, axis=1))
