"""A transfer as JSON and tensors, and back: what executes nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from trine.choices import Choices
from trine.data import Schema
from trine.domains import Category
from trine.errors import ArtefactError
from trine.estimators._encoders import restored
from trine.estimators._estimator import versions
from trine.estimators._heads import ScikitHead, heads
from trine.estimators._plan import Plan
from trine.estimators._transferred.answering import Answering
from trine.methods import Facts
from trine.models.foreign import Foreign


def parts_of(transfer: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(manifest, tensors) of a fitted transfer."""
    encoder, tensors = transfer.source_.parts()
    found = {f"encoder.{name}": tensor for name, tensor in tensors.items()}
    head: dict[str, Any] | None = None
    if transfer.head_ is not None:
        about, parts = transfer.head_.parts()
        head = {"kind": transfer.head_.kind, **about}
        found |= {f"head.{name}": tensor for name, tensor in parts.items()}
    if transfer.model_ is not None:
        found |= {f"model.{name}": tensor for name, tensor in transfer.model_.state_dict().items()}
    facts = transfer.derivation_.facts.rows if transfer.model_ is not None else transfer.derivation_.rows
    manifest = {
        "estimator": transfer.kind,
        "method": transfer.method,
        "encoder": encoder,
        "encoder_name": transfer.source_.name,
        "head": head,
        "parameters": {
            name: value
            for name, value in transfer.get_params(deep=False).items()
            if isinstance(value, str | int | float | bool | None) and name not in ("encoder", "random_state")
        },
        "schema": dataclasses.replace(transfer.schema_, x={}).to_json(),
        "plan": transfer.plan_.to_json(),
        "rows": facts,
        "features": transfer.derivation_.features if transfer.model_ is None else transfer.source_.network.features,
        "choices": transfer.derivation_.choices.to_json(),
        "provenance": transfer.provenance_,
        "metrics": transfer.metrics_,
        "versions": versions(),
    }
    return manifest, found


def restore(
    kind: type[Any], manifest: Mapping[str, Any], tensors: Mapping[str, Tensor], path: str, encoder: Any = None
) -> Any:
    """The transfer that :func:`parts_of` gave.

    Args:
        kind: the class. path: what is read, for messages. encoder: what a file cannot hold, see :meth:`Transfer.load`.

    Raises:
        ArtefactError: the parts do not fit together, or ``encoder`` is needed.
    """

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

    try:
        source = restored(manifest["encoder"], part("encoder."), encoder, path)
        source.name = str(manifest["encoder_name"])
        plan = Plan.from_json(manifest["plan"])
        estimator = kind(source, **manifest["parameters"], random_state=plan.seed)
        estimator.source_, estimator.plan_ = source, plan
        schema = Schema.from_json(manifest["schema"])
        estimator.schema_ = dataclasses.replace(schema, x=source.domains())
        choices, rows = Choices.from_json(manifest["choices"]), int(manifest["rows"])
        estimator.head_ = estimator.model_ = None
        if (kept := manifest["head"]) is not None:
            head = heads[str(kept["kind"])].restore(kept, part("head."))
            estimator.head_ = head
            estimator.head = head.estimator if isinstance(head, ScikitHead) else estimator.head
            estimator.derivation_ = Answering(
                source.name, int(manifest["features"]), head.describe(), estimator.schema_, rows, choices
            )
        else:
            if isinstance(source.network, Foreign):
                source.network.features = int(manifest["features"])
            estimator.derivation_ = estimator._derived(Facts(rows), choices, None)
            model = estimator.derivation_.model
            model.load_state_dict(part("model."))
            estimator.model_ = model.eval()
        estimator.provenance_, estimator.metrics_ = dict(manifest["provenance"]), dict(manifest["metrics"])
    except (KeyError, TypeError, AttributeError, RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0] if str(error) else ""
        raise ArtefactError(
            f"{path} does not fit together ({type(error).__name__}: {first}): it was altered, or written by a trine whose "
            f"parts differ (this is {versions()['trine']})."
        ) from None
    domain = estimator._target()
    if isinstance(domain, Category):
        estimator.classes_ = np.array(domain.decode(np.arange(len(domain.labels))).tolist())
    estimator.history_, estimator.evaluations_, estimator.calibrations_ = [], {}, {}
    estimator.novelty_ = None
    return estimator
