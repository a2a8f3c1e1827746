"""A run: one training on disk, from which it can be resumed."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from trine.errors import RunError, TrainingError
from trine.training import checkpoint

RECORD, METRICS, LOCK = "run.json", "metrics.jsonl", ".lock"
LAST, PREVIOUS = "checkpoint.safetensors", "checkpoint.previous.safetensors"


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
        self._lock = (self.directory / LOCK).open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise RunError(f"Another process is training in {self.directory}; wait for it or stop it.") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._board:
            self._board.close()
        if kind is not None and self.data.get("status") != "finished":
            self.update(status="failed" if issubclass(kind, TrainingError) else "stopped")
        if self._lock is not None:
            self._lock.close()

    def update(self, **changes: Any) -> None:
        """Change ``run.json``, atomically."""
        self.data.update(changes)
        handle, temporary = tempfile.mkstemp(dir=self.directory, prefix=f".{RECORD}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(self.data, file, indent=1, ensure_ascii=False)
        os.chmod(temporary, 0o644)
        os.replace(temporary, self.directory / RECORD)

    # Checkpoints -------------------------------------------------------------------------------------------------

    def save(self, state: Any) -> None:
        """Keep ``state`` as the last checkpoint, and the one before it."""
        last, previous = self.directory / LAST, self.directory / PREVIOUS
        fresh = self.directory / f"new.{LAST}"
        checkpoint.save(fresh, state)
        if last.exists():
            os.replace(last, previous)
        os.replace(fresh, last)

    def restore(self) -> Any:
        """The last checkpoint that is whole; None when none was made.

        Raises:
            RunError: there are checkpoints and none is whole.
        """
        paths = [p for p in (self.directory / LAST, self.directory / PREVIOUS) if p.exists()]
        problem: RunError | None = None
        for path in paths:
            try:
                return checkpoint.load(path)
            except RunError as error:
                problem = error
        if problem is not None:
            raise RunError(f"{problem} No older checkpoint is whole either; start a new run.")
        return None

    # Metrics -----------------------------------------------------------------------------------------------------

    def log(self, record: Mapping[str, Any]) -> None:
        """Add a line to ``metrics.jsonl`` and, where TensorBoard is installed, to its events."""
        with (self.directory / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        board = self._tensorboard()
        if board is not None:
            for name, value in record.items():
                if isinstance(value, int | float) and name not in ("step", "epoch"):
                    board.add_scalar(name, value, record["step"])

    def forget_after(self, step: int) -> None:
        """Remove what was logged after ``step``, since it will be done again."""
        path = self.directory / METRICS
        if not path.exists():
            return
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (json.JSONDecodeError, KeyError):
                break  # a kill in the middle of a line
        path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def _tensorboard(self) -> Any:
        if self._board is None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                self._board = False
            else:
                self._board = SummaryWriter(str(self.directory / "tensorboard"))
        return self._board or None
