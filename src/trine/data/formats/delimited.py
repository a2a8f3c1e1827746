"""CSV and TSV files, gzipped or not."""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import shutil
import sys
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from trine._version import __version__
from trine.data._cache import cache, locked, read_json, sync, write_json
from trine.data._columns import column_from_arrow
from trine.data._memory import room
from trine.data._table import CHUNK, Table, state_of, unique
from trine.data.formats._base import BLOCK, Reader, decompressed, readers
from trine.domains import Column
from trine.domains._text import MISSING
from trine.errors import DataError

GZIPPED = 5
"""Times that text grows when it is decompressed, about."""
COLUMNS = "columns.parquet"


@readers.register("csv")
class Delimited(Reader):
    """A text table with a header line; UTF-8.

    Values are read as text, and become numbers where every value of the column that is there is one; numbers written
    with leading zeros (postal codes) stay text. A ``.csv`` whose header has semicolons and no comma is split at
    semicolons.
    """

    suffixes = (".csv", ".tsv", ".csv.gz", ".tsv.gz")

    @classmethod
    def accepts(cls, data: Any) -> bool:
        from trine.data.formats.ucr import UCR

        return super().accepts(data) and not UCR.accepts(data)

    def read(self, data: Path, on_bad: str) -> Table:
        import pyarrow as pa
        import pyarrow.csv as pacsv

        try:
            names, delimiter = _header(data)
            bad: list[int] = []
            options = _options(names, delimiter, on_bad, bad)
            grown = GZIPPED if data.suffix.lower() == ".gz" else 1
            if data.stat().st_size * grown > room(self.memory) // 2:
                return _converted(data, names, on_bad, options, bad)
            with decompressed(data) as stream:
                raw = pacsv.read_csv(stream, **options)
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
        _closed(data, raw.column(raw.num_columns - 1)[raw.num_rows - 1].as_py(), raw.num_rows)
        titles = _titles(data, names)
        kept = _kept(raw.num_rows, bad)
        raws = dict(zip(titles, raw.columns, strict=True))
        del raw
        load = functools.partial(_load, raws, {}, str(data.resolve().parent), kept)
        return Table(
            {name: functools.partial(load, name) for name in titles},
            len(raws[titles[0]]),
            source=str(data),
            files=[data],
            skipped=_skipped(bad, titles),
        )


def _options(names: list[str], delimiter: str, on_bad: str, bad: list[int]) -> dict[str, Any]:
    """How pyarrow reads the file: every value as text; numbers of rows left out are put into ``bad``."""
    import pyarrow as pa
    import pyarrow.csv as pacsv

    def skip(row: Any) -> str:
        bad.append(row.number)
        return "skip"

    return {
        # Row numbers are known to one thread only.
        "read_options": pacsv.ReadOptions(use_threads=on_bad != "skip", block_size=BLOCK),
        "parse_options": pacsv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip if on_bad == "skip" else None
        ),
        "convert_options": pacsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        ),
    }


def _titles(path: Path, names: list[str]) -> list[str]:
    titles = [name.strip() or f"column{position}" for position, name in enumerate(names, start=1)]
    unique(titles, str(path))
    return titles


def _kept(rows: int, bad: list[int]) -> np.ndarray | None:
    """(rows,) the numbers of the rows that are left; None when all are."""
    return np.setdiff1d(np.arange(1, rows + len(bad) + 1), np.array(bad) - 1) if bad else None


def _skipped(bad: list[int], titles: list[str]) -> list[str]:
    return [f"row {number - 1}: another number of values than the {len(titles)} columns" for number in bad]


def _converted(path: Path, names: list[str], on_bad: str, options: dict[str, Any], bad: list[int]) -> Table:
    """The table by way of a Parquet file in the cache: no more than a block of the text is in memory at a time.

    The Parquet file is named by the state of the text file, and made by one process while others wait.

    Raises:
        DataError: as for a small file; the file changed while it was read, or the disk is full.
    """
    from trine.data.formats.parquet import table_of_parquet

    titles = _titles(path, names)
    root = cache() / "tables"
    before = state_of(path)
    state = "\0".join([__version__, before, on_bad])
    name = hashlib.sha256(state.encode(errors="surrogateescape")).hexdigest()[:32]
    place = root / name

    def waiting() -> None:
        print(f"waiting for another run that is converting {path}", file=sys.stderr, flush=True)

    try:
        root.mkdir(parents=True, exist_ok=True)
        with locked(root / f"{name}.lock", waiting):
            if (about := read_json(place / "table.json")) is None:
                partial = root / f"{name}.partial"
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                rows = _convert(path, titles, options, partial)
                if state_of(path) != before:
                    shutil.rmtree(partial)
                    raise DataError(f"{path} changed while it was read; start again when nothing writes to it.")
                about = {"rows": rows, "bad": bad}
                write_json(partial / "table.json", about)
                shutil.rmtree(place, ignore_errors=True)
                partial.rename(place)
                sync(root)
    except OSError as error:
        raise DataError(
            f"{path} is larger than memory, and its columns cannot be kept in {root}: {error.strerror or error}. Name another "
            "directory in the environment variable TRINE_CACHE, or give more memory."
        ) from None
    numbers = _kept(about["rows"], about["bad"])
    return table_of_parquet(place / COLUMNS, path, numbers, _skipped(about["bad"], titles))


def _convert(path: Path, titles: list[str], options: dict[str, Any], folder: Path) -> int:
    """The text file as :data:`COLUMNS` in ``folder``; gives the number of rows.

    Whether a column is numbers is known when its last row is read, so the texts go to a file first.
    """
    import pyarrow as pa
    import pyarrow.csv as pacsv
    import pyarrow.parquet as pq

    texts = pa.schema([(title, pa.string()) for title in titles])
    kinds: list[Any] = [None] * len(titles)
    rows, last = 0, ""
    with (
        decompressed(path) as stream,
        pq.ParquetWriter(folder / "texts.parquet", texts, use_dictionary=False) as writer,
    ):
        for batch in pacsv.open_csv(stream, **options):
            if not len(batch):
                continue
            for position, column in enumerate(batch.columns):
                if kinds[position] != pa.string():
                    chunk = pa.chunked_array([column])
                    kinds[position] = _wider(kinds[position], parsed(chunk))
            writer.write_batch(batch.rename_columns(titles))
            rows, last = rows + len(batch), batch.column(len(titles) - 1)[len(batch) - 1].as_py()
    if rows == 0:
        raise DataError(f"{path} has a header and no rows below it; give a file with at least one row.")
    _closed(path, last, rows)
    schema = pa.schema([(title, kind or pa.float64()) for title, kind in zip(titles, kinds, strict=True)])
    file = pq.ParquetFile(folder / "texts.parquet", pre_buffer=False, buffer_size=1 << 18)
    with pq.ParquetWriter(folder / COLUMNS, schema) as writer:
        for batch in file.iter_batches(65_536, use_threads=False):
            columns = [
                _as(kind, pa.chunked_array([column])) for kind, column in zip(schema.types, batch.columns, strict=True)
            ]
            writer.write_table(pa.table(columns, schema=schema))
    (folder / "texts.parquet").unlink()
    pa.default_memory_pool().release_unused()
    return rows


def _wider(kind: Any, values: Any) -> Any:
    """The type of a column whose parts so far are of ``kind`` (None: nothing is there) and now of ``values``."""
    import pyarrow as pa

    if values.null_count == len(values):
        return kind
    order = [None, pa.int64(), pa.float64(), pa.string()]
    return order[max(order.index(kind), order.index(values.type))]


def _as(kind: Any, text: Any) -> Any:
    """Chunked strings as ``kind``, which :func:`parsed` gave for all of the column."""
    import pyarrow as pa

    text = _known(text)
    return text if kind == pa.string() else text.cast(kind)


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

    text = _known(text)
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


def _known(text: Any) -> Any:
    """Chunked strings without the space around them; null where they say that nothing is there."""
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pc.utf8_trim_whitespace(text)
    missing = pc.is_in(text, value_set=pa.array(sorted(MISSING)))
    return pc.if_else(missing, pa.scalar(None, pa.string()), text)


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


def _closed(path: Path, last: str, rows: int) -> None:
    """Refuse a file whose last value is all that follows a quote that nobody closed."""
    if "\n" not in last:
        return
    with decompressed(path) as stream:
        quotes = sum(block.count(b'"') for block in iter(lambda: stream.read(CHUNK), b""))
    if quotes % 2:
        raise DataError(
            f"{path}: the quote before {last.splitlines()[0][:40]!r} (row {rows}) is never closed; close it, "
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
                        "(a value with the separator in it needs quotes), or let a training skip such rows with on_bad='skip' "
                        "(`trine fit --on-bad skip`)."
                    )
        except csv.Error as error:
            cause = f"line {reader.line_num}: {error}"
    raise DataError(f"{path} cannot be read as a table: {cause}.")
