"""The figures of a report, as SVG that follows the page's colours, light or dark."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from trine.errors import ChoiceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes

# Stand-ins that matplotlib draws with; in the SVG they become the page's variables.
INK, LINE, BLUE, ORANGE, GREEN, PAPER = "#010203", "#010204", "#010205", "#010206", "#010207", "#010208"
VARIABLES = {INK: "--ink", LINE: "--line", BLUE: "--blue", ORANGE: "--orange", GREEN: "--green", PAPER: "--paper"}
NUMBERED_CELLS = 12
"""Classes up to which the confusion matrix shows its counts."""
LONGEST_LABEL = 16


@contextmanager
def _drawing(width: float, height: float, columns: int = 1) -> Iterator[tuple[list[Axes], list[str]]]:
    """Axes side by side; the list that follows receives the finished SVG."""
    try:
        import matplotlib
    except ImportError:
        raise ChoiceError(
            "The report's figures need matplotlib, which is not installed: pip install 'trine[report]'. The run itself is "
            "complete; write its report later with `trine report RUN`."
        ) from None
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style = {
        "svg.fonttype": "path",
        "font.size": 9.5,
        "axes.edgecolor": LINE,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": LINE,
        "grid.linewidth": 0.6,
        "axes.axisbelow": True,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "legend.frameon": False,
        "axes.prop_cycle": matplotlib.cycler(color=[BLUE, ORANGE, GREEN]),
        "figure.constrained_layout.use": True,
    }
    done: list[str] = []
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height))
        FigureCanvasSVG(figure)
        axes = [figure.add_subplot(1, columns, i + 1) for i in range(columns)]
        for ax in axes:
            ax.set_facecolor("none")
        yield axes, done
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    done.append(_themed(buffer.getvalue()))


_COUNT = iter(range(10**9))


def _themed(svg: str) -> str:
    """The SVG element alone, its stand-in colours as variables, its identifiers its own."""
    svg = svg[svg.index("<svg") :]
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    mark = f"f{next(_COUNT)}-"
    svg = re.sub(r'\bid="', f'id="{mark}', svg)
    svg = re.sub(r'(xlink:href="#|href="#|url\(#)(?!f\d+-)', rf"\g<1>{mark}", svg)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg)
    return svg.replace("xlink:href", "href")


def learning_curves(history: Sequence[Mapping[str, Any]]) -> str:
    """Training loss and held-out score by epoch; the best epoch is marked."""
    epochs = [record["epoch"] for record in history]
    with _drawing(8.6, 3.0) as ((ax,), svg):
        ax.plot(
            epochs, [record["train"]["loss"] for record in history], color=BLUE, label="training rows, while learning"
        )
        held = [(record["epoch"], record["held_out"]) for record in history if record.get("held_out") is not None]
        if held:
            x, y = zip(*held, strict=True)
            ax.plot(x, y, color=ORANGE, label="rows that decide when to stop")
            best = int(np.argmin(y))
            ax.plot([x[best]], [y[best]], "o", color=ORANGE, markersize=7, label=f"kept: epoch {x[best]}")
        if len(epochs) == 1:
            ax.plot(epochs, [history[0]["train"]["loss"]], "o", color=BLUE)
        ax.set(xlabel="epoch", ylabel="criterion L(θ)")
        ax.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
        ax.legend()
    return svg[0]


def confusion(data: Mapping[str, Any]) -> str:
    """Rows are the truth; a cell's shade is its share of the row."""
    counts = np.array(data["counts"], dtype=float)
    labels = [_short(label) for label in data["labels"]]
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    n = len(labels)
    side = min(8.2, 2.6 + 0.34 * n)
    with _drawing(side + 0.6, side) as ((ax,), svg):
        for (i, j), value in np.ndenumerate(share):
            if value > 0:
                tone = BLUE if i == j else ORANGE
                ax.add_patch(_rectangle(j, i, tone, 0.12 + 0.85 * value))
        if n <= NUMBERED_CELLS:
            for (i, j), count in np.ndenumerate(counts):
                if count:
                    dark = share[i, j] > 0.55
                    ax.text(j, i, f"{count:,.0f}", ha="center", va="center", color=PAPER if dark else INK, fontsize=8.5)
        ax.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5), xlabel="predicted", ylabel="true", aspect="equal")
        step = 1 if n <= 24 else 2
        upright = max(map(len, labels)) <= 3 and n <= 24
        ax.set_xticks(range(0, n, step), labels[::step], rotation=0 if upright else 90)
        ax.set_yticks(range(0, n, step), labels[::step])
        ax.grid(False)
    return svg[0]


def _rectangle(x: float, y: float, colour: str, alpha: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, facecolor=colour, alpha=float(alpha), linewidth=0)


def calibration(data: Mapping[str, Any], roc: Mapping[str, Any] | None) -> str:
    """How often predictions of a confidence are right, how many there are; and the ROC curve of two classes."""
    with _drawing(8.6, 3.3, 3 if roc else 2) as (axes, svg):
        line, bars = axes[0], axes[1]
        line.plot([0, 1], [0, 1], color=LINE, linestyle="--")
        line.plot(data["confidence"], data["right"], "o-", color=BLUE, markersize=4)
        line.set(xlabel="confidence", ylabel="share right", title="calibration", xlim=(0, 1.02), ylim=(0, 1.02))
        bars.bar(data["confidence"], data["count"], width=0.05, color=BLUE, alpha=0.8)
        bars.set(xlabel="confidence", ylabel="rows", title="how sure it is", xlim=(0, 1.04))
        if roc:
            axes[2].plot([0, 1], [0, 1], color=LINE, linestyle="--")
            axes[2].plot(roc["false"], roc["true"], color=BLUE)
            axes[2].set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
    return svg[0]


def predicted_and_true(data: Mapping[str, Any]) -> str:
    """Predicted against true, and residuals against predicted."""
    truth, prediction = np.array(data["truth"], dtype=float), np.array(data["prediction"], dtype=float)
    ends = [min(truth.min(), prediction.min()), max(truth.max(), prediction.max())]
    size, fade = (18, 0.75) if len(truth) < 400 else (6, 0.4)
    with _drawing(8.6, 3.5, 2) as ((left, right), svg):
        left.plot(ends, ends, color=LINE, linestyle="--")
        left.scatter(prediction, truth, s=size, color=BLUE, alpha=fade, linewidths=0)
        left.set(xlabel="predicted mean", ylabel="true", title="predicted and true")
        right.axhline(0, color=LINE, linestyle="--")
        right.scatter(prediction, truth - prediction, s=size, color=ORANGE, alpha=fade, linewidths=0)
        right.set(xlabel="predicted mean", ylabel="true − predicted", title="residuals")
        for ax in (left, right):
            ax.ticklabel_format(style="plain" if max(map(abs, ends)) < 1e7 else "sci", axis="both")
            ax.tick_params(axis="x", rotation=0 if max(map(abs, ends)) < 1e4 else 30)
    return svg[0]


def coverage(data: Mapping[str, Any], transform: Sequence[int]) -> str:
    """Share of rows inside central intervals, and the probability integral transform."""
    with _drawing(8.6, 3.2, 2) as ((left, right), svg):
        left.plot([0, 1], [0, 1], color=LINE, linestyle="--")
        left.plot(data["level"], data["share"], "o-", color=BLUE, markersize=4)
        left.set(xlabel="interval's probability", ylabel="share of rows inside", title="coverage")
        width = 1 / len(transform)
        right.bar((np.arange(len(transform)) + 0.5) * width, transform, width * 0.92, color=BLUE, alpha=0.8)
        right.axhline(sum(transform) / len(transform), color=ORANGE, linestyle="--")
        right.set(xlabel="F(y), the predicted distribution at the truth", ylabel="rows", title="should be flat")
    return svg[0]


def gradient_health(gradients: Sequence[Mapping[str, Any]]) -> str:
    """Scales of activations and of gradients, layer by layer, at points of the training."""
    layers = [str(row["layer"]) for row in gradients[0]["layers"]]
    colours = [GREEN, ORANGE, BLUE]
    with _drawing(8.6, 3.6, 2) as (axes, svg):
        for ax, key, title in (
            (axes[0], "activation", "activations: standard deviation"),
            (axes[1], "gradient", "gradients: root mean square"),
        ):
            for i, seen in enumerate(gradients):
                values = [row.get(key) for row in seen["layers"]]
                drawn = [value if value else math.nan for value in values]
                colour = colours[min(i, 2)] if len(gradients) > 1 else BLUE
                ax.plot(range(len(drawn)), drawn, "o-", color=colour, markersize=4, label=seen["label"])
            ax.set_yscale("log")
            ax.set(title=title, xlabel="layer, from input to output")
            ax.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
            if len(layers) <= 14:
                ax.set_xticks(
                    range(len(layers)),
                    [_short(name.split(".", 1)[-1], 22) for name in layers],
                    rotation=90,
                    fontsize=7.5,
                )
                ax.set_xlabel("")
        axes[0].legend(fontsize=8.5)
    return svg[0]


def strip(metric: Mapping[str, Any]) -> str:
    """A metric as a dot with its interval, and the trivial prediction as a tick, on one line."""
    value, low, high, baseline = (metric.get(key) for key in ("value", "low", "high", "baseline"))
    known = [float(x) for x in (value, low, high, baseline) if x is not None]
    if value is None or not known:
        return ""
    least, most = min(known), max(known)
    span = (most - least) or 1.0

    def at(x: float) -> float:
        return 8 + 184 * (x - least) / span

    parts = ['<svg class="strip" viewBox="0 0 200 20" role="img" aria-label="value, interval and trivial prediction">']
    parts.append('<line x1="4" x2="196" y1="10" y2="10" stroke="var(--line)"/>')
    if baseline is not None:
        parts.append(
            f'<line x1="{at(baseline):.1f}" x2="{at(baseline):.1f}" y1="3" y2="17" stroke="var(--orange)" stroke-width="2.5"/>'
        )
    if low is not None and high is not None:
        parts.append(
            f'<line x1="{at(low):.1f}" x2="{at(high):.1f}" y1="10" y2="10" stroke="var(--blue)" stroke-width="4" '
            'stroke-linecap="round" opacity="0.45"/>'
        )
    parts.append(f'<circle cx="{at(value):.1f}" cy="10" r="4.5" fill="var(--blue)"/></svg>')
    return "".join(parts)


def _short(text: str, longest: int = LONGEST_LABEL) -> str:
    # A dollar sign would begin mathematics in matplotlib.
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return text.replace("$", r"\$")
