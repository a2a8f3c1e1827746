"""Folders of pairs of pictures as a table with two columns of paths: side by side in one file, or under one name in two folders."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from trine.data._table import Table
from trine.data.formats.folders import TRAIN, Files, folders_in
from trine.domains import Column
from trine.domains._pictures import HALVES, SUFFIXES, Unreadable, in_parallel, size_of
from trine.errors import DataError

SHOWN = 3
"""Files without a partner that are named."""


def read_pairs(folder: Path, on_bad: str, named: Sequence[str] = ()) -> Table | None:
    """The pairs in a folder; None where it has none of the forms below, or not the columns that are named.

    - Pictures, each of two halves side by side: the columns ``left`` and ``right``.
    - Two sub-folders of pictures with equal names, whatever the endings: the sub-folders' names are the columns'.

    The second column, in the order of names, is the target unless another is named. Of a folder with a ``train`` part, that part is
    read.

    Args:
        folder: that there is. named: columns that there should be, if it is one of pairs.
        on_bad: ``"stop"`` raises on a picture without a partner; ``"skip"`` leaves it out.

    Raises:
        DataError: a picture has no partner, or has several; or its width is odd, so that it has no halves. Names the file.
    """
    parts = folders_in(folder)
    root = next((part for part in parts if part.name.lower() in TRAIN), folder)
    inside = [part for part in folders_in(root) if _pictures(part)]
    if len(inside) == 2:
        if not {_title(*inside), _title(*inside[::-1])} >= set(named):
            return None
        return read_two(inside[0], inside[1], on_bad, str(folder))
    here = sorted(entry.name for entry in os.scandir(root) if entry.is_file() and _is_picture(entry.name))
    if inside or not here or not set(HALVES) >= set(named):
        return None
    return _side_by_side(root, here, on_bad, str(folder))


def read_two(a: Path, b: Path, on_bad: str, source: str | None = None) -> Table:
    """The pairs of two folders: pictures with the same path in either, whatever the ending.

    Raises:
        DataError: as of :func:`read_pairs`; or one of the folders has no pictures.
    """
    own, other = _by_stem(a), _by_stem(b)
    if not own or not other:
        raise DataError(f"{b if own else a} has no pictures in it; both folders of pairs need some.")
    alone = [(here / name, there / stem) for here, names, there, others in ((a, own, b, other), (b, other, a, own))
             for stem, name in names.items() if stem not in others]  # fmt: skip
    both = [stem for stem in own if stem in other]
    if alone and (on_bad == "stop" or not both):
        named = "; ".join(f"{file} (there is no {partner}.*)" for file, partner in alone[:SHOWN])
        raise DataError(
            f"{len(alone)} of {len(own) + len(other)} pictures have no partner: {named}{'; …' if len(alone) > SHOWN else ''}. "
            f"Give a pair the same name in {a} and {b}, or let a training leave out those without one with on_bad='skip' "
            "(`trine fit --on-bad skip`)."
        )
    names = [_title(a, b), _title(b, a)]
    root = Path(os.path.commonpath([a.resolve(), b.resolve()]))
    paths = {
        name: [str((part / found[stem]).resolve().relative_to(root)) for stem in both]
        for name, part, found in zip(names, (a, b), (own, other), strict=True)
    }
    columns = {name: _column(name, found, str(root)) for name, found in paths.items()}
    skipped = [f"{file}: there is no {partner}.*" for file, partner in alone]
    return _table(
        columns, Files(root, [path for found in paths.values() for path in found]), source or f"{a}, {b}", skipped
    )


def _side_by_side(root: Path, names: list[str], on_bad: str, source: str) -> Table:
    """Each picture's halves."""
    kept, skipped = [], []
    for name, width in zip(names, in_parallel(_width, [str(root / name) for name in names]), strict=True):
        if width is not None and width % 2:
            if on_bad == "stop":
                raise DataError(
                    f"{root / name} is {width} pixels wide, which is odd, so that it is no two pictures side by side. Leave it "
                    "out, in training with on_bad='skip' (`trine fit --on-bad skip`), or give a folder with two sub-folders of "
                    "pictures with equal names, or a table with two columns of paths."
                )
            skipped.append(f"{name}: {width} pixels wide, which is odd")
        else:
            kept.append(name)
    if not kept:
        raise DataError(f"None of the {len(names)} pictures in {root} is of two halves: their widths are odd.")
    columns = {half: _column(half, kept, f"{root.resolve()}{mark}") for half, mark in HALVES.items()}
    return _table(columns, Files(root, kept), source, skipped)


def _table(columns: Mapping[str, Column], files: Sequence[Path], source: str, skipped: Sequence[str]) -> Table:
    first, second = columns
    return Table(
        {name: (lambda column=column: column) for name, column in columns.items()},  # type: ignore[misc]
        len(columns[first]),
        source=source,
        key=first,
        files=files,
        targets=[second],
        skipped=skipped,
        hint=(
            " Columns of pairs are named after their two folders, or are left and right of pictures side by side; give pairs "
            "that lie as those that were learned from."
        ),
    )


def _column(name: str, paths: list[str], base: str) -> Column:
    return Column(name, np.arange(len(paths), dtype=np.int32), np.array(paths, dtype=object), base=base)


def _title(folder: Path, other: Path) -> str:
    """The name of a column: the folder's own, with its parent's where both have one name."""
    own, beside = folder.resolve(), other.resolve()
    return own.name if own.name != beside.name else f"{own.parent.name}/{own.name}"


def _by_stem(folder: Path) -> dict[str, str]:
    """Path below the folder without its ending → with it, in the order of names.

    Raises:
        DataError: two files differ in their endings alone.
    """
    found: dict[str, str] = {}
    for name in _pictures(folder):
        stem = os.path.splitext(name)[0]
        if stem in found:
            raise DataError(
                f"{folder} has {found[stem]} and {name}, and a pair has one picture in each folder; leave one out."
            )
        found[stem] = name
    return found


def _pictures(folder: Path) -> list[str]:
    """Paths of the pictures in a folder at any depth, relative to it."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = os.path.relpath(place, folder)
        found += [os.path.normpath(os.path.join(relative, name)) for name in sorted(files) if _is_picture(name)]
    return found


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _width(path: str) -> int | None:
    """Of the picture upright; None where it cannot be read, which is told where it is read."""
    try:
        return size_of(path)[1]
    except Unreadable:
        return None
