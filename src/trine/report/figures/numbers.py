"""Predicted numbers: against the truth, and how far their intervals hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trine.report.figures._canvas import BLUE, ORANGE, SOFT, drawing


def predicted_and_true(data: Mapping[str, Any]) -> str:
    """True against predicted values, with the 90 % intervals where the points are few."""
    truth, prediction = _points(data)
    ends = [min(truth.min(), prediction.min()), max(truth.max(), prediction.max())]
    with drawing("Predicted and true", (4.4, 3.7)) as done:
        ax = done.ax
        ax.plot(ends, ends, color=SOFT, linestyle="--", linewidth=1.2)
        ax.scatter(prediction, truth, **_dots(len(truth)), color=BLUE)
        ax.set(xlabel="predicted mean", ylabel="true")
        _plain(ax, ends)
    return done.svg


def residuals(data: Mapping[str, Any]) -> str:
    """True minus predicted, against predicted; the band holds the middle 90 % of the residuals."""
    truth, prediction = _points(data)
    left = truth - prediction
    low, high = np.quantile(left, [0.05, 0.95])
    with drawing("Residuals", (4.4, 3.7)) as done:
        ax = done.ax
        ax.axhspan(low, high, color=ORANGE, alpha=0.09, linewidth=0)
        ax.axhline(0, color=SOFT, linestyle="--", linewidth=1.2)
        ax.scatter(prediction, left, **_dots(len(truth)), color=ORANGE)
        ax.set(xlabel="predicted mean", ylabel="true − predicted")
        _plain(ax, [prediction.min(), prediction.max()])
    return done.svg


def coverage(data: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> str:
    """Share of rows inside central intervals, by the intervals' probability; ``before`` calibration, where there was one."""
    with drawing("Coverage of intervals") as done:
        done.ax.plot([0, 1], [0, 1], color=SOFT, linestyle="--", linewidth=1.2)
        if before is not None:
            done.ax.plot(
                before["level"], before["share"], "o-", color=ORANGE, markersize=3, linewidth=1, label="before"
            )
            done.ax.plot([], [], "o-", color=BLUE, markersize=4.5, linewidth=1.4, label="calibrated")
            done.ax.legend(loc="upper left", frameon=False)
        done.ax.plot(data["level"], data["share"], "o-", color=BLUE, markersize=4.5, linewidth=1.4)
        done.ax.set(xlabel="probability of the interval", ylabel="share of rows inside")
        done.ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return done.svg


def transform(counts: Sequence[int]) -> str:
    """Rows by where the truth lies in its predicted distribution; level where the distribution is right."""
    n, total = len(counts), sum(counts)
    with drawing("Where the truth falls") as done:
        done.ax.bar((np.arange(n) + 0.5) / n, counts, width=0.92 / n, color=BLUE, alpha=0.85)
        done.ax.axhline(total / n, color=ORANGE, linestyle="--", linewidth=1.4)
        done.ax.set(xlabel="P(Y ≤ true value), as predicted", ylabel="rows", xlim=(-0.02, 1.02))
        done.ax.grid(axis="x", visible=False)
    return done.svg


def _points(data: Mapping[str, Any]) -> tuple[Any, Any]:
    pairs = zip(data["truth"], data["prediction"], strict=True)
    both = np.array([pair for pair in pairs if None not in pair], dtype=np.float64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _dots(n: int) -> dict[str, Any]:
    return {"s": 16, "alpha": 0.7, "linewidths": 0} if n < 400 else {"s": 6, "alpha": 0.35, "linewidths": 0}


def _plain(ax: Any, ends: Sequence[float]) -> None:
    """Few, short tick labels, however large the numbers."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_locator(MaxNLocator(6))
    if max(abs(end) for end in ends) >= 1e4:
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
        ax.yaxis.set_major_formatter(EngFormatter(sep=""))
