"""Two piles, ready to train a translator between them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trine.choices import Choices
from trine.data import Schema, Table, TwoPiles, read, reshape, split
from trine.errors import ChoiceError, DataError, SchemaError
from trine.estimators._plan import Plan, Prepared, Rows, needed_of, rows_with, whole
from trine.estimators._scored.some_rows import some_rows
from trine.estimators._scored.translations import score_told
from trine.estimators._shown.samples import Look, record_of
from trine.estimators._shown.translations import filmed, translations_film, translations_record
from trine.estimators._training import Fitted, film_of
from trine.methods import Facts, derive, methods
from trine.models import Translator

FEWEST = 8
"""Rows of a pile below which none are kept from training to decide when to stop: a score over a handful stops at random."""
FEW = 4
"""Rows of a pile up to which none are held out: two would be half of all."""

Pairs = NDArray[np.int64]


def piles_of(plan: Plan, a: Any, b: Any) -> TwoPiles:
    """The data of both piles as the plan states them.

    Raises:
        DataError, SchemaError, ChoiceError: as of :class:`~trine.data.TwoPiles`; or of what two piles do not have: a y, weights.
    """
    if plan.y:
        raise SchemaError(
            f"Two piles have no y, and {plan.y[0]!r} is named; leave it out: B is what A becomes, and the other way round."
        )
    if plan.class_weight is not None:
        raise ChoiceError("class_weight is of a target, and two piles have none; leave it out.")
    tables = []
    for data in (a, b):
        table = read(data, on_bad=plan.on_bad, memory=plan.memory) if plan.long or plan.group else data
        tables.append(reshape(table, plan.long, plan.group) if plan.long or plan.group else table)
    return TwoPiles.read(
        *tables,
        on_bad=plan.on_bad,
        memory=plan.memory,
        columns=plan.x,
        domains=dict(plan.domains) or None,
        label=plan.label,
    )


def prepare_piles(
    plan: Plan,
    piles: TwoPiles,
    *,
    schema: Schema | None = None,
    choices: Choices | None = None,
    facts: Facts | None = None,
    verbose: bool = False,
) -> Prepared:
    """As :func:`~trine.estimators._plan.prepare`, of two piles: each is split, and its domains learn, by itself.

    The rows of what is prepared are pairs, (n, 2): of A in the first column, of B in the second; those of the smaller pile come
    again and again.
    """
    needs = methods[plan.method]().needs(piles.schema)
    needed = needed_of(piles.schema, needs)
    known = [rows_with(table, needed) for table in (piles.a, piles.b)]
    for pile, rows in zip("AB", known, strict=True):
        if len(rows) < 2:
            raise DataError(
                f"Pile {pile}: {len(rows)} rows have a value of {' and of '.join(map(repr, needed))}; give at least 2, better "
                "hundreds."
            )
    parts = [_divided(plan, rows, place) for place, rows in enumerate(known)]
    fitted = piles.fit(parts[0].train, parts[1].train) if schema is None else dataclasses.replace(piles, schema=schema)
    store = fitted.stored(memory=plan.memory, verbose=verbose)
    there = [whole(own, needs, pile) for pile, own in (("A", store.a), ("B", store.b))]
    a, b = (part.of(own) for part, own in zip(parts, there, strict=True))
    train, stop, held = paired(a.train, b.train), paired(a.stop, b.stop), paired(a.held_out, b.held_out)
    if facts is None:
        facts = Facts(len(train), table_rows=store.rows)
    derivation = derive(plan.method, fitted.schema, choices or plan.choices, facts, plan.seed)
    return Prepared(plan, store, Rows(train, stop, held), derivation, pile_labels=fitted.labels)


def _divided(plan: Plan, rows: Pairs, place: int) -> Rows:
    """What each of ``rows`` of one pile is for."""
    rest, held = split(rows, plan.held_out, plan.seed + 2 * place)
    if len(held) == 1:  # which shows no population
        some = 2 / len(rows) if len(rows) > FEW else 0.0
        rest, held = split(rows, some, plan.seed + 2 * place)
    train, stop = split(rest, plan.stop_fraction, plan.seed + 2 * place + 1)
    if len(stop) < FEWEST:
        train, stop = rest, stop[:0]
    if len(train) < 2:
        train, stop, held = rows, stop[:0], held[:0]
    return Rows(train, stop, held)


def paired(a: Pairs, b: Pairs) -> Pairs:
    """(n, 2) rows of A beside rows of B, as many as the larger has; none where either has none."""
    n = max(len(a), len(b)) if len(a) and len(b) else 0
    return np.stack([np.resize(a, n), np.resize(b, n)], 1).astype(np.int64)


def halves(a: Pairs, b: Pairs, seed: int) -> tuple[Pairs, Pairs]:
    """Rows of A and of B, (n,) and (m,), in two halves at random, each paired within itself: no row of a pile is in both.

    Raises:
        DataError: fewer than 4 rows of a pile, of whose halves nothing could be told.
    """
    for name, rows in (("A", a), ("B", b)):
        if len(rows) < 4:
            raise DataError(
                f"Pile {name} has {len(rows)} row{'s' * (len(rows) != 1)}; translations are judged by 4 or more of either pile, "
                "give more."
            )
    rng = np.random.default_rng(seed)
    one, other = (np.split(rng.permutation(rows), [len(rows) // 2]) for rows in (a, b))
    return paired(one[0], other[0]), paired(one[1], other[1])


@film_of.register
def _(kind: Translator, prepared: Prepared, store: Any, place: torch.device) -> Any:
    """Rows of either pile as they are translated."""
    return translations_film(kind, store.batch(torch.from_numpy(film_rows(kind, prepared))).to(place))


@record_of.register
def translations_shown(
    kind: Translator, estimator: Any, prepared: Prepared, fitted: Fitted, table: Table, look: Look
) -> dict[str, Any]:
    """What a report shows of a translator: of rows that were not learned from, if there are such."""
    rows = next(part for part in (prepared.rows.held_out, prepared.rows.stop, prepared.rows.train) if len(part))
    shown, film = (
        prepared.store.batch(torch.from_numpy(pairs))
        for pairs in (np.random.default_rng(0).permutation(rows), film_rows(kind, prepared))
    )
    domains = {"a": prepared.schema.x, "b": prepared.schema.y}
    found = translations_record(kind, shown, film, domains, fitted.result, look)
    return {**found, "score": {**found["score"], **score_told(kind, prepared)}}


def film_rows(model: Translator, prepared: Prepared) -> Pairs:
    """The pairs of rows that are filmed."""
    rows = prepared.rows.stop if len(prepared.rows.stop) else prepared.rows.train
    return some_rows(rows, filmed(model))
