"""One run for all processes: rank 0 reads and writes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trine.training.run import Run

from ._agreement import shared


class Follower(Run):
    """The run as ranks other than 0 have it: they read nothing from it and write nothing to it."""

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, **changes: Any) -> None:
        self.data.update(changes)

    def write(self, name: str, text: str) -> None:
        pass

    def save(self, state: Any) -> None:
        pass

    def log(self, record: Mapping[str, Any]) -> None:
        pass

    def forget_after(self, step: int) -> None:
        pass


def create_run(directory: str | os.PathLike[str], data: Mapping[str, Any]) -> Run:
    """:meth:`Run.create`, by rank 0 for all."""
    return _for_all(lambda: Run.create(directory, data))


def open_run(directory: str | os.PathLike[str]) -> Run:
    """:meth:`Run.open`, by rank 0 for all."""
    return _for_all(lambda: Run.open(directory))


def _for_all(make: Callable[[], Run]) -> Run:
    mine: list[Run] = []

    def known() -> tuple[str, dict[str, Any]]:
        mine.append(make())
        return str(mine[0].directory), mine[0].data

    directory, data = shared(known)
    return mine[0] if mine else Follower(Path(directory), data)
