"""Class probabilities: confusions, calibration, thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trine.report.figures._canvas import BLUE, INK, ORANGE, PAPER, SOFT, drawing, label

NUMBERED = 12
"""Classes up to which the confusion matrix shows its counts."""
UPRIGHT = 4
"""Characters up to which labels under the matrix stand upright."""


def confusion(data: Mapping[str, Any]) -> str:
    """Rows are the truth, columns the prediction; a cell's shade is its share of the row."""
    from matplotlib.patches import Rectangle

    counts = np.array(data["counts"], dtype=np.float64)
    names = [label(name) for name in data["labels"]]
    n = len(names)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(9.0, max(2.6, (0.42 if n <= NUMBERED else 0.19) * n))
    longest = 0.075 * max((len(name) for name in names), default=0)
    with drawing("Confusion matrix", (side + longest + 0.5, side + (longest if n > 1 else 0) + 0.7)) as done:
        ax = done.ax
        for i, j in zip(*np.nonzero(share), strict=True):
            colour = BLUE if i == j else ORANGE
            shade = 0.1 + 0.87 * float(share[i, j])
            ax.add_patch(Rectangle((j - 0.47, i - 0.47), 0.94, 0.94, facecolor=colour, alpha=shade, linewidth=0))
        if n <= NUMBERED:
            for i, j in zip(*np.nonzero(counts), strict=True):
                colour = PAPER if share[i, j] > 0.55 else INK
                ax.text(j, i, f"{counts[i, j]:,.0f}", ha="center", va="center", color=colour, fontsize=8.2)
        upright = all(len(name) <= UPRIGHT for name in names)
        small = 8.2 if n <= 24 else 6.6
        ax.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5), xlabel="predicted", ylabel="true", aspect="equal")
        ax.set_xticks(range(n), names, rotation=0 if upright and n <= 24 else 90, fontsize=small)
        ax.set_yticks(range(n), names, fontsize=small)
        ax.tick_params(length=0)
        ax.grid(False)
    return done.svg


def calibration(data: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> str:
    """How often what was held probable came true, with 95 % intervals; ``before`` calibration, where there was one."""
    confidence, right = np.array(data["confidence"], dtype=float), np.array(data["right"], dtype=float)
    with drawing("Calibration") as done:
        done.ax.plot([0, 1], [0, 1], color=SOFT, linestyle="--", linewidth=1.2)
        if before is not None:
            done.ax.plot(
                before["confidence"], before["right"], "o-", color=ORANGE, markersize=3, linewidth=1, label="before"
            )
            done.ax.plot([], [], "o-", color=BLUE, markersize=4.5, linewidth=1.4, label="calibrated")
            done.ax.legend(loc="upper left", frameon=False)
        if "low" in data:
            low, high = np.array(data["low"], dtype=float), np.array(data["high"], dtype=float)
            done.ax.vlines(confidence, low, high, color=BLUE, alpha=0.4, linewidth=2.2)
        done.ax.plot(confidence, right, "o-", color=BLUE, markersize=4.5, linewidth=1.4)
        done.ax.set(xlabel=_probability(data), ylabel="share that came true", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return done.svg


def confidence(data: Mapping[str, Any]) -> str:
    """How many rows have a predicted probability."""
    counts = data.get("histogram") or data["count"]
    n = len(counts)
    with drawing("How sure it is") as done:
        if "histogram" in data:
            done.ax.bar((np.arange(n) + 0.5) / n, counts, width=0.92 / n, color=BLUE, alpha=0.85)
        else:
            done.ax.bar(data["confidence"], counts, width=0.05, color=BLUE, alpha=0.85)
        done.ax.set(xlabel=_probability(data), ylabel="rows", xlim=(-0.02, 1.02))
        done.ax.grid(axis="x", visible=False)
    return done.svg


def roc(data: Mapping[str, Any]) -> str:
    """True against false positive rate over all thresholds."""
    with drawing("ROC curve") as done:
        done.ax.plot([0, 1], [0, 1], color=SOFT, linestyle="--", linewidth=1.2)
        done.ax.plot(data["false"], data["true"], color=BLUE)
        done.ax.fill_between(data["false"], data["true"], color=BLUE, alpha=0.08, linewidth=0)
        done.ax.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return done.svg


def precision_recall(data: Mapping[str, Any]) -> str:
    """Precision against recall over all thresholds; the line is the share of the class."""
    with drawing("Precision and recall") as done:
        done.ax.axhline(data["share"], color=SOFT, linestyle="--", linewidth=1.2)
        done.ax.plot(data["recall"], data["precision"], color=BLUE)
        done.ax.fill_between(data["recall"], data["precision"], color=BLUE, alpha=0.08, linewidth=0)
        done.ax.set(xlabel="recall", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))
    return done.svg


def _probability(data: Mapping[str, Any]) -> str:
    of = data.get("of")
    return "probability of the likeliest class" if of is None else f"probability of {label(of)}"
