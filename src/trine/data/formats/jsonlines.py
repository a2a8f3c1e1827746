"""JSON-lines files: one object a line, gzipped or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

from trine.data._table import Table, unique
from trine.data.formats._base import BLOCK, Reader, decompressed, readers
from trine.data.formats.frames import table_of_arrow
from trine.errors import DataError


@readers.register("jsonlines")
class JsonLines(Reader):
    """One JSON object a line; a key that a line lacks is missing there, and the keys of nested objects are
    ``outer.inner``.
    """

    suffixes = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")

    def read(self, data: Path, on_bad: str) -> Table:
        import pyarrow as pa
        import pyarrow.json as pajson

        with decompressed(data) as stream:
            try:
                raw = pajson.read_json(stream, read_options=pajson.ReadOptions(block_size=BLOCK))
                raw.validate(full=True)  # bytes that are not UTF-8 pass the parser
            except pa.ArrowInvalid as error:
                _malformed(data, str(error).splitlines()[0])
        while any(pa.types.is_struct(field.type) for field in raw.schema):
            raw = raw.flatten()
        if raw.num_rows == 0 or raw.num_columns == 0:
            raise DataError(f"{data} has no rows with values; give a file with one JSON object a line.")
        unique(raw.column_names, str(data))
        return table_of_arrow(raw, source=data)


def _malformed(path: Path, cause: str) -> NoReturn:
    """Name the first line that is no JSON object, or the column whose type changes."""
    with decompressed(path) as stream:
        number = 0
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except UnicodeDecodeError:
                raise DataError(f"{path} is not UTF-8: see line {number}. Convert it to UTF-8 first.") from None
            except ValueError as error:
                raise DataError(
                    f"{path}, line {number}: not a JSON value ({error}); one object a line is expected."
                ) from None
            if not isinstance(value, dict):
                raise DataError(
                    f"{path}, line {number}: a {type(value).__name__}, where an object {{...}} is expected."
                )
        if number == 0:
            raise DataError(f"{path} is empty; give a file with one JSON object a line.")
    raise DataError(f"{path} cannot be read as a table: {cause}. Give each key values of one type.")
