"""The picture of a comparison: where the estimates fall, and what their error is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.errors import ChoiceError

from ._measured import Measured

INK, SOFT, LINE, BLUE, ORANGE = "#1f2430", "#5c6370", "#d9dce3", "#2f6db5", "#d9822b"
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": INK,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.2,
    "figure.constrained_layout.use": True,
}


def draw(rows: list[Measured], exact: NDArray[np.float64], path: Path) -> Path:
    """Left: the spread of the estimates along the exact gradient, (P,); right: bias² and variance.

    Raises:
        ChoiceError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise ChoiceError("Plotting needs matplotlib; install trine[report] or matplotlib.") from None
    length = float(np.linalg.norm(exact))
    direction = exact / length if length > 0 else np.eye(len(exact))[0]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 1.45 + 0.33 * len(rows)), dpi=130)
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.25, 1.0))
        widest = 0.0
        for place, row in enumerate(rows):
            colour = BLUE if row.unbiased else ORANGE
            along = row.estimates @ direction
            low, first, third, high = np.quantile(along, (0.05, 0.25, 0.75, 0.95))
            widest = max(widest, abs(low - length), abs(high - length))
            left.plot((low, high), (place, place), color=colour, linewidth=1.6, solid_capstyle="round")
            left.plot((first, third), (place, place), color=colour, linewidth=6.0, solid_capstyle="round", alpha=0.55)
            left.plot(along.mean(), place, "o", color=colour, markersize=5.5, markeredgecolor="white")
        left.axvline(length, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
        left.annotate("exact", (length, 1), (4, -2), ("data", "axes fraction"), "offset points", va="top", fontsize=8.2)
        left.set_xlim(length - 1.08 * widest, length + 1.08 * widest) if widest else None
        left.set_title("Estimates along the exact gradient")
        left.set_xlabel("dot: mean, thick: half of them, thin: nine in ten; orange: biased")
        _errors(right, rows)
        left.set_yticks(range(len(rows)), [row.name for row in rows])
        left.set_ylim(len(rows) - 0.4, -0.75)
        left.tick_params(length=0)
        right.tick_params(length=0, which="both")
        figure.savefig(path)
    return path


def _errors(ax: Any, rows: list[Measured]) -> None:
    """Variance and bias² on a logarithmic scale; a bias that may be chance is hollow."""
    from matplotlib.lines import Line2D

    positive = [row.variance for row in rows if row.variance > 0] or [1.0]
    # A bias below its standard error's square is noise of this measurement: shown, and said to be.
    floor = min([*positive, *(max(row.bias, row.bias_error) ** 2 for row in rows if row.variance > 0)]) / 3
    for place, row in enumerate(rows):
        colour = BLUE if row.unbiased else ORANGE
        if row.variance <= 0:
            ax.text(floor * 1.3, place, "no variance, no bias", va="center", fontsize=8.2, color=SOFT)
            continue
        ax.plot((floor, row.variance), (place, place), color=LINE, linewidth=1.0, zorder=1)
        ax.plot(row.variance, place, "o", color=colour, markersize=6.0, zorder=3)
        sure = row.z > 4
        face = colour if sure else "white"
        ax.plot(
            max(row.bias, floor**0.5) ** 2, place, "D", color=colour, markerfacecolor=face, markersize=5.0, zorder=2
        )
    ax.set_xscale("log")
    ax.set_xlim(left=floor)
    ax.grid(axis="x")
    ax.set_title("What the squared error is made of")
    marks = [("o", SOFT, "variance"), ("D", SOFT, "bias²"), ("D", "white", "bias² within chance")]
    handles = [Line2D([], [], marker=m, color=SOFT, markerfacecolor=c, linestyle="", label=t) for m, c, t in marks]
    ax.figure.legend(handles=handles, loc="outside lower right", ncols=3)
