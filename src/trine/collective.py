"""What the processes of one training do together. In a process by itself everything here does nothing, and costs nothing.

Every rank calls these functions in the same order; a rank that does not is waited for until the time-out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor
from torch import distributed as dist

_by_itself = False


def processes() -> int:
    """How many processes train together; 1 without a launcher."""
    return dist.get_world_size() if not _by_itself and dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def first() -> bool:
    """Whether this process is the one that prints and writes."""
    return rank() == 0


def add(value: Tensor) -> Tensor:
    """The sum of every rank's ``value``, in its place."""
    if processes() > 1:
        dist.all_reduce(value)
    return value


def from_first(value: float) -> float:
    """Rank 0's number, on every rank: what all of them decide by."""
    if processes() == 1:
        return value
    held = torch.tensor([value if rank() == 0 else 0.0], dtype=torch.float64, device=device())
    return float(add(held))


def share(rows: Tensor) -> Tensor:
    """This rank's part of ``rows``: consecutive, and of nearly the same size on every rank."""
    count, all_ = processes(), len(rows)
    if count == 1:
        return rows
    return rows[all_ * rank() // count : all_ * (rank() + 1) // count]


def in_shards(value: object) -> bool:
    """Whether each rank holds a part of a tensor (a ``DTensor``, whose import costs half a second)."""
    return hasattr(value, "device_mesh")


def device() -> torch.device:
    """Where small tensors have to be for the processes to exchange them."""
    if dist.is_initialized() and dist.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


@contextlib.contextmanager
def by_itself() -> Iterator[None]:
    """Inside, this process waits for no other: for what one rank looks into after a failure of its own."""
    global _by_itself
    before, _by_itself = _by_itself, True
    try:
        yield
    finally:
        _by_itself = before
