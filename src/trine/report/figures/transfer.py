"""Few labels and many: how each way of using them does, as a file."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from trine.errors import ChoiceError

INK, SOFT, LINE, PAPER = "#1c2733", "#5b6875", "#d9dfe5", "#ffffff"
STYLES = {
    "z + linear": ("#2460a7", "-", "o"),
    "z + net": ("#5a9bd4", "-", "s"),
    "z + boosting": ("#21845a", "-", "^"),
    "z tuned": ("#7a4fa3", "-", "D"),
    "x + boosting": ("#cf5f0a", "--", "^"),
    "PCA-30 + SVM": ("#97266d", "--", "v"),
    "from scratch": ("#5b6875", "--", "o"),
}
"""Way → colour, line, marker: what rests on z is drawn through."""
APART, ROOM = 0.06, 0.5
"""Between the marks of one number of labels, so that intervals do not hide each other, and of all of them; numbers of labels are 1
apart.
"""


def draw_comparison(path: Path, comparison: Any, title: str | None = None) -> None:
    """Draw a :class:`~trine.estimators._transferred.results.Comparison`.

    Raises:
        ChoiceError: the file cannot be written.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings: Any = {
        "font.family": "DejaVu Sans", "font.size": 9.5, "text.color": INK, "axes.edgecolor": LINE, "axes.labelcolor": SOFT,
        "xtick.color": LINE, "ytick.color": LINE, "xtick.labelcolor": SOFT, "ytick.labelcolor": SOFT,
        "axes.spines.top": False, "axes.spines.right": False,
    }  # fmt: skip
    accuracy = comparison.metric == "accuracy"
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(7.2, 4.2), facecolor=PAPER, layout="constrained")
        FigureCanvasAgg(figure)
        ax = figure.add_subplot()
        ways, counts = comparison.ways, comparison.labels
        scale = 100.0 if accuracy else 1.0
        for place, way in enumerate(ways):
            colour, line, marker = STYLES.get(way, (INK, ":", "o"))
            shift = min(APART, ROOM / len(ways)) * (place - (len(ways) - 1) / 2)
            found = [comparison.of(way, count) for count in counts]
            middle = [scale * part.value for part in found]
            below = [max(scale * (part.value - part.low), 0.0) for part in found]
            above = [max(scale * (part.high - part.value), 0.0) for part in found]
            ax.errorbar(
                [at + shift for at in range(len(counts))], middle, [below, above], color=colour, linestyle=line, marker=marker,
                markersize=5, linewidth=1.6, elinewidth=1.1, capsize=2, label=way,
            )  # fmt: skip
        ax.set_xticks(range(len(counts)), [f"{count:,}" for count in counts])
        ax.set_xlim(-0.5, len(counts) - 0.5)
        ax.grid(axis="y", color=LINE, linewidth=0.6)
        ax.set_axisbelow(True)
        ax.set_xlabel("labels")
        ax.set_ylabel("accuracy on held-out rows, %" if accuracy else f"RMSE of {comparison.target} on held-out rows")
        ax.set_title(
            title or f"{comparison.target}, learned from few labels",
            loc="left",
            fontsize=11,
            fontweight="bold",
            color=INK,
        )
        if comparison.given_away is not None:
            figure.text(
                0.01, -0.02, textwrap.fill(comparison.given_away, 110), fontsize=8, color=SOFT, va="top", ha="left"
            )
        figure.legend(
            loc="outside right center", frameon=False, fontsize=9, labelcolor=INK,
            title="solid: on codes z\ndashed: without", title_fontsize=8, alignment="left",
        )  # fmt: skip
        try:
            figure.savefig(path, dpi=130, bbox_inches="tight" if comparison.given_away else None)
        except OSError as error:
            raise ChoiceError(f"The figure {path} cannot be written: {error.strerror or error}.") from None
