"""Several processes that train as one: what they reach, how they stop, what they keep."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.distributed_worker import run

from trine.errors import ChoiceError, DataError
from trine.estimators._training import placed
from trine.training import distributed
from trine.training.distributed import _agreement

ROOT = Path(__file__).parents[2]


def launch(count: int, arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """``torchrun`` with ``count`` processes of one thread."""
    paths = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", "-m", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths), **environment},
    )


def several(count: int, answer: Path, *jobs: tuple[str, str, dict[str, Any], str]) -> subprocess.CompletedProcess[str]:
    """Train miniatures by ``count`` processes, one after another; their weights are left in ``answer``."""
    return launch(count, ["tests.distributed_worker", json.dumps(jobs), str(answer)])


def farthest(one: dict[str, torch.Tensor], answer: Path, label: str, count: int) -> float:
    """The largest difference of any weight on any rank from the weights of one process."""
    differences = []
    for rank in range(count):
        weights = load_file(answer / f"{label}.{rank}.safetensors")
        assert weights.keys() == one.keys()
        differences += [float((one[k].double() - weights[k].double()).abs().max()) for k in one]
    return max(differences)


# The miniatures in float32, to rounding, one with parameters in shards. In double precision, where rounding leaves no excuse:
# unequal weights, missing labels, batch normalisation, a last batch that three ranks cannot share alike, an idle parameter.
BY_TWO = {
    "classifier": ("classifier", {"epochs": 1, "batch_size": 64}, 1e-5),
    "vae": ("vae", {"epochs": 2, "batch_size": 64}, 1e-5),
    "gan": ("gan", {"epochs": 2, "batch_size": 64}, 1e-5),
    "ensemble": ("ensemble", {"epochs": 1, "batch_size": 64}, 1e-5),
    # What is drawn after the last step is of all rows, on every rank; its noise and curvature magnify rounding.
    "laplace": ("laplace", {"epochs": 1, "batch_size": 64, "double": True}, 1e-6),
    "swag": ("swag", {"epochs": 1, "batch_size": 64, "double": True}, 1e-6),
    "langevin": ("langevin", {"epochs": 1, "batch_size": 64, "double": True}, 1e-6),
    "gan in shards": ("gan", {"epochs": 1, "batch_size": 64, "sharded": True}, 1e-5),
}
UNEVEN = {"epochs": 2, "batch_size": 64, "rows": 555, "weighed": True, "double": True, "scored": True}
KILLED = {"epochs": 2, "batch_size": 64, "rows": 640, "double": True, "checkpoint_every": 0.0}
IN_SHARDS = {**KILLED, "sharded": True, "scored": True}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("several")


@pytest.fixture(scope="module")
def by_two(place: Path) -> Path:
    ended = several(2, place, *((label, name, how, "") for label, (name, how, _) in BY_TWO.items()))
    assert ended.returncode == 0, ended.stderr
    return place


@pytest.fixture(scope="module")
def killed(place: Path) -> str:
    """What is told of a run whose rank 1 is killed before its step 14; and a run in shards alike."""
    broken = several(2, place, ("-", "classifier", {**IN_SHARDS, "die": [1, 13]}, str(place / "shards")))
    assert broken.returncode != 0
    broken = several(2, place, ("-", "classifier", {**KILLED, "die": [1, 13]}, str(place / "run")))
    assert broken.returncode != 0
    return broken.stderr


@pytest.fixture(scope="module")
def by_three(place: Path, killed: str) -> Path:
    """Three processes go on with what two began."""
    ended = several(
        3,
        place,
        ("uneven", "normed", UNEVEN, ""),
        ("shards", "classifier", IN_SHARDS, str(place / "shards")),
        ("run", "classifier", KILLED, str(place / "run")),
    )
    assert ended.returncode == 0, ended.stderr
    return place


@pytest.mark.parametrize("label", BY_TWO)
def test_two_processes_reach_the_parameters_of_one_with_the_same_batches(label: str, by_two: Path) -> None:
    name, how, near = BY_TWO[label]
    assert farthest(run(name, {**how, "sharded": False}), by_two, label, 2) < near


def test_three_do_with_shares_weights_and_missing_labels_that_differ_and_batch_normalisation(by_three: Path) -> None:
    assert farthest(run("normed", UNEVEN), by_three, "uneven", 3) < 1e-9


def test_a_killed_rank_ends_the_run_with_a_message(killed: str, place: Path) -> None:
    (told,) = re.findall(r"^trine: (.*)$", killed, re.MULTILINE)
    assert "training of 2 processes broke off after step 13: a process ended" in told
    assert "All until step 13 is kept" in told
    assert f"torchrun --nproc-per-node 2 -m trine resume {place / 'run'}" in told
    assert "trainer.py" not in killed  # the launcher's own traceback ends in the launcher
    assert re.search(r"rank +: 1 .*\n +exitcode +: -9", killed)


def test_what_was_killed_is_gone_on_with_by_another_number_of_processes(by_three: Path) -> None:
    assert farthest(run("classifier", KILLED), by_three, "run", 3) < 1e-9


def test_shards_are_written_by_each_rank_and_read_by_another_number_of_them(by_three: Path) -> None:
    one = run("classifier", {**IN_SHARDS, "sharded": False, "checkpoint_every": 20.0})
    assert farthest(one, by_three, "shards", 3) < 1e-9
    assert sorted(p.name for p in (by_three / "shards" / "checkpoint.sharded").iterdir()) == [
        "shard-00001-model-00001-of-00001.safetensors",
        "shard-00002-model-00001-of-00001.safetensors",
        "shard-00003-model-00001-of-00001.safetensors",
        "structure.safetensors",
    ]
    alone = run("classifier", {**IN_SHARDS, "sharded": False}, str(by_three / "shards"))
    assert max(float((one[k] - alone[k]).abs().max()) for k in one) < 1e-9


def test_without_a_gpu_cuda_is_refused_and_auto_is_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert distributed.resolve_device("auto") == torch.device("cpu")
    with pytest.raises(ChoiceError, match=r"there is no GPU.*choose --device cpu, or auto"):
        distributed.resolve_device("cuda")
    with pytest.raises(ChoiceError, match="'auto', 'cpu' or 'cuda'"):
        distributed.resolve_device("gpu")


def test_each_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert distributed.resolve_device("auto") == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ChoiceError, match="Process 3 of this machine has no GPU of its own, for there are 2"):
        distributed.resolve_device("cuda")


def test_the_store_is_put_where_it_leaves_half_of_the_memory() -> None:
    from tests.miniatures import digits

    store, meta = digits(), torch.device("meta")
    assert placed(store, meta, free=2 * store.nbytes).device == meta
    assert placed(store, meta, free=2 * store.nbytes - 1) is store
    assert placed(store, torch.device("cpu")) is store


def test_a_launcher_that_is_not_torchrun_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ChoiceError, match=r"RANK.*is not set: start the processes by `torchrun"), distributed.joined():
        pass


def test_ranks_that_see_other_data_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = [{"plan": "a", "data": "b"}, {"plan": "a", "data": "b"}, {"plan": "a", "data": "c"}]
    monkeypatch.setattr(_agreement, "gathered", lambda mine: seen)
    with pytest.raises(DataError, match="do not have the same data: rank 2 differs from rank 0"):
        distributed.require_same(**seen[0])
    monkeypatch.setattr(_agreement, "gathered", lambda mine: seen[:2])
    distributed.require_same(**seen[0])
