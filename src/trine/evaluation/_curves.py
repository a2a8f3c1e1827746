"""What a report draws of class probabilities: confusions, calibration, thresholds. All of it JSON values."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine.evaluation._base import Values
from trine.evaluation._bootstrap import Floats

SHOWN_CLASSES = 60
"""Classes of the confusion matrix: the most frequent ones."""
LISTED_CLASSES = 200
"""Classes of the table of classes: the most frequent ones."""
CONFUSED = 15
"""Pairs of classes listed as the most often confused."""
BINS = 15
FEW = 10
"""Rows that a point of the calibration curve needs."""
POINTS = 200
"""Points of a curve over thresholds."""


def confusions(truth: Values, predicted: Values, names: list[str]) -> dict[str, Any]:
    """``confusion``: labels and counts [true][predicted] of the most frequent classes, and the number of all classes.
    ``classes``: rows, recall, precision and F1 of each. ``confused``: the pairs most often taken one for the other.
    """
    k = len(names)
    pairs, counts = np.unique(truth * k + predicted, return_counts=True)
    rows, given = np.bincount(truth, minlength=k), np.bincount(predicted, minlength=k)
    hits = np.bincount(truth[truth == predicted], minlength=k)
    frequent = np.argsort(-rows, kind="stable")
    shown = np.sort(frequent[:SHOWN_CLASSES])
    place = np.full(k, -1)
    place[shown] = np.arange(len(shown))
    matrix = np.zeros((len(shown), len(shown)), dtype=np.int64)
    row, column = place[pairs // k], place[pairs % k]
    inside = (row >= 0) & (column >= 0)
    matrix[row[inside], column[inside]] = counts[inside]
    off = pairs // k != pairs % k
    most = np.argsort(-counts[off], kind="stable")[:CONFUSED]
    return {
        "confusion": {"labels": [names[i] for i in shown], "counts": matrix.tolist(), "classes": k},
        "classes": [
            {
                "label": names[i],
                "rows": int(rows[i]),
                "recall": _ratio(hits[i], rows[i]),
                "precision": _ratio(hits[i], given[i]),
                "f1": _ratio(2 * hits[i], rows[i] + given[i]),
            }
            for i in np.sort(frequent[:LISTED_CLASSES])
        ],
        "confused": [
            {"truth": names[pair // k], "prediction": names[pair % k], "rows": int(count)}
            for pair, count in zip(pairs[off][most], counts[off][most], strict=True)
        ],
    }


def calibration(p: Floats, truth: Values, names: list[str]) -> dict[str, Any]:
    """Bins of predicted probability: their mean, the share for which it came true with a 95 % interval, and the count.

    Of two classes the probability of the second (``of``); of several that of the likeliest (``of`` is None). Bins of few
    rows are joined to their neighbours, since a share of two rows tells nothing; ``histogram`` has all bins. The interval
    is Wilson's (1927).
    """
    binary = len(names) == 2
    predicted = p[:, 1] if binary else p.max(axis=1, initial=0.0)
    came = (truth == 1) if binary else (p.argmax(axis=1) == truth if len(p) else np.zeros(0, dtype=bool))
    at = np.minimum((predicted * BINS).astype(np.int64), BINS - 1)
    count = np.bincount(at, minlength=BINS)
    group = _joined(count)[at]
    n = np.bincount(group)
    share = np.bincount(group, weights=came) / n
    z = 1.959964
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2) / (1 + z * z / n)
    return {
        "of": names[1] if binary else None,
        "confidence": (np.bincount(group, weights=predicted) / n).tolist(),
        "right": share.tolist(),
        "low": np.minimum(np.maximum(middle - half, 0.0), share).tolist(),
        "high": np.maximum(np.minimum(middle + half, 1.0), share).tolist(),
        "count": n.tolist(),
        "histogram": count.tolist(),
    }


def _joined(count: Values) -> Values:
    """Bin → group of neighbouring bins, in order, each of at least :data:`FEW` rows where there are so many."""
    groups, group, rows = np.zeros(len(count), dtype=np.int64), 0, 0
    for i, more in enumerate(count.tolist()):
        if rows >= FEW and count[i:].sum() >= FEW:
            group, rows = group + 1, 0
        groups[i] = group
        rows += more
    return groups


def thresholds(score: Floats, positive: Values, name: str) -> dict[str, Any]:
    """``roc`` (false and true positive rate) and ``precision_recall``; nothing where only one class occurs."""
    if not len(positive) or positive.all() or not positive.any():
        return {}
    from sklearn.metrics import precision_recall_curve, roc_curve

    false, true, _ = roc_curve(positive, score)
    precision, recall, _ = precision_recall_curve(positive, score)
    return {
        "roc": {"of": name, "false": _thinned(false), "true": _thinned(true)},
        "precision_recall": {
            "of": name,
            "recall": _thinned(recall),
            "precision": _thinned(precision),
            "share": float(positive.mean()),
        },
    }


def _thinned(curve: Values) -> list[float]:
    some = np.unique(np.linspace(0, len(curve) - 1, POINTS).round().astype(np.int64))
    return [float(value) for value in curve[some]]


def _ratio(above: int, below: int) -> float | None:
    return float(above / below) if below else None
