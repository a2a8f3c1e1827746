"""What a person sees while it trains."""

from __future__ import annotations

import io
import sys
import time

import pytest

from trine.training.progress import INTERVAL, Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def show(progress: Progress, step: int) -> None:
    progress.show(step, step / 10, 10, 32, {"loss": 0.5, "critic": 1.25})


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(100, shown=True) as progress:
        assert progress.due()
        show(progress, 1)
        assert not progress.due()  # not before some seconds have passed
        time.sleep(0.01)
        progress.score = 0.75
        show(progress, 11)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("epoch 0.1/10")
    for part in ("examples/s", "s left", "loss 0.5", "critic 1.25", "held-out 0.75"):
        assert part in second


def test_nothing_when_not_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(100, shown=False) as progress:
        assert not progress.due()
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_a_bar_on_a_terminal_updated_a_few_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    with Progress(100, shown=True) as progress:
        show(progress, 1)
        updates, until = 0, time.perf_counter() + 2.2 * INTERVAL
        while time.perf_counter() < until:
            if progress.due():
                updates += 1
                show(progress, 1 + 10 * updates)
    assert updates <= 3
    assert "epoch" in screen.getvalue()
    assert "critic 1.25" in screen.getvalue()
