"""Encoded columns as files: built once, a block of rows at a time, and mapped from then on.

The files lie in ``$TRINE_CACHE``, else ``$XDG_CACHE_HOME/trine``, else ``~/.cache/trine``, a directory for each store, named by
the state of the data (:meth:`Table.manifest`), the fitted domains and the version of trine. What has another name is never
read, so nothing stale is served; any directory there may be removed at any time when no run uses it.

A store is built in ``<name>.partial`` under a file lock, so of two runs that want it one builds and the other waits. Every
few seconds the data are synchronised and ``state.json`` says how far they go: a build that was killed is gone on with from there.
A finished directory is renamed, which happens whole or not at all.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from trine._version import __version__
from trine.data._cache import cache, locked, read_json, sync, write_json
from trine.data._encode import encode, weighed
from trine.data._mapped import Mapped
from trine.data._memory import require_rows, room, shown
from trine.data._schema import Schema
from trine.data._store import Field, Store
from trine.data._table import Table, state_of
from trine.errors import DataError

FORMAT = 1
BLOCK = 32 << 20
"""Encoded bytes of a block of rows."""
FEWEST, MOST = 64, 65_536
"""Rows of a block."""
SYNCHRONISE = 5.0
"""Seconds between the states from which a killed build goes on."""
SAMPLE = 32
"""Rows that are encoded to estimate what a row takes."""
SMALL = 512
"""Rows that are encoded in memory without an estimate."""
MANY = 20_000_000
"""Values of a table from which on its schema is kept."""
RESIDENT = 8 << 20
"""Bytes up to which an array of a store is read into memory rather than mapped."""
STATE, META = "state.json", "store.json"


def stored(
    table: Table,
    schema: Schema,
    *,
    targets: bool = True,
    weight: np.ndarray | None = None,
    memory: int | None = None,
    verbose: bool = False,
) -> Store:
    """The rows of ``table`` as a :class:`Store`: in memory where there is room, else in files.

    Args:
        table, schema, targets, weight: as for :func:`~trine.data.encode`.
        memory: bytes that the process may take; None: the machine's.
        verbose: whether to show on standard error how far a build is.

    Raises:
        DataError: as ``encode``; or the data changed while they were read, or the disk has no room.
        ChoiceError: ``memory`` is too little for the number of rows.
    """
    require_rows(table.rows, memory)
    size = 0 if table.rows <= SMALL else table.rows * _row_bytes(table, schema, targets)
    if size <= room(memory):
        return encode(table, schema, targets=targets, weight=weight)
    store = on_disk(table, schema, targets=targets, verbose=verbose, size=size)
    if weight is None:
        return store
    return Store({**store.fields, "weight": weighed(weight, table.rows)})


def on_disk(table: Table, schema: Schema, *, targets: bool = True, verbose: bool = False, size: float = 0.0) -> Store:
    """The rows of ``table`` as a store of mapped files: those that an earlier run built, or else built now.

    Args:
        size: estimated bytes of the store, to refuse a disk that is too small before it is full; 0: not known.

    Raises:
        DataError: as :func:`stored`.
    """
    root = cache() / "stores"
    before = _manifest(table, schema)
    place = root / _name(before, schema, targets)
    tell = _Teller(table.rows, place, verbose)
    if (store := _opened(place)) is not None:
        tell.reused(store.nbytes)
        return store
    try:
        root.mkdir(parents=True, exist_ok=True)
        with locked(root / f"{place.name}.lock", tell.waiting):
            # Another run may have built it while this one waited.
            if (store := _opened(place)) is not None:
                return store
            partial = root / f"{place.name}.partial"
            free = shutil.disk_usage(root).free + sum(f.stat().st_size for f in partial.glob("*"))
            if size > free:
                raise DataError(
                    f"The encoded columns take about {shown(size)} and {root} has {shown(free)} free. Make room, name "
                    "another directory in the environment variable TRINE_CACHE, or give more memory."
                )
            meta = _build(table, schema, targets, partial, tell, _block_rows(table, schema, targets))
            if _manifest(table, schema) != before:
                shutil.rmtree(partial)
                raise DataError(
                    f"{table.source or 'The data'} changed while they were read; start again when nothing writes to them."
                )
            write_json(partial / META, meta)
            sync(partial)
            if place.exists():  # damaged, or it would have been opened
                shutil.rmtree(place)
            partial.rename(place)
            sync(root)
    except OSError as error:
        raise DataError(
            f"The encoded columns cannot be kept in {root}: {error.strerror or error}. Name another directory in the "
            "environment variable TRINE_CACHE, or give more memory."
        ) from None
    store = _opened(place)
    if store is None:
        raise DataError(f"The encoded columns in {place} were changed by another program while they were made.")
    tell.built(store.nbytes)
    return store


def remembered(table: Table, about: Any, make: Callable[[], Schema]) -> Schema:
    """The schema that ``make`` gives; of a large table in files kept in the cache, since it takes a look at every column.

    Args:
        about: JSON values; what the schema follows from beside the table.
    """
    if not table.in_files or table.rows * len(table.names) < MANY:
        return make()
    before = table.manifest()
    text = json.dumps([FORMAT, __version__, before, about], sort_keys=True)
    path = cache() / "schemas" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
    found = read_json(path)
    if found is not None:
        return Schema.from_json(found)
    schema = make()
    # What was learned from files that the table names follows from more than the table.
    named = any(domain.divisor is not None for domain in (*schema.x.values(), *schema.y.values()))
    if not named and table.manifest() == before:
        with contextlib.suppress(OSError):  # a cache that cannot be written to costs time, and nothing else
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, schema.to_json())
    return schema


# Building --------------------------------------------------------------------------------------------------------


def _build(table: Table, schema: Schema, targets: bool, partial: Path, tell: _Teller, size: int) -> dict[str, Any]:
    """All rows into files of ``partial``, from where an earlier build was killed; gives what :func:`_opened` needs."""
    state = read_json(partial / STATE)
    if state is None or state.get("format") != FORMAT:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        state = {"format": FORMAT, "rows": 0, "fields": {}}
    fields = {name: _Growing(partial, k, about) for k, (name, about) in enumerate(state["fields"].items())}
    rows = first = int(state["rows"])
    names = list(dict.fromkeys([*schema.x, *(schema.y if targets else ())]))
    saved = time.monotonic()
    bad: list[warnings.WarningMessage] = []

    def keep() -> None:
        for field in fields.values():
            field.flush()
        about = {name: field.about for name, field in fields.items()}
        write_json(partial / STATE, {"format": FORMAT, "rows": rows, "fields": about})
        for field in fields.values():
            field.forget()

    with contextlib.ExitStack() as stack:
        for field in fields.values():
            stack.callback(field.close)
        tell.begin(first)
        for block in table.blocks(names, size, first) if first < table.rows else ():
            with warnings.catch_warnings(record=True) as caught:
                part = encode(block, schema, targets=targets)
            bad += caught
            for name, rows_of in part.fields.items():
                if name not in fields:
                    fields[name] = _Growing(partial, len(fields), _about(rows_of))
                    stack.callback(fields[name].close)
                fields[name].append(rows_of)
            rows += block.rows
            tell.show(rows)
            if any(field.outdated for field in fields.values()) or time.monotonic() - saved > SYNCHRONISE:
                keep()
                saved = time.monotonic()
        keep()
    if bad:
        more = f" (the first of {len(bad)} such messages)" if len(bad) > 1 else ""
        warnings.warn(f"{bad[0].message}{more}", stacklevel=2)
    if rows != table.rows:
        raise DataError(f"{table.source or 'The data'} gave {rows:,} rows of {table.rows:,}; they changed meanwhile.")
    return {"format": FORMAT, "rows": rows, "fields": {name: field.about for name, field in fields.items()}}


class _Growing:
    """A field whose rows are appended to files.

    Attributes:
        about: what is written so far, as JSON values.
        outdated: files that the next state no longer needs.
    """

    def __init__(self, folder: Path, number: int, about: dict[str, Any]) -> None:
        self.folder, self.number, self.about = folder, number, about
        self.outdated: list[Path] = []
        self.dtype = np.dtype(about["dtype"])
        self.files: dict[str, IO[bytes]] = {}
        for part, itemsize in self._parts().items():
            stream = self._path(part).open("ab")
            stream.truncate(itemsize * self._count(part))
            self.files[part] = stream

    def append(self, field: Field) -> None:
        """The rows of a block."""
        about = self.about
        data = field.data.numpy()
        wide = np.result_type(self.dtype, data.dtype)
        if wide != self.dtype:
            self._widen(wide)
        about["index"] |= field.index
        data.astype(self.dtype, copy=False).tofile(self.files["data"])
        about["total"] += len(data)
        known = np.ones(len(field), dtype=bool) if field.present is None else field.present.numpy()
        known.tofile(self.files["present"])
        about["missing"] += int((~known).sum())
        if field.offsets is not None:
            (about["total"] - len(data) + field.offsets[1:].numpy()).tofile(self.files["offsets"])
        about["rows"] += len(field)

    def flush(self) -> None:
        """Bring what was written to the disk."""
        for stream in self.files.values():
            stream.flush()
            os.fdatasync(stream.fileno())

    def forget(self) -> None:
        """Remove files that no state names any more."""
        for path in self.outdated:
            path.unlink(missing_ok=True)
        self.outdated = []

    def close(self) -> None:
        for stream in self.files.values():
            stream.close()

    def _widen(self, dtype: np.dtype) -> None:
        """Go on in a wider type: a block holds a code that the type of those before cannot."""
        old, before = self._path("data"), self.dtype
        self.files["data"].close()
        self.dtype, self.about["dtype"] = dtype, dtype.str
        with old.open("rb") as source, self._path("data").open("wb") as target:
            while len(part := np.fromfile(source, before, BLOCK // before.itemsize)):
                part.astype(dtype).tofile(target)
        self.files["data"] = self._path("data").open("ab")
        self.outdated.append(old)

    def _parts(self) -> dict[str, int]:
        """Part → bytes of an entry."""
        step = self.dtype.itemsize * int(np.prod(self.about["shape"], dtype=np.int64))
        return {"data": step, "present": 1} | ({"offsets": 8} if self.about["ragged"] else {})

    def _count(self, part: str) -> int:
        return int(self.about["total"] if part == "data" else self.about["rows"])

    def _path(self, part: str) -> Path:
        return self.folder / _file(self.number, part, self.dtype)


def _about(field: Field) -> dict[str, Any]:
    """What is known of a field before its first row."""
    columns = {name: None if part is None else [part.start, part.stop] for name, part in field.columns.items()}
    return {
        "columns": columns,
        "divisor": field.divisor,
        "index": field.index,
        "dtype": field.data.numpy().dtype.str,
        "shape": list(field.data.shape[1:]),
        "ragged": field.offsets is not None,
        "rows": 0,
        "total": 0,
        "missing": 0,
    }


def _file(number: int, part: str, dtype: np.dtype) -> str:
    return f"{number}.{dtype.name}" if part == "data" else f"{number}.{part}"


def _opened(place: Path) -> Store | None:
    """The store in a finished directory; None where there is none, or its files are not whole."""
    meta = read_json(place / META)
    if meta is None or meta.get("format") != FORMAT:
        return None
    fields: dict[str, Field] = {}
    try:
        for number, (name, about) in enumerate(meta["fields"].items()):
            dtype, ragged = np.dtype(about["dtype"]), about["ragged"]
            data, mapped = _array(place / _file(number, "data", dtype), dtype, (about["total"], *about["shape"]))
            present = _array(place / _file(number, "present", dtype), np.dtype(bool), (about["rows"],), keep=True)[0]
            offsets = None
            if ragged:
                ends = _array(place / _file(number, "offsets", dtype), np.dtype(np.int64), (about["rows"],), keep=True)
                offsets = torch.cat([torch.zeros(1, dtype=torch.int64), ends[0]])
            columns = {name: None if part is None else slice(*part) for name, part in about["columns"].items()}
            fields[name] = Field(
                data,
                columns,
                about["divisor"],
                about["index"],
                present if about["missing"] else None,
                offsets,
                mapped,
            )
    except (OSError, KeyError, TypeError, ValueError):
        return None
    return Store(fields)


def _array(
    path: Path, dtype: np.dtype, shape: tuple[int, ...], keep: bool = False
) -> tuple[torch.Tensor, Mapped | None]:
    """The array in a file, mapped unless it is small or ``keep``.

    Raises:
        ValueError: the file has another size.
    """
    size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    if path.stat().st_size != size:
        raise ValueError(f"{path} has another size")
    if keep or size <= RESIDENT:
        return torch.from_numpy(np.fromfile(path, dtype).reshape(shape)), None
    mapped = Mapped(path, dtype, shape)
    return mapped.tensor(), mapped


# Names and sizes ---------------------------------------------------------------------------------------------------


def _manifest(table: Table, schema: Schema) -> str:
    """The table's manifest, with the state of every file that a column names."""
    digest = hashlib.sha256(table.manifest().encode())
    for name, domain in (*schema.x.items(), *schema.y.items()):
        # Texts of a domain of measured values are paths of files.
        if domain.divisor is None or name not in table:
            continue
        column = table.column(name)
        if column.levels is not None:
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(column.values).data)
            for level in column.levels:
                digest.update(state_of(os.path.join(column.base or "", str(level).strip())).encode(errors="replace"))
    return digest.hexdigest()


def _name(manifest: str, schema: Schema, targets: bool) -> str:
    sides: Mapping[str, Any] = {"x": schema.x, "y": schema.y if targets else {}}
    fitted = {side: [[name, domain.to_json()] for name, domain in found.items()] for side, found in sides.items()}
    text = json.dumps([FORMAT, __version__, manifest, fitted], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _row_bytes(table: Table, schema: Schema, targets: bool) -> float:
    """Estimated bytes of an encoded row; columns that are no pack are encoded for some rows."""
    size = 0.0
    rows = np.unique(np.linspace(0, table.rows - 1, SAMPLE).astype(np.int64))
    for packed, domain, name in (
        *((True, domain, name) for name, domain in schema.x.items()),
        *((False, domain, name) for name, domain in schema.y.items() if targets),
    ):
        if domain.pack == "numbers":
            size += 4 * domain.width
        elif domain.pack == "categories":
            size += (2 if packed else 4) * domain.width
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                encoded = domain.encode_known(table.column(name).take(rows))[0]
            size += getattr(encoded, "values", encoded).nbytes / len(rows)
    return size


def _block_rows(table: Table, schema: Schema, targets: bool) -> int:
    return int(np.clip(BLOCK / max(_row_bytes(table, schema, targets), 1.0), FEWEST, MOST))


@dataclasses.dataclass
class _Teller:
    """Tells a person, on standard error, where a store stands."""

    rows: int
    place: Path
    shown: bool
    next: float = 0.0
    started: float = 0.0
    first: int = 0

    def begin(self, first: int) -> None:
        self.first, self.started = first, time.monotonic()
        self.next = self.started + 1.0
        if first:
            self._say(f"encoding goes on from row {first:,} of {self.rows:,}")

    def show(self, rows: int) -> None:
        now = time.monotonic()
        if not self.shown or now < self.next:
            return
        rate = (rows - self.first) / (now - self.started)
        text = f"encoding  {rows:,} of {self.rows:,} rows  {rate:,.0f} rows/s  {(self.rows - rows) / rate:,.0f} s left"
        terminal = sys.stderr.isatty()
        print(f"\r\x1b[K{text}" if terminal else text, end="" if terminal else "\n", file=sys.stderr, flush=True)
        self.next = now + (0.25 if terminal else 15.0)

    def waiting(self) -> None:
        self._say(f"waiting for another run that is encoding the same data into {self.place}")

    def built(self, size: int) -> None:
        self._say(f"encoded columns: {shown(size)} in {self.place}; later runs use them. Remove the folder to free it.")

    def reused(self, size: int) -> None:
        self._say(f"encoded columns: {shown(size)} from {self.place}")

    def _say(self, text: str) -> None:
        if self.shown:
            print(f"\r\x1b[K{text}" if sys.stderr.isatty() else text, file=sys.stderr, flush=True)
