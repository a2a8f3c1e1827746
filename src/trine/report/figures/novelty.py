"""How far rows lie from the training data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trine.report.figures._canvas import BLUE, ORANGE, SOFT, drawing


def novelty(data: Mapping[str, Any]) -> str:
    """Scores of the calibration rows and of the held-out rows; what lies beyond the ends is in the last bars."""
    edges = np.asarray(data["edges"], dtype=np.float64)
    with drawing("Distance from the training data", (8.8, 3.1)) as done:
        ax = done.ax
        base = "rows not learned from" if data["held_out"] else "training rows, cross-fitted"
        ax.stairs(data["calibration"], edges, fill=True, color=BLUE, alpha=0.35, label=base)
        ax.stairs(data["share"], edges, color=ORANGE, linewidth=1.6, label="held-out rows")
        ax.axvline(data["threshold"], color=SOFT, linestyle="--", linewidth=1.2)
        top = 1.12 * max([*data["calibration"], *data["share"], 1e-3])
        right = data["threshold"] > 0.5 * (edges[0] + edges[-1])
        ax.text(
            data["threshold"],
            0.97 * top,
            " flagged from here ",
            color=SOFT,
            fontsize=8.2,
            va="top",
            ha="right" if right else "left",
        )
        ax.set(xlabel="score", ylabel="share of rows", ylim=(0, top), xlim=(edges[0], edges[-1]))
        ax.legend(loc="upper left")
    return done.svg
