"""Iterating an autoencoder: what it gives back as it is, it holds to be an x."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trine.data import Store, Table, table_of
from trine.errors import SchemaError
from trine.estimators._kinds.look import AT_ONCE, Look
from trine.estimators._x_given_z import values_of
from trine.estimators.autoencoding import Autoencoder

STILL = 1e-3
"""Mean change of an object in a step, in the units of :meth:`Look.flat`, below which it is taken to be fixed."""


def iterated(
    model: Autoencoder, look: Look, table: Table, steps: int
) -> tuple[Store, NDArray[np.bool_], list[dict[str, float]]]:
    """Go x ← decode(encode(x)) until objects rest, ``steps`` times at most.

    In the second half of the steps each code is averaged with the one before, which leaves fixed points as they are and
    ends cycles of two.

    Returns:
        The objects after the last step; (rows,) which of them are fixed; and of each step ``change``, the mean absolute change (of
        numbers, series and sound in standard deviations, of pixels in [0, 1]), and ``fixed``, the share that has come to rest.

    Raises:
        SchemaError: a column is read and not given back.
    """
    network = model._network.eval()
    store = model._encode(table)[0]
    n = store.rows
    current = look.flat(store)
    active = np.arange(n)
    latest: dict[str, Any] = {}
    still = np.zeros(n, dtype=np.int64)
    before: Tensor | None = None
    trace: list[dict[str, float]] = []
    with torch.inference_mode():
        for t in range(steps):
            damped = t >= (steps + 1) // 2
            parts: list[dict[str, Any]] = []
            codes = []
            for rows in torch.split(torch.arange(store.rows), AT_ONCE):
                z = network.encode(store.batch(rows))[1]
                codes.append(z)
                used = z if before is None or not damped else 0.5 * (z + before[rows])
                parts.append(_given_back(model, look, network.decode(used)))
            columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            moved = model._encode(table_of(columns))[0]
            flat = look.flat(moved)
            change = np.abs(flat - current[active]).mean(axis=1)
            trace.append({"change": float(change.sum() / n), "fixed": 0.0})
            still[active] = np.where(change <= (0.0 if look.ink else STILL), still[active] + 1, 0)
            current[active] = flat
            for name, values in columns.items():
                latest.setdefault(name, np.empty((n, *values.shape[1:]), values.dtype))
                if latest[name].dtype != values.dtype:  # texts of other lengths
                    latest[name] = latest[name].astype(np.result_type(latest[name], values))
                latest[name][active] = values
            # Under damping one step without a change may be the average's doing; two are not.
            going = np.flatnonzero(still[active] < (2 if damped else 1))
            trace[-1]["fixed"] = 1.0 - len(going) / n
            before = torch.cat(codes)[torch.from_numpy(going)]
            active = active[going]
            if not len(active):
                break
            store = model._encode(table_of({name: values[going] for name, values in columns.items()}))[0]
    done = np.ones(n, dtype=bool)
    done[active] = False
    return model._encode(table_of(latest))[0], done, trace


def _given_back(model: Autoencoder, look: Look, found: Mapping[str, Any]) -> dict[str, Any]:
    """Column → values in the user's units, of pictures of ink as ink and paper."""
    shown = {}
    for name, q in found.items():
        domain = model.schema_.x[name]
        if name not in look.ink:
            shown[name] = np.asarray(values_of(domain, q, False))
            continue
        pixels = q.mean.float()
        number = max(round(look.ink[name] * pixels[0].numel()), 1)
        least = pixels.flatten(1).topk(number, 1).values[:, -1].view(-1, 1, 1, 1)
        shown[name] = domain.decode((pixels >= least).float().numpy())
    absent = [name for name in model.schema_.x if name not in shown]
    if absent:
        raise SchemaError(
            f"The autoencoder reads the column {absent[0]!r} and does not give it back, so it cannot be iterated; leave the "
            "column out."
        )
    return shown
