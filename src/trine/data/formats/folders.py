"""Folders of pictures or of sounds, a sub-folder for each class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from trine.data._table import Table
from trine.data.formats._base import Reader, readers
from trine.domains import Column, _pictures, _sound
from trine.errors import DataError

CONTENTS = {"image": _pictures.SUFFIXES, "sound": _sound.SUFFIXES}
"""Column → endings of the names of the files that it holds."""
ENDINGS = tuple(suffix for suffixes in CONTENTS.values() for suffix in suffixes)

TRAIN = ("train", "training")
"""Names of the sub-folder that holds the training part, when a folder is split into parts."""


@readers.register("folder")
class Folder(Reader):
    """A folder with a sub-folder of images, or of sounds, for each class; one such file; or a folder of them without classes.

    Columns ``image`` or ``sound`` (the path, also the key) and ``label`` (the name of the sub-folder). Of a folder with
    ``train`` and ``val`` or ``test`` parts, the training part is read; give the path of another part to read that.
    """

    suffixes = ENDINGS

    @classmethod
    def accepts(cls, data: Any) -> bool:
        if isinstance(data, Path) and data.is_dir():
            from trine.data.formats.idx import Idx

            return not Idx.accepts(data)
        return super().accepts(data)

    def read(self, data: Path, on_bad: str) -> Table:
        if data.is_file():
            return _table(data.parent, [data.name], None, data)
        root = next((p for p in folders_in(data) if p.name.lower() in TRAIN and folders_in(p)), data)
        paths: list[str] = []
        labels: list[str] = []
        for folder in folders_in(root):
            found = _find(folder, root)
            paths += found
            labels += [folder.name] * len(found)
        if paths:
            return _table(root, paths, labels, data)
        paths = sorted(entry.name for entry in os.scandir(root) if _is_one(entry))
        if not paths:
            shown = ", ".join((*CONTENTS["image"][:3], *CONTENTS["sound"][:2]))
            raise DataError(
                f"{data} has no images or sounds in it; a folder with a sub-folder of images, or of sounds, for each class is "
                f"expected (files ending in {shown}, …)."
            )
        return _table(root, paths, None, data)


def _table(root: Path, paths: list[str], labels: list[str] | None, source: Path) -> Table:
    title = _content(paths, source)
    file = Column(title, np.arange(len(paths), dtype=np.int32), np.array(paths, dtype=object), base=str(root.resolve()))
    columns: dict[str, Any] = {title: lambda: file}
    if labels is not None:
        levels, codes = np.unique(np.array(labels, dtype=object), return_inverse=True)
        label = Column("label", codes.astype(np.int32), levels)
        columns["label"] = lambda: label
    return Table(
        columns,
        len(paths),
        source=str(source),
        key=title,
        files=Files(root, paths),
        targets=[] if labels is None else ["label"],
        hint="" if labels is not None else f" A label needs a sub-folder of {title}s for each class.",
    )


class Files(Sequence[Path]):
    """The files at ``paths`` below ``root``; as a list, millions of paths would take gigabytes."""

    def __init__(self, root: Path, paths: list[str]) -> None:
        self.root, self.paths = root, paths

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Path]: ...
    def __getitem__(self, index: int | slice) -> Path | Sequence[Path]:
        return Files(self.root, self.paths[index]) if isinstance(index, slice) else self.root / self.paths[index]


def _content(paths: list[str], source: Path) -> str:
    """``"image"`` or ``"sound"``: what all of the files are.

    Raises:
        DataError: there are both.
    """
    found = {title: [p for p in paths if p.lower().endswith(suffixes)] for title, suffixes in CONTENTS.items()}
    if all(found.values()):
        raise DataError(
            f"{source} has images ({found['image'][0]}) and sounds ({found['sound'][0]}); put each kind into a folder of its own, "
            "or write a table with a column of paths for each."
        )
    return next(title for title, files in found.items() if files)


def _find(folder: Path, root: Path) -> list[str]:
    """Paths, relative to ``root``, of the images and sounds in ``folder`` at any depth."""
    found = []
    for place, folders, files in os.walk(folder):
        folders.sort()
        relative = os.path.relpath(place, root)
        found += [os.path.join(relative, name) for name in sorted(files) if name.lower().endswith(ENDINGS)]
    return [path for path in found if not os.path.basename(path).startswith(".")]


def folders_in(folder: Path) -> list[Path]:
    """Its sub-folders, in the order of their names, without hidden ones."""
    return sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _is_one(entry: os.DirEntry[str]) -> bool:
    return entry.is_file() and entry.name.lower().endswith(ENDINGS) and not entry.name.startswith(".")
