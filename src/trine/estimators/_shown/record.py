"""What a run keeps for its report: everything that is shown, as JSON, so that a report needs neither model nor data."""

from __future__ import annotations

import base64
import datetime
import functools
import io
import json
import resource
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trine.blocks.sound import MelSpectrogram
from trine.choices import Choices
from trine.data import Batch, Schema, Table
from trine.domains import Audio, Column, Domain, Image, Series, Vector
from trine.estimators._estimator import versions
from trine.estimators._plan import Prepared
from trine.estimators._shown.codes import codes_record
from trine.estimators._shown.samples import record_of
from trine.estimators._training import Fitted
from trine.methods import Derivation
from trine.models import Translator
from trine.training import Run

RECORD = "record.json"
SHOWN_VALUES = 12
"""Columns of a mistaken row that are shown."""
SHOWN_PICTURES = 4
"""Pictures of a row that are shown."""
SHOWN_CHARACTERS = 300
"""Characters of a text that are shown."""
LINES = ("#2b6cb0", "#d1660a", "#2f855a", "#97266d")
"""Colours of the first channels of a series that is shown."""
SHOWN_SIDE = 160
"""Pixels a side, at most, of a mistaken image that is shown."""
WAVE_HEIGHT = 55
"""Pixels of a sound's waveform, odd so that silence has a row; its spectrogram has the rest."""
DECIBELS = 60.0
"""Below the loudest, what is black in a spectrogram."""


def write_record(
    run: Run,
    estimator: Any,
    derivation: Derivation,
    fitted: Fitted,
    sample: Batch,
    table: Table,
    prepared: Prepared,
    data: Table,
) -> None:
    """Write ``record.json`` into the run.

    Args:
        estimator: fitted and evaluated. sample: a batch of a few rows, to show shapes with.
        table: where the evaluated rows are, for the mistakes. prepared: what was trained on, of the rows of ``data``.

    Raises:
        RunError: the disk is full or may not be written.
    """
    from trine.estimators._generating import Generating

    schema = derivation.schema
    provenance = estimator.provenance_
    of_x = ", ".join(schema.x) if len(schema.x) <= 3 else f"{len(schema.x)} columns"
    alone = "Samples" if isinstance(estimator, Generating) else "Codes"
    title = f"{', '.join(schema.y)} from {of_x}" if schema.y else f"{alone} of {of_x}"
    record = {
        "title": f"{of_x}: A ↔ B" if isinstance(derivation.model, Translator) else title,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "source": run.data["source"]["data"] or "data in memory",
        "rows": provenance["rows"],
        "schema": _columns(schema, ("A", "B") if isinstance(derivation.model, Translator) else ("x", "y")),
        "derivation": derivation.sections(sample),
        "choices": derivation.chosen(),
        "history": estimator.history_,
        "evaluations": {name: value.to_json() for name, value in estimator.evaluations_.items()},
        "mistakes": _mistakes(estimator, schema, table),
        "novelty": _novelty(estimator, schema, table),
        "codes": _codes(estimator, schema, table),
        "samples": record_of(derivation.model, estimator, prepared, fitted, data, _look),
        "gradients": fitted.scales,
        "timing": {
            "seconds": provenance["seconds"],
            "rate": _rate(fitted, provenance, derivation.choices),
            "threads": fitted.threads,
            "epochs": provenance["epochs"],
            "planned": derivation.choices.epochs,
            "stopped": provenance["stopped"],
        },
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "seed": estimator.plan_.seed,
        "versions": versions(),
        "skipped": list(table.skipped),
    }
    run.write(RECORD, json.dumps(record, ensure_ascii=False, default=_plain))


def _rate(fitted: Fitted, provenance: dict[str, Any], choices: Choices) -> float:
    """Training examples a second; where rows without y take part, of both kinds."""
    seen = provenance["rows"]["train"] * fitted.result.epochs
    if (beside := provenance["rows"].get("unlabelled")) is not None:
        own = choices.labelled_size or 0
        seen = fitted.result.steps * (own + min((choices.batch_size or 0) - own, beside))
    return float(seen / max(fitted.result.seconds, 1e-9))


def _columns(schema: Schema, sides: tuple[str, str]) -> list[dict[str, str]]:
    rows = [
        {"column": name, "role": role, "domain": type(domain).__name__, "detail": domain.describe(), "reason": reason}
        for role, domains in zip(sides, (schema.x, schema.y), strict=True)
        for name, domain in domains.items()
        for reason in [schema.reasons.get(name, "")]
    ]
    rows += [
        {"column": name, "role": "ignored", "domain": "–", "detail": "", "reason": why}
        for name, why in schema.ignored.items()
    ]
    return rows


def _codes(estimator: Any, schema: Schema, table: Table) -> dict[str, Any]:
    """What an autoencoder has to show; nothing of another estimator."""
    from trine.estimators.autoencoding import Autoencoder

    if not isinstance(estimator, Autoencoder):
        return {}
    rows = estimator.shown_rows_
    rows = np.arange(table.rows) if rows is None or not len(rows) or rows.max() >= table.rows else rows
    return codes_record(estimator, table, rows, functools.partial(_look, schema.x), estimator.plan_.label)


def _mistakes(estimator: Any, schema: Schema, table: Table) -> list[dict[str, Any]]:
    """The evaluated rows that the model got most wrong, with what it saw."""
    found: list[dict[str, Any]] = []
    for target, evaluation in estimator.evaluations_.items():
        for mistake in evaluation.to_json().get("mistakes", []):
            index = int(mistake["row"]) - 1
            if not 0 <= index < table.rows:
                continue
            found.append({"target": target, **mistake, **_look(schema.x, table, index)})
    return found


def _novelty(estimator: Any, schema: Schema, table: Table) -> dict[str, Any]:
    """How unlike the training rows the evaluated rows are, and what the least like look like; empty without a detector."""
    for evaluation in estimator.evaluations_.values():
        if shown := evaluation.to_json()["figures"].get("novelty"):
            rows = [row for row in shown["farthest"] if 0 < row["row"] <= table.rows]
            return {**shown, "farthest": [{**row, **_look(schema.x, table, row["row"] - 1)} for row in rows]}
    return {}


def _look(
    domains: Mapping[str, Domain],
    table: Table,
    index: int,
    beside: tuple[Table, int | NDArray[np.int64]] | None = None,
) -> dict[str, Any]:
    """What row ``index`` holds of some columns: ``values``, column → text, and ``image``, all of its pictures side by side.

    ``beside``: a row, or rows, of another table that it is compared with by eye; the lines of all have the same axes. A column that
    a table lacks, since it is read and does not come back, is left out.
    """
    row = table.take(np.array([index]))
    other = None if beside is None else beside[0].take(np.atleast_1d(beside[1]))
    shown: dict[str, Any] = {"values": {}, "image": None}
    pictures: list[np.ndarray] = []
    for name, domain in domains.items():
        if name not in row:
            continue
        drawn = picture.dispatch(type(domain)) is not picture.dispatch(Domain)
        if not drawn and len(shown["values"]) >= SHOWN_VALUES:
            continue  # the columns of a file are read whole
        column = row.column(name)
        if drawn and len(pictures) < SHOWN_PICTURES and not column.missing[0]:
            pixels = picture(domain, column, None if other is None or name not in other else other.column(name))
            pictures += [] if pixels is None else [pixels]
        if not isinstance(domain, Image) and len(shown["values"]) < SHOWN_VALUES:
            shown["values"][name] = _value(column, "numbers" if isinstance(domain, Vector) else "steps")
    if pictures:
        shown["image"] = _png(pictures[0] if len(pictures) == 1 else _side_by_side(pictures), len(pictures))
    return shown


def _side_by_side(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """(channels, height, width) pictures of any sizes as one of bytes, low ones enlarged by whole pixels, grey between."""
    channels = 3 if any(len(pixels) == 3 for pixels in pictures) else 1
    height = max(pixels.shape[1] for pixels in pictures)
    gap = np.full((channels, height, max(height // 24, 1)), 128, dtype=np.uint8)
    parts: list[np.ndarray] = []
    for pixels in pictures:
        times = height // pixels.shape[1]
        large = (
            _eight_bits(pixels if len(pixels) == 3 else pixels[:1].repeat(channels, 0))
            .repeat(times, 1)
            .repeat(times, 2)
        )
        low = ((0, 0), (0, height - large.shape[1]), (0, 0))
        parts += [gap, np.pad(large, low, constant_values=128)]
    return np.concatenate(parts[1:], axis=2)


def _value(column: Column, counted: str) -> str:
    """The only row of a column as text; of a long row of numbers, how many of what is ``counted`` it has."""
    if bool(column.missing[0]):
        return "missing"
    found = column.values if column.offsets is not None else column.values[0]
    if column.levels is not None:
        return _shown(" ".join(map(str, column.levels[np.atleast_1d(found)])))
    if not np.ndim(found):
        return _shown(found)
    return f"{len(found):,} {counted}" if np.size(found) > SHOWN_VALUES else " ".join(map(_shown, np.ravel(found)))


@functools.singledispatch
def picture(domain: Domain, column: Column, beside: Column | None = None) -> np.ndarray | None:
    """(channels, height, width) pixels that show the only row of a column, or None; open by ``picture.register(DomainType)``.

    What has axes has those that the rows of ``beside`` fit as well.
    """
    return None


@picture.register
def _(domain: Image, column: Column, beside: Column | None = None) -> np.ndarray | None:
    pixels, known = domain.encode_known(column)
    return pixels[0] if known[0] else None


@picture.register
def _(domain: Vector, column: Column, beside: Column | None = None) -> np.ndarray | None:
    """Of a long one, a line through its numbers, one after the other; a short one is read."""
    encoded, known = domain.encode_known(column)
    if not known[0] or domain.size <= SHOWN_VALUES:
        return None
    others, known = domain.encode_known(beside) if beside is not None else (encoded, known)
    return _lines(encoded[0][:, None], np.concatenate([encoded[0], *others[known]])[:, None])


@picture.register
def _(domain: Series, column: Column, beside: Column | None = None) -> np.ndarray | None:
    """A line for each of the first channels, time to the right, each between its least and greatest value."""
    encoded, known = domain.encode_known(column)
    steps = encoded[0][:, : domain.channels]
    if not known[0] or not len(steps):
        return None
    others, known = domain.encode_known(beside) if beside is not None else (encoded, known)
    seen = np.concatenate([steps, *(others[i][:, : domain.channels] for i in np.flatnonzero(known).tolist())])
    return _lines(steps, seen)


def _lines(steps: NDArray[Any], seen: NDArray[Any]) -> np.ndarray:
    """(steps, channels) as lines, each between the least and the greatest value of its channel in ``seen``."""
    from PIL import Image as Pillow
    from PIL import ImageDraw

    finer = 3  # drawn larger and then reduced, so that lines are smooth
    width = height = SHOWN_SIDE * finer
    canvas = Pillow.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(canvas)
    across = np.linspace(0.04, 0.96, len(steps)) * width if len(steps) > 1 else np.array([width / 2])
    for values, both, colour in zip(steps.T, seen.T, LINES, strict=False):
        low, high = float(both.min()), float(both.max())
        down = (0.92 - 0.84 * (values - low) / max(high - low, 1e-9)) * height
        pen.line(list(zip(across.tolist(), down.tolist(), strict=True)), fill=colour, width=2 * finer, joint="curve")
    reduced = canvas.resize((SHOWN_SIDE, SHOWN_SIDE), Pillow.Resampling.LANCZOS)
    return np.moveaxis(np.asarray(reduced), 2, 0)


@picture.register
def _(domain: Audio, column: Column, beside: Column | None = None) -> np.ndarray | None:
    """The waveform, and below it the power in mel bands, high ones at the top; time to the right."""
    clips, known = domain.encode_known(column)
    samples = clips[0].mean(axis=1, dtype=np.float64) / domain.divisor
    if not known[0] or not len(samples):
        return None
    with torch.no_grad():
        power = MelSpectrogram(domain.rate, warp=0.0).eval()(torch.from_numpy(samples).float()[None])[0].numpy()
    height = SHOWN_SIDE - WAVE_HEIGHT
    across = np.linspace(0, power.shape[1] - 1, SHOWN_SIDE).round().astype(int)
    down = np.linspace(len(power) - 1, 0, height).round().astype(int)
    bands = 10.0 * np.log10(power[down][:, across] + 1e-12)
    loud = np.clip(1.0 + (bands - bands.max()) / DECIBELS, 0.0, 1.0) if samples.any() else np.zeros_like(bands)
    starts = (np.arange(SHOWN_SIDE) * len(samples)) // SHOWN_SIDE
    stops = np.maximum(starts + 1, (np.arange(1, SHOWN_SIDE + 1) * len(samples)) // SHOWN_SIDE)
    scale = max(float(np.abs(samples).max()), 1e-9)
    top = np.array([samples[i:j].max() for i, j in zip(starts, stops, strict=True)]) / scale
    low = np.array([samples[i:j].min() for i, j in zip(starts, stops, strict=True)]) / scale
    level = np.linspace(1.05, -1.05, WAVE_HEIGHT)[:, None]
    step = 2.1 / (WAVE_HEIGHT - 1)
    wave = (level <= top + step / 2) & (level >= low - step / 2)
    return np.rint(255.0 * np.concatenate([wave * 0.8, loud])).astype(np.uint8)[None]


def _shown(value: Any) -> str:
    """A number to six figures; a text, of a long one the beginning, up to a blank where there is one, and its length."""
    if isinstance(value, float | np.floating):
        return f"{float(value):.6g}"
    text = str(value)
    if len(text) <= SHOWN_CHARACTERS:
        return text
    return f"{text[:SHOWN_CHARACTERS].rsplit(maxsplit=1)[0]} … ({len(text):,} characters)"


def _eight_bits(pixels: np.ndarray) -> np.ndarray:
    """Pixels of any integers as bytes."""
    if pixels.dtype == np.uint8:
        return pixels
    return (pixels.astype(np.float64) / np.iinfo(pixels.dtype).max * 255).astype(np.uint8)


def _png(pixels: np.ndarray, across: int = 1) -> str:
    """(channels, height, width) pixels as a PNG data URI; ``across`` pictures side by side may be as many times as wide."""
    from PIL import Image as Pillow

    array = np.moveaxis(_eight_bits(pixels), 0, -1)
    picture = Pillow.fromarray(array[:, :, 0] if array.shape[2] != 3 else array)
    picture.thumbnail((SHOWN_SIDE * across, SHOWN_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray | torch.Tensor):
        return value.tolist()
    return str(value)
