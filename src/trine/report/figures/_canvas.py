"""One style for all figures, and matplotlib's SVG made part of the page."""

from __future__ import annotations

import hashlib
import io
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that nothing else has: in the SVG they become the page's variables, so that a figure follows its scheme.
INK, SOFT, LINE, BLUE, ORANGE, GREEN, PAPER = (f"#0102{i:02x}" for i in range(3, 10))
_VARIABLES = {INK: "ink", SOFT: "soft", LINE: "line", BLUE: "blue", ORANGE: "orange", GREEN: "green", PAPER: "paper"}
PANEL = (4.4, 3.1)
"""Inches of a panel: two stand side by side on a desk, one fills a phone."""
WIDEST = 118
"""Pixels an inch becomes at most."""
LONGEST_LABEL = 18


class Drawing:
    """Axes to draw on, and the SVG when the drawing is done."""

    def __init__(self, axes: Sequence[Axes]) -> None:
        self.axes = axes
        self.svg = ""

    @property
    def ax(self) -> Axes:
        """The first of the axes."""
        return self.axes[0]


@contextmanager
def drawing(title: str, size: tuple[float, float] = PANEL) -> Iterator[Drawing]:
    """A figure of one panel; ``svg`` is there after the block.

    Args:
        title: above the axes, and what a screen reader says. size: inches.
    """
    with row_of([title], size) as done:
        yield done


@contextmanager
def row_of(titles: Sequence[str], size: tuple[float, float], across: int | None = None) -> Iterator[Drawing]:
    """A figure of panels side by side, in rows of ``across`` (by default all in one); ``svg`` is there after the block.

    Args:
        titles: above the axes, one each. size: inches of all.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # Fonts of the page may have glyphs that the font used for measuring lacks.
    with matplotlib.rc_context(_style()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=size)
        FigureCanvasSVG(figure)
        across = across or len(titles)
        axes = [figure.add_subplot(-(-len(titles) // across), across, i + 1) for i in range(len(titles))]
        for ax, title in zip(axes, titles, strict=True):
            ax.set_facecolor("none")
            ax.set_title(label(title, 80))
        done = Drawing(axes)
        yield done
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
        done.svg = _inline(buffer.getvalue(), ", ".join(titles), size[0])


def label(text: Any, longest: int = LONGEST_LABEL) -> str:
    """Text for a figure: shortened in the middle, and never taken for mathematics."""
    short = " ".join(str(text).split())
    if len(short) > longest:
        head = math.ceil((longest - 1) / 2)
        short = short[:head] + "…" + short[len(short) - (longest - 1 - head) :]
    return short.replace("$", r"\$")


def _style() -> Any:
    """Matplotlib's settings for all figures."""
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": "trine",
        "font.family": "DejaVu Sans",
        "font.size": 9.0,
        "text.color": INK,
        "axes.edgecolor": LINE,
        "axes.labelcolor": SOFT,
        "axes.labelsize": 8.6,
        "axes.titlecolor": INK,
        "axes.titlesize": 10.0,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.formatter.useoffset": False,
        "grid.color": LINE,
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.8,
        "xtick.color": LINE,
        "ytick.color": LINE,
        "xtick.labelcolor": SOFT,
        "ytick.labelcolor": SOFT,
        "xtick.labelsize": 8.2,
        "ytick.labelsize": 8.2,
        "legend.frameon": False,
        "legend.fontsize": 8.2,
        "legend.labelcolor": INK,
        "figure.constrained_layout.use": True,
    }


def _inline(svg: str, title: str, inches: float) -> str:
    """The SVG element alone: colours as variables, the page's font, identifiers of its own, no reference to outside."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s+xmlns(:\w+)?=\"[^\"]*\"", "", svg).replace("xlink:href", "href")
    for colour, name in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{name})")
    svg = re.sub(r"(font:[^;\"]*?px)\s+[^;\"]*", r"\1 var(--sans)", svg)
    svg = re.sub(r"font-family:[^;\"]*", "font-family: var(--sans)", svg)
    mark = "f" + hashlib.sha256(svg.encode()).hexdigest()[:10] + "-"
    svg = re.sub(r'(\bid="|\bhref="#|url\(#)', rf"\g<1>{mark}", svg)
    name = title.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
    # It fills the width there is, but its text grows no larger than the page's.
    attributes = f'role="img" aria-label="{name}" style="max-width: {inches * WIDEST:.0f}px"'
    return svg.replace("<svg", f"<svg {attributes}", 1)
