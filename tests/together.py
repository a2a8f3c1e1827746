"""A few processes that train together, forked from one that has trine imported: no launcher, and no seconds of imports."""

from __future__ import annotations

import contextlib
import datetime
import multiprocessing
import pickle
import tempfile
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import pytest
import torch
from torch import Tensor
from torch import distributed as dist

import trine
from tests.stopping import stopped_and_resumed
from trine.estimators import _training, _workflow

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.miniatures", "torch._dynamo", "torch.distributed.tensor", "trine"])
"""Forked from here, a process begins within tenths of a second."""
PATIENCE = 120


def together(count: int, function: Callable[..., Any], *arguments: Any, **named: Any) -> list[Any]:
    """What ``function(*arguments, **named)`` gives on each of ``count`` ranks."""
    call = pickle.dumps((function, arguments, named))
    with tempfile.TemporaryDirectory() as place:
        started = []
        for rank in range(count):
            ours, theirs = PROCESSES.Pipe(duplex=False)
            process = PROCESSES.Process(target=_one, args=(call, rank, count, f"{place}/store", theirs), daemon=True)
            process.start()
            theirs.close()
            started.append((process, ours))
        answers = [
            pickle.loads(ours.recv_bytes()) if ours.poll(PATIENCE) else ("no answer", None) for _, ours in started
        ]
        for process, _ in started:
            process.join(10)
            process.kill()
    for rank, (problem, _) in enumerate(answers):
        assert problem is None, f"rank {rank}: {problem}"
    return [found for _, found in answers]


def _one(call: bytes, rank: int, count: int, store: str, answer: Connection) -> None:
    torch.set_num_threads(1)
    patience = datetime.timedelta(seconds=PATIENCE)
    dist.init_process_group("gloo", store=dist.FileStore(store, count), rank=rank, world_size=count, timeout=patience)
    function, arguments, named = pickle.loads(call)
    try:
        found = function(*arguments, **named)
    except BaseException:
        answer.send_bytes(pickle.dumps((traceback.format_exc(), None)))
        raise
    answer.send_bytes(pickle.dumps((None, found)))
    dist.destroy_process_group()


class Trained(Exception):
    """What follows a training is not looked at."""


def fitted(table: Any, out: str | None = None, stopped: int | None = None, **how: Any) -> dict[str, Tensor]:
    """What ``trine.fit`` leaves on this rank: the model, the critics with their pools, and the last epoch's losses and score.

    Args:
        out: the run. stopped: the step in which it is stopped, to be gone on with. how: as of ``trine.fit``.
    """
    left: dict[str, Tensor] = {}
    with pytest.MonkeyPatch.context() as patch:
        train = _workflow.train

        def noted(prepared: Any, **more: Any) -> Any:
            ended = train(prepared, **more)
            derivation = prepared.derivation
            left.update(derivation.model.state_dict())
            left.update({f"critic.{name}": value for name, value in derivation.criterion.state_dict().items()})
            last = ended.result.history[-1]
            losses = last["train"] | ({"held out": last["held_out"]} if "held_out" in last else {})
            left.update({f"loss.{name}": torch.tensor(value) for name, value in losses.items()})
            raise Trained

        patch.setattr(_workflow, "train", noted)
        patch.setattr(_training, "chunk_of", lambda *_: 7)  # so that rows that are scored are in several parts
        how = {"threads": 1, "device": "cpu", "valid": 0, **how}

        def resumed() -> None:
            with contextlib.suppress(Trained):
                trine.resume(str(out), data=table, other=how.get("other"))

        if stopped is None:
            with contextlib.suppress(Trained):
                trine.fit(table, out=out, **how)
        else:
            stopped_and_resumed(lambda: trine.fit(table, out=out, **how), resumed, at=stopped)
    return left
