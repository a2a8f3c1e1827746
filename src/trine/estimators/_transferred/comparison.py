"""Every way of using few labels beside every other, on the same rows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.distributions import Categorical, Distribution

from trine.data import Schema, Table, split
from trine.domains import Category, Domain
from trine.errors import ChoiceError, DataError, unknown
from trine.estimators._answers import answer
from trine.estimators._encoders import MissingLibrary, source_of
from trine.estimators._estimator import versions
from trine.estimators._transferred.given_away import given_away
from trine.estimators._transferred.results import Comparison, concluded, shown
from trine.estimators._transferred.ways import WAYS, NotHere, Setting
from trine.estimators.transferring import Transfer, _read

USUAL = ("z + linear", "z + net", "z + boosting", "x + boosting", "from scratch")
"""Ways that are compared where nobody says which."""
LABELS = (10, 100, 1000)
"""How many labels, where nobody says how many."""
Also = Callable[[NDArray[np.int64], NDArray[Any], NDArray[np.int64]], NDArray[Any]]


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
            raise unknown("way", way, WAYS)
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
    setting = Setting(source, inputs, table, fitted, name, values, z, held, threads or 1)
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
                except (NotHere, MissingLibrary) as why:
                    left_out[way] = str(why)
                    continue
                scores.setdefault((way, count), []).append(score)
                clock[way, count] = clock.get((way, count), 0.0) + (time.perf_counter() - began) / draws
                if tell is not None:
                    figure = float(score.mean()) if is_class else math.sqrt(score.mean())
                    tell(f"draw {draw + 1} of {draws}, {count:,} labels, {way}: {shown(figure)}")
    scores = {key: found for key, found in scores.items() if key[0] not in left_out}
    if not scores:
        raise ChoiceError(f"No way is left to compare: {'; '.join(f'{way}: {why}' for way, why in left_out.items())}")
    results, verdicts = concluded(scores, clock, counts, is_class, seed)
    doubt = given_away(source, table, name, "compare on rows that it has not seen")
    return Comparison(
        "accuracy" if is_class else "rmse", source.name, name, len(held), z.shape[1], taken, tuple(results),
        left_out | setting.without,
        tuple(verdicts), {"seed": seed, "pool": len(pool), "versions": versions()}, doubt,
    )  # fmt: skip


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
