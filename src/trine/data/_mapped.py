"""Arrays in files: rows read as they are needed, and nothing of the file kept in the process."""

from __future__ import annotations

import math
import mmap
import os
import warnings
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

GAP = 8 << 10
"""Bytes between two places that are rather read than skipped."""
ROWS = 32
"""Rows of a mapped source that are taken before its pages are let go: a touched place may map a folio of 2 MiB."""


class Mapped:
    """A file as a read-only array whose rows are read by ``pread``.

    The kernel keeps what it reads in its own cache, which it gives up when memory is wanted; what a process touches of a
    *mapping* counts as its own memory, and Linux maps up to 2 MiB around a touched place. So the mapping only gives the
    tensor its shape; rows are copied out of the kernel's cache, which is faster as well.

    Args:
        path: the file. dtype, shape: of the array that it holds, in C order.
    """

    def __init__(self, path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        size = dtype.itemsize * math.prod(shape)
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        # Rows are read in random order: nothing is gained by reading ahead.
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_RANDOM)
        self.dtype, self.shape = dtype, shape
        self._step = dtype.itemsize * math.prod(shape[1:])
        if size == 0:
            self.array = np.zeros(shape, dtype)
        else:
            self.array = np.frombuffer(mmap.mmap(self._file, size, prot=mmap.PROT_READ), dtype).reshape(shape)

    def tensor(self) -> Tensor:
        """The array as a tensor that shares the mapping: for its shape, and for small looks."""
        with warnings.catch_warnings():
            # A store is only ever read.
            warnings.filterwarnings("ignore", message="The given (NumPy array|buffer) is not writable")
            return torch.from_numpy(self.array)

    def read(self, starts: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """(total, ...) entries ``starts[i]`` to ``starts[i] + lengths[i]``, end to end; one each without ``lengths``.

        What lies together in the file is read at once.

        Raises:
            OSError: the file cannot be read, or ends too early.
        """
        lengths = np.ones(len(starts), dtype=np.int64) if lengths is None else lengths
        out = np.empty((int(lengths.sum()), *self.shape[1:]), self.dtype)
        starts, lengths = starts[lengths > 0], lengths[lengths > 0]
        if not out.nbytes:
            return out
        first = np.flatnonzero(np.append(True, starts[1:] != starts[:-1] + lengths[:-1]))
        sizes = np.add.reduceat(lengths, first) * self._step
        ends = np.cumsum(sizes)
        view, file = out.reshape(-1).view(np.uint8).data, self._file
        for place, begin, end in zip(
            (starts[first] * self._step).tolist(), (ends - sizes).tolist(), ends.tolist(), strict=True
        ):
            while begin < end:  # a call reads 2 GiB at most
                got = os.preadv(file, (view[begin:end],), place)
                if got == 0:
                    raise OSError("a file of encoded columns was cut off while it was in use")
                begin, place = begin + got, place + got
        return out

    def expect(self, starts: np.ndarray, lengths: np.ndarray | None = None) -> None:
        """Let the kernel read the entries that :meth:`read` will ask for into its cache, while other work goes on."""
        if not hasattr(os, "posix_fadvise") or not len(starts):
            return
        order = np.argsort(starts, kind="stable")
        starts = starts[order]
        ends = starts + (1 if lengths is None else lengths[order])
        first = np.flatnonzero(np.append(True, starts[1:] > ends[:-1] + GAP // self._step))
        stops = np.append(ends[first[1:] - 1], ends[-1])
        places, sizes = starts[first] * self._step, (stops - starts[first]) * self._step
        for place, size in zip(places.tolist(), sizes.tolist(), strict=True):
            os.posix_fadvise(self._file, place, size, os.POSIX_FADV_WILLNEED)


class Source(np.ndarray):
    """A mapped array of the user's, of which only some rows are resident at a time when it is indexed by rows."""

    def __getitem__(self, key: Any) -> Any:
        plain = self.view(np.ndarray)
        if not (isinstance(key, np.ndarray) and key.dtype.kind in "iu" and key.ndim == 1):
            found = plain[key]
            return found.view(Source) if isinstance(found, np.ndarray) and np.may_share_memory(found, plain) else found
        out = np.empty((len(key), *self.shape[1:]), self.dtype)
        for first in range(0, len(key), ROWS):
            out[first : first + ROWS] = plain[key[first : first + ROWS]]
            self.let_go()
        return out

    def let_go(self) -> None:
        """Unmap its pages."""
        base: Any = self
        while isinstance(base, np.ndarray | memoryview):
            base = base.base if isinstance(base, np.ndarray) else base.obj
        if isinstance(base, mmap.mmap):
            base.madvise(mmap.MADV_DONTNEED)
