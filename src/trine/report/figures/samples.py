"""Samples beside the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trine.report.figures._canvas import BLUE, ORANGE, drawing, label

SEEN_BEYOND = 0.02
"""Share of rows outside the bins from which on it is said; of the data about 0.01 always are."""


def marginal(data: Mapping[str, Any]) -> str:
    """One column of samples beside the data's: bars of categories, outlines of numbers.

    Args:
        data: ``column``; ``labels`` of categories or ``edges`` of bins; ``data`` and ``samples``, the share of rows in each;
            ``beyond``, where it is known, what share of either lies outside all bins.
    """
    most = max(*data["data"], *data["samples"], 1e-9)
    beyond = {
        name: f" ({100 * share:.1f} % beyond)" for name, share in data.get("beyond", {}).items() if share >= SEEN_BEYOND
    }
    with drawing(label(data["column"], 40), (4.4, 2.3)) as done:
        ax = done.ax
        if "labels" in data:
            at = np.arange(len(data["labels"]))
            ax.bar(at - 0.2, data["data"], width=0.38, color=BLUE, alpha=0.6, label="data")
            ax.bar(at + 0.2, data["samples"], width=0.38, color=ORANGE, alpha=0.9, label="samples")
            turned = max(len(str(name)) for name in data["labels"]) * len(data["labels"]) > 40
            names = [label(name, 14) for name in data["labels"]]
            ax.set_xticks(at, names, rotation=30 if turned else 0, ha="right" if turned else "center")
            ax.tick_params(axis="x", length=0)
        else:
            edges = np.asarray(data["edges"], dtype=np.float64)
            ax.stairs(data["data"], edges, fill=True, color=BLUE, alpha=0.4, label="data" + beyond.get("data", ""))
            ax.stairs(data["samples"], edges, color=ORANGE, linewidth=1.7, label="samples" + beyond.get("samples", ""))
        ax.set(ylabel="share of rows", ylim=(0, 1.3 * most))
        ax.grid(axis="x", visible=False)
        ax.legend(loc="upper right", ncols=2)
    return done.svg
