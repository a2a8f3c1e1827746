"""Folders of images, a sub-folder for each class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from trine.data._table import Table
from trine.data.formats._base import Reader, readers
from trine.domains import Column
from trine.domains._pictures import SUFFIXES
from trine.errors import DataError

TRAIN = ("train", "training")
"""Names of the sub-folder that holds the training part, when a folder is split into parts."""


@readers.register("images")
class Images(Reader):
    """A folder with a sub-folder for each class, one image, or a folder of images without classes.

    Columns ``image`` (the path, also the key) and ``label`` (the name of the sub-folder). Of a folder with ``train``
    and ``val`` or ``test`` parts, the training part is read; give the path of another part to read that.
    """

    suffixes = SUFFIXES

    @classmethod
    def accepts(cls, data: Any) -> bool:
        if isinstance(data, Path) and data.is_dir():
            from trine.data.formats.idx import Idx

            return not Idx.accepts(data)
        return super().accepts(data)

    def read(self, data: Path, on_bad: str) -> Table:
        if data.is_file():
            return _table(data.parent, [data.name], None, data)
        root = next((p for p in _folders(data) if p.name.lower() in TRAIN and _folders(p)), data)
        paths: list[str] = []
        labels: list[str] = []
        for folder in _folders(root):
            found = _find(folder, root)
            paths += found
            labels += [folder.name] * len(found)
        if paths:
            return _table(root, paths, labels, data)
        paths = sorted(entry.name for entry in os.scandir(root) if _is_image(entry))
        if not paths:
            raise DataError(
                f"{data} has no images in it; a folder with a sub-folder of images for each class is expected "
                f"(files ending in {', '.join(SUFFIXES[:3])}, …)."
            )
        return _table(root, paths, None, data)


def _table(root: Path, paths: list[str], labels: list[str] | None, source: Path) -> Table:
    image = Column(
        "image", np.arange(len(paths), dtype=np.int32), np.array(paths, dtype=object), base=str(root.resolve())
    )
    columns: dict[str, Any] = {"image": lambda: image}
    if labels is not None:
        levels, codes = np.unique(np.array(labels, dtype=object), return_inverse=True)
        label = Column("label", codes.astype(np.int32), levels)
        columns["label"] = lambda: label
    return Table(
        columns,
        len(paths),
        source=str(source),
        key="image",
        files=_Files(root, paths),
        targets=[] if labels is None else ["label"],
        hint="" if labels is not None else " A label needs a sub-folder of images for each class.",
    )


class _Files(Sequence[Path]):
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
        return _Files(self.root, self.paths[index]) if isinstance(index, slice) else self.root / self.paths[index]


def _find(folder: Path, root: Path) -> list[str]:
    """Paths, relative to ``root``, of the images in ``folder`` at any depth."""
    found = []
    for place, folders, files in os.walk(folder):
        folders.sort()
        relative = os.path.relpath(place, root)
        found += [os.path.join(relative, name) for name in sorted(files) if name.lower().endswith(SUFFIXES)]
    return [path for path in found if not os.path.basename(path).startswith(".")]


def _folders(folder: Path) -> list[Path]:
    return sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _is_image(entry: os.DirEntry[str]) -> bool:
    return entry.is_file() and entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith(".")
