"""What novelty found, written into a directory: types, objects, figures, and a page of all."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.errors import RunError
from trine.estimators.new_kinds import NEVER, Novelty
from trine.evaluation import figure
from trine.evaluation.kinds import Kind
from trine.report._template import environment, require
from trine.report.figures.kinds import SHOWN, drawable, said, tiles, trace_figure
from trine.report.figures.kinds import contact_sheet as contact_sheet
from trine.report.figures.kinds import map_picture as map_picture

WORDS = {
    "fixed": ("came to rest", "share of the noise objects that became fixed points of x ← decode(encode(x))"),
    "unique": ("unlike each other", "share of the fixed points that are no copy of another"),
    "coherence": (
        "coherence",
        "mean silhouette of the types' objects: above 0, nearer each other than to any other type",
    ),
    "coherence_of_noise": ("… of noise", "the same of as many groups in the noise that the objects came from"),
    "distance": ("distance", "median, from the nearest known row, in units of the known rows' own spacing"),
    "objectness": (
        "objectness",
        "exp(mean KL(p(y given x) ‖ p(y))) of the classifier: from 1 to the number of classes",
    ),
    "unsure": ("like no class", "share of objects that the classifier gives no class more than one half"),
    "out_of_class_count": ("out of class, count", "share whose probabilities of held-out classes sum to more than 0.9"),
    "out_of_class_max": ("out of class, max", "share with one held-out class above 0.9"),
    "out_of_class_first": ("out of class, likeliest", "share whose likeliest class was held out"),
    "types_taken_for_new": ("types taken for new", "types whose likeliest class, on the mean, was held out"),
    "new_classes_reached": ("new classes reached", "held-out classes that some type is taken for"),
}
SEVERAL = 6
"""Numbers of a vector, a series or a sound that are written out."""
PERCENT = ("fixed", "unique", "unsure", "out_of_class_count", "out_of_class_max", "out_of_class_first")


def require_libraries() -> None:
    """Check that what figures and page are made with is there, before objects are looked for.

    Raises:
        ChoiceError: a library is not installed.
    """
    require("The sheet, map and page of new kinds", "matplotlib", "jinja2")


def write_kinds(model: Novelty, out: str | os.PathLike[str]) -> dict[str, Path]:
    """Write all that was found into a directory.

    ``types.json`` and ``types.csv`` (the types with their scores), ``types.png`` and ``map.png``, ``objects.npz`` (every object,
    and the type of each), ``report.html`` and ``novelty.trine``.

    Raises:
        RunError: the directory cannot be written. ChoiceError: a library that figures are made with is not installed.
    """
    require_libraries()
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = {"artefact": model.save(folder / "novelty.trine")}
        found["types"] = folder / "types.json"
        about = {
            "scores": {name: value for name, value in model.scores_.items() if np.isfinite(value)},
            "known": model.classes_,
            "new": model.new_,
            "types": [kind.to_json() for kind in model.types_],
        }
        found["types"].write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        found["table"] = _write_table(folder / "types.csv", model.types_)
        if drawable(model):
            found["sheet"] = contact_sheet(model, folder / "types.png")
        found["map"] = map_picture(model, folder / "map.png")
        found["objects"] = folder / "objects.npz"
        values = model.objects_values_
        columns = values if isinstance(values, Mapping) else {next(iter(model.schema_.x)): values}
        kept: dict[str, Any] = {name: _plain(column) for name, column in columns.items()}
        kept["type"] = np.array([model.types_[i].name if i >= 0 else "" for i in model.assigned_])
        np.savez_compressed(found["objects"], **kept)
        found["report"] = folder / "report.html"
        found["report"].write_text(page(model), encoding="utf-8")
    except OSError as error:
        raise RunError(f"{out} cannot be written: {error.strerror}. Choose another --out.") from None
    return found


def _plain(column: Any) -> NDArray[Any]:
    """A column as an array without objects: texts as such, rows of different lengths padded by NaN."""
    if not isinstance(column, np.ndarray) or (column.dtype == object and not isinstance(column[0], str)):
        rows = [np.asarray(row) for row in column]
        if rows and rows[0].ndim and rows[0].dtype.kind in "iuf":
            longest = max(len(row) for row in rows)
            padded = np.full((len(rows), longest, *rows[0].shape[1:]), np.nan, dtype=np.float32)
            for i, row in enumerate(rows):
                padded[i, : len(row)] = row
            return padded
    values = np.asarray(column)
    return values.astype(str) if values.dtype == object else values


def _write_table(path: Path, kinds: Sequence[Kind]) -> Path:
    classes = list(kinds[0].apart) if kinds else []
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        head = ["type", "objects", "coherence", "distance", "nearest", "taken_for", "probability", "sure", "new"]
        writer.writerow([*head, *(f"distance_from_{name}" for name in classes)])
        for kind in kinds:
            row = [
                kind.name,
                kind.size,
                kind.coherence,
                kind.distance,
                kind.nearest,
                kind.taken_for,
                kind.probability,
                kind.sure,
            ]
            cells = [*row, kind.new, *(kind.apart[name] for name in classes)]
            writer.writerow(
                [
                    "" if cell is None or cell != cell else f"{cell:.6g}" if isinstance(cell, float) else cell
                    for cell in cells
                ]
            )
    return path


def page(model: Novelty) -> str:
    """One HTML file that needs nothing else."""
    cards = [
        {
            "kind": kind,
            "said": said(kind),
            "tiles": [_uri(tile) for tile in tiles(model, kind, 8)] if drawable(model) else [],
            "values": {} if drawable(model) else _values(model, kind),
        }
        for kind in model.types_[:SHOWN]
    ]
    scores = [
        {
            "name": WORDS[name][0],
            "meaning": WORDS[name][1],
            "value": f"{100 * value:.1f} %" if name in PERCENT else figure(value),
        }
        for name, value in model.scores_.items()
        if name in WORDS and np.isfinite(value)
    ]
    changes = [step["change"] for step in model.trace_]
    return (
        environment()
        .get_template("kinds.html.jinja")
        .render(
            model=model,
            cards=cards,
            scores=scores,
            map=_map_uri(model),
            trace=trace_figure(model.trace_) if len(changes) > 1 else "",
            classes=[name for name in model._known_classes()[0] if name != NEVER],
            steps=len(model.trace_),
            starts=model.starts,
        )
    )


def _values(model: Novelty, kind: Kind) -> dict[str, str]:
    """The columns of the object in a type's centre, in words."""
    found = model.values_of_type(kind)
    shown = {}
    for name, column in found.items():
        value = column[0]
        several = np.ravel(value) if isinstance(value, np.ndarray) else np.zeros(0)
        if len(several):
            more = f" … of {len(several):,}" if len(several) > SEVERAL else ""
            shown[name] = " ".join(figure(float(number)) for number in several[:SEVERAL]) + more
        else:
            shown[name] = figure(float(value)) if isinstance(value, float | np.floating) else str(value)
    return shown


def _uri(tile: NDArray[np.uint8]) -> str:
    from PIL import Image as Picture

    buffer = io.BytesIO()
    Picture.fromarray(tile).quantize(16).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _map_uri(model: Novelty) -> str:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        found = map_picture(model, Path(folder) / "map.png").read_bytes()
    return "data:image/png;base64," + base64.b64encode(found).decode()
