"""Checkpoints in parts: each rank writes its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trine import collective
from trine.errors import RunError
from trine.training import _files, checkpoint

from ._agreement import shared
from ._lost import broke_off, line_of

SHARDED, SHARDED_BEFORE = "checkpoint.sharded", "checkpoint.previous.sharded"
STRUCTURE = "structure.safetensors"


def save_shards(directory: Path, state: Any) -> None:
    """Keep ``state`` as the last checkpoint: each rank writes its part, as safetensors, by ``torch.distributed.checkpoint``.

    The directory must be one that all nodes see. The new checkpoint takes the old one's place when all parts are there.

    Raises:
        RunError: a part could not be written; the last checkpoint is as it was.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    fresh, last, before = (directory / name for name in (f"new.{SHARDED}", SHARDED, SHARDED_BEFORE))
    tensors: dict[str, Tensor] = {}
    structure = checkpoint.take_apart(state, tensors, "", copy=False)
    layout = {name: [list(v.shape), str(v.dtype), collective.in_shards(v)] for name, v in tensors.items()}

    def ready() -> None:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        checkpoint.save(fresh / STRUCTURE, {"structure": json.dumps(structure), "layout": json.dumps(layout)})

    shared(ready)
    try:
        with _quietly():
            save(tensors, storage_writer=HuggingFaceStorageWriter(str(fresh), save_distributed=True))
    except OSError as error:
        raise _files.not_written(directory / SHARDED, error) from None

    def done() -> None:
        shutil.rmtree(before, ignore_errors=True)
        if last.exists():
            os.replace(last, before)
        os.replace(fresh, last)

    shared(done)


def load_shards(directory: Path, mesh: Any) -> Any:
    """What :func:`save_shards` wrote, in shards over ``mesh`` (None: whole), whatever the number of ranks was; None if nothing.

    Raises:
        RunError: there are checkpoints and none is whole.
    """

    def known() -> tuple[str, Any] | None:
        problem: RunError | None = None
        for name in (SHARDED, SHARDED_BEFORE):
            if (directory / name).exists():
                try:
                    return str(directory / name), checkpoint.load(directory / name / STRUCTURE)
                except RunError as error:
                    problem = problem or error
        if problem is not None:
            raise problem
        return None

    found = shared(known)
    if found is None:
        return None
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load
    from torch.distributed.tensor import Shard, zeros

    path, kept = found
    tensors: dict[str, Tensor] = {}
    for name, (shape, kind, in_shards) in json.loads(kept["layout"]).items():
        dtype = getattr(torch, kind.removeprefix("torch."))
        if in_shards and mesh is not None:
            tensors[name] = zeros(*shape, dtype=dtype, device_mesh=mesh, placements=[Shard(0)])
        else:
            tensors[name] = torch.zeros(shape, dtype=dtype)
    try:
        with _quietly():
            load(tensors, storage_reader=HuggingFaceStorageReader(path))
    except Exception as error:
        if broke_off(error):
            raise
        raise RunError(f"The checkpoint {path} is truncated or damaged ({line_of(error)}), and is not used.") from None
    return checkpoint.put_together(json.loads(kept["structure"]), tensors)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
