"""The ways of using labels that are compared: heads on z, trees on raw x, tuning, and training from scratch."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.distributions import Distribution

from trine.data import Schema, Store, Table, stored
from trine.domains import Category, Domain
from trine.errors import TrineError
from trine.estimators._encoders import Inputs, Source
from trine.estimators._heads import BoostingHead, Head, LinearHead, NetHead, Task
from trine.estimators._plan import Plan, prepare
from trine.estimators._training import fit as train
from trine.estimators._workflow import _estimator_for
from trine.estimators.transferring import Transfer

WAYS: dict[str, str] = {
    "z + linear": "the linear head on z",
    "z + net": "a dense network on z",
    "z + boosting": "XGBoost on z",
    "z tuned": "the encoder's layers tuned from the top, with a linear head",
    "x + boosting": "XGBoost on raw x",
    "from scratch": "trine's network for x, trained on these labels alone",
}
"""Name → what it is."""
HEADS: dict[str, type[Head]] = {"z + linear": LinearHead, "z + net": NetHead, "z + boosting": BoostingHead}


class NotHere(Exception):
    """A way that these data do not have, with the reason."""


@dataclasses.dataclass
class Setting:
    """What the ways have in common."""

    source: Source
    inputs: Inputs
    table: Table
    schema: Schema
    target: str
    values: NDArray[Any]
    z: NDArray[np.float32]
    held: NDArray[np.int64]
    threads: int
    without: dict[str, str] = dataclasses.field(default_factory=dict)
    _raw: tuple[NDArray[np.float32], tuple[str, ...] | None] | None = None

    @property
    def domain(self) -> Domain:
        """Of y."""
        return self.schema.y[self.target]

    def task(self, seed: int, types: tuple[str, ...] | None = None) -> Task:
        classes = len(self.domain.labels) if isinstance(self.domain, Category) else None
        return Task(classes, seed, self.threads, types=types)

    def answer(self, way: str, rows: NDArray[np.int64], seed: int) -> Distribution:
        """q(y given x) of the held-out rows by what was learned from ``rows``."""
        if way in HEADS:
            return HEADS[way]().fit(self.z[rows], self.values[rows], self.task(seed)).distribution(self.z[self.held])
        if way == "x + boosting":
            x, types = self.raw()
            return BoostingHead().fit(x[rows], self.values[rows], self.task(seed, types)).distribution(x[self.held])
        return self._tuned(rows, seed) if way == "z tuned" else self._scratch(rows, seed)

    def raw(self) -> tuple[NDArray[np.float32], tuple[str, ...] | None]:
        """(rows, numbers) of x as it is, missing values NaN; and which of them are codes of categories."""
        if self._raw is None:
            store = stored(self.table, dataclasses.replace(self.schema, y={}), targets=False)
            self._raw = _matrix(store, self.without)
        return self._raw

    def _tuned(self, rows: NDArray[np.int64], seed: int) -> Distribution:
        task = "classification" if isinstance(self.domain, Category) else "regression"
        model = Transfer(self.source, "linear", "gradual", task=task, random_state=seed, threads=self.threads)
        model.source_ = self.source
        model._fit_inputs(self.inputs, Table.of([self.table.column(self.target)]), self.target, rows)
        return model._distribution(self.inputs, self.held)

    def _scratch(self, rows: NDArray[np.int64], seed: int) -> Distribution:
        plan = Plan(y=(self.target,), seed=seed, threads=self.threads, fewest=1)
        # The shares of the classes are those of these rows; the classes are those of all.
        own = (
            _with_shares(self.domain, self.values[rows])
            if isinstance(self.domain, Category)
            else self.domain.fit(self.table.column(self.target).take(rows))
        )
        schema = dataclasses.replace(self.schema, y={self.target: own})
        try:
            prepared = prepare(plan, self.table.take(rows), schema=schema)
        except TrineError as error:
            raise NotHere(str(error)) from None
        estimator = _estimator_for(schema, plan, False)
        estimator._adopt(prepared.derivation, plan)
        fitted = train(prepared)
        estimator._finish(prepared, fitted)
        found: Distribution = estimator.predict_distributions(self.table.take(self.held))[self.target]
        return found


def _with_shares(domain: Any, codes: NDArray[np.int64]) -> Domain:
    """A category with the shares of ``codes``."""
    counts = np.bincount(codes, minlength=len(domain.labels))
    found: Domain = dataclasses.replace(domain, shares=tuple((counts / counts.sum()).tolist()), rows=len(codes))
    return found


def _matrix(store: Store, without: dict[str, str]) -> tuple[NDArray[np.float32], tuple[str, ...] | None]:
    """The fields of a store side by side, and which are codes; those that have no place go to ``without``, with the reason.

    Raises:
        NotHere: there are no others.
    """
    parts: list[NDArray[np.float32]] = []
    types: list[str] = []
    for name, field in store.fields.items():
        if field.offsets is not None:
            why = "rows have different lengths, and trees need as many numbers in each"
            without[f"{name.removeprefix('x.')!r} of x + boosting"] = why
            continue
        data = field.data.numpy()
        if name == "x.categories":
            codes = data.astype(np.float32)
            parts.append(np.where(codes < 0, np.nan, codes))
            types += ["c"] * codes.shape[1]
            continue
        flat = data.reshape(len(data), -1).astype(np.float32)
        if field.present is not None:
            flat[~field.present.numpy()] = np.nan
        parts.append(flat)
        types += ["q"] * flat.shape[1]
    if not parts:
        raise NotHere(without.popitem()[1])
    return np.concatenate(parts, axis=1), tuple(types) if "c" in types else None
