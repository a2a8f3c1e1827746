"""CSV and TSV files, gzipped or not."""

from __future__ import annotations

import csv
import functools
import io
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from trine.data._columns import column_from_arrow
from trine.data._table import CHUNK, Table, unique
from trine.data.formats._base import BLOCK, Reader, decompressed, readers
from trine.domains import Column
from trine.domains._text import MISSING
from trine.errors import DataError


@readers.register("csv")
class Delimited(Reader):
    """A text table with a header line; UTF-8.

    Values are read as text, and become numbers where every value of the column that is there is one; numbers written
    with leading zeros (postal codes) stay text. A ``.csv`` whose header has semicolons and no comma is split at
    semicolons.
    """

    suffixes = (".csv", ".tsv", ".csv.gz", ".tsv.gz")

    def read(self, data: Path, on_bad: str) -> Table:
        import pyarrow as pa
        import pyarrow.csv as pacsv

        try:
            names, delimiter = _header(data)
            bad: list[int] = []

            def skip(row: Any) -> str:
                bad.append(row.number)
                return "skip"

            with decompressed(data) as stream:
                raw = pacsv.read_csv(
                    stream,
                    # Row numbers are known to one thread only.
                    read_options=pacsv.ReadOptions(use_threads=on_bad != "skip", block_size=BLOCK),
                    parse_options=pacsv.ParseOptions(
                        delimiter=delimiter,
                        newlines_in_values=True,
                        invalid_row_handler=skip if on_bad == "skip" else None,
                    ),
                    convert_options=pacsv.ConvertOptions(
                        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
                    ),
                )
        except UnicodeDecodeError:
            _wrong_encoding(data)
        except csv.Error as error:
            raise DataError(
                f"{data} has no header that can be read: {error}. Give a text table, with closed quotes."
            ) from None
        except pa.ArrowInvalid as error:
            if "UTF8" in str(error):
                _wrong_encoding(data)
            _ragged(data, str(error))
        if raw.num_rows == 0:
            raise DataError(f"{data} has a header and no rows below it; give a file with at least one row.")
        _closed(data, raw)
        titles = [name.strip() or f"column{position}" for position, name in enumerate(names, start=1)]
        unique(titles, str(data))
        kept = np.setdiff1d(np.arange(1, raw.num_rows + len(bad) + 1), np.array(bad) - 1) if bad else None
        raws = dict(zip(titles, raw.columns, strict=True))
        del raw
        load = functools.partial(_load, raws, {}, str(data.resolve().parent), kept)
        return Table(
            {name: functools.partial(load, name) for name in titles},
            len(raws[titles[0]]),
            source=str(data),
            files=[data],
            skipped=[f"row {number - 1}: another number of values than the {len(titles)} columns" for number in bad],
        )


def _load(raws: dict[str, Any], done: dict[str, Column], base: str, numbers: np.ndarray | None, name: str) -> Column:
    """The column, parsed on first use; its text is then let go."""
    if name not in done:
        column = column_from_arrow(name, parsed(raws[name]), base)
        done[name] = Column(name, column.values, column.levels, base=base, row_numbers=numbers)
        del raws[name]
    return done[name]


def parsed(text: Any) -> Any:
    """Chunked strings as int64 or float64 where every one that is there is a number, else as stripped strings."""
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pc.utf8_trim_whitespace(text)
    missing = pc.is_in(text, value_set=pa.array(sorted(MISSING)))
    text = pc.if_else(missing, pa.scalar(None, pa.string()), text)
    if text.null_count == len(text):
        return pa.chunked_array([pa.nulls(len(text), pa.float64())])
    try:
        numbers = text.cast(pa.float64())
    except pa.ArrowInvalid:
        return text
    if pc.any(pc.match_substring_regex(text, r"^[+-]?0\d")).as_py():
        return text
    try:
        return text.cast(pa.int64())
    except pa.ArrowInvalid:
        return numbers


def _header(path: Path) -> tuple[list[str], str]:
    """(names, delimiter) of the first line that is not blank."""
    with decompressed(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        tabs = path.name.lower().removesuffix(".gz").endswith(".tsv")
        first = next((line for line in text if line.strip("\r\n")), "")
        if not first.strip():
            raise DataError(f"{path} is empty: there is no header line; give a file with a header and rows.")
        delimiter = "\t" if tabs else ";" if ";" in first and "," not in first else ","
        # A quoted name may hold a line break.
        reader = csv.reader(_chain(first, text), delimiter=delimiter)
        return next(reader), delimiter


def _chain(first: str, rest: Any) -> Any:
    yield first
    yield from rest


def _closed(path: Path, raw: Any) -> None:
    """Refuse a file whose last value is all that follows a quote that nobody closed."""
    last = raw.column(raw.num_columns - 1)[raw.num_rows - 1].as_py()
    if "\n" not in last:
        return
    with decompressed(path) as stream:
        quotes = sum(block.count(b'"') for block in iter(lambda: stream.read(CHUNK), b""))
    if quotes % 2:
        raise DataError(
            f"{path}: the quote before {last.splitlines()[0][:40]!r} (row {raw.num_rows}) is never closed; close it, "
            "or double it if it belongs to the value."
        )


def _wrong_encoding(path: Path) -> NoReturn:
    """Name the first line and byte that are not UTF-8."""
    line, offset = 1, 0
    with decompressed(path) as stream:
        start = stream.read(4)
        wide = start.startswith((b"\xff\xfe", b"\xfe\xff"))
        stream.seek(0)
        for line, raw in enumerate(stream, start=1):  # noqa: B007
            try:
                raw.decode()
            except UnicodeDecodeError as error:
                offset += error.start
                byte = raw[error.start]
                break
            offset += len(raw)
        else:
            raise DataError(f"{path} is not UTF-8 text; save it as UTF-8.")
    old = "UTF-16" if wide else "WINDOWS-1252"
    raise DataError(
        f"{path} is not UTF-8: line {line} has the byte 0x{byte:02x} (byte {offset + 1} of the file). Convert it "
        "first, e.g. "
        f"`iconv -f {old} -t UTF-8 {path.name} > utf8-{path.name}`."
    )


def _ragged(path: Path, cause: str) -> NoReturn:
    """Name the first line with another number of values than the header."""
    names, delimiter = _header(path)
    with decompressed(path) as stream:
        reader = csv.reader(io.TextIOWrapper(stream, encoding="utf-8-sig", newline=""), delimiter=delimiter)
        try:
            for row in reader:
                if row and len(row) != len(names):
                    raise DataError(
                        f"{path}, line {reader.line_num}: {len(row)} values where the header has {len(names)}. Mend "
                        "the line "
                        "(a value with the separator in it needs quotes), or skip such rows with on_bad='skip' (`--on-bad skip`)."
                    )
        except csv.Error as error:
            cause = f"line {reader.line_num}: {error}"
    raise DataError(f"{path} cannot be read as a table: {cause}.")
