"""Files that are replaced whole: a kill at any moment leaves the old one or the new one."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from pathlib import Path

from trine.errors import RunError


def replace(path: Path, parts: Iterable[bytes]) -> None:
    """Write ``parts`` in the place of ``path``, atomically and durably.

    Raises:
        RunError: the disk is full or may not be written; the old file is unchanged.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise not_written(path, error) from None


def not_written(path: Path, error: OSError) -> RunError:
    """What a user is told when ``path`` could not be written."""
    cause = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error.strerror or error)
    return RunError(
        f"{path} could not be written: {cause}. The last good checkpoint is kept: make room, and go on with "
        f"trine resume {path.parent}"
    )


def remove_unfinished(directory: Path, names: Iterable[str]) -> None:
    """Remove what writers of ``names`` in ``directory`` left when they were killed."""
    for name in names:
        for left in directory.glob(f".{name}.*"):
            with contextlib.suppress(OSError):
                left.unlink()


def _sync_directory(directory: Path) -> None:
    """Make the new name durable, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
