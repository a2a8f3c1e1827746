"""What the commands of autoencoders do: codes into files, and rows out of codes, as tables, pictures and sounds."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.cli._values import keep_apart
from trine.data import read, write
from trine.domains import Audio, Domain, Image
from trine.errors import ChoiceError, DataError
from trine.estimators import Autoencoder, load
from trine.estimators._shown.sheets import contact_sheet, eight_bits, pillow

Columns = Mapping[str, NDArray[Any]]
GIVEN = "given"
"""The column of what came back that names the row, where its own name is that of a column that comes back."""


def encode(run: Path, data: str, out: Path) -> None:
    """Write ``code_1`` … of each row; see the command."""
    keep_apart(out, data)
    model = load(run)
    codes = model.represent(data)
    name, named = _names(model, data, len(codes))
    columns: dict[str, NDArray[Any]] = {name: named}
    columns |= {f"code_{i + 1}": codes[:, i] for i in range(codes.shape[1])}
    write(out, columns)
    print(f"{len(codes):,} codes of {codes.shape[1]} numbers written to {out}", file=sys.stderr)


def decode(run: Path, codes: str, out: Path) -> None:
    """Write what the columns ``code_1`` … stand for; see the command."""
    keep_apart(out, codes)
    model = autoencoder(run)
    save(out, model.schema_.x, model.columns_of(_codes_in(codes, model._n_features_out)), "rows")


def reconstruct(run: Path, data: str, out: Path) -> None:
    """Write rows as they come back, beside their key or row number; see the command."""
    keep_apart(out, data)
    model = autoencoder(run)
    codes = model.transform(data)
    columns = model.columns_of(codes)
    name, named = _names(model, data, len(codes))
    save(out, model.schema_.x, {GIVEN if name in columns else name: named, **columns}, "rows")


def _names(model: Any, data: str, rows: int) -> tuple[str, NDArray[Any]]:
    """What names the rows of ``data``, and its column: the key, else row numbers from 1."""
    table, key = model.plan_.shaped(read(data)), model.schema_.key
    if key is None or key not in table:
        return "row", np.arange(1, rows + 1)
    column = table.column(key)
    return key, column.values if column.levels is None else column.levels[column.values]


def interpolate(run: Path, data: str, between: tuple[int, int], steps: int, out: Path) -> None:
    """Write what lies between two rows, counted from 1; see the command."""
    keep_apart(out, data)
    model = autoencoder(run)
    table = model.plan_.shaped(read(data))
    for row in between:
        if not 1 <= row <= table.rows:
            raise ChoiceError(f"--between names row {row}, and {data} has rows 1 to {table.rows:,}.")
    first, last = (table.take(np.array([row - 1])) for row in between)
    save(out, model.schema_.x, model.columns_of(model._between(first, last, steps)), "steps")


def autoencoder(run: Path) -> Autoencoder:
    """The autoencoder in ``run``.

    Raises:
        ChoiceError: the model there is another.
    """
    model = load(run)
    if not isinstance(model, Autoencoder):
        raise ChoiceError(
            f"The model in {run} is of the kind {type(model).__name__}, which has no decoder; fit one with --method autoencoder."
        )
    return model


def save(out: Path, domains: Mapping[str, Domain], columns: Columns, what: str) -> None:
    """Write rows: one file for a table; a new directory where there are pictures or sounds, with ``rows.csv`` beside their files,
    and of pictures a contact sheet.

    Raises:
        ChoiceError: the directory is there already, or a file is named where a directory is needed.
        DataError: the disk does not take it.
    """
    rows = len(next(iter(columns.values())))
    drawn = {name: domain for name, domain in domains.items() if isinstance(domain, Image | Audio)}
    drawn = {name: domain for name, domain in drawn.items() if name in columns}
    if not drawn:
        write(out, {name: _flat(values) for name, values in columns.items()})
        print(f"{rows:,} {what} written to {out}", file=sys.stderr)
        return
    if out.suffix:
        raise ChoiceError(
            f"--out {out} names a file, and {next(iter(drawn))!r} is pictures or sounds; name a new directory."
        )
    if out.exists():
        raise ChoiceError(f"--out {out} is there already; name a new directory, so that nothing is written over.")
    try:
        out.mkdir(parents=True)
    except OSError as error:
        raise DataError(f"Cannot write to {out}: {error.strerror}.") from None
    table: dict[str, NDArray[Any]] = {"row": np.arange(1, rows + 1)}
    digits = len(str(rows))
    for name, values in columns.items():
        domain = drawn.get(name)
        if domain is None:
            table[name] = _flat(values)
            continue
        kind = "png" if isinstance(domain, Image) else "wav"
        files = [f"{name}_{i + 1:0{digits}d}.{kind}" for i in range(rows)]
        for file, value in zip(files, values, strict=True):
            if isinstance(domain, Image):
                pillow(eight_bits(domain, value)).save(out / file)
            else:
                _sound(out / file, domain, value)
        if isinstance(domain, Image):
            contact_sheet([eight_bits(domain, value) for value in values]).save(out / f"{name}_sheet.png")
        table[name] = np.array(files)
    write(out / "rows.csv", table)
    print(f"{rows:,} {what} written to {out}", file=sys.stderr)


def _sound(path: Path, domain: Audio, samples: NDArray[Any]) -> None:
    import soundfile

    soundfile.write(path, np.clip(np.asarray(samples, dtype=np.float64), -1, 1), int(domain.rate))


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    """(rows,) values that a table's file holds: those of several numbers as text, apart by blanks."""
    array = np.asarray(values)
    if array.ndim == 1 and (array.dtype != object or all(np.ndim(value) == 0 for value in array)):
        return array
    return np.array(
        [" ".join(f"{number:.6g}" for number in np.ravel(np.asarray(value, dtype=float))) for value in values]
    )


def _codes_in(path: str, width: int) -> NDArray[np.float64]:
    """(rows, width) the columns ``code_1`` … of a table.

    Raises:
        DataError: another number of them, or a value that is no number; says which.
    """
    table = read(path)
    names = [f"code_{i + 1}" for i in range(width)]
    absent = [name for name in names if name not in table]
    more = f"code_{width + 1}" in table
    if absent or more:
        have = sum(name.startswith("code_") for name in table.names)
        raise DataError(
            f"{path} has {have} columns of codes, and a code of this model has {width} numbers: code_1 to code_{width}."
        )
    found = []
    for name in names:
        column = table.column(name)
        values = column.values
        if column.levels is not None or values.dtype.kind not in "iuf":
            raise DataError(f"{path}, column {name!r}: codes are numbers, and this column holds texts.")
        missing = np.flatnonzero(column.missing)
        if len(missing):
            raise DataError(f"{path}, column {name!r}, row {missing[0] + 1}: a number of the code is missing.")
        found.append(values.astype(np.float64))
    return np.stack(found, axis=1)
