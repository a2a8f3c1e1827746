"""New kinds of x: a sheet of types, a map of the known with the new among them, and how the iteration came to rest."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trine.domains import Image, Series
from trine.errors import ChoiceError
from trine.estimators.new_kinds import NEVER, Novelty
from trine.evaluation.kinds import Kind
from trine.report.figures import _canvas
from trine.report.figures._canvas import label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, SOFT, LINE, PAPER = "#1b2430", "#5a6676", "#d5dbe3", "#ffffff"
NEW = "#cf5f0a"
COLOURS = (
    "#4878a8", "#6aa56e", "#8d7cc0", "#4fa8b5", "#b08a5a", "#a0637f", "#7f9a3c", "#5f6fbf", "#3d8f7a", "#9a8f6a",
    "#7d93ab", "#b57fa8",
)  # fmt: skip
"""Of known classes; none is the orange of what is new."""
ACROSS, TILE, GAP, HEAD = 12, 44, 4, 24
"""Objects of a type in the sheet; pixels of an object, between two, and of a line of text."""
SHOWN = 40
"""Types in a sheet."""
DOTS_PER_INCH = 100


def drawable(model: Novelty) -> bool:
    return isinstance(_only(model), Image | Series) and bool(model.types_)


def _only(model: Novelty) -> Any:
    domains = list(model.schema_.x.values())
    return domains[0] if len(domains) == 1 else None


def tiles(model: Novelty, kind: Kind, count: int) -> list[NDArray[np.uint8]]:
    """(tile, tile, 3) pictures of the first objects of a type; ink dark on paper."""
    domain = _only(model)
    values = model.values_of_type(kind)
    values = values if not isinstance(values, Mapping) else next(iter(values.values()))
    return [_tile(domain, value, bool(model.ink_)) for value in values[:count]]


def _tile(domain: Any, value: Any, ink: bool) -> NDArray[np.uint8]:
    if isinstance(domain, Series):
        return _line(np.asarray(value, dtype=np.float64), domain.channels_first)
    from PIL import Image as Picture

    raw = (np.asarray(value, dtype=np.float64) - domain.black) / (domain.white - domain.black)
    pixels = (255 * raw.clip(0, 1)).round().astype(np.uint8)
    pixels = 255 - pixels if ink else pixels
    shown = Picture.fromarray(pixels).convert("RGB")
    way = Picture.Resampling.BOX if min(pixels.shape[:2]) > TILE else Picture.Resampling.NEAREST
    return np.asarray(shown.resize((TILE, TILE), way))


def _line(series: NDArray[np.float64], channels_first: bool) -> NDArray[np.uint8]:
    """A series as a line, its own range filling the tile."""
    from PIL import Image as Picture
    from PIL import ImageDraw

    steps = series[:, None] if series.ndim == 1 else series.T if channels_first else series
    tile = Picture.new("RGB", (4 * TILE, 4 * TILE), PAPER)
    draw = ImageDraw.Draw(tile)
    low, span = steps.min(), max(float(np.ptp(steps)), 1e-12)
    for c in range(steps.shape[1]):
        x = np.linspace(10, 4 * TILE - 10, len(steps))
        y = 4 * TILE - 14 - (4 * TILE - 28) * (steps[:, c] - low) / span
        draw.line([(float(a), float(b)) for a, b in zip(x, y, strict=True)], fill=COLOURS[c % len(COLOURS)], width=7)
    return np.asarray(tile.resize((TILE, TILE), Picture.Resampling.LANCZOS))


def contact_sheet(model: Novelty, path: str | os.PathLike[str], types: int = SHOWN) -> Path:
    """A card for each type, its objects from the centre outwards: a PNG.

    Raises:
        ChoiceError: x is neither one picture nor one series.
    """
    if not drawable(model):
        raise ChoiceError("A sheet of types shows pictures or series, and x is another thing; see types.csv.")
    shown = model.types_[:types]
    columns = 2 if len(shown) > 4 else 1
    rows = -(-len(shown) // columns)
    card = (ACROSS * (TILE + GAP) - GAP, HEAD + TILE + 20)
    edge, between = 28, 44
    width = 2 * edge + columns * card[0] + (columns - 1) * between
    height = 2 * edge + rows * card[1] - 20
    canvas = np.full((height, width, 3), 255, dtype=np.uint8)
    texts = []
    for i, kind in enumerate(shown):
        x = edge + (i // rows) * (card[0] + between)
        y = edge + (i % rows) * card[1]
        texts.append((x, y + HEAD - 8, kind))
        for j, tile in enumerate(tiles(model, kind, ACROSS)):
            left, top = x + j * (TILE + GAP), y + HEAD
            canvas[top : top + TILE, left : left + TILE] = tile
            frame = np.array([213, 219, 227], dtype=np.uint8)
            canvas[top, left : left + TILE] = canvas[top + TILE - 1, left : left + TILE] = frame
            canvas[top : top + TILE, left] = canvas[top : top + TILE, left + TILE - 1] = frame
    with _styled() as new_figure:
        drawn = new_figure(width / DOTS_PER_INCH, height / DOTS_PER_INCH)
        drawn.figimage(canvas)
        for x, y, kind in texts:
            drawn.text(x / width, 1 - y / height, kind.name, fontsize=12, weight="bold", color=NEW)
            drawn.text((x + 15 + 11 * len(kind.name)) / width, 1 - y / height, said(kind), fontsize=8, color=SOFT)
        return _save(drawn, path, colours=48)


def said(kind: Kind) -> str:
    """A type in one line."""
    parts = [f"{kind.size} objects"]
    near = f"{kind.distance:.1f} × the spacing"
    if kind.nearest is not None:
        known = kind.nearest == NEVER
        parts.append(f"{near} from the known" if known else f"{near} from {label(kind.nearest, 14)}, the nearest")
    if kind.taken_for is not None and kind.probability is not None:
        parts.append(f"taken for {label(kind.taken_for, 14)} ({kind.probability:.0%})")
    return " · ".join(parts)


def map_picture(model: Novelty, path: str | os.PathLike[str]) -> Path:
    """The known rows by class, and the new among them: a PNG; types of pictures stand at their place."""
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    known, new = model.map_
    names, codes = model._known_classes()
    with _styled() as new_figure:
        drawn = new_figure(10.4, 8.4)
        ax = drawn.add_axes((0.02, 0.07, 0.96, 0.91))
        for c in range(len(names)):
            own = known[codes == c]
            colour = COLOURS[c % len(COLOURS)]
            ax.scatter(
                own[:, 0],
                own[:, 1],
                s=11,
                color=colour,
                alpha=0.7,
                linewidths=0,
            )
        ax.scatter(new[:, 0], new[:, 1], s=8, color=NEW, alpha=0.5, linewidths=0)
        if len(names) > 1 and names != [NEVER]:
            for c, name in enumerate(names):
                place = _middle(known[codes == c])
                ax.text(
                    *place, label(name, 12), fontsize=14, weight="bold", color=PAPER, ha="center", va="center", zorder=9,
                    bbox={"boxstyle": "round,pad=0.22", "facecolor": COLOURS[c % len(COLOURS)], "edgecolor": PAPER},
                )  # fmt: skip
        taken: list[NDArray[np.float64]] = []
        for kind in model.types_:
            place = _middle(new[list(kind.members)])
            if any(np.abs(place - other).max() < 0.034 for other in taken):
                continue  # one upon another shows neither
            taken.append(place)
            if drawable(model):
                picture = OffsetImage(tiles(model, kind, 1)[0], zoom=0.52, interpolation="nearest", resample=True)
                box = {"edgecolor": NEW, "linewidth": 1.1, "boxstyle": "round,pad=0.06", "facecolor": PAPER}
                ax.add_artist(AnnotationBbox(picture, (float(place[0]), float(place[1])), pad=0.0, bboxprops=box))
            else:
                box = {"boxstyle": "round,pad=0.25", "facecolor": PAPER, "edgecolor": NEW, "linewidth": 1.1}
                ax.text(*place, kind.name, fontsize=9, weight="bold", color=NEW, ha="center", va="center", bbox=box)
        ax.set_aspect("equal", adjustable="datalim")
        ax.margins(0.03)
        ax.axis("off")
        shown = "Known rows in colours, by class" if names != [NEVER] else "Known rows in blue"
        framed = "framed, one object of each type" if drawable(model) else "framed, the types' names"
        drawn.text(
            0.5, 0.025, f"{shown}; new objects in orange; {framed}.   (t-SNE)", fontsize=10, color=SOFT, ha="center"
        )
        return _save(drawn, path, colours=224)


def _middle(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """The place with the least distance to the others, which lies among them where a mean may not."""
    some = places[:200]
    found: NDArray[np.float64] = some[np.abs(some[:, None] - some[None]).sum((1, 2)).argmin()]
    return found


class _styled:
    """Within, what makes figures in this module's style, without a window and without a state of matplotlib's."""

    def __enter__(self) -> Any:
        import matplotlib

        self.context = matplotlib.rc_context({"font.family": "DejaVu Sans", "text.color": INK})
        self.context.__enter__()
        return self._figure

    def __exit__(self, *raised: Any) -> None:
        self.context.__exit__(*raised)

    def _figure(self, width: float, height: float) -> Figure:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        made = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor=PAPER)
        FigureCanvasAgg(made)
        return made


def _save(drawn: Figure, path: str | os.PathLike[str], colours: int) -> Path:
    """As a PNG of few colours, a quarter of the bytes."""
    from PIL import Image as Picture

    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    picture = (
        Picture.open(buffer).convert("RGB").quantize(colours, Picture.Quantize.MEDIANCUT, dither=Picture.Dither.NONE)
    )
    picture.save(path, optimize=True)
    return Path(path)


def trace_figure(trace: Sequence[Mapping[str, float]]) -> str:
    """How the iteration came to rest."""
    with _canvas.drawing("From noise to fixed points", (8.8, 2.6)) as done:
        ax = done.ax
        steps = np.arange(1, len(trace) + 1)
        change = np.array([max(step["change"], 1e-7) for step in trace])
        ax.semilogy(steps, change, color=_canvas.BLUE)
        ax.set(xlabel="step", ylabel="mean change of an object", xlim=(1, max(len(trace), 2)))
        ax.yaxis.label.set_color(_canvas.BLUE)
        beside = ax.twinx()
        beside.plot(steps, [100 * step["fixed"] for step in trace], color=_canvas.ORANGE)
        beside.set(ylabel="fixed, %", ylim=(0, 102))
        beside.yaxis.label.set_color(_canvas.ORANGE)
        beside.grid(False)
        beside.tick_params(colors=_canvas.SOFT)
    return done.svg
