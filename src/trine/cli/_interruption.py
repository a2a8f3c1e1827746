"""Ctrl-C, as a command ends by it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import typer


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends the command with status 130 and, where a run was kept, says how to go on."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        from trine.training import distributed

        if distributed.launched_first():
            print(
                f"\ntrine: {str(interrupt) or 'interrupted before the training began; nothing was kept.'}",
                file=sys.stderr,
            )
        raise typer.Exit(130) from None
