"""A torch module that somebody has."""

from __future__ import annotations

import copy
import functools
import hashlib
import itertools
import types
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trine import artefact
from trine.data import Field, Store, Table, read
from trine.domains import Image
from trine.errors import ChoiceError, DataError
from trine.models.foreign import INPUT, Foreign

from ._library import first_line
from ._source import Inputs, Source, state_of


class Module(Source):
    """A ``torch.nn.Module`` as it is now: arrays and tensors go in as they are.

    A copy is kept, so that what was fitted on its z answers as before though the module goes on being trained.

    Raises:
        ChoiceError: the module cannot be copied.
    """

    kind = "module"

    def __init__(self, module: nn.Module, name: str | None = None) -> None:
        self.name = name or type(module).__name__
        try:
            self.module = copy.deepcopy(module)
        except Exception as error:  # what is in a module raises what it likes
            raise ChoiceError(
                f"The encoder {self.name} cannot be copied ({type(error).__name__}: {first_line(error)}), and a transfer keeps a "
                "copy, so that it answers as it was fitted; give a module that copy.deepcopy takes."
            ) from None
        self._identity = _identity(module)
        self._network = Foreign(self.module, self.name)

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

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of the module that was given and all that it holds: equal weights may lie between other layers.

        What holds something of no known kind is like nothing else.
        """
        try:
            return f"{self._identity} {_told(dict(self.module.named_modules(remove_duplicate=False)))}"
        except LookupError:
            return f"{self._identity} {next(_numbered)}"


_numbered = itertools.count()
_identities: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def _identity(thing: Any) -> int:
    """A number that ``thing`` alone has, in this process."""
    return _identities.setdefault(thing, next(_numbered))


def _told(value: Any) -> str:
    """A value of a module in words, that differ where values do; tensors by their digest.

    Raises:
        LookupError: nobody knows whether another value is like it.
    """
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | torch.dtype | torch.device):
        return repr(value)
    if isinstance(value, Tensor):
        return artefact.digest("", {"": value})
    if isinstance(value, nn.Module):
        own = {name: part for name, part in vars(value).items() if name not in ("training", "_modules")}
        return f"{_identity(type(value))} {_told(own)}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_told(key)}: {_told(part)}' for key, part in value.items())}}}"
    if isinstance(value, list | tuple | set | frozenset):
        return f"{type(value).__name__}({', '.join(map(_told, value))})"
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        return f"{_identity(value)}"
    raise LookupError(type(value).__name__)


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
