"""An array in a file, read through a mapping whose pages are let go again."""

from __future__ import annotations

import math
import mmap
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

WINDOW = 32 << 20
"""Bytes of a file that are resident at a time, at most: those that were touched since pages were last let go."""
AROUND = 64 << 10
"""Bytes that the kernel may map around a place that is touched (``fault_around_bytes`` of Linux)."""


class Mapped:
    """A file as a read-only array.

    The kernel keeps what it reads in its own cache, which it gives up when memory is wanted; what a process has
    *mapped* of it counts as the process's memory. So pages are unmapped (``MADV_DONTNEED``) after every ``WINDOW`` bytes.

    Args:
        path: the file. dtype, shape: of the array that it holds, in C order.
    """

    def __init__(self, path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        size = dtype.itemsize * math.prod(shape)
        self._map: mmap.mmap | None = None
        self._lock = threading.Lock()
        self._touched = 0
        if size == 0:
            self.array = np.zeros(shape, dtype)
            return
        with path.open("rb") as stream:
            self._map = mmap.mmap(stream.fileno(), size, prot=mmap.PROT_READ)
        self._map.madvise(mmap.MADV_RANDOM)  # rows are read in random order: nothing is gained by reading ahead
        self.array = np.frombuffer(self._map, dtype).reshape(shape)

    def tensor(self) -> Tensor:
        """The array as a tensor that shares the mapping."""
        with warnings.catch_warnings():
            # A store is only ever read.
            warnings.filterwarnings("ignore", message="The given (NumPy array|buffer) is not writable")
            return torch.from_numpy(self.array)

    def take(self, data: Tensor, places: Tensor) -> Tensor:
        """``data[places]``, a copy; no more than ``WINDOW`` bytes of the file are mapped at a time.

        Args:
            data: what :meth:`tensor` gave. places: (n, ...) int64, n may be 0.
        """
        each = data[:1].nbytes * (places[:1].numel() if len(places) else 1) + AROUND
        most = max(WINDOW // each, 1)
        out = data.new_empty((*places.shape, *data.shape[1:]))
        for first in range(0, len(places), most):
            part = places[first : first + most]
            if part.dim() == 1:
                torch.index_select(data, 0, part, out=out[first : first + len(part)])
            else:
                out[first : first + len(part)] = data[part]
            self._used(len(part) * each)
        return out

    def drop(self) -> None:
        """Let all pages go."""
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)

    def _used(self, size: int) -> None:
        with self._lock:
            self._touched += size
            full = self._touched >= WINDOW
            if full:
                self._touched = 0
        if full:
            self.drop()


def let_go(array: np.ndarray) -> None:
    """Unmap the pages of an array that is a view of a mapped file; others are left as they are."""
    base: Any = array
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)
