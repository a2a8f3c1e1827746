"""Raw columns from arrow and numpy arrays: text factorised, numbers plain, missing values in one way each."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from trine.domains import Column, Sequences
from trine.domains._base import offsets_of
from trine.errors import DataError

LOOKED_AT = 1000
"""Objects of a column that are looked at for arrays among them."""


def column_from_arrow(name: str, data: Any, base: str | None = None) -> Column:
    """The column that a ``pyarrow`` array or chunked array holds.

    Text becomes int32 codes into its distinct levels; integers with nulls become float64 with NaN; decimals float64;
    lists of equal length (n, length) numbers; lists of other lengths, or with missing ones among them, a ragged column, and
    lists of lists of numbers one of (steps, channels).

    Raises:
        DataError: values that are no column of numbers, texts, truths or dates (nested or binary values).
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    chunked = data if isinstance(data, pa.ChunkedArray) else pa.chunked_array([data])
    kind = chunked.type
    if pa.types.is_dictionary(kind):
        if _is_text(kind.value_type):
            return _factorised(name, chunked, base)
        return column_from_arrow(name, chunked.cast(kind.value_type), base)
    if isinstance(kind, pa.BaseExtensionType):
        return column_from_arrow(name, chunked.cast(kind.storage_type), base)
    if pa.types.is_time(kind):
        chunked, kind = chunked.cast(pa.string()), pa.string()
    if pa.types.is_boolean(kind) and chunked.null_count:
        # Numpy's truth values have no missing; as text they keep it.
        chunked, kind = pc.if_else(chunked, "True", "False"), pa.string()
    if _is_text(kind):
        return _factorised(name, chunked.dictionary_encode(), base)
    if pa.types.is_null(kind):
        return Column(name, np.full(len(chunked), np.nan), base=base)
    if pa.types.is_decimal(kind):
        chunked = chunked.cast(pa.float64())
    elif (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and _is_text(kind.value_type):
        return _lists_of_texts(name, chunked, base)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _lists(name, chunked, base)
    elif not (
        pa.types.is_boolean(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_date(kind)
        or pa.types.is_timestamp(kind)
        or pa.types.is_duration(kind)
    ):
        raise DataError(
            f"Column {name!r} holds {kind} values; a column holds numbers, texts, truth values or dates. "
            "Leave the column out or convert it."
        )
    return Column(name, _native(chunked.to_numpy()), base=base)


def column_from_numpy(name: str, array: np.ndarray, base: str | None = None) -> Column:
    """The column that a numpy array holds, without a copy where it is a plain one.

    Raises:
        DataError: complex or structured values, or objects that are neither numbers nor text.
    """
    if array.dtype.kind in "iufbmM":
        return Column(name, _native(array), base=base)
    if array.dtype.kind == "c":
        raise DataError(f"Column {name!r} holds complex numbers; give their real and imaginary parts as two columns.")
    if array.ndim != 1 or array.dtype.kind not in "USOT":
        raise DataError(
            f"Column {name!r} is a {array.dtype} array of shape {array.shape}; one value a row is expected."
        )
    if array.dtype.kind == "O" and any(isinstance(row, np.ndarray | list | tuple) for row in array[:LOOKED_AT]):
        return _nested(name, array, base)
    import pyarrow as pa

    values = array if array.dtype.kind == "O" else array.astype(object)
    try:
        return column_from_arrow(name, pa.array(values, from_pandas=True), base)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        # Objects of several types: compared by how they are written.
        texts = [None if value is None or value != value else str(value) for value in values]
        return column_from_arrow(name, pa.array(texts, pa.string()), base)


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _factorised(name: str, chunked: Any, base: str | None) -> Column:
    import pyarrow as pa

    chunked = chunked.unify_dictionaries()
    if chunked.num_chunks == 0:
        return Column(name, np.zeros(0, dtype=np.int32), np.zeros(0, dtype=object), base=base)
    levels = chunked.chunk(0).dictionary.to_numpy(zero_copy_only=False).astype(object)
    codes = np.empty(len(chunked), dtype=np.int32)
    start = 0
    for chunk in chunked.chunks:
        stop = start + len(chunk)
        codes[start:stop] = chunk.indices.cast(pa.int32()).fill_null(-1).to_numpy(zero_copy_only=False)
        start = stop
    return Column(name, codes, levels, base=base)


def _lists_of_texts(name: str, chunked: Any, base: str | None) -> Column:
    """A ragged column of codes into the distinct texts; a missing text in a list is left out."""
    import pyarrow.compute as pc

    whole = chunked.combine_chunks()
    absent = whole.is_null().to_numpy(zero_copy_only=False)
    texts = pc.list_flatten(whole)
    row = pc.list_parent_indices(whole).filter(texts.is_valid())
    lengths = np.bincount(row.to_numpy(), minlength=len(whole))
    flat = _factorised(name, _chunked(texts.drop_null().dictionary_encode()), base)
    return dataclasses.replace(flat, offsets=offsets_of(lengths), absent=absent if absent.any() else None)


def _chunked(array: Any) -> Any:
    import pyarrow as pa

    return pa.chunked_array([array])


def _lists(name: str, chunked: Any, base: str | None) -> Column:
    """(n, length) numbers of lists of one length, else a ragged column.

    Raises:
        DataError: lists of anything but numbers, or steps with different numbers of channels.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.list_value_length(chunked)
    inner = chunked.type.value_type
    nested = pa.types.is_list(inner) or pa.types.is_large_list(inner) or pa.types.is_fixed_size_list(inner)
    kind = inner.value_type if nested else inner
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise DataError(f"Column {name!r} holds lists of {kind}; only lists of numbers can be used.")
    absent = np.asarray(pc.is_null(chunked).to_numpy())
    counts = np.asarray(lengths.fill_null(0).to_numpy(), dtype=np.int64)
    flat = pc.list_flatten(chunked)
    if nested:
        channels = pc.unique(pc.list_value_length(flat).drop_null()).to_pylist()
        if len(channels) > 1 or flat.null_count:
            raise DataError(
                f"Column {name!r} holds steps of {len(channels) or 'missing'} different numbers of channels; every step must "
                "have the same."
            )
        values = _native(pc.list_flatten(flat).to_numpy()).reshape(-1, channels[0] if channels else 1)
    else:
        values = _native(flat.to_numpy())
        if not absent.any() and len(counts) and counts.min() == counts.max() > 0:
            return Column(name, values.reshape(len(counts), int(counts[0])), base=base)
    return Column(name, values, base=base, offsets=offsets_of(counts), absent=absent if absent.any() else None)


def _nested(name: str, rows: np.ndarray, base: str | None) -> Column:
    """The ragged column of an object array of arrays or lists of numbers, (steps,) or (steps, channels); None is missing.

    Raises:
        DataError: a row that is no array of numbers, or of another number of channels; names it.
    """
    arrays: list[np.ndarray] = []
    absent = np.zeros(len(rows), dtype=bool)
    shape: tuple[int, ...] | None = None
    for index, row in enumerate(rows):
        absent[index] = row is None or (isinstance(row, float) and row != row)
        try:
            array = np.zeros(0) if absent[index] else np.asarray(row)
        except ValueError:
            array = np.zeros(0, dtype=object)
        if array.dtype.kind not in "iufb" or (array.ndim not in (1, 2) and not absent[index]):
            raise DataError(
                f"Column {name!r}, row {index + 1}: a list of numbers, or of steps of several channels, is expected as in other "
                "rows."
            )
        if array.size and shape is None:
            shape = array.shape[1:]
        if array.size and array.shape[1:] != shape:
            raise DataError(
                f"Column {name!r}, row {index + 1}: steps of shape {array.shape[1:]}; those before have {shape}."
            )
        arrays.append(array)
    if shape == () and not absent.any() and len({len(array) for array in arrays}) == 1:
        return Column(name, _native(np.stack(arrays)), base=base)  # lists of one length are vectors
    found = [array if array.size else np.zeros((0, *(shape or ()))) for array in arrays]
    joined = Sequences.of(found)
    values = _native(joined.values)
    return Column(name, values, base=base, offsets=joined.offsets, absent=absent if absent.any() else None)


def _native(array: np.ndarray) -> np.ndarray:
    """The array in this machine's byte order; half-precision numbers widened, since few operations know them."""
    if array.dtype == np.float16 or (array.dtype.kind == "f" and array.dtype.itemsize > 8):
        return array.astype(np.float32 if array.dtype.itemsize == 2 else np.float64)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
