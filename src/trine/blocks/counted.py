"""What a module counts and draws as training goes, without waiting for a device."""

from __future__ import annotations

import torch
from torch import Tensor, nn

APART = 2_654_435_769
"""From one seed of a run to the next, in the numbers that generators are seeded by: the golden section of their 2³²."""


class Count:
    """How many times something was done: the number that a buffer holds, known without reading it from its device.

    A buffer is part of every checkpoint, and reading it would wait for the device at every step. So a number in Python goes along
    with it. Where something else writes to the buffer, as what puts a checkpoint back does, its version tells, and it is read.
    """

    def __init__(self) -> None:
        self._value, self._version = 0, -1
        self._buffer: Tensor | None = None

    def of(self, buffer: Tensor) -> int:
        """The number that ``buffer`` holds."""
        if torch.compiler.is_compiling():
            return int(buffer)
        if self._buffer is not buffer or self._version != buffer._version:
            self._value, self._buffer, self._version = int(buffer), buffer, buffer._version
        return self._value

    def up(self, buffer: Tensor) -> int:
        """The number before, which is one more from now on."""
        value = self.of(buffer)
        buffer.add_(1)
        self._value, self._version = value + 1, buffer._version
        return value


class Drawn(nn.Module):
    """A module that draws, in training, by generators that follow from the run's seed and from how often it drew.

    Args:
        first: what the first of its generators is seeded by where the run's seed is 0.

    Attributes:
        seed: the run's, which the training loop says.
    """

    drawn: Tensor

    def __init__(self, first: int = 0) -> None:
        super().__init__()
        self.first, self.seed = first, 0
        self._count = Count()
        self.register_buffer("drawn", torch.zeros((), dtype=torch.int64))

    def generator(self) -> torch.Generator:
        """The generator, on the CPU, of the next draw."""
        number = self.first + self.seed * APART + self._count.up(self.drawn)
        return torch.Generator().manual_seed(number % 2**63)


def onto(values: Tensor, device: torch.device) -> Tensor:
    """``values`` of the CPU on ``device``, without waiting for what it is at."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)
