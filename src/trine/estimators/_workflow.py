"""From a data source to a fitted estimator and back: what the command line and ``trine.fit`` call."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from trine import collective
from trine.choices import Choices
from trine.data import Batch, Schema, Table, TwoPiles, bytes_of, read, reshape
from trine.domains import Category, Domain, Labels
from trine.errors import ChoiceError, RunError, SchemaError
from trine.estimators._arguments import share
from trine.estimators._estimator import estimators, load, versions
from trine.estimators._piles import piles_of, prepare_piles
from trine.estimators._plan import Plan, Prepared, pairs_of, prepare
from trine.estimators._shown.record import write_record
from trine.estimators._training import fit as train
from trine.methods import Derivation, Facts, methods
from trine.training import Run, distributed

ARTEFACT = "model.trine"
SHOWN = 11
"""Rows that shapes are shown with: no usual width, so that it is told from one."""


def fit(
    data: Any,
    y: str | Sequence[str] | None = None,
    *,
    other: Any = None,
    method: str | None = None,
    label: str | None = None,
    x: Sequence[str] | None = None,
    domains: Mapping[str, Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    valid: float | str | os.PathLike[str] | Table = 0.1,
    stop_fraction: float = 0.1,
    class_weight: str | None = None,
    seed: int = 0,
    threads: int | None = None,
    device: str = "auto",
    budget: float | None = None,
    memory: int | str | None = None,
    on_bad: str = "stop",
    long: tuple[str, str] | None = None,
    group: Mapping[str, str] | None = None,
    verbose: bool = False,
    announce: Callable[[str], None] | None = None,
    **choices: Any,
) -> Any:
    """Infer the schema, derive the three parts, train, and return the estimator.

    Args:
        data: path of a CSV, TSV, Parquet, JSON-lines, ``.npz`` or IDX file or of a folder of class folders of images or sounds; a
            data frame (pandas, polars), a mapping of arrays, or a tuple ``(X, y)`` of arrays or tensors. With
            method="conditional_gan" also a folder of pictures that are two side by side, or with two sub-folders of pictures
            with equal names.
        other: with method="unpaired" the pile B that ``data``, A, is translated to and from; with method="conditional_gan" the
            folder of what the pictures in the folder ``data`` become, under the same names.
        y: target column(s). May be left out where the data name it: a folder's ``label``, the ``y`` of arrays.
        method: ``"supervised"``, of x alone ``"autoencoder"`` or ``"gan"``, of y given x ``"conditional_gan"``, of two piles
            ``"unpaired"``; None: supervised, of two piles unpaired.
        label: of a method without a y, a column that is left out of x, colours the report and judges what is made; by default the
            one that the data name as their target.
        x: input columns; all others by default.
        domains: column → kind (``"category"``) or :class:`~trine.domains.Domain`, where the inference is overridden.
        out: a new directory for the run: checkpoints, log, artefact and what the report needs. None keeps nothing on disk.
        valid: rows for the metrics alone: a share of the rows in [0, 1), or more data with the same columns.
        stop_fraction: share of the other rows that decide when to stop.
        class_weight: ``"balanced"`` lets classes count alike.
        seed: seeds the split, the weights and the order of examples; the same seed gives the same weights on the same
            machine with the same number of threads.
        threads: torch threads; None chooses.
        device: where to train: ``"cpu"``, ``"cuda"``, or ``"auto"``: a GPU where there is one.
        budget: seconds that training may take; the schedule is fitted to it.
        memory: most that the process may take, in bytes or as ``"4GiB"`` (at least 1 GiB); what is larger is encoded once
            into files in ``$TRINE_CACHE`` (else ``~/.cache/trine``), which later runs on the same data use again. By default
            half the machine's memory is for the columns.
        on_bad: ``"stop"`` or ``"skip"``: what an unreadable image or sound does.
        long: of a table with a row for each step, the columns that say whose step it is and when, e.g. ``("patient", "time")``:
            the numbers that change over time become a series.
        group: of a table with a column for each step, name of the series → pattern of the columns, e.g. ``{"heart": "t*"}``.
        verbose: whether to show progress on standard error.
        announce: called with the derivation's text before training starts.
        **choices: any of :class:`~trine.choices.Choices`.

    Returns:
        :class:`Classifier`, :class:`Regressor`, :class:`MultiLabelClassifier` or :class:`MultiTarget`, by y's domain, or
        :class:`Autoencoder`, fitted; ``evaluations_`` holds the metrics on the ``valid`` rows. Among several processes (see
        :mod:`trine.training.distributed`) None on ranks other than 0.

    Raises:
        TrineError: what was wrong, where, and what to do.
        KeyboardInterrupt: Ctrl-C; the run in ``out`` can be resumed.
    """
    limit = None if memory is None else bytes_of(memory)
    data, other = _folders_as_one(method, data, other)
    apart = two_piles(other, method, valid)
    table: Table | TwoPiles | None = None
    aside = None
    if apart:
        stated = stated_of_piles(y, label, domains)
    else:
        reading = partial(read, on_bad=on_bad, memory=limit, pairs=pairs_of(method, y))
        table = reshape(reading(data), long, group)
        stated = stated_of(table, method, y, label, domains)
        aside = None if isinstance(valid, int | float) else reshape(reading(valid), long, group)
    plan = Plan(
        **stated,
        x=tuple(x) if x is not None else None,
        choices=Choices.of(choices),
        held_out=share("valid", valid) if isinstance(valid, int | float) else 0.0,
        stop_fraction=stop_fraction,
        class_weight=class_weight,
        seed=seed,
        threads=threads,
        device=device,
        budget=budget,
        memory=limit,
        on_bad=on_bad,
        long=long,
        group=dict(group or {}),
    )
    if out is not None:
        distributed.shared(partial(Run.require_free, out))
    if table is None:
        table = piles_of(plan, data, other)
    if collective.processes() > 1:
        distributed.require_same(plan=distributed.fingerprint(plan.to_json()), data=table.fingerprint())
    prepared = _prepare(plan, table, verbose=verbose and collective.first())
    if out is None:
        return _complete(plan, prepared, None, table, aside, verbose=verbose, announce=announce)
    derivation = prepared.derivation
    run = distributed.create_run(
        out,
        {
            "plan": plan.to_json(),
            "source": {
                "data": _source(data),
                "valid": None if aside is None else _source(valid),
                **({"other": _source(other)} if apart else {}),
            },
            "fingerprint": table.fingerprint(),
            "schema": derivation.schema.to_json(),
            "choices": derivation.choices.to_json(),
            "reasons": derivation.reasons,
            "facts": dataclasses.asdict(derivation.facts),
            "versions": versions(),
        },
    )
    with run:
        return _complete(plan, prepared, run, table, aside, verbose=verbose, announce=announce)


def _complete(
    plan: Plan,
    prepared: Any,
    run: Run | None,
    table: Table | TwoPiles,
    aside: Table | None,
    *,
    verbose: bool,
    announce: Callable[[str], None] | None = None,
) -> Any:
    """Train (or go on training), evaluate, keep."""
    derivation: Derivation = prepared.derivation
    estimator = _estimator_for(derivation.schema, plan, verbose)
    estimator._adopt(derivation, plan)
    sample = prepared.store.batch(torch.from_numpy(prepared.rows.train[:SHOWN]))
    if announce is not None:
        announce(derivation.describe(sample))
    fitted = train(prepared, run=run, progress=verbose)
    if not collective.first():
        return None
    estimator._finish(prepared, fitted)
    estimator.provenance_["skipped"] = list(table.skipped)
    if run is not None:
        estimator.provenance_["source"] = str(run.data["source"]["data"])
        estimator.provenance_["fingerprint"] = run.data["fingerprint"]
    if aside is not None:
        if not derivation.schema.y:
            estimator.shown_rows_ = None
        if derivation.schema.y:
            estimator.marginal_ = prepared.marginal()
        estimator.evaluations_ = estimator.evaluate_all(aside)
        estimator.metrics_ = {k: v.to_json()["metrics"] for k, v in estimator.evaluations_.items()}
        estimator.provenance_["rows"]["held_out"] = aside.rows
    if run is not None:
        estimator.save(run.directory / ARTEFACT)
        rows = table.a if isinstance(table, TwoPiles) else table
        write_record(run, estimator, derivation, fitted, sample, aside if aside is not None else rows, prepared, rows)
        run.update(status="finished", metrics=estimator.metrics_)
    return estimator


def go_on(run: Run, *, data: Any = None, other: Any = None, device: str | None = None, verbose: bool = False) -> Any:
    """Go on with a run of :func:`fit` that is open; see :func:`trine.resume`.

    Raises:
        RunError: the data are not those the run was started with.
    """
    path = run.directory
    with taken_at_its_word(path):
        record = run.data
        plan = Plan.from_json(record["plan"])
        plan = plan if device is None else dataclasses.replace(plan, device=device)
        origin, fingerprint, reasons = dict(record["source"]), record["fingerprint"], dict(record["reasons"])
        schema, choices = Schema.from_json(record["schema"]), Choices.from_json(record["choices"])
        facts = dict(record["facts"])
        if facts["invariances"] is not None:
            facts["invariances"] = tuple(facts["invariances"])
        known = Facts(**facts)
    data, other = _folders_as_one(plan.method, data, other)
    source = started_from(path, data, origin["data"])
    reading = partial(read, on_bad=plan.on_bad, memory=plan.memory, pairs=plan.pairs)
    table: Table | TwoPiles
    if "other" in origin:
        beside = other if other is not None else origin["other"]
        if beside is None:
            raise RunError(
                f"The run {path} was started from a pile B in memory; give it again: trine.resume({str(path)!r}, other=...)."
            )
        table = piles_of(plan, source, beside)
    else:
        table = plan.shaped(reading(source))
    aside = None
    if origin["valid"] is not None:
        aside = plan.shaped(reading(origin["valid"]))
    require_unchanged(path, table, source, fingerprint)
    prepared = _prepare(
        plan, table, schema=schema, choices=choices, facts=known, verbose=verbose and collective.first()
    )
    derivation = dataclasses.replace(prepared.derivation, reasons=reasons)
    prepared = dataclasses.replace(prepared, derivation=derivation)
    return _complete(plan, prepared, run, table, aside, verbose=verbose)


def started_from(run: Path, data: Any, origin: Any) -> Any:
    """Where the data of a run are: ``data``, where they have moved, or ``origin``, as the run has it.

    Raises:
        RunError: they were in memory.
    """
    source = data if data is not None else origin
    if source is None:
        raise RunError(
            f"The run {run} was started from data in memory; give them again: trine.resume({str(run)!r}, data=...)."
        )
    return tuple(source) if isinstance(source, list) else source


def require_unchanged(run: Path, table: Table | TwoPiles, source: Any, fingerprint: str) -> None:
    """Check that the data are those that a run was started with.

    Raises:
        RunError: they are not.
    """
    if table.fingerprint() != fingerprint:
        raise RunError(
            f"The data at {source} are not those that the run {run} was started with: they changed since. Restore them, "
            "say where the old ones are with --data, or start a new run."
        )


def derive(
    data: Any,
    y: str | Sequence[str] | None = None,
    *,
    other: Any = None,
    method: str | None = None,
    label: str | None = None,
    x: Sequence[str] | None = None,
    domains: Mapping[str, Any] | None = None,
    stop_fraction: float = 0.1,
    valid: float = 0.1,
    seed: int = 0,
    on_bad: str = "stop",
    long: tuple[str, str] | None = None,
    group: Mapping[str, str] | None = None,
    **choices: Any,
) -> tuple[Derivation, Batch]:
    """The derivation that :func:`fit` would train, and a batch of a few rows to show shapes with; nothing is trained.

    The arguments are those of :func:`fit`.
    """
    table: Table | TwoPiles | None = None
    data, other = _folders_as_one(method, data, other)
    if two_piles(other, method, valid):
        stated = stated_of_piles(y, label, domains)
    else:
        table = reshape(read(data, on_bad=on_bad, pairs=pairs_of(method, y)), long, group)
        stated = stated_of(table, method, y, label, domains)
    plan = Plan(
        **stated,
        x=tuple(x) if x is not None else None,
        choices=Choices.of(choices),
        held_out=share("valid", valid),
        stop_fraction=stop_fraction,
        seed=seed,
        on_bad=on_bad,
        long=long,
        group=dict(group or {}),
    )
    prepared = _prepare(plan, piles_of(plan, data, other) if table is None else table)
    return prepared.derivation, prepared.store.batch(torch.from_numpy(prepared.rows.train[:SHOWN]))


def _prepare(plan: Plan, table: Table | TwoPiles, **known: Any) -> Prepared:
    """What a plan makes of one table or of two piles."""
    return prepare_piles(plan, table, **known) if isinstance(table, TwoPiles) else prepare(plan, table, **known)


def _folders_as_one(method: str | None, data: Any, other: Any) -> tuple[Any, Any]:
    """(data, other), of which two folders of pairs of pictures are one thing that is read."""
    return ((data, other), None) if method == "conditional_gan" and other is not None else (data, other)


def two_piles(other: Any, method: str | None, valid: Any) -> bool:
    """Whether the data are two piles.

    Raises:
        SchemaError: a second pile of another method, or none of this. ChoiceError: rows for the metrics by name.
    """
    if other is None:
        if method == "unpaired":
            raise SchemaError(
                "method=unpaired translates between two piles, and there is one: trine fit A B --method unpaired."
            )
        return False
    if method not in (None, "unpaired"):
        raise SchemaError(f"method={method} learns from one table, and two are given; --method unpaired takes A and B.")
    if not isinstance(valid, int | float):
        raise ChoiceError("Of two piles rows are held out by share: give --valid a number, e.g. 0.1.")
    return True


def targets_named(y: str | Sequence[str] | None) -> tuple[str, ...]:
    """The target columns as a tuple."""
    return (y,) if isinstance(y, str) else tuple(y or ())


def describe_run(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a run directory, or an artefact, holds, as JSON values.

    Raises:
        RunError, ArtefactError: there is neither at ``path``.
    """
    directory = Path(path)
    state: dict[str, Any] = {}
    if directory.is_dir():
        data = Run.read(directory)
        with taken_at_its_word(directory):
            state = {"run": str(directory), "status": data["status"], "source": data["source"]["data"]}
            if not (directory / ARTEFACT).is_file():
                return {**state, "target": data["plan"]["y"], "next": f"trine resume {directory}"}
    estimator = load(path)
    derivation = estimator.derivation_
    return {
        **state,
        "estimator": type(estimator).__name__,
        "target": list(estimator.schema_.y),
        "derivation": derivation.describe(),
        "rows": estimator.provenance_["rows"],
        "seconds": round(estimator.provenance_["seconds"], 1),
        "metrics": json.loads(json.dumps(estimator.metrics_)),
        "seed": estimator.plan_.seed,
        "versions": versions(),
    }


WITHOUT_TARGET = ("autoencoder", "gan")
"""Methods of x alone."""


def stated_of_piles(
    y: str | Sequence[str] | None, label: str | None, domains: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What a plan says of the columns of two piles."""
    return {"method": "unpaired", "y": targets_named(y), "label": label, "domains": dict(domains or {})}


def stated_of(
    table: Table,
    method: str | None,
    y: str | Sequence[str] | None,
    label: str | None,
    domains: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What a plan says of the columns: method, targets, label and stated domains.

    Of x alone, a y that is named, or that the data name, is taken for the label: it is no part of x.

    Raises:
        SchemaError: a supervised method without y; a label beside a y, or several.
    """
    known = dict(domains or {})
    if method is not None and method not in methods:
        methods[method]  # raises, with the nearest
    if (method or "supervised") not in WITHOUT_TARGET:
        if label is not None:
            raise SchemaError(
                f"label is for methods of x alone, {', '.join(WITHOUT_TARGET)}; leave it out, or name a method."
            )
        return {"method": method or "supervised", "y": targets_of(table, y), "domains": known}
    named = [y] if isinstance(y, str) else list(y or ())
    if label is not None and named:
        raise SchemaError(
            f"Both y ({named[0]!r}) and label ({label!r}) are named, and {method} has no y; name the label alone."
        )
    labels = [label] if label is not None else named or list(table.targets)
    for name in labels:
        if name not in table:
            table.column(name)  # raises, with what the table knows to say
    return {
        "method": method,
        "y": (),
        "label": labels[0] if labels else None,
        "domains": {**known, **dict.fromkeys(labels, "ignore")},
    }


def targets_of(table: Table, y: str | Sequence[str] | None) -> tuple[str, ...]:
    """The target columns that were named, or the one that the data's form names.

    Raises:
        SchemaError: none was named and none is evident.
    """
    if y is not None:
        return (y,) if isinstance(y, str) else tuple(y)
    if table.targets:
        return tuple(table.targets)
    raise SchemaError(f"Which column is to be predicted? Name it with --y COL; there are: {', '.join(table.names)}.")


@contextlib.contextmanager
def taken_at_its_word(run: Path) -> Iterator[None]:
    """Inside, what ``run.json`` holds is used unchecked: it is our own, unless it was edited.

    Raises:
        RunError: it lacks something, or holds what this trine does not know.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{run / 'run.json'} was edited, or written by another trine ({type(error).__name__}: {error}); the run cannot "
            "be used. Put the file back as it was, or start a new run."
        ) from None


def _estimator_for(schema: Schema, plan: Plan, verbose: bool) -> Any:
    """An unfitted estimator of the kind that y's domain asks for."""
    if not schema.y or plan.method in estimators:
        kind = estimators[plan.method]
    else:
        kind = estimators["several" if len(schema.y) > 1 else estimator_of(next(iter(schema.y.values())))]
    return kind(**kind.parameters_of(dataclasses.asdict(plan.choices)), random_state=plan.seed, verbose=verbose)


@functools.singledispatch
def estimator_of(domain: Domain) -> str:
    """The name of the estimator for one y of this domain; open by ``estimator_of.register(DomainType)``."""
    return "regressor"


@estimator_of.register
def _(domain: Category) -> str:
    return "classifier"


@estimator_of.register
def _(domain: Labels) -> str:
    return "multilabel"


def _source(data: Any) -> str | list[str] | None:
    """An absolute path, for data that are on disk; of two folders both."""
    if isinstance(data, tuple) and all(isinstance(path, str | os.PathLike) for path in data):
        return [str(Path(path).resolve()) for path in data]
    if isinstance(data, str | os.PathLike):
        return str(Path(data).resolve())
    if isinstance(data, Table) and data.source is not None:
        return str(Path(data.source).resolve())
    return None
