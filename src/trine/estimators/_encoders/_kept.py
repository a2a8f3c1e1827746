"""Representations that were computed already: in memory, and on disk where their encoder is on disk too."""

from __future__ import annotations

import os
import tempfile
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from trine.data import cache

Floats = NDArray[np.float32]
MOST_REMEMBERED = 1 << 30
"""Bytes of representations that are kept in memory, and eight times as many on disk; the oldest go first."""


_memory: OrderedDict[str, Floats] = OrderedDict()


def remembered(key: str, on_disk: bool) -> Floats | None:
    """What was kept under ``key``; None where nothing was, or it cannot be read."""
    if key in _memory:
        _memory.move_to_end(key)
        return _memory[key]
    path = cache() / "z" / f"{key}.npy"
    if not on_disk or not path.is_file():
        return None
    try:
        found = np.load(path, allow_pickle=False)
        os.utime(path)
    except (OSError, ValueError):
        return None
    if found.dtype != np.float32 or found.ndim != 2:
        return None
    _keep(key, found)
    return np.asarray(found)


def _keep(key: str, z: Floats) -> None:
    z.setflags(write=False)
    _memory[key] = z
    while len(_memory) > 1 and sum(value.nbytes for value in _memory.values()) > MOST_REMEMBERED:
        _memory.popitem(last=False)


def remember(key: str, z: Floats, on_disk: bool) -> None:
    """Keep ``z``, which nobody may write to from then on."""
    _keep(key, z)
    if not on_disk:
        return
    folder = cache() / "z"
    try:  # a cache that cannot be written to costs time, and nothing else
        folder.mkdir(parents=True, exist_ok=True)
        handle, fresh = tempfile.mkstemp(dir=folder, prefix="new.")
        with os.fdopen(handle, "wb") as stream:
            np.save(stream, z, allow_pickle=False)
        os.replace(fresh, folder / f"{key}.npy")
        kept = sorted(folder.glob("*.npy"), key=lambda file: file.stat().st_mtime)
        size = sum(file.stat().st_size for file in kept)
        for file in kept[:-1]:
            if size <= 8 * MOST_REMEMBERED:
                break
            size -= file.stat().st_size
            file.unlink()
    except OSError:
        return


def forget() -> None:
    """Empty the memory of representations; what is on disk stays."""
    _memory.clear()
