"""The calibration of a fitted estimator: by which rows, and how it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from trine.domains import Category
from trine.estimators._plan import Prepared, decode_target
from trine.evaluation.calibration import Calibration, calibrate

PREFIX = "calibration."
"""Of its tensors' names in an artefact."""
MOST_ROWS = 5_000
"""By which it is fitted; more tell it nothing new."""


def rows_of(prepared: Prepared) -> np.ndarray:
    """The rows that decided when to stop: no weight was learned from them."""
    rows = prepared.rows.stop
    if len(rows) <= MOST_ROWS:
        return rows
    return np.sort(np.random.default_rng(prepared.plan.seed).choice(rows, MOST_ROWS, replace=False))


def fit_calibrations(
    prepared: Prepared, rows: np.ndarray, found: Mapping[str, Any], wanted: str | None
) -> dict[str, Calibration]:
    """Target → its calibration.

    Args:
        rows: by which. found: target → q of these rows, in the user's units. wanted: the choice.
    """
    result = {}
    for name, q in found.items():
        if not isinstance(q, Distribution):
            continue
        truth, known = decode_target(prepared.store, prepared.schema, name, rows)
        if isinstance(prepared.schema.y[name], Category):
            field = prepared.store.fields[f"y.{name}"]
            truth = np.asarray(field.encoded(torch.from_numpy(rows[known])), dtype=np.int64)
        if not known.all():
            from trine.estimators._batched import select

            q = select(q, torch.from_numpy(np.flatnonzero(known)))
        result[name] = calibrate(q, truth, wanted, prepared.plan.seed)
    return result


def to_tensors(calibrations: Mapping[str, Calibration]) -> dict[str, Tensor]:
    """Their tensors, by the number of the target, since a column's name may hold anything."""
    return {
        f"{PREFIX}{i}.{name}": tensor
        for i, calibration in enumerate(calibrations.values())
        for name, tensor in calibration.tensors.items()
    }


def restored(manifest: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Calibration]:
    """What :func:`to_tensors` and the manifest kept; none in artefacts of before there was one."""
    found = {}
    for i, (target, data) in enumerate(dict(manifest.get("calibration") or {}).items()):
        prefix = f"{PREFIX}{i}."
        own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        found[str(target)] = Calibration(str(data["kind"]), own, str(data["said"]), int(data["rows"]))
    return found
