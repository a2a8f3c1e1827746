"""How well made rows of a table serve in the place of true ones, and whether they give true ones away.

A table is a mapping from a column's name to its values, or a data frame: numbers, NaN where missing, or categories, None
where missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.errors import DataError
from trine.evaluation.associations import associations

MOST = 20_000
"""Rows at most that a judge learns from, and that distances are taken of."""
MOST_CLASSES = 255
"""Categories at most that a judge tells apart; the rarer ones count as one."""


Table = Mapping[str, NDArray[Any]]


def marginals_apart(made: Table, true: Table) -> float:
    """Mean over columns of how far their distributions are apart, 0 to 1: of numbers Kolmogorov and Smirnov's distance, or the
    difference of how many are missing where that is larger; of categories the total variation, being missing one of them.

    Raises:
        DataError: the tables have other columns.
    """
    from scipy.stats import ks_2samp

    ours, theirs = _coded(made, true)
    found = []
    for name, b in theirs.items():
        a = ours[name]
        if b.dtype.kind in "iu":
            shares = [np.bincount(part + 1, minlength=max(a.max(), b.max()) + 2) / len(part) for part in (a, b)]
            found.append(float(np.abs(shares[0] - shares[1]).sum()) / 2)
        else:
            known = [part[~np.isnan(part)] for part in (a, b)]
            apart = float(ks_2samp(*known).statistic) if all(map(len, known)) else float(len(known[0]) != len(known[1]))
            found.append(max(apart, abs(float(np.isnan(a).mean() - np.isnan(b).mean()))))
    return float(np.mean(found))


def associations_apart(made: Table, true: Table) -> float:
    """Mean over pairs of columns of how differently they go together, 0 to 2; see :mod:`trine.evaluation.associations`.

    Raises:
        DataError: the tables have other columns.
    """
    ours, theirs = (associations(part) for part in _coded(made, true))
    upper = np.triu_indices(len(theirs), 1)
    return float(np.abs(ours - theirs)[upper].mean()) if len(theirs) > 1 else 0.0


def detection(made: Table, true: Table, seed: int = 0) -> float:
    """AUC of gradient boosting that tells made rows from true ones, on the half of both that it did not see: 0.5 where it cannot.

    Raises:
        DataError: the tables have other columns.

    References:
        Lopez-Paz and Oquab, `Revisiting Classifier Two-Sample Tests`, 2017.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import train_test_split

    parts, kinds = _matrices(_coded(made, true))
    n = min(*map(len, parts), MOST)
    X = np.concatenate([_some(part, n, seed) for part in parts])
    y = np.repeat([1, 0], n)
    seen, held, y_seen, y_held = train_test_split(X, y, test_size=0.5, random_state=seed, stratify=y)
    seen, held = _learnable(seen, held)
    judge = HistGradientBoostingClassifier(categorical_features=kinds, random_state=seed).fit(seen, y_seen)
    return float(roc_auc_score(y_held, judge.predict_proba(held)[:, 1]))


def usefulness(made: Table, true: Table, target: str, seed: int = 0) -> float:
    """Train on made rows, test on true ones: AUC of gradient boosting, the mean of one class against the others where there are
    more than two; R² of a number. A class that is never made counts as a half. NaN where the rows do not determine it: of a target
    with fewer than two values among true rows, or of a number that no made row has.

    Args:
        made: rows to learn from, or true ones for the floor. true: rows that neither saw. target: the column to be learned.

    Raises:
        DataError: the tables have other columns, or no such one.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.metrics import r2_score, roc_auc_score

    coded = _coded(made, true)
    if target not in coded[0]:
        raise DataError(f"There is no column {target!r} to learn; there are: {', '.join(coded[0])}.")
    y, truth = (part.pop(target) for part in coded)
    (X, X_true), kinds = _matrices(coded)
    known, there = (~np.isnan(part) if part.dtype.kind == "f" else part >= 0 for part in (y, truth))
    y, truth = y[known], truth[there]
    X, X_true = _learnable(X[known], X_true[there])
    if len(np.unique(truth)) < 2:
        return float("nan")
    if y.dtype.kind == "f":
        if not len(y):
            return float("nan")
        model = HistGradientBoostingRegressor(categorical_features=kinds, random_state=seed).fit(X, y)
        return float(r2_score(truth, model.predict(X_true)))
    if len(np.unique(y)) < 2:
        return 0.5
    judge = HistGradientBoostingClassifier(categorical_features=kinds, random_state=seed).fit(X, y)
    shares = dict(zip(judge.classes_, judge.predict_proba(X_true).T, strict=True))
    classes = np.unique(truth)
    return float(
        np.mean(
            [
                roc_auc_score(truth == k, shares[k]) if k in shares else 0.5
                for k in classes[: None if len(classes) > 2 else 1]
            ]
        )
    )


def nearer_to_training(made: Table, train: Table, held: Table, seed: int = 0) -> float:
    """Share of made rows whose closest record is a training row rather than a held-out one, both sides of equal size; a tie counts
    half. 0.5 where training rows are not given away, near 1 where they are copied.

    Distances: numbers in ranks of the training rows, categories 0 or 1, their sum.

    Raises:
        DataError: the tables have other columns.
    """
    coded = _coded(made, train, held)
    n = min(len(next(iter(part.values()))) for part in coded[1:])
    ours, ref, other = (_some(part, min(n, MOST // 2), seed) for part in _places(coded))
    near = [_nearest(ours, part) for part in (ref, other)]
    return float((near[0] < near[1]).mean() + 0.5 * (near[0] == near[1]).mean())


def closest_record(rows: Table, train: Table, seed: int = 0) -> NDArray[np.float64]:
    """(rows,) of each row (of at most 10,000, drawn) how far its closest record among the training rows is (of as many at most).

    Made rows that are copies are nearer than rows held out are; the distances are those of :func:`nearer_to_training`.

    Raises:
        DataError: the tables have other columns.
    """
    coded = _coded(rows, train)
    ours, ref = (_some(part, MOST // 2, seed) for part in _places(coded))
    return _nearest(ours, ref)


def _nearest(rows: NDArray[np.float64], among: NDArray[np.float64]) -> NDArray[np.float64]:
    """(rows,) distance of each to the nearest of the others."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=1, metric="manhattan").fit(among).kneighbors(rows)[0]
    return np.asarray(found[:, 0])


def _some(rows: NDArray[Any], n: int, seed: int) -> NDArray[Any]:
    """At most ``n`` of the rows, drawn."""
    return rows if len(rows) <= n else rows[np.random.default_rng(seed).permutation(len(rows))[:n]]


def _coded(*tables: Table) -> list[dict[str, NDArray[Any]]]:
    """Columns as float64, NaN where missing, or as codes of categories that the tables share, int64, −1 where missing."""
    names = list(tables[-1])
    for table in tables:
        odd = sorted(set(table) ^ set(names))
        if odd:
            raise DataError(
                f"Made and true rows have other columns: {odd[0]!r} is in one of them alone; give the same columns."
            )
    found: list[dict[str, NDArray[Any]]] = [{} for _ in tables]
    for name in names:
        values = [np.asarray(table[name]) for table in tables]
        if all(part.dtype.kind in "iuf" for part in values):
            for columns, part in zip(found, values, strict=True):
                columns[name] = part.astype(np.float64)
            continue
        texts = [["" if value is None or value != value else str(value) for value in part.tolist()] for part in values]
        levels = sorted({text for part in texts for text in part if text})
        place = {text: i for i, text in enumerate(levels)} | {"": -1}
        for columns, written in zip(found, texts, strict=True):
            columns[name] = np.array([place[text] for text in written], dtype=np.int64)
    return found


def _matrices(parts: list[dict[str, NDArray[Any]]]) -> tuple[list[NDArray[np.float64]], NDArray[np.bool_]]:
    """(rows, k) of each part, for gradient boosting, and which columns are categories, the commonest first, the rare as one."""
    columns: list[list[NDArray[np.float64]]] = [[] for _ in parts]
    kinds = []
    for name, values in parts[-1].items():
        named = values.dtype.kind in "iu"
        kinds.append(named)
        if named:
            every = np.concatenate([part[name] for part in parts])
            order = np.argsort(-np.bincount(every[every >= 0], minlength=1), kind="stable")
            place = np.argsort(order, kind="stable")
        for found, part in zip(columns, parts, strict=True):
            value = part[name]
            if named:
                value = np.where(value < 0, np.nan, np.minimum(place[value], MOST_CLASSES - 1)).astype(np.float64)
            found.append(value)
    return [np.stack(found, axis=1) for found in columns], np.array(kinds)


def _learnable(seen: NDArray[np.float64], held: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both with zeros in columns of which the rows to learn from have no value: gradient boosting bins no such column."""
    empty = np.isnan(seen).all(axis=0)
    return np.where(empty, 0.0, seen), np.where(empty, 0.0, held)


def _places(parts: list[dict[str, NDArray[Any]]]) -> list[NDArray[np.float64]]:
    """Rows as numbers whose sums of differences are distances."""
    columns: list[list[NDArray[np.float64]]] = [[] for _ in parts]
    for name, values in parts[1].items():
        for found, part in zip(columns, parts, strict=True):
            value = part[name]
            if values.dtype.kind in "iu":  # another category: two halves
                found.append(0.5 * (value[:, None] == np.arange(-1, max(int(values.max()) + 1, 1))))
            else:
                known = np.sort(values[~np.isnan(values)])
                rank = np.searchsorted(known, value) / max(len(known), 1)
                found.append(np.where(np.isnan(value), 2.0, rank)[:, None])
    return [np.concatenate(found, axis=1) for found in columns]
