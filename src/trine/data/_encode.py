"""Every column through its domain, once, into compact arrays."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trine.data._schema import Schema
from trine.data._store import Field, Store
from trine.data._table import Table
from trine.domains import Column, Domain, Sequences
from trine.errors import DataError

BLOCK, STRIPE = 8, 4096
"""Columns and rows written into a pack at a time, so that a stripe stays in the cache until all its columns are in."""


def encode(
    table: Table,
    schema: Schema,
    *,
    rows: np.ndarray | None = None,
    targets: bool = True,
    weight: np.ndarray | None = None,
) -> Store:
    """The rows of ``table`` as the compact columns of a :class:`~trine.data.Store`.

    Columns whose domain names a pack share one field: ``x.numbers``, (n, total width) float32 with NaN for missing, and
    ``x.categories``, (n, count) codes in the smallest integer type that holds them, −1 missing and −2 unseen. Every
    other x column is the field ``x.<column>`` and every target the field ``y.<column>``: (n,) float32, or (n,) codes.
    Where a value of such a field is missing it is 0 and ``present`` False, so that no divergence meets a NaN. Rows of a
    ragged domain lie end to end in their field; a missing one has no step.

    Args:
        table: the rows; each column is read and encoded once, one at a time.
        schema: fitted domains of x and y.
        rows: integer index of the rows to take; None takes all.
        targets: whether the columns of y are encoded; they need not be there otherwise.
        weight: (table.rows,) non-negative finite weights of the rows; becomes the field ``weight``.

    Raises:
        DataError: a column that is not there, a value outside its domain, or an unusable weight.
    """
    if rows is not None:
        table = table.take(rows)
        weight = None if weight is None else np.asarray(weight)[rows]
    packs: dict[str, list[str]] = {"numbers": [], "categories": []}
    fields: dict[str, Field] = {}
    for name, domain in schema.x.items():
        if domain.pack is None:
            fields[f"x.{name}"] = _own(f"x.{name}", table.column(name), domain)
        else:
            packs[domain.pack].append(name)
    if packs["numbers"]:
        fields["x.numbers"] = _numbers(table, schema.x, packs["numbers"])
    if packs["categories"]:
        fields["x.categories"] = _categories(table, schema.x, packs["categories"])
    if not schema.x:
        # A batch knows its rows by its fields.
        fields["x.constant"] = Field(torch.ones(table.rows, 1), {})
    for name, domain in schema.y.items() if targets else ():
        fields[f"y.{name}"] = _own(f"y.{name}", table.column(name), domain)
    if weight is not None:
        fields["weight"] = weighed(weight, table.rows)
    return Store(fields)


def weighed(weight: np.ndarray, rows: int) -> Field:
    """The field of (rows,) weights.

    Raises:
        DataError: an unusable weight.
    """
    return Field(torch.from_numpy(_checked(weight, rows)), {})


def _numbers(table: Table, domains: Mapping[str, Domain], names: list[str]) -> Field:
    """The pack of numbers, filled a block of columns at a time."""
    views: dict[str, slice | None] = {}
    stop = 0
    for name in names:
        views[name] = slice(stop, stop + domains[name].width)
        stop += domains[name].width
    pack = np.empty((table.rows, stop), dtype=np.float32)
    for first in range(0, len(names), BLOCK):
        block = names[first : first + BLOCK]
        parts = [_two(domains[name].encode(table.column(name))) for name in block]
        for start in range(0, table.rows, STRIPE):
            rows = slice(start, start + STRIPE)
            for name, part in zip(block, parts, strict=True):
                pack[rows, views[name]] = part[rows]
    return Field(torch.from_numpy(pack), {f"x.{name}": part for name, part in views.items()})


def _categories(table: Table, domains: Mapping[str, Domain], names: list[str]) -> Field:
    """The pack of codes; each column is kept in its own smallest type until the widest is known."""
    parts = [_compact(_two(domains[name].encode(table.column(name)))) for name in names]
    pack = np.empty((table.rows, sum(p.shape[1] for p in parts)), dtype=np.result_type(*parts))
    views: dict[str, slice | None] = {}
    stop = 0
    for name in names:
        part = parts.pop(0)
        views[f"x.{name}"] = slice(stop, stop + part.shape[1])
        stop += part.shape[1]
        pack[:, views[f"x.{name}"]] = part
    return Field(torch.from_numpy(pack), views, index=True)


def _own(name: str, column: Column, domain: Domain) -> Field:
    """A field of one column, its missing values masked."""
    encoded, known = domain.encode_known(column)
    if isinstance(encoded, Sequences):
        return _ragged(name, encoded, known, domain.divisor)
    if domain.pack is not None and encoded.ndim == 2 and encoded.shape[1] == 1:
        encoded = encoded[:, 0]
    divisor = domain.divisor
    index = divisor is None and encoded.dtype.kind in "iu"
    if index:
        encoded = _compact(encoded)
    elif divisor is None:
        encoded = encoded.astype(np.float32, copy=False)
    if known.all():
        return Field(_tensor(encoded), {name: None}, divisor, index)
    if encoded[~known].any():
        # A copy, since the array may be the user's own.
        encoded = encoded.copy()
        encoded[~known] = 0
    return Field(_tensor(encoded), {name: None}, divisor, index, torch.from_numpy(known))


def _ragged(name: str, rows: Sequences, known: np.ndarray, divisor: float | None) -> Field:
    """A field of rows of different lengths."""
    values = rows.values
    index = divisor is None and values.dtype.kind in "iu"
    if divisor is None:
        values = _compact(values) if index else values.astype(np.float32, copy=False)
    present = None if known.all() else torch.from_numpy(known)
    return Field(_tensor(values), {name: None}, divisor, index, present, torch.from_numpy(rows.offsets))


def _two(encoded: np.ndarray) -> np.ndarray:
    return encoded.reshape(len(encoded), -1) if encoded.ndim != 2 else encoded


def _compact(codes: np.ndarray) -> np.ndarray:
    """The codes in the smallest signed integer type that holds them."""
    low, high = (int(codes.min()), int(codes.max())) if codes.size else (0, 0)
    for kind in (np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return codes.astype(kind, copy=False)
    return codes.astype(np.int64, copy=False)


def _tensor(array: np.ndarray) -> Tensor:
    """The array as a tensor, sharing its memory where torch can."""
    array = np.ascontiguousarray(array)
    with warnings.catch_warnings():
        # A store is only ever read, so read-only memory serves as well.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _checked(weight: Any, rows: int) -> np.ndarray:
    """(rows,) float32 weights.

    Raises:
        DataError: another number of weights, or one that is negative or not finite.
    """
    values = np.asarray(weight, dtype=np.float64).reshape(-1)
    if len(values) != rows:
        raise DataError(f"There are {len(values)} weights for {rows} rows; give one for each row.")
    bad = np.flatnonzero(~np.isfinite(values) | (values < 0))
    if len(bad):
        raise DataError(f"The weight of row {bad[0] + 1} is {values[bad[0]]}; a weight is a finite number, 0 or more.")
    if not values.any():
        raise DataError("All weights are 0; at least one row must count.")
    return values.astype(np.float32)
