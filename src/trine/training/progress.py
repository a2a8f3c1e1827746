"""What a person sees while it trains, on standard error."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

INTERVAL = 0.25
"""Seconds between updates of a terminal; reading a loss more often would slow the training."""
LINE_INTERVAL = 15.0
"""Seconds between lines where standard error is not a terminal."""


class Progress:
    """Epoch, rate, remaining time, losses by term, held-out score.

    Args:
        total: steps in all. shown: False shows nothing.
    """

    def __init__(self, total: int, shown: bool) -> None:
        self.total = total
        self.shown = shown
        self.score: float | None = None
        self._next = 0.0
        self._bar: object = None
        self._last: tuple[float, int] | None = None
        self._rate = 0.0

    def __enter__(self) -> Self:
        if self.shown and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TimeRemainingColumn(),
                TextColumn("{task.fields[state]}"),
                console=Console(stderr=True),
                transient=True,
            )
            bar.start()
            self._task = bar.add_task("", total=self.total, state="")
            self._bar = bar
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()  # type: ignore[attr-defined]

    def due(self) -> bool:
        """Whether it is time to show something: cheap, called every step."""
        return self.shown and time.perf_counter() >= self._next

    def show(self, step: int, epoch: float, epochs: float, size: int, losses: dict[str, float]) -> None:
        """Show where training stands.

        Args:
            step: steps taken. epoch: epochs done, of ``epochs``. size: examples a step. losses: by term.
        """
        now = time.perf_counter()
        if self._last is not None and step > self._last[1]:
            rate = (step - self._last[1]) * size / (now - self._last[0])
            self._rate = rate if not self._rate else 0.7 * self._rate + 0.3 * rate
        self._last = (now, step)
        parts = [f"{self._rate:,.0f} examples/s"] if self._rate else []
        parts += [f"{name} {value:.4g}" for name, value in losses.items()]
        parts += [f"held-out {self.score:.4g}"] if self.score is not None else []
        label = f"epoch {epoch:.1f}/{epochs:g}"
        if self._bar is not None:
            self._next = now + INTERVAL
            self._bar.update(self._task, completed=step, total=self.total, description=label, state="  ".join(parts))  # type: ignore[attr-defined]
            return
        self._next = now + LINE_INTERVAL
        left = (self.total - step) * size / self._rate if self._rate else None
        if left is not None:
            parts.insert(1, f"{left:.0f} s left")
        print("  ".join([label, *parts]), file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Show a line about what comes after the last step."""
        self._next = time.perf_counter() + LINE_INTERVAL
        print(text, file=sys.stderr, flush=True)
