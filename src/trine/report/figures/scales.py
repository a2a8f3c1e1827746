"""Scales of activations and gradients, layer by layer and over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trine.report.figures._canvas import BLUE, GREEN, ORANGE, drawing, label

NAMED = 30
"""Layers up to which each has its name beside it; more are numbered."""
TITLES = {"activation": "Activations: standard deviation", "gradient": "Gradients: root mean square"}
LONGEST = 24
MOST_LAYERS = 4
"""Recurrent layers and directions whose gradients over time are drawn."""


def layer_scales(points: Sequence[Mapping[str, Any]], quantity: str) -> str:
    """One curve for each point of the training, on a logarithmic scale; empty where nothing was seen.

    Args:
        points: ``label`` and ``layers``. quantity: ``"activation"`` or ``"gradient"``.
    """
    from matplotlib.ticker import MaxNLocator

    names = _names([str(layer["layer"]) for layer in points[0]["layers"]])
    curves = [[_number(layer.get(quantity)) for layer in point["layers"]] for point in points]
    if not names or not np.isfinite(np.concatenate(curves)).any():
        return ""
    named = len(names) <= NAMED
    size = (4.4, max(2.4, 1.15 + 0.2 * len(names))) if named else (4.4, 3.1)
    colours = [GREEN, ORANGE, BLUE][-len(points) :] or [BLUE]
    with drawing(TITLES[quantity], size) as done:
        ax = done.ax
        for i, (point, values) in enumerate(zip(points, curves, strict=True)):
            style: dict[str, Any] = {"color": colours[min(i, 2)], "markersize": 4.2, "linewidth": 1.3}
            places = range(1, len(values) + 1)
            ax.plot(
                *((values, places) if named else (places, values)),
                "o-" if named else "-",
                label=label(point["label"], LONGEST),
                **style,
            )
        if named:
            ax.set_xscale("log")
            ax.set_yticks(range(1, len(names) + 1), names, fontsize=7.8)
            ax.set_ylim(len(names) + 0.6, 0.4)
            ax.tick_params(axis="y", length=0)
        else:
            ax.set_yscale("log")
            ax.set_xlabel("layer, from input to output")
            ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        _breathe(ax, curves, named=named)
        ax.figure.legend(loc="outside lower left", ncols=min(3, len(points)), columnspacing=1.1, handlelength=1.4)
    return done.svg


def time_scales(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each recurrent layer and direction, of four at most, the gradient with respect to its state at each step: where it
    fades towards the first steps, what happened then is not learned from.

    Args:
        points: ``label`` and ``time``, rows of ``layer``, ``direction`` and ``gradient``, a number a step.
    """
    found: dict[tuple[str, str], list[tuple[str, list[float]]]] = {}
    for point in points:
        for row in point.get("time", ()):
            curve = [_number(value) for value in row["gradient"]]
            found.setdefault((str(row["layer"]), str(row["direction"])), []).append((str(point["label"]), curve))
    drawn = []
    names = _names([layer for layer, _ in found])
    both = any(direction == "back" for _, direction in found)
    for name, ((_, direction), curves) in list(zip(names, found.items(), strict=True))[:MOST_LAYERS]:
        values = [curve for _, curve in curves]
        if not np.isfinite(np.concatenate(values)).any():
            continue
        colours = [GREEN, ORANGE, BLUE][-len(curves) :] or [BLUE]
        way = {"onward": ", onward", "back": ", backward"}[direction] if both else ""
        with drawing(f"Gradients over time: {name}{way}", (4.4, 3.1)) as done:
            ax = done.ax
            for (text, curve), colour in zip(curves, colours, strict=False):
                ax.plot(range(1, len(curve) + 1), curve, color=colour, linewidth=1.3, label=label(text, LONGEST))
            ax.set_yscale("log")
            ax.set(xlabel="step, in the order of reading", ylabel="root mean square")
            _breathe(ax, values, named=False)
            ax.figure.legend(loc="outside lower left", ncols=min(3, len(curves)), columnspacing=1.1, handlelength=1.4)
        drawn.append(done.svg)
    return drawn


def _breathe(ax: Any, curves: Sequence[Sequence[float]], *, named: bool) -> None:
    """At least two decades, so that a factor of two does not look like vanishing."""
    values = np.array([value for curve in curves for value in curve if math.isfinite(value)])
    low, high = np.log10(values.min()), np.log10(values.max())
    middle, half = (low + high) / 2, max((high - low) / 2 * 1.1, 1.0)
    (ax.set_xlim if named else ax.set_ylim)(10 ** (middle - half), 10 ** (middle + half))


def _names(names: list[str]) -> list[str]:
    """The layers' names without what all of them begin with, and no longer than fits: the end tells layers apart."""
    parts = [name.split(".") for name in names]
    common = 0
    while len(names) > 1 and all(len(part) > common + 1 and part[common] == parts[0][common] for part in parts):
        common += 1
    return [label(_end(part[common:]), LONGEST) for part in parts]


def _end(parts: list[str]) -> str:
    while len(parts) > 1 and len(".".join(parts)) > LONGEST:
        parts = parts[1:]
    return ".".join(parts)


def _number(value: Any) -> float:
    """A finite number above zero, for a logarithmic scale; NaN otherwise."""
    return float(value) if value is not None and value > 0 and math.isfinite(value) else math.nan
