"""A run: one training on disk, from which it can be resumed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from trine.errors import RunError, TrainingError
from trine.training import _files, checkpoint

RECORD, METRICS, EVENTS, LOCK = "run.json", "metrics.jsonl", "tensorboard", ".lock"
LAST, PREVIOUS = "checkpoint.safetensors", "checkpoint.previous.safetensors"
FRESH = f"new.{LAST}"


class Run:
    """A directory with ``run.json`` (what was asked for and where it stands), ``metrics.jsonl``, checkpoints, TensorBoard events.

    Use as a context manager: while it is open no other process can train in it.

    Args:
        directory: the run's directory. data: content of ``run.json``.
    """

    def __init__(self, directory: Path, data: dict[str, Any]) -> None:
        self.directory = directory
        self.data = data
        self._lock: IO[str] | None = None
        self._board: Any = None
        self._resumed_at = 0

    @staticmethod
    def require_free(directory: str | os.PathLike[str]) -> None:
        """Check that a run may be made at ``directory``; nothing is written.

        Raises:
            RunError: it holds another run, or anything else, or is a file.
        """
        path = Path(directory)
        if (path / RECORD).exists():
            raise RunError(
                f"{path} holds another run. Choose another --out, go on with it (trine resume {path}), or remove it yourself."
            )
        if path.is_file() or (path.is_dir() and any(path.iterdir())):
            raise RunError(f"{path} exists and is no run; choose another --out so that nothing of yours is lost.")

    @classmethod
    def create(cls, directory: str | os.PathLike[str], data: Mapping[str, Any]) -> Run:
        """A new run.

        Raises:
            RunError: as :meth:`require_free`, or the directory cannot be made.
        """
        cls.require_free(directory)
        path = Path(directory)
        try:
            path.mkdir(parents=True, exist_ok=True)
            # Of two processes that both found the directory free, one makes this file.
            (path / LOCK).open("x").close()
        except FileExistsError:
            raise RunError(f"Another process has just made a run at {path}; choose another --out.") from None
        except OSError as error:
            raise RunError(f"The directory {path} cannot be made: {error.strerror}. Choose another --out.") from None
        run = cls(path, {"status": "new", **data})
        run.update()
        return run

    @staticmethod
    def read(directory: str | os.PathLike[str]) -> dict[str, Any]:
        """Content of a run's ``run.json``.

        Raises:
            RunError: there is no run.
        """
        path = Path(directory) / RECORD
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except OSError:
            raise RunError(
                f"There is no run at {directory} (no {RECORD}). Give the directory that `trine fit --out` made."
            ) from None
        except (json.JSONDecodeError, ValueError) as error:
            raise RunError(f"{path} is damaged ({error}); the run cannot be used.") from None

    @classmethod
    def open(cls, directory: str | os.PathLike[str]) -> Run:
        """An existing run, to go on with."""
        return cls(Path(directory), cls.read(directory))

    def __enter__(self) -> Self:
        """Take the run for this process.

        Raises:
            RunError: another process is training in it.
        """
        self._lock = (self.directory / LOCK).open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise RunError(f"Another process is training in {self.directory}; wait for it or stop it.") from None
        _files.remove_unfinished(self.directory, (RECORD, METRICS, FRESH))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Note how it ended, and let other processes have the run."""
        if isinstance(error, KeyboardInterrupt) and not error.args:  # outside the loop, or a second one within it
            error.args = (f"stopped; the run is kept. Go on with: trine resume {self.directory}",)
        if self._board:
            # What the events hold stands in the log too, so that a disk that is full by now takes nothing away.
            with contextlib.suppress(OSError):
                self._board.close()
        if kind is not None and self.data.get("status") != "finished":
            # Where even this cannot be written, the error that is on its way says so.
            with contextlib.suppress(RunError):
                self.update(status="failed" if issubclass(kind, TrainingError) else "stopped")
        if self._lock is not None:
            self._lock.close()

    def update(self, **changes: Any) -> None:
        """Change ``run.json``, atomically.

        Raises:
            RunError: the disk is full or may not be written.
        """
        self.data.update(changes)
        self.write(RECORD, json.dumps(self.data, indent=1, ensure_ascii=False))

    def write(self, name: str, text: str) -> None:
        """Put the file ``name`` into the run, or in the place of an older one, atomically.

        Raises:
            RunError: the disk is full or may not be written; an older file is unchanged.
        """
        _files.replace(self.directory / name, [text.encode()])

    # Checkpoints -------------------------------------------------------------------------------------------------

    def save(self, state: Any) -> None:
        """Keep ``state`` as the last checkpoint, and the one before it.

        Raises:
            RunError: the disk is full or may not be written; the last checkpoint is as it was.
        """
        last, previous, fresh = (self.directory / name for name in (LAST, PREVIOUS, FRESH))
        checkpoint.save(fresh, state)
        if last.exists():
            os.replace(last, previous)
        os.replace(fresh, last)

    def restore(self) -> Any:
        """The newest checkpoint that is whole; None when none was made. Warns when the newest is not.

        Raises:
            RunError: there are checkpoints and none is whole.
        """
        problems: list[str] = []
        for path in (self.directory / LAST, self.directory / PREVIOUS):
            if not path.exists():
                continue
            try:
                kept = checkpoint.load(path)
            except RunError as error:
                problems.append(str(error))
                continue
            if problems:
                warnings.warn(f"{problems[0]} Going on from the one before it, {path}.", stacklevel=2)
            return kept
        if problems:
            raise RunError(f"{problems[0]} No older checkpoint is whole; start a new run.")
        return None

    # Metrics -----------------------------------------------------------------------------------------------------

    def log(self, record: Mapping[str, Any]) -> None:
        """Add a line to ``metrics.jsonl`` and, where TensorBoard is installed, to its events.

        Args:
            record: numbers by name; ``"step"`` is one of them.

        Raises:
            RunError: the disk is full or may not be written.
        """
        path = self.directory / METRICS
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise _files.not_written(path, error) from None
        try:
            board = self._tensorboard()
            if board is not None:
                for name, value in record.items():
                    if isinstance(value, int | float) and name not in ("step", "epoch"):
                        board.add_scalar(name, value, record["step"])
        except OSError as error:
            raise _files.not_written(self.directory / EVENTS, error) from None

    def forget_after(self, step: int) -> None:
        """Remove what was logged after ``step``, since it will be done again."""
        self._resumed_at = step
        path = self.directory / METRICS
        if not path.exists():
            return
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (json.JSONDecodeError, KeyError, TypeError):
                break  # a kill in the middle of a line
        _files.replace(path, ["".join(f"{line}\n" for line in kept).encode()])

    def _tensorboard(self) -> Any:
        if self._board is None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                self._board = False
            else:
                again = self._resumed_at + 1 if self._resumed_at else None
                self._board = SummaryWriter(str(self.directory / EVENTS), purge_step=again)
        return self._board or None
