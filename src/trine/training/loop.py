"""The one loop, whatever it trains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import nn

from trine.criterion import Criterion
from trine.data import Batch
from trine.procedures import Procedure, State, Step


def steps(
    procedure: Procedure, state: State, model: nn.Module, criterion: Criterion, batches: Iterable[Batch]
) -> Iterator[Step]:
    """One step a batch. Progress, log, checkpoints and stopping wrap this iterator."""
    for batch in batches:
        yield procedure.step(state, model, criterion, batch)
