"""What the processes of one training do together. In a process by itself everything here does nothing, and costs nothing.

Every rank calls these functions in the same order; a rank that does not is waited for until the time-out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

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


def total(value: float) -> float:
    """The sum of every rank's number."""
    return value if processes() == 1 else float(add(torch.tensor([value], dtype=torch.float64, device=device())))


def from_first(value: float) -> float:
    """Rank 0's number, on every rank: what all of them decide by."""
    return value if processes() == 1 else total(value if rank() == 0 else 0.0)


def share(rows: Tensor) -> Tensor:
    """This rank's part of ``rows``: consecutive, and of nearly the same size on every rank."""
    return rows if processes() == 1 else rows[place(len(rows))]


def place(rows: int) -> slice:
    """Which of so many rows, counted over all ranks, are this rank's part."""
    count = processes()
    mine = rank() if count > 1 else 0
    return slice(rows * mine // count, rows * (mine + 1) // count)


def mean(values: Tensor, dim: int | None = None) -> Tensor:
    """The mean of all numbers, or over the rows (``dim`` 0), over those of every rank; a rank may have no row.

    As of :func:`gather`, a gradient is the sum of what all ranks have for it.
    """
    if processes() == 1:
        return values.mean() if dim is None else values.mean(dim)
    total: Tensor = _Sum.apply(values.sum() if dim is None else values.sum(dim))  # type: ignore[no-untyped-call]
    return total / add(total.new_tensor(values.numel() if dim is None else values.shape[dim]))


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return add(value.clone())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return add(slope.clone(memory_format=torch.contiguous_format))


def gather(rows: Tensor) -> tuple[Tensor, slice]:
    """(own, …) rows → (all, …), those of every rank in the ranks' order, on every rank; and which of them are this rank's.

    The gradient of a row is the sum of what all ranks have for it, so that ranks whose losses add up to one loss have its gradient.
    """
    if processes() == 1:
        return rows, slice(0, len(rows))
    counts = torch.zeros(processes(), dtype=torch.int64, device=device())
    counts[rank()] = len(rows)
    each = add(counts).tolist()
    first = sum(each[: rank()])
    mine = slice(first, first + len(rows))
    whole: Tensor = _Gather.apply(rows, mine, sum(each))  # type: ignore[no-untyped-call]
    return whole, mine


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, mine: slice, count: int) -> Tensor:
        ctx.mine = mine
        whole = rows.new_zeros(count, *rows.shape[1:])
        whole[mine] = rows
        return add(whole)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        return add(slope.clone(memory_format=torch.contiguous_format))[ctx.mine], None, None


@contextlib.contextmanager
def drawing_alike() -> Iterator[None]:
    """Inside, every rank draws from torch's generators what rank 0 draws; afterwards the others go on with their own."""
    if processes() == 1:
        yield
        return
    own = _generators()
    for number, state in enumerate(own):
        held = state.to(device(), copy=True)
        dist.broadcast(held, src=0)
        _restore(number, state if first() else held.cpu())
    try:
        yield
    finally:
        if not first():
            for number, state in enumerate(own):
                _restore(number, state)


def _generators() -> list[Tensor]:
    """The states of the CPU's generator and, where a GPU takes part, of its own."""
    states = [torch.get_rng_state()]
    return states if device().type == "cpu" else [*states, torch.cuda.get_rng_state(device())]


def _restore(number: int, state: Tensor) -> None:
    if number == 0:
        torch.set_rng_state(state)
    else:
        torch.cuda.set_rng_state(state, device())


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
