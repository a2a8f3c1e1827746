"""Rows in an order that a seed fixes, a batch at a time."""

from __future__ import annotations

import functools
import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from trine.data._store import Batch, Store
from trine.errors import ChoiceError

AHEAD = 2
"""Batches of a store in files that a thread prepares while the one before is trained on, where there is a core for it."""
LARGE = 2 << 30
"""Bytes of a store beyond which rows that lie together are read together."""
RUN, SPAN = 128 << 10, 128 << 20
"""Bytes of a run of consecutive rows, and of the runs among which rows are then shuffled."""
WINDOW = 32
"""Batches within whose rows ragged rows are sorted by length."""


class Batches:
    """Batches of a store's rows, epoch after epoch, resumable at any batch.

    The order of epoch e is a pure function of (seed, e), so that a place in training is two numbers, (epoch, index),
    and no state of a generator has to be kept. The last batch of an epoch may be smaller; one of a single row, which
    batch normalisation cannot use, is joined to the batch before. Where rows have lengths, an epoch puts rows of like
    length into a batch.

    Args:
        store: where the rows are.
        rows: (n,) int64 index of the rows to go through; None for all.
        batch_size: rows a batch, 1 or more.
        seed: fixes the order of every epoch.
        shuffle: whether an epoch is a random order; the given order otherwise (evaluation).
        drop_last: whether a last batch of fewer rows is left out (shapes stay the same, as ``torch.compile`` likes
            them); never leaves an epoch without a batch.

    Attributes:
        state: (epoch, index) of the batch that iterating gives next. Set it to go on from there.

    Raises:
        ChoiceError: a batch size below 1, or no rows.
    """

    def __init__(
        self,
        store: Store,
        rows: Tensor | None = None,
        batch_size: int = 256,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
    ) -> None:
        self.store = store
        self.rows = torch.arange(store.rows) if rows is None else torch.as_tensor(rows, dtype=torch.int64)
        self.batch_size = int(batch_size)
        self.seed = int(seed)
        self.shuffle = shuffle
        self.drop_last = drop_last
        if self.batch_size < 1:
            raise ChoiceError(f"The batch size is {batch_size}; it must be at least 1.")
        if len(self.rows) == 0:
            raise ChoiceError("There are no rows to take batches of.")
        self.state = (0, 0)
        full, rest = divmod(len(self.rows), self.batch_size)
        joined = rest == 1 and full > 0
        self.steps_per_epoch = full if full and (rest == 0 or drop_last or joined) else full + 1

    def __len__(self) -> int:
        return self.steps_per_epoch

    @property
    def last(self) -> int:
        """Rows of an epoch's last batch."""
        return len(self.rows) - (self.steps_per_epoch - 1) * self.batch_size

    def order(self, epoch: int) -> Tensor:
        """(n,) int64: the rows in the order of ``epoch``."""
        if not self.shuffle:
            return self.rows
        # A seed sequence, since generators seeded by neighbouring numbers may give related orders.
        seed = np.random.SeedSequence([self.seed % 2**64, epoch]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(seed))
        order = self._shuffled(generator)
        if self.store.lengths is None:
            return order
        return self._alike(order, self.store.lengths.cpu(), generator)

    def _shuffled(self, generator: torch.Generator) -> Tensor:
        """The rows in a random order.

        Of a large store, in memory or not, runs of consecutive rows are shuffled, and then the rows within windows of many
        runs: a disk reads runs a hundred times faster than single rows. A batch's rows come from hundreds of places.
        """
        n = len(self.rows)
        if self.store.nbytes <= LARGE:
            return self.rows[torch.randperm(n, generator=generator)]
        run = max(RUN // self._row_bytes, 1)
        first = torch.randperm(-(-n // run), generator=generator) * run
        places = (first[:, None] + torch.arange(run)).flatten()
        windows = torch.split(places[places < n], max(SPAN // self._row_bytes, self.batch_size))
        mixed = torch.cat([part[torch.randperm(len(part), generator=generator)] for part in windows])
        return self.rows.sort().values[mixed]

    @property
    def _row_bytes(self) -> int:
        return max(self.store.nbytes // max(self.store.rows, 1), 1)

    def _expected(self, parts: Iterable[Tensor]) -> Iterator[Tensor]:
        """The same index tensors; the kernel is told of them some batches before their turn."""
        remaining = iter(parts)
        chunk = max(SPAN // (2 * self._row_bytes * self.batch_size), 1)
        waiting: list[Tensor] = []
        while coming := list(itertools.islice(remaining, chunk)):
            self.store.expect(torch.cat(coming))
            yield from waiting
            waiting = coming
        yield from waiting

    def _alike(self, order: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
        """The order with rows of like length in a batch, so that little is padded.

        Rows are sorted by length within windows of some batches, and the full batches then shuffled: which rows meet in
        a window is random, so that a batch's gradient stays nearly that of a random batch.
        """
        window = WINDOW * self.batch_size
        # One sort: by window, then by length.
        windows = torch.arange(len(order)) // window
        known = lengths[order]
        order = order[(windows * (int(known.max()) + 1) + known).argsort(stable=True)]
        full = len(order) // self.batch_size
        if len(order) % self.batch_size == 1:
            full -= 1  # the last batch takes one row more
        if full < 2:
            return order
        batches = order[: full * self.batch_size].view(full, self.batch_size)
        return torch.cat([batches[torch.randperm(full, generator=generator)].flatten(), order[batches.numel() :]])

    def index(self, epoch: int, start: int = 0) -> Iterator[Tensor]:
        """The rows of each batch of ``epoch`` from number ``start`` on, (batch,) int64."""
        order = self.order(epoch)
        last = self.steps_per_epoch - 1
        for index in range(start, self.steps_per_epoch):
            first = index * self.batch_size
            yield order[first : first + self.batch_size if index < last or self.drop_last else len(order)]

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of ``epoch`` from number ``start`` on."""
        return self.cut(self.index(epoch, start))

    def all(self, chunk: int = 1024) -> Iterator[Batch]:
        """All rows once, in no order that matters, ``chunk`` at a time."""
        return self.store.batches(torch.split(self.rows, chunk))

    def cut(self, parts: Iterable[Tensor]) -> Iterator[Batch]:
        """The batch of each of ``parts``, index tensors."""
        if self.store.mapped:
            parts = self._expected(parts)
        if not self.store.mapped or _cores() == 1:
            yield from map(self.store.batch, parts)
            return
        # What a thread prepares ahead is the same batch, in the same order.
        remaining = iter(parts)
        with ThreadPoolExecutor(1, thread_name_prefix="trine-batches") as pool:
            coming = deque(pool.submit(self.store.batch, rows) for rows in itertools.islice(remaining, AHEAD))
            try:
                while coming:
                    batch = coming.popleft().result()
                    coming.extend(pool.submit(self.store.batch, rows) for rows in itertools.islice(remaining, 1))
                    yield batch
            finally:
                for future in coming:
                    future.cancel()

    def __iter__(self) -> Iterator[Batch]:
        """The rest of the epoch that :attr:`state` stands in; afterwards it stands at the next epoch's start."""
        epoch, start = self.state
        for index, batch in enumerate(self.epoch(epoch, start), start=start):
            # Set before the batch is given: a checkpoint after its step goes on with the next.
            self.state = (epoch, index + 1) if index + 1 < self.steps_per_epoch else (epoch + 1, 0)
            yield batch


class LabelledBatches(Batches):
    """Batches of some labelled rows beside unlabelled ones: an epoch is a pass over the unlabelled rows.

    Every batch has ``labelled_size`` rows of ``labelled``, first, and ``batch_size − labelled_size`` of ``unlabelled``. Labelled
    rows come in random orders one after another, each row once before any comes again, from epoch to epoch too. As of
    :class:`Batches` the order is a pure function of (seed, epoch).

    Args:
        store: where the rows are.
        labelled, unlabelled: (n,) int64 indices of rows, none of them empty.
        labelled_size: rows of ``labelled`` in a batch, 1 or more.
        batch_size: rows a batch, more than ``labelled_size``.
        seed: fixes the order of every epoch.

    Raises:
        ChoiceError: sizes out of range, or no rows of one kind.
    """

    def __init__(
        self, store: Store, labelled: Tensor, unlabelled: Tensor, labelled_size: int, batch_size: int, seed: int = 0
    ) -> None:
        super().__init__(store, unlabelled, batch_size - labelled_size, seed, drop_last=True)
        if labelled_size < 1 or not len(labelled):
            raise ChoiceError(
                f"There are {len(labelled)} labelled rows, of which {labelled_size} are to be in a batch."
            )
        self.labelled = torch.as_tensor(labelled, dtype=torch.int64)
        self.labelled_size = labelled_size
        self.beside, self.batch_size = self.batch_size, batch_size
        self.steps_per_epoch = max(len(unlabelled) // self.beside, 1)

    @property
    def last(self) -> int:
        return self.labelled_size + min(self.beside, len(self.rows))

    def all(self, chunk: int = 1024) -> Iterator[Batch]:
        """All rows once, the labelled ones first."""
        return self.store.batches(torch.split(torch.cat([self.labelled, self.rows]), chunk))

    def index(self, epoch: int, start: int = 0) -> Iterator[Tensor]:
        """The rows of each batch of ``epoch`` from number ``start`` on, (batch,) int64."""
        order = self.order(epoch)
        for index in range(start, self.steps_per_epoch):
            first = (epoch * self.steps_per_epoch + index) * self.labelled_size
            own = order[index * self.beside : (index + 1) * self.beside]
            yield torch.cat([self._labelled(first), own])

    def _labelled(self, first: int) -> Tensor:
        """The labelled rows of a batch, of the endless sequence of orders from its place ``first`` on."""
        n, places = len(self.labelled), torch.arange(first, first + self.labelled_size)
        parts = [places[places // n == turn] % n for turn in range(first // n, int(places[-1]) // n + 1)]
        found = [self._turn(first // n + i)[part] for i, part in enumerate(parts)]
        return torch.cat(found)

    @functools.lru_cache(maxsize=4)  # noqa: B019 - the batches live as long as the training
    def _turn(self, turn: int) -> Tensor:
        """(n,) the labelled rows in the order of their pass number ``turn``."""
        seed = np.random.SeedSequence([self.seed % 2**64, turn, 1]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(seed))
        return self.labelled[torch.randperm(len(self.labelled), generator=generator)]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
