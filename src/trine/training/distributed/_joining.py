"""Be one of the processes that PyTorch's launcher started."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from types import FrameType

import torch
from torch import distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from trine.errors import ChoiceError, RunError, TrineError

from ._devices import resolve_device
from ._lost import Lost, broke_off, line_of

TIMEOUT = datetime.timedelta(minutes=30)
"""How long a process waits for another: longer than one may need to read the data alone, and not without end."""
GRACE = 5.0
"""Seconds that a terminated process has to say why."""


@contextlib.contextmanager
def joined(device: str = "auto") -> Iterator[None]:
    """Be one of the processes that the launcher started, inside; without a launcher, a process by itself.

    The group is made from the variables that ``torchrun`` sets (``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``,
    ``MASTER_ADDR``, ``MASTER_PORT``): NCCL where the training is on GPUs, else Gloo. A failure is told once,
    whichever ranks it reaches: the other ranks end in silence with status 2.

    Args:
        device: as in :func:`resolve_device`.

    Raises:
        RunError: the other processes cannot be reached, or one of them has ended.
        ChoiceError: ``WORLD_SIZE`` is set and the launcher's other variables are not.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise ChoiceError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']} and {', '.join(missing)} is not set: start the processes by "
            "`torchrun --nproc-per-node N -m trine …`, which sets them all."
        )
    place = resolve_device(device)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    try:
        store, rank, size = next(rendezvous("env://", timeout=TIMEOUT))
        dist.init_process_group(
            "nccl" if place.type == "cuda" else "gloo",
            store=PrefixStore("trine", store),
            rank=rank,
            world_size=size,
            timeout=TIMEOUT,
        )
    except (RuntimeError, ValueError) as error:
        raise RunError(
            f"The processes of this training did not find each other ({line_of(error)}): give all nodes the same "
            "--rdzv-endpoint, and the first node a port that the others reach."
        ) from None
    told = PrefixStore("trine/told", store)
    try:
        if rank:
            warnings.simplefilter("ignore")
        with _patient():
            yield
    except TrineError as error:
        if not _mine_to_tell(told, error):
            raise SystemExit(2) from None
        raise
    except RuntimeError as error:
        if not broke_off(error):
            raise
        lost = Lost("A process of this training ended, or its connection broke", error)
        if not _mine_to_tell(told, lost):
            raise SystemExit(2) from None
        raise lost from None
    else:
        dist.destroy_process_group()


@contextlib.contextmanager
def _patient() -> Iterator[None]:
    """Inside, a termination signal ends the process ``GRACE`` seconds later: when a rank is lost, the launcher terminates the
    others at once, and one of them has to say what happened and what is kept.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def later(number: int, frame: FrameType | None) -> None:
        timer = threading.Timer(GRACE, os._exit, (128 + number,))
        timer.daemon = True
        timer.start()

    signal.signal(signal.SIGTERM, later)  # for good: the process ends after this
    yield


def launched_first() -> bool:
    """Whether this process is the only one, or the launcher's first, which alone prints."""
    return int(os.environ.get("RANK", "0")) == 0 or int(os.environ.get("WORLD_SIZE", "1")) == 1


def _mine_to_tell(told: Store, error: TrineError) -> bool:
    """Whether this rank is to tell of ``error``: the first with that message; of a lost process, if no rank said why."""
    try:
        if isinstance(error, Lost):
            if told.check(["reason"]):
                return False
            return bool(told.add("lost", 1) == 1)
        told.set("reason", "told")
        return bool(told.add(hashlib.sha256(str(error).encode()).hexdigest(), 1) == 1)
    except RuntimeError:
        return True  # the store ended with the process that held it
