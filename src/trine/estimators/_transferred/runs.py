"""What ``trine transfer`` calls for one transfer, and ``trine resume`` for one that was stopped: fitted, measured and kept."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from trine import collective
from trine.data import Table, split
from trine.errors import ArtefactError, ChoiceError, RunError
from trine.estimators._encoders import Source, lasting, source_of
from trine.estimators._plan import Plan
from trine.estimators._transferred.given_away import given_away
from trine.estimators._transferred.kept import ASKED, about, keep, mark_of
from trine.estimators._workflow import _source, require_unchanged, started_from, taken_at_its_word
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

    What the one loop trains (a tuned encoder, the head ``mlp``) keeps checkpoints in ``out`` from its first step on, so that
    :func:`trine.resume` goes on with it. A head that is fitted at once has no state between nothing and the end: its run is made
    once it is fitted, and to begin again costs the head alone, since z is kept.

    Args:
        encoder, head, tune, task, epochs, step_size, batch_size: as of :class:`~trine.Transfer`.
        data: a table or file with the column ``y``. valid: a share of its rows for the metrics alone, or more data.
        out: a new directory: the artefact ``model.trine``, ``run.json`` and what the report needs.
        seed, threads, budget, verbose: as of :func:`trine.fit`.

    Raises:
        TrineError: what was wrong, where, and what to do.
        KeyboardInterrupt: Ctrl-C; says how to go on, or that nothing is in ``out``.
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
    aside = None if isinstance(valid, float | int) else _read(source, valid)
    share = float(valid) if isinstance(valid, float | int) else 0.0
    if out is None:
        _fitted(model, table, y, share, aside, seed)
        model.provenance_["source"] = _source(data)
        return model
    directory = out
    with contextlib.ExitStack() as held:
        begun: list[Run] = []

        def begin() -> Run:
            asked = about(
                model, table.fingerprint(), data=_source(data), valid=None if aside is None else _source(valid),
                place=lasting(encoder), share=share,
            )  # fmt: skip
            begun.append(held.enter_context(Run.create(directory, asked)))
            return begun[0]

        try:
            _fitted(model, table, y, share, aside, seed, begin)
            model.tensors()  # a head that cannot be kept is refused before anything is made
            keep(model, begun[0] if begun else begin())
        except KeyboardInterrupt as interrupt:
            raise _told(model, out, bool(begun), interrupt) from None
    return model


def go_on(
    run: Run, *, data: Any = None, encoder: Any = None, device: str | None = None, verbose: bool = False
) -> Transfer:
    """Go on with a transfer that is open; see :func:`trine.resume`.

    Raises:
        RunError: its head is fitted at once; or the data or the encoder are not those that it was started with. ChoiceError: it is
            to go on elsewhere, or in several processes.
    """
    path = run.directory
    with taken_at_its_word(path):
        plan, told = Plan.from_json(run.data["plan"]), dict(run.data["transfer"])
        origin, fingerprint = dict(run.data["source"]), run.data["fingerprint"]
        if "asked" not in told:
            raise RunError(
                f"The run {path} is a transfer whose head is fitted at once and kept then, so that there is nothing to go on with; "
                "to fit it anew: trine transfer ENCODER DATA --y COL --out NEW."
            )
        asked = {name: told["asked"][name] for name in ASKED}
        share, mark, place, name = told["valid"], told["mark"], told["place"], str(told["encoder"])
        if told["by_fit"]:
            raise RunError(
                f"The run {path} was begun by trine.Transfer(...).fit(X, y, out=...); the same call, made again, goes on with it."
            )
        y = plan.y[0]
    if collective.processes() > 1 or device not in (None, plan.device):
        raise ChoiceError(
            f"The run {path} is a transfer, which one process trains, on a GPU where there is one; resume it without torchrun and "
            "without --device."
        )
    source = _found(run, encoder if encoder is not None else place, mark)
    source.name = name if encoder is None else source.name
    where = started_from(path, data, origin["data"])
    table = where if isinstance(where, Table) else _read(source, where)
    require_unchanged(path, table, where, fingerprint)
    aside = None if origin["valid"] is None else _read(source, origin["valid"])
    model = Transfer(source, **asked, random_state=plan.seed, threads=plan.threads, budget=plan.budget, verbose=verbose)
    model._require_choices()
    model.source_ = source
    _fitted(model, table, y, share, aside, plan.seed, lambda: run)
    keep(model, run)
    return model


def _fitted(
    model: Transfer,
    table: Table,
    y: str,
    share: float,
    aside: Table | None,
    seed: int,
    begin: Callable[[], Run] | None = None,
) -> None:
    """Fit and measure: on a share of the table's rows that are held out, or on the rows of ``aside``."""
    column = table.column(y)
    known = np.flatnonzero(~column.missing)
    classes = column.levels is not None or column.values.dtype.kind in "biu"
    one_each = column.offsets is None and column.values.ndim == 1
    strata = column.values[known] if classes and one_each else None
    rows, held = split(known, share, seed, strata)
    model._fit_table(table, y, rows, begin)
    if aside is not None:
        model.evaluations_ = model.evaluate_all(aside)
    elif len(held):
        model.evaluations_ = {y: model.evaluate_rows(table, held)}
    model.metrics_ = {name: found.to_json()["metrics"] for name, found in model.evaluations_.items()}
    model.provenance_["rows"]["held_out"] = len(held) if aside is None else aside.rows
    judges = table if aside is None else aside
    known_before = given_away(model.source_, judges, y, "hold out rows that it has not seen, with --valid FILE")
    if model.evaluations_ and known_before is not None:
        model.provenance_["given_away"] = known_before


def _found(run: Run, encoder: Any, mark: str) -> Source:
    """The encoder that a run was started with.

    Raises:
        RunError: it is not there, or is another.
    """
    path = run.directory
    if encoder is None:
        raise RunError(
            f"The run {path} was started with an encoder in memory; give it again: trine.resume({str(path)!r}, encoder=...)."
        )
    try:
        source = source_of(encoder)
    except (ArtefactError, ChoiceError, RunError) as error:
        raise RunError(
            f"The run {path} cannot open its encoder: {error} If it has moved, say where it is: --encoder ENCODER."
        ) from None
    if mark_of(source) != mark:
        raise RunError(
            f"The encoder {source.name} is not the one that the run {path} was started with: it changed since. Restore it, say "
            "where the old one is with --encoder, or start a new run."
        )
    return source


def _told(model: Transfer, out: str | os.PathLike[str], begun: bool, interrupt: KeyboardInterrupt) -> KeyboardInterrupt:
    """An interruption that says what is kept, and how to go on."""
    if begun and not model._looped:
        return KeyboardInterrupt(
            f"interrupted while {out} was written; remove it, and begin again with the same command."
        )
    if begun:
        return interrupt  # by the loop, or by the run as it closes
    when, then = ("the training began", "does") if model._looped else ("the head was fitted", "is")
    again = " z is not computed again, where it was complete." if model.source_.kept else ""
    return KeyboardInterrupt(
        f"interrupted before {when}; nothing was kept: {out} is made once it {then}. Begin again with the same command.{again}"
    )
