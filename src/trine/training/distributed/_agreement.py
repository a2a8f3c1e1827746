"""What the processes tell each other, and decide together."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from trine import collective
from trine.errors import DataError, TrineError

T = TypeVar("T")

AGREE_EVERY = 0.25
"""Seconds between the steps at which the processes decide together whether to stop, to save, to be done."""


def shared(make: Callable[[], T]) -> T:
    """What rank 0 makes, on every rank; what it raises, it raises on every rank."""
    if collective.processes() == 1:
        return make()
    held: list[Any] = [None, None]
    if collective.first():
        try:
            held[0] = make()
        except TrineError as error:
            held[1] = error
    dist.broadcast_object_list(held, src=0, device=collective.device())
    if held[1] is not None:
        raise held[1]
    made: T = held[0]
    return made


def gathered(value: T) -> list[T]:
    """Every rank's ``value``, on every rank."""
    if collective.processes() == 1:
        return [value]
    values: list[Any] = [None] * collective.processes()
    dist.all_gather_object(values, value)
    return values


def require_same(**parts: str) -> None:
    """Check that all ranks have the same.

    Args:
        **parts: what (with ``_`` for blanks) → a fingerprint of it.

    Raises:
        DataError: names what differs first, in the order given, and on which ranks.
    """
    seen = gathered(parts)
    for name, mine in seen[0].items():
        others = [str(rank) for rank, theirs in enumerate(seen) if theirs[name] != mine]
        if others:
            raise DataError(
                f"The processes do not have the same {name.replace('_', ' ')}: rank {', '.join(others)} differs from rank 0. "
                "Give every process the same files, the same command and the same versions of trine and PyTorch."
            )


def fingerprint(*values: Any) -> str:
    """SHA-256 over JSON values and the bytes of arrays and tensors."""
    total = hashlib.sha256()
    for value in values:
        if isinstance(value, Tensor):
            value = value.detach().cpu().numpy()
        total.update(
            value.tobytes() if hasattr(value, "tobytes") else json.dumps(value, sort_keys=True, default=str).encode()
        )
    return total.hexdigest()


def own_seed(seed: int) -> int:
    """The seed of this rank's noise (dropout, augmentation, samples), which every rank draws for its own rows."""
    rank = collective.rank() if collective.processes() > 1 else 0
    if rank == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed} {rank}".encode()).digest()[:7], "big")


class Decisions:
    """What the processes decide together: whether to stop, to make a checkpoint, and after how many steps to end.

    One small exchange, at steps about ``AGREE_EVERY`` seconds apart; which steps these are is decided in the exchange before. An
    interruption counts on whichever rank it is noted, time on rank 0 alone.

    Args:
        save_every: seconds between checkpoints, which bounds the steps between exchanges.
    """

    def __init__(self, save_every: float) -> None:
        self._every = min(AGREE_EVERY, save_every)
        self._next, self._since, self._steps = 0, time.perf_counter(), 0
        self._total = 0

    def __call__(
        self, t: int, stop: bool, save: bool, total: int | None, at_once: bool
    ) -> tuple[bool, bool, int | None]:
        """(stop, save, total) for all ranks, after step ``t``; nothing at a step between two exchanges.

        Args:
            stop, save, total: what this rank would decide. at_once: whether all ranks exchange now, whatever the step.
        """
        self._total = total or self._total
        self._steps += 1
        if t < self._next and not at_once:
            return False, False, None
        first = collective.first()
        now = time.perf_counter()
        wait = self._every * self._steps / max(now - self._since, 1e-9)
        mine = [
            float(stop),
            save if first else 0,
            self._total if first else 0,
            max(1, min(int(wait), 1000)) if first else 0,
        ]
        stops, saves, end, ahead = collective.add(
            torch.tensor(mine, dtype=torch.float64, device=collective.device())
        ).tolist()
        self._next, self._since, self._steps, self._total = t + int(ahead), now, 0, 0
        return stops > 0, saves > 0, max(int(end), t) if end else None
