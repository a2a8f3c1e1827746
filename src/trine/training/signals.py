"""Ctrl-C and termination, noted between steps."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def noted() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or a termination signal came; a second one interrupts at once. Outside the main thread: never."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def back() -> None:
        for number, handler in before.items():
            # None: a handler that was not installed from Python, and cannot be put back from it.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def note(number: int, frame: FrameType | None) -> None:
        came.set()
        back()

    for number in before:
        signal.signal(number, note)
    try:
        yield came.is_set
    finally:
        back()
