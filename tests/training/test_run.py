"""A run's directory: taken once, locked while in use, its log and checkpoints whole after any end."""

from __future__ import annotations

import errno
import json
import os
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from trine.errors import RunError, TrainingError
from trine.training import Run
from trine.training.run import FRESH, LAST, LOCK, METRICS, PREVIOUS, RECORD


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", {"seed": 3, "choices": {"hidden": [8]}})


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_it_was_made_with_can_be_read_again(run: Run) -> None:
    assert Run.read(run.directory) == {"status": "new", "seed": 3, "choices": {"hidden": [8]}}
    run.update(status="training")
    assert Run.open(run.directory).data["status"] == "training"


def test_a_directory_that_is_taken_is_refused_and_left_as_it_is(run: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"another run.*--out.*trine resume"):
        Run.create(run.directory, {})
    assert Run.read(run.directory)["seed"] == 3
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("mine")
    with pytest.raises(RunError, match="is no run"):
        Run.create(tmp_path / "notes", {})
    with pytest.raises(RunError, match="is no run"):
        Run.create(tmp_path / "notes" / "diary.txt", {})
    with pytest.raises(RunError, match="cannot be made"):
        Run.create(tmp_path / "notes" / "diary.txt" / "deeper", {})
    assert (tmp_path / "notes" / "diary.txt").read_text() == "mine"


def test_of_two_that_found_it_free_one_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "require_free", staticmethod(lambda directory: None))
    Run.create(tmp_path / "run", {"seed": 1})
    with pytest.raises(RunError, match="Another process has just made a run"):
        Run.create(tmp_path / "run", {"seed": 2})
    assert Run.read(tmp_path / "run")["seed"] == 1


def test_no_run_and_a_damaged_record_are_told_apart(run: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="There is no run"):
        Run.open(tmp_path)
    (run.directory / RECORD).write_text("{")
    with pytest.raises(RunError, match="damaged"):
        Run.open(run.directory)


def test_one_process_at_a_time(run: Run) -> None:
    with run, pytest.raises(RunError, match="Another process is training"), Run.open(run.directory):
        pass
    with Run.open(run.directory):
        pass


@pytest.mark.parametrize(
    ("error", "status"), [(TrainingError("x"), "failed"), (KeyboardInterrupt(), "stopped"), (OSError("x"), "stopped")]
)
def test_how_it_ended_is_noted(run: Run, error: BaseException, status: str) -> None:
    def broken() -> None:
        with run:
            raise error

    with pytest.raises(type(error)):
        broken()
    assert Run.read(run.directory)["status"] == status


def test_an_interruption_that_says_nothing_is_told_how_to_go_on(run: Run) -> None:
    def interrupted(*said: str) -> None:
        with run:
            raise KeyboardInterrupt(*said)

    with pytest.raises(KeyboardInterrupt, match=f"the run is kept. Go on with: trine resume {run.directory}"):
        interrupted()
    with pytest.raises(KeyboardInterrupt, match=r"^as the loop says$"):
        interrupted("as the loop says")


def test_a_kill_leaves_nothing_that_the_next_does_not_clear(run: Run) -> None:
    for name in (RECORD, METRICS, FRESH):
        (run.directory / f".{name}.4711").write_bytes(b"half")
    with run:
        assert {p.name for p in run.directory.iterdir()} == {RECORD, LOCK}


# The log ---------------------------------------------------------------------------------------------------------


def lines(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.directory / METRICS).read_text().splitlines()]


def test_a_resumed_run_s_log_has_no_step_twice(run: Run) -> None:
    for step in range(1, 9):
        run.log({"step": step, "epoch": 0, "loss": 1 / step})
    with (run.directory / METRICS).open("a") as file:
        file.write('{"step": 9, "lo')  # killed in the middle of a line
    run.forget_after(5)
    for step in range(6, 8):
        run.log({"step": step, "epoch": 0, "loss": 1 / step})
    assert [line["step"] for line in lines(run)] == [1, 2, 3, 4, 5, 6, 7]


def test_tensorboard_gets_the_same_numbers_and_forgets_likewise(run: Run) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with run:
        for step in range(1, 6):
            run.log({"step": step, "epoch": 0, "loss": float(step), "name": "left out"})
    # Files of events are read by their names, which begin with the second in which they were made.
    time.sleep(1.01 - time.time() % 1)
    again = Run.open(run.directory)
    with again:
        again.forget_after(3)
        again.log({"step": 4, "epoch": 0, "loss": 40.0})
    events = accumulator.EventAccumulator(str(run.directory / "tensorboard"))
    events.Reload()
    assert events.Tags()["scalars"] == ["loss"]
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 40.0)]


def test_a_full_disk_while_logging_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(RunError, match="the disk is full"):
        run.log({"step": 1, "loss": 1.0})


def test_a_disk_that_is_too_full_to_say_so_does_not_hide_the_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        with run:
            monkeypatch.setattr(os, "fsync", full)
            raise TrainingError("the loss")

    with pytest.raises(TrainingError, match="the loss"):
        broken()


# Checkpoints -----------------------------------------------------------------------------------------------------


def kept(run: Run) -> int:
    return int(run.restore()["t"])


def test_the_last_two_checkpoints_are_kept_and_the_last_is_taken(run: Run) -> None:
    assert run.restore() is None
    for t in range(3):
        run.save({"t": t, "w": torch.full((4,), t)})
    assert kept(run) == 2
    assert sorted(p.name for p in run.directory.glob("*.safetensors")) == [PREVIOUS, LAST]


def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_says_so(run: Run) -> None:
    for t in range(2):
        run.save({"t": t, "w": torch.zeros(100)})
    last = run.directory / LAST
    last.write_bytes(last.read_bytes()[:-10])
    with pytest.warns(UserWarning, match=r"truncated or damaged.*Going on from the one before"):
        assert kept(run) == 0
    (run.directory / PREVIOUS).write_bytes(b"")
    with pytest.raises(RunError, match=r"No older checkpoint is whole; start a new run"):
        run.restore()


def test_killed_between_the_renamings_the_one_before_is_found_without_a_warning(run: Run) -> None:
    for t in range(2):
        run.save({"t": t})
    os.replace(run.directory / LAST, run.directory / FRESH)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kept(run) == 0


def test_a_full_disk_leaves_the_last_checkpoint(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.save({"t": 1})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"the disk is full.*trine resume"):
        run.save({"t": 2})
    monkeypatch.undo()
    assert kept(run) == 1
