"""One number of a code at a time: what of a decoded row moves, in words and in pictures."""

from __future__ import annotations

import base64
import io
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trine.data import Table, table_of
from trine.estimators._shown.sheets import sheet

STEPS = 7
"""Rows along a number of a code, from low to high."""
NUMBERS = 5
"""Numbers of a code that are moved, those that tell most."""
COLUMNS = 8
"""Columns that are shown of each, those that move most."""
MOVES = 0.05
"""Share of a column's range over the rows from which it moves."""
COMPARED = 300
"""Rows whose reconstructions say what range a column has."""
RANGE = (0.02, 0.98)
"""Quantiles that a range is between, of codes and of columns."""
LONG = 12
"""Characters of a text that stands beside others, at most; longer ones stand below each other."""


class Look(Protocol):
    """(table, row) → ``values`` and ``image`` of a row, in axes that those of another table ``beside`` it fit as well."""

    def __call__(
        self, table: Table, index: int, beside: tuple[Table, int | NDArray[np.int64]] | None = None
    ) -> dict[str, Any]: ...


def traversals(
    estimator: Any, codes: NDArray[Any], told: NDArray[np.float64], look: Look, names: Sequence[str]
) -> list[dict[str, Any]]:
    """Of each of the numbers that tell most: its ``number`` (from 1); ``at``, its values; ``columns``, those that move most, each
    with ``cells`` of a ``value`` in words and its ``level`` in the column's range, in [0, 1] or None; ``texts``, those that are
    too long for a cell, each with ``lines``; and a ``sheet`` of the columns ``drawn``, all in the same axes, or None.

    Args:
        estimator: a fitted autoencoder. codes: of known rows. told: what each number tells. names: the columns that are shown.
    """
    numbers = [int(i) for i in np.argsort(-told)[:NUMBERS] if np.ptp(codes[:, i]) > 0]
    if not numbers:
        return []
    ways = np.concatenate([way(codes, i, STEPS) for i in numbers])
    made = estimator.columns_of(ways)
    names = [name for name in names if name in made]  # a date does not come back
    told_of = [name for name in names if _in_words(made[name])]
    words = dict(_entries(made, told_of))
    known = dict(_entries(estimator.columns_of(codes[:COMPARED]), told_of)) if words else {}
    pictures = drawn(look, table_of(made)) if len(told_of) < len(names) else None
    found = []
    for k, number in enumerate(numbers):
        rows = slice(k * STEPS, (k + 1) * STEPS)
        at = [f"{value:.2f}" for value in ways[rows, number]]
        here = {name: values[rows] for name, values in words.items()}
        texts = {name: values for name, values in here.items() if _is_long(words[name])}
        order = _movers({name: values for name, values in here.items() if name not in texts}, known)
        found.append(
            {
                "number": number + 1,
                "at": at,
                "columns": [{"name": name, "cells": _cells(here[name], known[name])} for name in order],
                "texts": [{"name": name, "lines": _lines(values, at)} for name, values in texts.items()],
                "drawn": [name for name in names if name not in told_of],
                "sheet": None if pictures is None else sheet(pictures[rows], STEPS),
            }
        )
    return found


def fields(
    estimator: Any, codes: NDArray[Any], grid: NDArray[Any], side: int, names: Sequence[str]
) -> list[dict[str, Any]]:
    """Of the columns in words that move most over a grid of codes: ``name``, and ``levels``, side × side in [0, 1], with ``low``
    and ``high``; or of what is no number ``labels``, the commonest first, and ``codes``, side × side places among them.

    Args:
        estimator: a fitted autoencoder. codes: of known rows. grid: (side · side, 2) codes. names: the columns that are shown.
    """
    made = estimator.columns_of(grid)
    told_of = [name for name in names if name in made and _in_words(made[name])]
    words = {name: values for name, values in _entries(made, told_of) if not _is_long(values)}
    known = dict(_entries(estimator.columns_of(codes[:COMPARED]), told_of)) if words else {}
    return [{"name": name, **_field(words[name], known[name], side)} for name in _movers(words, known)]


def _field(values: NDArray[Any], known: NDArray[Any], side: int) -> dict[str, Any]:
    cells = _cells(values, known)
    if cells[0]["level"] is None:
        said = np.array([cell["value"] for cell in cells])
        labels, places, counts = np.unique(said, return_inverse=True, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        codes = np.argsort(order)[places].reshape(side, side)
        return {"labels": labels[order].tolist(), "codes": codes.tolist()}
    levels = np.array([cell["level"] for cell in cells]).reshape(side, side)
    low, high = (_figure(value) for value in _range_of(known))
    return {"levels": levels.tolist(), "low": low, "high": high}


def way(codes: NDArray[Any], number: int, steps: int) -> NDArray[Any]:
    """Codes that differ from the middle one in one number, from its lowest to its highest."""
    low, high = np.quantile(codes[:, number], RANGE)
    found = np.tile(np.median(codes, axis=0), (steps, 1))
    found[:, number] = np.linspace(low, high, steps)
    return found


def _in_words(values: NDArray[Any]) -> bool:
    """Whether values are numbers, vectors of them or texts; others are drawn."""
    return values.ndim <= 2 and not (values.dtype == object and any(isinstance(value, np.ndarray) for value in values))


def _entries(columns: Mapping[str, NDArray[Any]], names: Sequence[str]) -> Iterator[tuple[str, NDArray[Any]]]:
    """(name, one value a row) of some columns, and of each entry of vectors."""
    for name in names:
        values = columns[name]
        if values.ndim == 1:
            yield name, values
        else:
            yield from ((f"{name}, {j + 1}", values[:, j]) for j in range(values.shape[1]))


def drawn(look: Look, table: Table) -> NDArray[np.uint8] | None:
    """(rows, height, width, 3) what rows look like, all in the same axes; None where nothing of them can be drawn."""
    from PIL import Image as Pillow

    rows = np.arange(table.rows)
    found = [look(table, int(i), (table, rows))["image"] for i in rows]
    pictures = [
        Pillow.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")
        for uri in found
        if uri is not None
    ]
    if not pictures:
        return None
    size = tuple(max(picture.size[axis] for picture in pictures) for axis in (0, 1))
    whole = np.full((len(found), size[1], size[0], 3), 255, dtype=np.uint8)
    for i, picture in zip((i for i, uri in enumerate(found) if uri is not None), pictures, strict=True):
        whole[i, : picture.size[1], : picture.size[0]] = np.asarray(picture)
    return whole


def _is_long(values: NDArray[Any]) -> bool:
    """Whether some value is a text that is too long to stand beside others."""
    return values.dtype.kind in "OU" and max(len(str(value)) for value in values) > LONG


def _movers(columns: Mapping[str, NDArray[Any]], known: Mapping[str, NDArray[Any]]) -> list[str]:
    """The columns that move most, of those that move at all; first what is no number and changes."""
    moved = {name: _moves(values, known[name]) for name, values in columns.items()}
    return sorted((name for name in moved if moved[name] >= MOVES), key=lambda name: -moved[name])[:COLUMNS]


def _moves(values: NDArray[Any], known: NDArray[Any]) -> float:
    """How far a column moves, as a share of its range; of what is no number infinitely far where any value is another."""
    line = _on_a_line(values)
    if line is None:
        return math.inf if len({str(value) for value in values}) > 1 else 0.0
    low, high = _range_of(known)
    return float(np.ptp(line) / (high - low)) if high > low else 0.0


def _cells(values: NDArray[Any], known: NDArray[Any]) -> list[dict[str, Any]]:
    """Each value in words, with its level where it is a number."""
    line = _on_a_line(values)
    if line is None:
        return [{"value": str(value), "level": None} for value in values]
    low, high = _range_of(known)
    levels = np.clip((line - low) / (high - low), 0, 1)
    return [{"value": _figure(v), "level": round(float(level), 3)} for v, level in zip(values, levels, strict=True)]


def _lines(values: NDArray[Any], at: Sequence[str]) -> list[dict[str, str]]:
    """Texts one below the other, of equal ones that follow each other the first: ``at``, from where to where, and ``text``."""
    found = []
    for text, group in itertools.groupby(range(len(values)), lambda step: str(values[step])):
        steps = list(group)
        found.append({"at": at[steps[0]] if len(steps) == 1 else f"{at[steps[0]]} … {at[steps[-1]]}", "text": text})
    return found


def _on_a_line(values: NDArray[Any]) -> NDArray[np.float64] | None:
    """Numbers, truth values and dates as numbers; None of other values."""
    if values.dtype.kind in "mM":
        return values.astype("datetime64[s]" if values.dtype.kind == "M" else "timedelta64[s]").astype(np.float64)
    return values.astype(np.float64) if values.dtype.kind in "fiub" else None


def _range_of(known: NDArray[Any]) -> tuple[float, float]:
    """The range of a column of numbers."""
    line = _on_a_line(known)
    assert line is not None
    low, high = np.quantile(line, RANGE)
    return float(low), float(high)


def _figure(value: Any) -> str:
    """A number to four figures, anything else as it is written."""
    return f"{float(f'{value:.4g}'):.6g}" if isinstance(value, float | np.floating) else str(value)
