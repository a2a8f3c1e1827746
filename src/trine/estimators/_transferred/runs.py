"""What ``trine transfer`` calls for one transfer: fitted, measured and kept."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trine.data import Table, split
from trine.estimators._encoders import source_of
from trine.estimators._estimator import versions
from trine.estimators._shown.record import RECORD
from trine.estimators._transferred.given_away import given_away
from trine.estimators._workflow import ARTEFACT, _source
from trine.estimators.transferring import Transfer, _read
from trine.training import Run


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
        KeyboardInterrupt: Ctrl-C; says that nothing is in ``out``.
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
    classes = column.levels is not None or column.values.dtype.kind in "biu"
    one_each = column.offsets is None and column.values.ndim == 1
    strata = column.values[known] if classes and one_each else None
    rows, held = split(known, float(valid) if isinstance(valid, float | int) else 0.0, seed, strata)
    try:
        model._fit_table(table, y, rows)
    except KeyboardInterrupt:
        if out is None:
            raise
        raise KeyboardInterrupt(
            f"interrupted before the head was fitted; nothing was kept: {out} is made once it is. "
            "Begin again with the same command."
        ) from None
    if aside is not None:
        model.evaluations_ = model.evaluate_all(aside)
    elif len(held):
        model.evaluations_ = {y: model.evaluate_rows(table, held)}
    model.metrics_ = {name: found.to_json()["metrics"] for name, found in model.evaluations_.items()}
    model.provenance_["rows"]["held_out"] = len(held) if aside is None else aside.rows
    model.provenance_["source"] = _source(data)
    judges = table if aside is None else aside
    known_before = given_away(source, judges, y, "hold out rows that it has not seen, with --valid FILE")
    if model.evaluations_ and known_before is not None:
        model.provenance_["given_away"] = known_before
    if out is not None:
        _keep(model, Path(out), data, table, aside)
    return model


def _keep(model: Transfer, out: Path, data: Any, table: Table, aside: Table | None) -> None:
    """The run's directory."""
    source = _source(data)
    doubt = model.provenance_.get("given_away")
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
            "derivation": {
                **model.derivation_.sections(),
                **({} if doubt is None else {"what figures are worth": [doubt]}),
            },
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
