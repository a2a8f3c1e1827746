"""A rank's part of every batch, for several processes that train together, or for a device of their own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from trine import collective
from trine.data._batches import Batches
from trine.data._store import Batch
from trine.errors import ChoiceError


class Share(Batch):
    """Some rows of a batch whose other rows are with the other ranks.

    Attributes:
        whole: rows of the whole batch.
    """

    def __init__(
        self, tensors: dict[str, Tensor], views: Mapping[str, tuple[str, slice | None]] | None, whole: int
    ) -> None:
        super().__init__(tensors, views)
        self.whole = whole

    def to(self, device: torch.device | str) -> Share:
        """The share on another device."""
        return Share(super().to(device).tensors, self.views, self.whole)


class Shares:
    """Of every batch of ``batches`` the rows of this rank: consecutive ones, and no other is read.

    The order, the batches and their number are those of one process; ``batch_size`` is that of the whole batch. A last
    batch of fewer rows than there are ranks is left out of its epoch.

    Raises:
        ChoiceError: a whole batch has fewer rows than there are ranks.
    """

    def __init__(self, batches: Batches) -> None:
        self.batches = batches
        self.batch_size = batches.batch_size
        ranks = collective.processes()
        largest = self.batch_size if batches.steps_per_epoch > 1 else min(self.batch_size, batches.last)
        if largest < ranks:
            raise ChoiceError(
                f"{ranks} processes share batches of {largest} rows, and each needs a row of every "
                f"batch: choose a batch_size of at least {ranks}, or fewer processes."
            )
        self.steps_per_epoch = batches.steps_per_epoch - (batches.last < ranks)

    def index(self, epoch: int, start: int = 0) -> Iterator[Tensor]:
        """The rows of all ranks in each batch of ``epoch`` from number ``start`` on, (batch,) int64."""
        wanted = max(0, self.steps_per_epoch - start)
        return itertools.islice(self.batches.index(epoch, start), wanted)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Share]:
        """This rank's shares of the batches of ``epoch`` from number ``start`` on."""
        parts, sizes = itertools.tee(self.index(epoch, start))
        for batch, rows in zip(self.batches.cut(map(collective.share, parts)), sizes, strict=True):
            yield Share(batch.tensors, batch.views, len(rows))
