"""What reads rows of different lengths: states over time, pooled into features."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class SequenceBlock(nn.Module, abc.ABC):
    """Reads one ragged field: padded steps and lengths → features.

    Padding never changes a row's output, and a row of no step gives finite numbers (the encoder puts a learned vector
    in their place).

    Attributes:
        width: of the state of a step.
        features: of the pooled output.
    """

    width: int
    features: int

    @abc.abstractmethod
    def states(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """((batch, steps, width) states, (batch,) int64 how many of them are the row's own).

        Args:
            values: (batch, longest, ...) as a batch has them, padded at the end.
            lengths: (batch,) int64, from 0 to ``longest``.
        """

    @abc.abstractmethod
    def pool(self, states: Tensor, lengths: Tensor) -> Tensor:
        """(batch, features) of what :meth:`states` gave."""

    def sees(self, count: int) -> Tensor:
        """(count, features) of 0 and 1: which of ``count`` weight-sharing members see which features; here all."""
        return torch.ones(count, self.features)

    def forward(self, values: Tensor, lengths: Tensor, memory: list[tuple[Tensor, Tensor]] | None = None) -> Tensor:
        """(batch, features); what :meth:`states` gave is added to ``memory``, for a decoder that attends to it."""
        states = self.states(values, lengths)
        if memory is not None:
            memory.append(states)
        return self.pool(*states)


def own_steps(lengths: Tensor, steps: int) -> Tensor:
    """(batch, steps) bool: which steps are a row's own and not padding."""
    return torch.arange(steps, device=lengths.device) < lengths[:, None]


def ended(batch: Mapping[str, Tensor], name: str) -> Tensor:
    """The (batch, steps, ...) numbers of a ragged field, NaN beyond each row's end, where a batch has 0.

    So they tell their own lengths, as codes do, which are padded by −1: a row of numbers may itself end in zeros. Where a row has
    no value it has no end either, and nothing of it is marked: what is not there is left out by ``"<name>.present"``.
    """
    values, lengths = batch[name], batch[f"{name}.length"]
    beyond = ~own_steps(lengths, values.shape[1]) & (lengths > 0)[:, None]
    return values.masked_fill(beyond.view(*beyond.shape, *(1,) * (values.dim() - 2)), math.nan)
