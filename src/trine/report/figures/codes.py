"""The plane of codes, and what each number of a code tells."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trine.report.figures._canvas import BLUE, SOFT, drawing, label

COLOURS = ("#3b7dd8", "#e07b1f", "#2f9e63", "#d1495b", "#8a63d2", "#9c6b3f", "#d65db1", "#7f8c8d", "#b3a11a", "#1fa3b8")
"""Of labels; of a middling lightness, so that they stand out on white and on black."""
GREY = "#8a94a0"
"""Of labels beyond those."""
MOST_LABELS = 10
SHOWN = 24
"""Most numbers of a code that have a bar."""


def code_plane(plane: Mapping[str, Any]) -> str:
    """Codes as points, coloured by label where there is one; the rarest labels share a grey."""
    points = np.asarray(plane["points"], dtype=np.float64)
    labels = plane.get("labels")
    size = float(np.clip(2600 / max(len(points), 1), 4, 26))
    title = "The plane of codes" if plane["how"] == "codes" else f"Map of the codes ({plane['how']})"
    with drawing(title, (8.8, 5.6)) as done:
        ax = done.ax
        if labels is None:
            ax.scatter(points[:, 0], points[:, 1], s=size, color=BLUE, alpha=0.6, linewidths=0)
        else:
            names = np.array(labels, dtype=object)
            common = [name for name, _ in Counter(labels).most_common(MOST_LABELS)]
            common.sort()
            rest = ~np.isin(names, common)
            if rest.any():
                ax.scatter(
                    points[rest, 0], points[rest, 1], s=size, color=SOFT, alpha=0.35, linewidths=0, label="others"
                )
            for name, colour in zip(common, COLOURS, strict=False):
                own = names == name
                ax.scatter(
                    points[own, 0], points[own, 1], s=size, color=colour, alpha=0.75, linewidths=0, label=label(name)
                )
            legend = ax.legend(
                loc="center left", bbox_to_anchor=(1.01, 0.5), title=label(plane.get("label", "")), markerscale=1.6
            )
            legend.get_title().set_fontsize(8.6)
        if plane["how"].startswith("codes"):
            ax.set(xlabel="first number of the code", ylabel="second number" if plane["how"] == "codes" else "")
        else:
            ax.set(xticks=[], yticks=[])
        ax.set_box_aspect(0.75)
    return done.svg


def code_field(field: Mapping[str, Any]) -> str:
    """A column over the plane of codes, a pixel a code, as a data URI: the bluer, the higher; of labels each in its colour."""
    from PIL import Image

    if "levels" in field:
        levels = np.clip(np.asarray(field["levels"], dtype=np.float64), 0, 1)
        pixels = np.broadcast_to(np.array([36, 96, 167, 0]), (*levels.shape, 4)).astype(np.uint8)
        pixels[..., 3] = np.rint(240 * levels)
    else:
        colours = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] + [215] for colour in (*COLOURS, GREY)])
        places = np.minimum(np.asarray(field["codes"], dtype=np.int64), len(COLOURS))
        pixels = colours[places].astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def code_information(rows: Sequence[Mapping[str, Any]], shaped: bool) -> str:
    """A bar for each number of a code, those that tell most first."""
    shown = list(rows)[:SHOWN]
    with drawing("What each number of a code tells of x", (8.8, 2.8)) as done:
        ax = done.ax
        places = np.arange(len(shown))
        ax.bar(places, [row["nats"] for row in shown], color=BLUE, width=0.72)
        ax.set_xticks(places, [str(row["number"]) for row in shown])
        more = f" (the first {SHOWN} of {len(rows)})" if len(rows) > SHOWN else ""
        ax.set(xlabel=f"number of the code{more}", ylabel="nats" if shaped else "nats, from the variance")
        room = max(4 - len(shown), 0) / 2  # a bar or two would fill the figure
        ax.set_xlim(-0.7 - room, len(shown) - 0.3 + room)
    return done.svg
