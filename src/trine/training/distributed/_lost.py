"""When another process of the training is gone."""

from __future__ import annotations

from torch import distributed as dist

from trine import collective
from trine.errors import TrainingError


class Lost(TrainingError):
    """Another process of the training is gone.

    Args:
        what: happened, and what is kept. error: how this process noticed.
    """

    def __init__(self, what: str, error: BaseException, resume: str = "") -> None:
        super().__init__(
            f"{what} ({line_of(error)}). The launcher's message names the rank and how it ended (-9: killed, for want of "
            f"memory or by hand).{resume}"
        )


def broke_off(error: BaseException) -> bool:
    """Whether ``error`` says that the exchange with the other processes failed."""
    if collective.processes() == 1 or not isinstance(error, RuntimeError):
        return False
    if isinstance(error, dist.DistError):
        return True
    return any(word in str(error) for word in ("gloo", "Gloo", "NCCL", "nccl", "Connection", "process group"))


def line_of(error: BaseException) -> str:
    """The part of a message that is meant for people."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text.rpartition("] ")[2].split(". ")[0].strip().rstrip(".")[:200] or text[:200]
