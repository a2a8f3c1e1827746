"""Two distributions, and what each divergence sees of them: a file of twelve panels."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trine.divergences import Comparison, Profile
from trine.errors import ChoiceError
from trine.report._template import require

from ._canvas import label

INK, SOFT, LINE, PAPER = "#1c2733", "#5b6875", "#d9dfe5", "#ffffff"
P, Q, SEEN = "#2460a7", "#cf5f0a", "#21845a"
FORMATS = (".png", ".svg", ".pdf")

UNORDERED = {
    "wasserstein": "½ |p − q|",
    "wasserstein2": "½ |p − q|",
    "cramer": "½ (p − q)²",
    "mmd": "witness, p − q",
}
"""What is drawn of categories without an order, which are equally far apart."""
DECADES = 3.0
"""From so many powers of ten on χ²'s integrand is drawn on a logarithmic axis."""

# (divergence, title, what is drawn) in the order of the panels, after both densities.
PANELS = (
    ("kl", "KL(p ‖ q)", "p log p/q"),
    ("reverse_kl", "KL(q ‖ p)", "q log q/p"),
    ("js", "Jensen-Shannon", "½ p log p/m + ½ q log q/m"),
    ("tv", "Total variation", "½ |p − q|"),
    ("hellinger", "Hellinger, squared", "½ (√p − √q)²"),
    ("chi2", "χ² (Pearson)", "(p − q)² / q"),
    ("renyi", "Rényi", "p^α q^(1−α), the overlap"),
    ("wasserstein", "Wasserstein, W₁", "F and G, and the area between"),
    ("wasserstein2", "Wasserstein, W₂²", "where the mass of p goes"),
    ("cramer", "Cramér", "(F − G)²"),
    ("mmd", "MMD²", "witness, E k(X, x) − E k(Y, x)"),
)


def check_format(path: Path) -> None:
    """Refuse a path that no figure is written to.

    Raises:
        ChoiceError: its ending is none of those known, its directory does not exist, or matplotlib is not installed.
    """
    require("A figure", "matplotlib")
    if path.suffix.lower() not in FORMATS:
        raise ChoiceError(f"--out {path} ends in none of {', '.join(FORMATS)}; a figure is written in one of these.")
    if not path.parent.is_dir():
        raise ChoiceError(f"--out {path}: there is no directory {path.parent}; make it first.")


def draw_divergences(
    path: Path, seen: Profile, found: Mapping[str, Comparison | None], names: tuple[str, str], alpha: float = 0.5
) -> None:
    """Write the figure.

    Args:
        path: ``.png``, ``.svg`` or ``.pdf``.
        seen: of p and q.
        found: divergence → its value; those that are missing or None are not drawn.
        names: how p and q are called.
        alpha: the order of Rényi's divergence, for its title.

    Raises:
        ChoiceError: another ending of ``path``, or no such directory.
    """
    check_format(path)
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context(_style()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        known = [panel for panel in PANELS if found.get(panel[0]) is not None]
        columns = min(4, len(known) + 1) if len(known) not in (4, 5) else 3
        rows = math.ceil((len(known) + 1) / columns)
        engine = ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.09)
        figure = Figure(figsize=(3.3 * columns, 2.87 * rows), layout=engine)
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, squeeze=False).flatten()
        _densities(axes[0], seen, names)
        for ax, (name, title, drawn) in zip(axes[1:], known, strict=False):
            shown = f"Rényi, order {alpha:g}" if name == "renyi" else title
            ax.set_title(f"{shown} = {_written(found[name])}", color=INK)
            _panel(ax, name, drawn, seen)
        for ax in axes[len(known) + 1 :]:
            ax.set_visible(False)
        if path.suffix.lower() != ".png":
            figure.savefig(path)
            return
        figure.savefig(path, dpi=110, metadata={"Software": None})
        smaller(path)


def smaller(path: Path) -> None:
    """The picture in 128 colours, which is all that it has but for the edges of lines: a third of the bytes."""
    from PIL import Image

    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def _panel(ax: Any, name: str, drawn: str, seen: Profile) -> None:
    ax.set_ylabel(drawn)
    if name in ("wasserstein", "wasserstein2") and seen.ordered:
        (_functions if name == "wasserstein" else _transport)(ax, seen)
        return
    if not seen.ordered:
        drawn = UNORDERED.get(name, drawn)
        ax.set_ylabel(drawn)
    values = seen.witness if name == "mmd" else seen.sees[name]
    infinite = ~np.isfinite(values)
    values = np.where(infinite, np.nan, values)
    top, bottom = _reach(_evenly(seen, values))
    logarithmic = name == "chi2" and _decades(values) > DECADES
    if seen.kind == "line":
        held = values if logarithmic else np.clip(values, 2 * bottom, 2 * top)
        ax.fill_between(seen.x, 0, np.where(held > 0, held, 0), color=SEEN, alpha=0.25, linewidth=0)
        ax.fill_between(seen.x, 0, np.where(held < 0, held, 0), color=Q, alpha=0.25, linewidth=0)
        ax.plot(seen.x, held, color=SEEN, linewidth=1.3)
        if infinite.any():
            ax.fill_between(seen.x, 0, top, where=infinite, color=SEEN, alpha=0.12, linewidth=0, hatch="////")
    else:
        ax.bar(seen.x, np.nan_to_num(values), width=0.8, color=np.where(np.nan_to_num(values) < 0, Q, SEEN), alpha=0.75)
    ax.axhline(0, color=LINE, linewidth=1.0, zorder=0)
    ax.set_ylim(bottom * 1.08, top * 1.12)
    _plain(ax, whole=seen.kind != "line")
    if logarithmic:
        # Where q has almost nothing the ratio has many digits.
        ax.set_yscale("log")
        ax.set_ylim(1e-6, min(float(np.nanmax(values)) * 10, 1e12))
        ax.set_ylabel(f"{drawn}, logarithmic")


def _decades(values: np.ndarray) -> float:
    """How far the largest is above the middle one, as a power of ten."""
    known = values[np.isfinite(values) & (values > 0)]
    return float(np.log10(known.max()) - np.log10(np.median(known))) if len(known) else 0.0


def _evenly(seen: Profile, values: np.ndarray) -> np.ndarray:
    """The values at even steps, where the profile looks closely at narrow places."""
    if seen.kind != "line":
        return values
    even: np.ndarray = np.interp(np.linspace(seen.x[0], seen.x[-1], 1000), seen.x, values)
    return even


def _reach(values: np.ndarray) -> tuple[float, float]:
    """The axis' ends: all of it, but for a far tail that would press the rest together."""
    known = values[np.isfinite(values)]
    if not len(known) or not np.abs(known).max():
        return 1.0, 0.0
    top, low = float(known.max()), float(known.min())
    usual = float(np.quantile(np.abs(known), 0.9))
    top = min(top, 12 * usual) if usual > 0 and top > 60 * usual else top
    return max(top, 1e-300), min(low, 0.0)


def _densities(ax: Any, seen: Profile, names: tuple[str, str]) -> None:
    ax.set_title("p and q", color=INK)
    top = max(_crest(_evenly(seen, values)) for values in (seen.p, seen.q))
    for values, colour, name, side in ((seen.p, P, names[0], -0.2), (seen.q, Q, names[1], 0.2)):
        text = label(name, 30)
        if seen.kind == "line":
            held = np.minimum(values, 2 * top)
            ax.fill_between(seen.x, 0, held, color=colour, alpha=0.16, linewidth=0)
            ax.plot(seen.x, held, color=colour, linewidth=1.6, label=text)
        else:
            ax.bar(seen.x + side, values, width=0.4, color=colour, alpha=0.85, label=text)
    ax.set_ylim(0, top * 1.42)
    ax.set_ylabel("density" if seen.kind == "line" else "probability")
    ax.legend(loc="upper left", handlelength=1.2)
    _plain(ax, whole=seen.kind != "line")


def _crest(values: np.ndarray) -> float:
    """The highest that is drawn: a density that is infinite at an end is cut off."""
    known = values[np.isfinite(values)]
    usual = float(np.quantile(known, 0.97)) if len(known) else 1.0
    most = float(known.max())
    return 2 * usual if usual > 0 and most > 20 * usual else most


def _functions(ax: Any, seen: Profile) -> None:
    step = {"step": "post"} if seen.kind != "line" else {}
    drawstyle = "steps-post" if seen.kind != "line" else "default"
    ax.fill_between(seen.x, seen.below_p, seen.below_q, color=SEEN, alpha=0.25, linewidth=0, **step)
    ax.plot(seen.x, seen.below_p, color=P, linewidth=1.6, drawstyle=drawstyle)
    ax.plot(seen.x, seen.below_q, color=Q, linewidth=1.6, drawstyle=drawstyle)
    ax.set_ylim(-0.03, 1.05)
    ax.set_ylabel("F and G, the area between")
    _plain(ax, whole=seen.kind != "line")


def _transport(ax: Any, seen: Profile) -> None:
    """Some quantiles of p above, where they go below."""
    shown = np.linspace(12, len(seen.levels) - 13, 28).astype(int)
    for i in shown:
        ax.plot([seen.at_p[i], seen.at_q[i]], [1, 0], color=SEEN, alpha=0.45, linewidth=0.9)
    for at, y, colour, values in ((seen.at_p, 1.0, P, seen.p), (seen.at_q, 0.0, Q, seen.q)):
        ax.scatter(at[shown], np.full(len(shown), y), color=colour, s=9, zorder=3, linewidths=0)
        crest = _crest(_evenly(seen, values))
        high = np.minimum(values, crest) / crest * 0.38
        if seen.kind == "line":
            sign = 1 if y else -1
            ax.fill_between(seen.x, y + sign * 0.05, y + sign * (0.05 + high), color=colour, alpha=0.25, linewidth=0)
        else:
            bottom = y + 0.05 if y else y - 0.05 - high
            ax.bar(seen.x, high, width=0.8, bottom=bottom, color=colour, alpha=0.25)
    ax.set(yticks=[0, 1], yticklabels=["q", "p"], ylim=(-0.5, 1.5))
    ax.grid(axis="y", visible=False)
    _plain(ax, whole=seen.kind != "line")


def _written(found: Comparison | None) -> str:
    assert found is not None
    return "∞" if math.isinf(float(found)) else f"{float(found):.4g}"


def _plain(ax: Any, *, whole: bool = False) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(5, integer=whole))
    if len(ax.get_yticks()) > 3:
        ax.yaxis.set_major_locator(MaxNLocator(5))


def _style() -> Any:
    return {
        "figure.facecolor": PAPER,
        "font.family": "DejaVu Sans",
        "font.size": 9.0,
        "svg.hashsalt": "trine",
        "text.color": INK,
        "axes.facecolor": PAPER,
        "axes.edgecolor": LINE,
        "axes.labelcolor": SOFT,
        "axes.labelsize": 8.4,
        "axes.titlesize": 10.0,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.xmargin": 0.01,
        "axes.formatter.useoffset": False,
        "axes.formatter.limits": (-4, 5),
        "grid.color": LINE,
        "grid.linewidth": 0.6,
        "xtick.color": LINE,
        "ytick.color": LINE,
        "xtick.labelcolor": SOFT,
        "ytick.labelcolor": SOFT,
        "xtick.labelsize": 8.0,
        "ytick.labelsize": 8.0,
        "legend.frameon": False,
        "legend.fontsize": 8.2,
        "legend.labelcolor": INK,
    }
