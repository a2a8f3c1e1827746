"""How the criterion fell, and how large the steps were."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trine.evaluation import figure
from trine.report.figures._canvas import BLUE, GREEN, ORANGE, SOFT, drawing, label

HIGHEST = 4.0
"""A curve's start may lie so many times the later range above it before the axis leaves it out."""


def learning_curve(history: Sequence[Mapping[str, Any]]) -> str:
    """The criterion by epoch, on the training rows and on those that decide when to stop; the kept epoch is marked."""
    from matplotlib.ticker import MaxNLocator

    epochs = [int(record["epoch"]) for record in history]
    train = np.array([_number(record.get("train", {}).get("loss")) for record in history])
    held = np.array([_number(record.get("held_out")) for record in history])
    mark = "o" if len(epochs) == 1 else ""
    with drawing("Criterion by epoch") as done:
        ax = done.ax
        if np.isfinite(train).any():
            ax.plot(epochs, train, color=BLUE, marker=mark, label="training rows")
        if np.isfinite(held).any():
            ax.plot(epochs, held, color=ORANGE, marker=mark, label="rows to stop by")
            best = int(np.nanargmin(held))
            ax.plot(epochs[best], held[best], "o", color=ORANGE, markersize=6.5, label=f"kept: epoch {epochs[best]}")
        ax.set(xlabel="epoch", ylabel="L(θ)")
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
        top = _top(np.concatenate([train, held]))
        if top is not None:
            ax.set_ylim(top=top)
        if np.isfinite(train).any() or np.isfinite(held).any():
            ax.legend()
    return done.svg


def term_curves(history: Sequence[Mapping[str, Any]]) -> str:
    """Each term of the criterion by epoch on the training rows, as a share of its greatest value; empty where there is but one."""
    from matplotlib.ticker import MaxNLocator

    names = [name for name in (history[0].get("train") or {} if history else {}) if name != "loss"]
    if len(names) < 2 or len(history) < 2:
        return ""
    epochs = [int(record["epoch"]) for record in history]
    with drawing("Each term by epoch") as done:
        ax = done.ax
        for i, name in enumerate(names):
            values = np.array([_number((record.get("train") or {}).get(name)) for record in history])
            finite = values[np.isfinite(values)]
            if not len(finite) or not (most := float(np.abs(finite).max())):
                continue
            colour = (BLUE, ORANGE, GREEN, SOFT)[i % 4]
            style = "-" if i < 4 else "--"
            ax.plot(epochs, values / most, style, color=colour, label=f"{label(name, 24)}, at last {finite[-1]:.3g}")
        ax.set(xlabel="epoch", ylabel="share of its greatest")
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.13 * len(names) * (high - low))
        if ax.lines:
            ax.legend(loc="upper right")
    return done.svg


def score_curve(history: Sequence[Mapping[str, Any]], score: Mapping[str, Any]) -> str:
    """The score of samples by epoch, on a logarithmic scale, above what true rows have; the kept epoch is marked. Empty where none
    was taken.

    Args:
        history: ``epoch``, ``held_out`` of each epoch, and ``held_out_error``, drawn as a band, where there is one.
        score: ``name``, ``floor``, ``rows``.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    epochs = np.array([int(record["epoch"]) for record in history])
    values = np.array([_number(record.get("held_out")) for record in history])
    known = np.isfinite(values) & (values > 0)
    if not known.any():
        return ""
    with drawing("Samples against held-out rows, by epoch") as done:
        ax = done.ax
        ax.plot(epochs[known], values[known], color=BLUE, marker="o" if known.sum() == 1 else "", label="samples")
        errors = np.array([_number(record.get("held_out_error")) for record in history])
        if np.isfinite(errors[known]).any() and known.sum() > 1:
            errors = np.nan_to_num(errors)
            ax.fill_between(
                epochs[known],
                np.maximum(values - errors, values / 2)[known],
                (values + errors)[known],
                color=BLUE,
                alpha=0.2,
            )
        best = int(np.flatnonzero(known)[np.argmin(values[known])])
        ax.plot(
            epochs[best],
            values[best],
            "o",
            color=BLUE,
            markersize=6.5,
            label=f"kept: epoch {epochs[best]}, {figure(values[best])}",
        )
        if (floor := _number(score.get("floor"))) > 0:
            ax.axhline(floor, color=ORANGE, linestyle=(0, (4, 2.5)), label=f"as many true rows: {figure(floor)}")
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        ax.set_ylim(low, high * (high / low) ** 0.35)
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.set(xlabel="epoch", ylabel=label(score.get("name", "score"), 40))
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        ax.legend(loc="upper right")
    return done.svg


def game_curves(history: Sequence[Mapping[str, Any]]) -> str:
    """What generator and critics descend, by epoch; empty where there is no critic."""
    from matplotlib.ticker import MaxNLocator

    names = [name for name in (history[0].get("train") or {} if history else {}) if name != "loss"]
    if not any(name.endswith(".critic") for name in names):
        return ""
    played = [name.removesuffix(".critic") for name in names if name.endswith(".critic")]
    shown = [name for name in names if name.removesuffix(".critic") in played]
    epochs = [int(record["epoch"]) for record in history]
    with drawing("Losses of generator and critic") as done:
        ax = done.ax
        for name in shown:
            values = np.array([_number((record.get("train") or {}).get(name)) for record in history])
            critic = name.endswith(".critic")
            game = f" ({label(name.removesuffix('.critic'), 16)})" if len(played) > 1 else ""
            style = ("-", "--", ":")[min(played.index(name.removesuffix(".critic")), 2)]
            mark = "o" if len(epochs) == 1 else ""
            ax.plot(
                epochs,
                values,
                style,
                marker=mark,
                color=ORANGE if critic else BLUE,
                label=("critic" if critic else "generator") + game,
            )
        ax.set(xlabel="epoch", ylabel="loss")
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.1 * max(len(shown), 2) * (high - low))
        ax.legend(loc="upper right", ncols=2 if len(shown) > 2 else 1)
    return done.svg


def step_sizes(log: Sequence[Mapping[str, Any]]) -> str:
    """Step size and gradient norm by step, each relative to its greatest; empty where neither was logged."""
    from matplotlib.ticker import MaxNLocator

    curves = []
    for name, text, colour in (("step_size", "step size", BLUE), ("grad_norm", "gradient norm", GREEN)):
        points = [(line["step"], _number(line[name])) for line in log if line.get(name) is not None and "step" in line]
        points = [point for point in points if math.isfinite(point[1])]
        if len(points) > 1 and max(value for _, value in points) > 0:
            curves.append((text, colour, *np.array(points, dtype=np.float64).T))
    if not curves:
        return ""
    with drawing(" and ".join(text for text, *_ in curves).capitalize()) as done:
        for text, colour, steps, values in curves:
            most = float(values.max())
            done.ax.plot(steps, values / most, color=colour, linewidth=1.4, label=f"{text}, at most {most:.3g}")
        done.ax.set(xlabel="step", ylabel="share of the greatest", ylim=(0, 1.32), yticks=[0, 0.25, 0.5, 0.75, 1])
        done.ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        done.ax.legend(loc="upper left", ncols=1)
    return done.svg


def _top(values: Any) -> float | None:
    """Where the axis ends, if a few early values would press all others together."""
    values = values[np.isfinite(values)]
    if len(values) < 8:
        return None
    low, middle, high = np.quantile(values, [0.0, 0.9, 1.0])
    return float(middle + 0.5 * (middle - low)) if high - low > HIGHEST * (middle - low) > 0 else None


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
