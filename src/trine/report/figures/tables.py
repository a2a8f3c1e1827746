"""Tables that were made, beside the true one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trine.report.figures._canvas import BLUE, INK, ORANGE, PAPER, SOFT, label, row_of

NUMBERED = 9
"""Columns up to which an association is written out."""
SPREAD = (0.005, 0.995)
"""Quantiles of true rows that the axes hold, and a tenth of their distance on either side."""


def association_matrices(data: Mapping[str, Any]) -> str:
    """How columns go together, of true rows and of samples, with one scale.

    Args:
        data: ``columns``; ``data`` and ``samples``, matrices of values from −1 to 1.
    """
    names = [label(name, 16) for name in data["columns"]]
    n = len(names)
    longest = 0.078 * max(map(len, names)) + 0.15
    side = min(3.4, max(1.9, 0.42 * n))
    with row_of(["True rows", "Samples"], (2 * side + longest + 0.3, side + longest + 0.45)) as done:
        for ax, key in zip(done.axes, ("data", "samples"), strict=True):
            _matrix(ax, np.array(data[key], dtype=np.float64), n)
            small = 8.2 if n <= NUMBERED else 6.8
            ax.set_xticks(range(n), names, rotation=90, fontsize=small)
            ax.set_yticks(range(n), names if key == "data" else [""] * n, fontsize=small)
    return done.svg


def _matrix(ax: Any, values: Any, n: int) -> None:
    from matplotlib.patches import Rectangle

    for i, j in np.ndindex(n, n):
        if i == j:
            continue
        shade = min(abs(float(values[i, j])), 1.0)
        colour = BLUE if values[i, j] >= 0 else ORANGE
        ax.add_patch(
            Rectangle((j - 0.47, i - 0.47), 0.94, 0.94, facecolor=colour, alpha=0.05 + 0.92 * shade, linewidth=0)
        )
        if n <= NUMBERED:
            text = f"{values[i, j]:.2f}".replace("0.", ".").replace("-", "−")
            ax.text(j, i, text, ha="center", va="center", color=PAPER if shade > 0.55 else INK, fontsize=7.4)
    ax.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5), aspect="equal")
    ax.tick_params(length=0)
    ax.grid(visible=False)


def spread(moments: Sequence[Mapping[str, Any]]) -> str:
    """One column of numbers of the same samples as training went, over true rows.

    Args:
        moments: ``caption``, ``column``, ``edges`` of bins, ``data`` and ``samples``, the share of rows in each.
    """
    across = 4
    most = max(max(*moment["data"], *moment["samples"]) for moment in moments)
    down = -(-len(moments) // across)
    with row_of([moment["caption"] for moment in moments], (8.8, 1.7 * down + 0.3), across=across) as done:
        for i, (ax, moment) in enumerate(zip(done.axes, moments, strict=True)):
            edges = np.asarray(moment["edges"], dtype=np.float64)
            ax.stairs(moment["data"], edges, fill=True, color=SOFT, alpha=0.35)
            ax.stairs(moment["samples"], edges, color=BLUE, linewidth=1.6)
            ax.set(ylim=(0, 1.08 * most))
            ax.grid(axis="x", visible=False)
            ax.locator_params(nbins=4)
            ax.tick_params(labelbottom=i >= len(moments) - across, labelleft=i % across == 0, length=0)
            if i % across == 0:
                ax.set_ylabel("share of rows")
            if i >= len(moments) - across:
                ax.set_xlabel(label(moment["column"]))
    return done.svg


def cloud(data: Mapping[str, Any]) -> str:
    """Two columns of numbers of the same samples as training went, over true rows.

    Args:
        data: ``columns``; ``data``, points of true rows; ``moments``, each with ``caption`` and ``points``.
    """
    true = np.array(data["data"], dtype=np.float64)
    moments = list(data["moments"])
    across = 4
    down = -(-len(moments) // across)
    low, high = np.quantile(true, SPREAD, axis=0)
    room = 0.1 * np.maximum(high - low, 1e-9)
    low, high = low - room, high + room
    with row_of([moment["caption"] for moment in moments], (8.8, 2.2 * down + 0.3), across=across) as done:
        for i, (ax, moment) in enumerate(zip(done.axes, moments, strict=True)):
            ax.plot(*true.T, "o", color=SOFT, alpha=0.35, markersize=2.6, markeredgewidth=0)
            points = np.array(moment["points"], dtype=np.float64).reshape(-1, 2)
            inside = points[((points >= low) & (points <= high)).all(axis=1)]
            ax.plot(*inside.T, "o", color=BLUE, alpha=0.75, markersize=2.6, markeredgewidth=0)
            ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
            ax.locator_params(nbins=3)
            ax.tick_params(labelbottom=i >= len(moments) - across, labelleft=i % across == 0, length=0)
            if i % across == 0:
                ax.set_ylabel(label(data["columns"][1]))
            if i >= len(moments) - across:
                ax.set_xlabel(label(data["columns"][0]))
    return done.svg
