"""Where a process trains."""

from __future__ import annotations

import os

import torch

from trine.errors import ChoiceError, RunError
from trine.training.run import Run


def resolve_device(wanted: str) -> torch.device:
    """Where to train.

    Args:
        wanted: ``cpu``; ``cuda``, the GPU of this process's ``LOCAL_RANK`` under a launcher; ``auto``: ``cuda`` where
            there is one.

    Raises:
        ChoiceError: another name; ``cuda`` where there is no GPU for this process.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise ChoiceError(f"The device is {wanted!r}; it is 'auto', 'cpu' or 'cuda'.")
    here = torch.cuda.device_count() if torch.cuda.is_available() else 0
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if wanted == "cpu" or (wanted == "auto" and here == 0):
        return torch.device("cpu")
    if here == 0:
        built = "" if torch.version.cuda else ", and this PyTorch is built without CUDA"
        raise ChoiceError(f"The device cuda was asked for and there is no GPU{built}: choose --device cpu, or auto.")
    if local >= here:
        raise ChoiceError(
            f"Process {local + 1} of this machine has no GPU of its own, for there are {here}: start {here} processes "
            "a machine (--nproc-per-node), or choose --device cpu."
        )
    return torch.device("cuda", local)


def device_of(run: str | os.PathLike[str]) -> str:
    """The device that a run was started with; ``auto`` where that is not known."""
    try:
        return str(Run.read(run)["plan"]["device"])
    except (RunError, KeyError, TypeError):
        return "auto"
