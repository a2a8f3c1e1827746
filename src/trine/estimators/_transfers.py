"""What ``trine transfer`` calls: one transfer, fitted, measured and kept; or every way beside every other on the same rows."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.distributions import Categorical, Distribution

from trine.data import Schema, Store, Table, split, stored
from trine.domains import Category, Domain
from trine.errors import ChoiceError, DataError, TrineError, nearest
from trine.estimators._answers import answer
from trine.estimators._encoders import Inputs, MissingLibrary, Source, source_of
from trine.estimators._estimator import versions
from trine.estimators._heads import BoostingHead, Head, LinearHead, NetHead, Task
from trine.estimators._plan import Plan, prepare
from trine.estimators._record import RECORD
from trine.estimators._training import fit as train
from trine.estimators._workflow import ARTEFACT, _estimator_for, _source
from trine.estimators.transferring import Transfer, _read
from trine.training import Run

WAYS: dict[str, str] = {
    "z + linear": "the linear head on z",
    "z + net": "a dense network on z",
    "z + boosting": "XGBoost on z",
    "z tuned": "the encoder's layers tuned from the top, with a linear head",
    "x + boosting": "XGBoost on raw x",
    "from scratch": "trine's network for x, trained on these labels alone",
}
"""Name → what it is."""
USUAL = ("z + linear", "z + net", "z + boosting", "x + boosting", "from scratch")
LABELS = (10, 100, 1000)
Also = Callable[[NDArray[np.int64], NDArray[Any], NDArray[np.int64]], NDArray[Any]]
RESAMPLES = 2000
"""Of the bootstrap."""
HEADS: dict[str, type[Head]] = {"z + linear": LinearHead, "z + net": NetHead, "z + boosting": BoostingHead}


@dataclasses.dataclass(frozen=True)
class Result:
    """How one way does with one number of labels.

    Attributes:
        way: one of :data:`WAYS`. labels: how many. value: the metric, the mean over draws.
        low, high: 95 % bootstrap interval over held-out rows and draws together.
        draws: the metric of each draw. seconds: of fitting and answering, the mean over draws; z itself apart.
    """

    way: str
    labels: int
    value: float
    low: float
    high: float
    draws: tuple[float, ...]
    seconds: float


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Every way on the same labels and the same held-out rows.

    Attributes:
        metric: ``accuracy`` or ``rmse``, in y's units. encoder, target, held_out: what was compared, on how many rows.
        features: numbers in z. seconds: that z took, for all rows. results: one for each way and number of labels.
        left_out: way → why it is not there. verdicts: for each number of labels, whether the representation pays.
        details: what else there is to know, as JSON values.
    """

    metric: str
    encoder: str
    target: str
    held_out: int
    features: int
    seconds: float
    results: tuple[Result, ...]
    left_out: Mapping[str, str]
    verdicts: tuple[str, ...]
    details: Mapping[str, Any]

    def of(self, way: str, labels: int) -> Result:
        """The result of a way with so many labels."""
        return next(found for found in self.results if (found.way, found.labels) == (way, labels))

    @property
    def ways(self) -> list[str]:
        """The ways that were compared, in order."""
        return list(dict.fromkeys(found.way for found in self.results))

    @property
    def labels(self) -> list[int]:
        """The numbers of labels."""
        return list(dict.fromkeys(found.labels for found in self.results))

    def summary(self) -> str:
        """An aligned table and what follows from it."""
        draws = len(self.results[0].draws)
        lines = [
            f"{self.metric} of {self.target!r} on {self.held_out:,} held-out rows, mean of {draws} draws of labels, 95 % interval "
            "over rows and draws",
            f"z: {self.features} numbers by {self.encoder}, computed once in {self.seconds:.1f} s",
            "",
        ]
        cells = [["labels", *(f"{n:,}" for n in self.labels)]]
        for way in self.ways:
            cells.append([way, *(self._cell(way, n) for n in self.labels)])
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        lines += ["   ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]
        lines += ["", "the best way on z against the best without it, both as found on these rows:", *self.verdicts]
        lines += [f"left out: {way}: {why}" for way, why in self.left_out.items()]
        return "\n".join(lines)

    def _cell(self, way: str, labels: int) -> str:
        found = self.of(way, labels)
        return f"{_figure(found.value)}  {_figure(found.low)} … {_figure(found.high)}"

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[no-any-return]

    def columns(self) -> dict[str, NDArray[Any]]:
        """The results as columns of a table, one row each."""
        found = {
            name: np.array([getattr(result, name) for result in self.results])
            for name in ("way", "labels", "value", "low", "high", "seconds")
        }
        drawn = np.array([result.draws for result in self.results])
        return {**found, **{f"draw_{i + 1}": drawn[:, i] for i in range(drawn.shape[1])}}


def _figure(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.4g}"


def compare(
    encoder: Any,
    data: Any,
    y: Any,
    *,
    labels: Sequence[int] | None = None,
    draws: int = 3,
    ways: Sequence[str] = USUAL,
    valid: float | NDArray[np.int64] = 0.2,
    also: Mapping[str, Also] | None = None,
    task: str | None = None,
    seed: int = 0,
    threads: int | None = None,
    tell: Callable[[str], None] | None = None,
) -> Comparison:
    """Does the representation pay? Every way, with few labels and with more, on the same held-out rows.

    Labels are drawn so that classes count alike, and the fewer are among the more (of one draw). x of all rows may be seen by
    what needs no label: the domains of x are fitted on the rows that are not held out.

    Args:
        encoder: as of :class:`~trine.Transfer`. data: a table or file with the column ``y``; or X, with ``y`` an array.
        labels: how many; None: 10, 100 and 1,000, as far as there are rows. draws: of each.
        ways: of :data:`WAYS`. valid: share of the rows that is held out, or (n,) which rows are.
        also: name → (rows learned from, their y as class codes or numbers, held-out rows) → class codes or numbers: ways of your
            own.
        task: as of :class:`~trine.Transfer`. seed: of split, draws and all training. threads: None: one.
        tell: called with a line after each fit.

    Raises:
        TrineError: the encoder cannot read the data; y cannot be predicted; fewer rows than labels asked for.
    """
    for way in ways:
        if way not in WAYS:
            raise ChoiceError(f"There is no way {way!r}.{nearest(way, WAYS)} Known: {', '.join(WAYS)}.")
    if draws < 1:
        raise ChoiceError(f"draws is {draws}; it is at least 1.")
    if not isinstance(valid, np.ndarray) and not 0.0 < valid < 1.0:
        raise ChoiceError(f"valid is {valid}; it is the share of the rows that is held out, between 0 and 1.")
    source = source_of(encoder)
    if isinstance(y, str):
        table, name = (data if isinstance(data, Table) else _read(source, data)), y
    else:
        name, target = "y", np.asarray(y)
        table = _read(source, data).with_column(name, target)
    column = table.column(name)
    inputs = source.inputs(table if isinstance(y, str) or source.kind == "trine" else data, name)
    own = [column_ for column_ in source.domains() if column_ in table] or [n for n in table.names if n != name]
    probe = Transfer(source, task=task)
    schema = Schema.infer(table, (name,), own, probe._stated(table, name), fewest=1)
    domain = schema.y[name]
    known = np.flatnonzero(~column.missing)
    codes_all = np.asarray(domain.fit(column).encode(column)).reshape(table.rows, -1)[:, 0]
    is_class = isinstance(domain, Category)
    if isinstance(valid, np.ndarray):
        pool, held = np.setdiff1d(known, valid), np.intersect1d(known, valid)
    else:
        pool, held = split(known, valid, seed, codes_all[known] if is_class else None)
    counts = _asked(labels, len(pool), len(np.unique(codes_all[pool])) if is_class else 1)
    fitted = schema.fit(table, pool)
    domain = fitted.y[name]
    codes = np.asarray(domain.encode(column)).reshape(table.rows, -1)[:, 0]
    values = np.asarray(domain.decode(codes)) if not is_class else codes.astype(np.int64)
    truth = values[held]
    started = time.perf_counter()
    z = source.represent(inputs)
    taken = time.perf_counter() - started
    setting = _Setting(source, inputs, table, fitted, name, values, z, held, threads or 1)
    left_out: dict[str, str] = {}
    scores: dict[tuple[str, int], list[NDArray[np.float64]]] = {}
    clock: dict[tuple[str, int], float] = {}
    for draw in range(draws):
        order = pool[_nested(codes[pool] if is_class else None, len(pool), seed + draw)]
        for count in counts:
            rows = np.sort(order[:count])
            for way in (*ways, *(also or {})):
                if way in left_out:
                    continue
                began = time.perf_counter()
                try:
                    if also is not None and way in also:
                        score = _right(domain, truth, also[way](rows, values[rows], held))
                    else:
                        score = _score(domain, truth, setting.answer(way, rows, seed + draw))
                except (_NotHere, MissingLibrary) as why:
                    left_out[way] = str(why)
                    continue
                scores.setdefault((way, count), []).append(score)
                clock[way, count] = clock.get((way, count), 0.0) + (time.perf_counter() - began) / draws
                if tell is not None:
                    shown = float(score.mean()) if is_class else math.sqrt(score.mean())
                    tell(f"draw {draw + 1} of {draws}, {count:,} labels, {way}: {_figure(shown)}")
    scores = {key: found for key, found in scores.items() if key[0] not in left_out}
    if not scores:
        raise ChoiceError(f"No way is left to compare: {'; '.join(f'{way}: {why}' for way, why in left_out.items())}")
    results, verdicts = _concluded(scores, clock, counts, is_class, seed)
    return Comparison(
        "accuracy" if is_class else "rmse", source.name, name, len(held), z.shape[1], taken, tuple(results),
        left_out | setting.without,
        tuple(verdicts), {"seed": seed, "pool": len(pool), "versions": versions()},
    )  # fmt: skip


class _NotHere(Exception):
    """A way that these data do not have, with the reason."""


@dataclasses.dataclass
class _Setting:
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
            raise _NotHere(str(error)) from None
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
        _NotHere: there are no others.
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
        raise _NotHere(without.popitem()[1])
    return np.concatenate(parts, axis=1), tuple(types) if "c" in types else None


def _asked(labels: Sequence[int] | None, rows: int, classes: int) -> list[int]:
    """The numbers of labels, ascending.

    Raises:
        DataError: more than there are rows. ChoiceError: too few to be of use.
    """
    if labels is None:
        counts = [count for count in LABELS if max(classes, 2) <= count <= rows]
        if not counts:
            raise DataError(
                f"{rows} rows are left to learn from, of {classes} classes, and {LABELS[0]} labels are the fewest that are "
                "compared; give more rows, hold out fewer, or say how many labels with --labels."
            )
        return counts
    counts = sorted({int(count) for count in labels})
    if not counts or counts[0] < 2:
        raise ChoiceError(f"labels are {list(labels)}; each is at least 2.")
    if counts[-1] > rows:
        raise DataError(
            f"{counts[-1]:,} labels are asked for and {rows:,} rows with a label are left to learn from, beside those held "
            "out; ask for fewer, hold out fewer, or give more rows."
        )
    return counts


def _nested(codes: NDArray[Any] | None, rows: int, seed: int) -> NDArray[np.int64]:
    """(rows,) an order at random of which every beginning has as many rows of each class as it can."""
    generator = np.random.default_rng([seed, 5])
    if codes is None:
        return generator.permutation(rows)
    order = generator.permutation(rows)
    by_class = order[np.argsort(codes[order], kind="stable")]
    _, starts, counts = np.unique(codes[by_class], return_index=True, return_counts=True)
    rank = np.arange(rows) - np.repeat(starts, counts)
    # Within a round the classes come in an order of their own.
    return np.asarray(by_class[np.lexsort((generator.permutation(rows), rank))])


def _score(domain: Domain, truth: NDArray[Any], q: Distribution) -> NDArray[np.float64]:
    """(rows,) 1 where the likeliest class is right, or the squared error."""
    if isinstance(domain, Category):
        assert isinstance(q, Categorical)
        return _right(domain, truth, q.logits.argmax(-1).numpy())
    return _right(domain, truth, answer(domain, q))


def _right(domain: Domain, truth: NDArray[Any], found: NDArray[Any]) -> NDArray[np.float64]:
    """(rows,) 1 where the class code that was found is right, or the squared error of the number."""
    if isinstance(domain, Category):
        return np.asarray(found == truth, dtype=np.float64)
    return np.asarray(np.square(found - truth), dtype=np.float64)


def _concluded(
    scores: Mapping[tuple[str, int], list[NDArray[np.float64]]],
    clock: Mapping[tuple[str, int], float],
    counts: Sequence[int],
    is_class: bool,
    seed: int,
) -> tuple[list[Result], list[str]]:
    """Results with intervals, and whether z pays, by the same resamples of rows and draws for all ways."""
    shape = next(iter(scores.values()))
    draws, rows = len(shape), len(shape[0])
    generator = np.random.default_rng([seed, 6])
    which = generator.integers(0, draws, (RESAMPLES, draws))
    of: dict[tuple[str, int], NDArray[np.float64]] = {}
    stacked = {key: np.stack(found) for key, found in scores.items()}
    sums = {key: np.empty((RESAMPLES, draws)) for key in scores}
    for b in range(RESAMPLES):
        times = np.bincount(generator.integers(0, rows, rows), minlength=rows)
        for key, found in stacked.items():
            sums[key][b] = found @ times / rows
    for key in scores:
        mean = np.take_along_axis(sums[key], which, axis=1).mean(1)
        of[key] = mean if is_class else np.sqrt(mean)
    results = []
    for count in counts:
        for way in dict.fromkeys(way for way, _ in scores):
            if (way, count) not in scores:
                continue
            each = stacked[way, count].mean(1)
            value = float(each.mean()) if is_class else math.sqrt(each.mean())
            low, high = np.percentile(of[way, count], [2.5, 97.5])
            single = tuple(float(part) if is_class else math.sqrt(part) for part in each)
            results.append(Result(way, count, value, float(low), float(high), single, clock[way, count]))
    return results, [_verdict(results, of, count, is_class) for count in counts]


def _verdict(
    results: Sequence[Result], of: Mapping[tuple[str, int], NDArray[np.float64]], count: int, is_class: bool
) -> str:
    """Whether the best way on z beats the best without it, by paired resamples."""
    here = [found for found in results if found.labels == count]
    sign = 1.0 if is_class else -1.0
    on_z = [found for found in here if found.way.startswith("z")]
    without = [found for found in here if not found.way.startswith("z")]
    best = max(here, key=lambda found: sign * found.value)
    if not on_z or not without:
        return f"{count:,} labels: best is {best.way}."
    first, other = (max(group, key=lambda found: sign * found.value) for group in (on_z, without))
    differences = sign * (of[first.way, count] - of[other.way, count])
    gain = sign * (first.value - other.value)
    low, high = (float(end) for end in np.percentile(differences, [2.5, 97.5]))
    unit = 100.0 if is_class else 1.0
    amount = f"{unit * gain:+.3g} ({unit * low:+.3g} … {unit * high:+.3g})"
    amount = f"{amount} points" if is_class else f"rmse lower by {amount}"
    pays = (
        "the representation pays" if low > 0 else "the representation is behind" if high < 0 else "no clear difference"
    )
    return f"{count:,} labels: {pays}: {first.way} against {other.way}: {amount}."


# One transfer ----------------------------------------------------------------------------------------------------


def transfer(
    encoder: Any,
    data: Any,
    y: str,
    *,
    head: Any = "linear",
    tune: str = "frozen",
    out: str | os.PathLike[str] | None = None,
    valid: float | str | os.PathLike[str] = 0.1,
    task: str | None = None,
    seed: int = 0,
    threads: int | None = None,
    budget: float | None = None,
    epochs: int | None = None,
    step_size: float | None = None,
    batch_size: int | None = None,
    verbose: bool = False,
) -> Transfer:
    """Fit one head on a table, measure it on rows held out, and keep it as a run.

    Args:
        encoder, head, tune, task, epochs, step_size, batch_size: as of :class:`~trine.Transfer`.
        data: a table or file with the column ``y``. valid: a share of its rows for the metrics alone, or more data.
        out: a new directory: the artefact ``model.trine``, ``run.json`` and what the report needs.
        seed, threads, budget, verbose: as of :func:`trine.fit`.

    Raises:
        TrineError: what was wrong, where, and what to do.
    """
    if out is not None:
        Run.require_free(out)
    model = Transfer(
        encoder, head, tune, task=task, epochs=epochs, step_size=step_size, batch_size=batch_size, random_state=seed,
        threads=threads, budget=budget, verbose=verbose,
    )  # fmt: skip
    model._require_choices()
    model.source_ = source = source_of(encoder)
    table = data if isinstance(data, Table) else _read(source, data)
    column = table.column(y)
    known = np.flatnonzero(~column.missing)
    aside = None if isinstance(valid, float | int) else _read(source, valid)
    strata = column.values[known] if column.levels is not None or column.values.dtype.kind in "biu" else None
    rows, held = split(known, float(valid) if isinstance(valid, float | int) else 0.0, seed, strata)
    model.fit_rows(table, y, rows)
    if aside is not None:
        model.evaluations_ = model.evaluate_all(aside)
    elif len(held):
        model.evaluations_ = {y: model.evaluate_rows(table, held)}
    model.metrics_ = {name: found.to_json()["metrics"] for name, found in model.evaluations_.items()}
    model.provenance_["rows"]["held_out"] = len(held) if aside is None else aside.rows
    model.provenance_["source"] = _source(data)
    if out is not None:
        _keep(model, Path(out), data, table, aside)
    return model


def _keep(model: Transfer, out: Path, data: Any, table: Table, aside: Table | None) -> None:
    """The run's directory."""
    source = _source(data)
    model.tensors()  # a head that cannot be kept is refused before anything is made
    about = {
        "plan": model.plan_.to_json(),
        "source": {"data": source, "valid": None if aside is None else aside.source},
        "transfer": {"encoder": model.source_.name, "head": str(model.head), "tune": model.tune},
        "fingerprint": table.fingerprint(),
        "schema": model.schema_.to_json(),
        "choices": model.derivation_.choices.to_json(),
        "reasons": {},
        "facts": {"rows": model.provenance_["rows"]["train"], "invariances": None, "evidence": ""},
        "versions": versions(),
    }
    with Run.create(out, about) as run:
        model.save(run.directory / ARTEFACT)
        schema = model.schema_
        record = {
            "title": f"{', '.join(schema.y)} by transfer from {model.source_.name}",
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "source": source or "data in memory",
            "rows": model.provenance_["rows"],
            "schema": [
                {
                    "column": name,
                    "role": role,
                    "domain": type(domain).__name__,
                    "detail": domain.describe(),
                    "reason": "",
                }
                for role, domains in (("x", schema.x), ("y", schema.y))
                for name, domain in domains.items()
            ],
            "derivation": model.derivation_.sections(),
            "choices": model.derivation_.chosen(),
            "history": model.history_,
            "evaluations": {name: value.to_json() for name, value in model.evaluations_.items()},
            "mistakes": [],
            "timing": {"seconds": model.provenance_["seconds"], "threads": model.threads or torch.get_num_threads()},
            "seed": model.plan_.seed,
            "versions": versions(),
        }
        run.write(RECORD, json.dumps(record, ensure_ascii=False, default=str))
        run.update(status="finished", metrics=model.metrics_)
