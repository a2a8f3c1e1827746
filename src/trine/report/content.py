"""What a report shows, as plain values; a section whose values are missing is left out."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from trine.errors import RunError
from trine.evaluation import Evaluation

IMAGE_URIS = ("data:image/png;base64,", "data:image/jpeg;base64,", "data:image/webp;base64,")
SHOWN_SIDE = 160
"""Pixels a side, at most, of an image that is shown."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportContent:
    """What a report shows. Everything but the title may be missing.

    Attributes:
        title: of the page. created: when, in ISO format. source: where the data came from.
        rows: role (``"train"``, ``"stop"``, ``"held_out"``) → number of rows.
        schema: a mapping each column: ``column``, ``role`` (``"x"``, ``"y"``, ``"ignored"``), ``domain``, ``detail``,
            ``reason``.
        derivation: title → lines of text, or rows of cells for a table.
        choices: ``name``, ``value``, ``reason`` of each choice.
        history: a record each epoch: ``epoch``, ``train`` (term → mean loss), ``held_out`` (score or None).
        log: lines of ``metrics.jsonl``: ``step``, ``loss``, ``step_size``, ``grad_norm``.
        evaluations: target → :class:`~trine.evaluation.Evaluation`, or what its ``to_json`` gave.
        mistakes: ``row``, ``truth``, ``prediction``, ``confidence``; ``values`` (column → text) and ``image``: a data
            URI of a PNG, JPEG or WebP, or pixels (height, width[, channels]), uint8 or in [0, 1].
        novelty: what ``trine.evaluation.novelty.describe`` gives of the held-out rows, ``farthest`` with ``values`` and
            ``image`` besides.
        codes: of an autoencoder, what :func:`trine.estimators._shown.codes.codes_record` gives.
        samples: of a generator, what :func:`trine.estimators._shown.samples.record_of` gives.
        gradients: ``label`` and ``layers`` (``layer``, ``activation``, ``gradient``) at points of the training, and ``time`` of
            recurrent layers (``layer``, ``direction``, ``gradient`` a step).
        timing: ``seconds``, ``rate`` (examples a second), ``threads``. memory: peak, in bytes.
        seed: of the run. versions: library → version. skipped: notes on rows that could not be read.
    """

    title: str
    created: str | None = None
    source: str | None = None
    rows: Mapping[str, int] = dataclasses.field(default_factory=dict)
    schema: Sequence[Mapping[str, Any]] = ()
    derivation: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    choices: Sequence[Mapping[str, Any]] = ()
    history: Sequence[Mapping[str, Any]] = ()
    log: Sequence[Mapping[str, Any]] = ()
    evaluations: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    mistakes: Sequence[Mapping[str, Any]] = ()
    novelty: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    codes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    samples: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    gradients: Sequence[Mapping[str, Any]] = ()
    timing: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    memory: float | None = None
    seed: int | None = None
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    skipped: Sequence[str] = ()

    @classmethod
    def from_record(cls, record: Any, log: Sequence[Mapping[str, Any]] = ()) -> Self:
        """From the ``record.json`` of a run; what it has and a report does not know is passed over.

        Raises:
            RunError: ``record`` is no such record; names the part.
            DataError: an evaluation in it is none.
        """
        if not isinstance(record, Mapping):
            raise RunError("a record is an object of named parts")
        given: dict[str, Any] = {"title": "A run"}
        for field in dataclasses.fields(cls):
            value = record.get(field.name)
            if field.name == "log" or value is None:
                continue
            if field.default_factory is dict and not isinstance(value, Mapping):
                raise RunError(f"{field.name!r} is no object")
            if field.default == () and not isinstance(value, list):
                raise RunError(f"{field.name!r} is no list")
            given[field.name] = value
        evaluations = {name: Evaluation.from_json(value) for name, value in (record.get("evaluations") or {}).items()}
        return cls(**{**given, "evaluations": evaluations}, log=log)

    def evaluation(self, target: str) -> dict[str, Any]:
        """The evaluation of a target, as JSON values."""
        found = self.evaluations[target]
        return found.to_json() if isinstance(found, Evaluation) else dict(found)


def image_uri(image: Any) -> str | None:
    """A data URI that a page may hold, from pixels or from such a URI; None for anything else."""
    if isinstance(image, str):
        return image if image.startswith(IMAGE_URIS) else None
    if image is None:
        return None
    return _png(np.asarray(image))


def _png(pixels: NDArray[Any]) -> str:
    from PIL import Image

    eight = pixels if pixels.dtype == np.uint8 else np.clip(np.rint(pixels.astype(np.float64) * 255), 0, 255)
    array = eight.astype(np.uint8)
    picture = Image.fromarray(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array)
    picture.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return IMAGE_URIS[0] + base64.b64encode(buffer.getvalue()).decode()
