"""Each column of samples beside the same column of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.data import Table
from trine.domains import Category, Domain, Numeric

DRAWN = 1000
"""Samples that shares are taken of."""
COLUMNS = 12
"""Columns that are shown."""
BINS = 24
CLASSES = 8
"""Categories that are shown, the commonest of the data."""
INNER = (0.005, 0.995)
"""Quantiles of the data between which bins lie."""


def measured(domains: Mapping[str, Domain], table: Table) -> list[str]:
    """The columns of numbers and categories that ``table`` has."""
    return [name for name, domain in domains.items() if isinstance(domain, Numeric | Category) and name in table]


def marginals(domains: Mapping[str, Domain], table: Table, drawn: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """Of each number and category: ``column``; ``labels`` of categories or ``edges`` of bins; ``data`` and ``samples``,
    what share of rows is in each; and of numbers ``beyond``, what shares lie outside all bins. Nothing of other
    domains; of more than ``COLUMNS`` columns those that differ most.

    Args:
        domains: column → domain. table: rows of the data. drawn: column → values of samples, in the user's units.
    """
    found = []
    for name in measured(domains, table):
        column = table.column(name)
        values = column.values if column.levels is None else column.levels[column.values]
        known = values[~column.missing]
        compare = _categories if isinstance(domains[name], Category) else _numbers
        shown = compare(known, np.asarray(drawn[name])) if len(known) else None
        if shown is not None:
            found.append({"column": name, **shown})
    if len(found) > COLUMNS:
        found.sort(key=lambda one: -sum(abs(a - b) for a, b in zip(one["data"], one["samples"], strict=True)))
    return found[:COLUMNS]


def _categories(data: NDArray[Any], samples: NDArray[Any]) -> dict[str, Any]:
    ours, theirs = data.astype(str), samples.astype(str)
    labels, counts = np.unique(ours, return_counts=True)
    labels = labels[np.argsort(-counts, kind="stable")][:CLASSES]
    shares = {
        name: [float(np.mean(values == label)) for label in labels]
        for name, values in (("data", ours), ("samples", theirs))
    }
    return {"labels": labels.tolist(), **shares}


def _numbers(data: NDArray[Any], samples: NDArray[Any]) -> dict[str, Any] | None:
    """None where the column is no numbers, or all of them are one."""
    if data.dtype.kind not in "biuf" or samples.dtype.kind not in "biuf":
        return None
    data, samples = data.astype(np.float64), samples.astype(np.float64)
    data, samples = data[np.isfinite(data)], samples[np.isfinite(samples)]
    if not len(data) or not len(samples):
        return None
    low, high = np.quantile(data, INNER)
    if not low < high:
        return None
    distinct = np.unique(data)
    few = len(distinct) <= BINS and np.all(distinct == np.rint(distinct)) and high - low < BINS
    edges = np.arange(np.floor(low), np.ceil(high) + 2) - 0.5 if few else np.linspace(low, high, BINS + 1)
    shares: dict[str, Any] = {"beyond": {}}
    for name, values in (("data", data), ("samples", samples)):
        inside = np.histogram(values, edges)[0]
        shares[name] = (inside / len(values)).tolist()
        shares["beyond"][name] = float(1 - inside.sum() / len(values))
    return {"edges": edges.tolist(), **shares}
