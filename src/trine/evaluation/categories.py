"""Metrics of a categorical y."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.distributions import Categorical, Distribution

from trine.domains import Category
from trine.evaluation._base import MISTAKES, Evaluation, Metric, Values, bootstrap, evaluate

CATEGORY_METRICS = ("accuracy", "balanced_accuracy", "log_loss", "brier", "auc", "macro_f1", "calibration_error")
SHOWN_CLASSES = 40
"""Classes of the confusion matrix in a report: the most frequent ones."""
BINS = 15
"""Bins of confidence in the calibration curve."""
MANY_CLASSES = 200
"""Beyond so many classes, the area under the curve (one for each class) is not computed."""


@evaluate.register
def evaluate_category(
    domain: Category,
    y: Values,
    q: Distribution,
    *,
    weight: NDArray[np.float64] | None = None,
    marginal: Values | None = None,
    rows: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Evaluation:
    """Accuracy, balanced accuracy, log loss, Brier score, AUC (one against the rest), macro F1, calibration error."""
    assert isinstance(q, Categorical)
    p = q.probs.detach().double().numpy()
    p = p / p.sum(axis=1, keepdims=True)
    labels = domain.decode(np.arange(p.shape[1]))
    code = {label: i for i, label in enumerate(labels.tolist())}
    truth = np.array([code.get(label, -1) for label in np.asarray(y).tolist()])
    numbers = np.arange(1, len(truth) + 1) if rows is None else np.asarray(rows)

    known = truth >= 0  # a class that training never saw has no probability to score
    p, truth, numbers = p[known], truth[known], numbers[known]
    predicted = p.argmax(axis=1)
    right = p[np.arange(len(p)), truth]

    functions = _functions(p, truth, predicted, right)
    figures = bootstrap(functions, len(truth), seed, None if weight is None else weight[known])
    trivial = _trivial(p.shape[1], truth, code, marginal)
    metrics = {
        name: Metric(*figures[name], baseline=trivial.get(name), higher_is_better=name not in _LOWER) for name in functions
    }
    worst = np.argsort(right, kind="stable")[:MISTAKES]
    mistakes = [
        {
            "row": int(numbers[i]),
            "truth": str(labels[truth[i]]),
            "prediction": str(labels[predicted[i]]),
            "confidence": float(p[i, predicted[i]]),
        }
        for i in worst
        if predicted[i] != truth[i]
    ]
    drawn: dict[str, Any] = {
        "labels": [str(label) for label in labels],
        "confusion": _confusion(truth, predicted, labels),
        "calibration": _calibration(p, predicted == truth),
        "unknown_classes": int((~known).sum()),
    }
    if p.shape[1] == 2:
        drawn["roc"] = _roc(p[:, 1], truth == 1)
    return Evaluation("category", len(truth), metrics, drawn, mistakes)


_LOWER = ("log_loss", "brier", "calibration_error")


def _functions(p: Values, truth: Values, predicted: Values, right: Values) -> dict[str, Any]:
    """Metric → function of row indices. Each is vectorised: a bootstrap calls it hundreds of times."""
    classes = p.shape[1]
    hit = predicted == truth
    lost = -np.log(np.maximum(right, 1e-15))
    squared = (p * p).sum(axis=1) - 2 * right + 1
    confidence = p.max(axis=1)
    bin_of = np.minimum((confidence * BINS).astype(int), BINS - 1)

    def balanced(rows: NDArray[np.int64]) -> float:
        count = np.bincount(truth[rows], minlength=classes)
        hits = np.bincount(truth[rows], weights=hit[rows], minlength=classes)
        return float((hits[count > 0] / count[count > 0]).mean())

    def macro_f1(rows: NDArray[np.int64]) -> float:
        count = np.bincount(truth[rows], minlength=classes) + np.bincount(predicted[rows], minlength=classes)
        hits = np.bincount(truth[rows], weights=hit[rows], minlength=classes)
        return float((2 * hits[count > 0] / count[count > 0]).mean())

    def calibration_error(rows: NDArray[np.int64]) -> float:
        gap = np.bincount(bin_of[rows], weights=hit[rows] - confidence[rows], minlength=BINS)
        return float(np.abs(gap).sum() / len(rows))

    def auc(rows: NDArray[np.int64]) -> float:
        if classes == 2:
            return _area(p[rows, 1], truth[rows] == 1)
        areas = [_area(p[rows, c], truth[rows] == c) for c in range(classes)]
        return float(np.nanmean(areas)) if np.isfinite(areas).any() else math.nan

    functions: dict[str, Any] = {
        "accuracy": lambda rows: float(hit[rows].mean()),
        "balanced_accuracy": balanced,
        "log_loss": lambda rows: float(lost[rows].mean()),
        "brier": lambda rows: float(squared[rows].mean()),
        "auc": auc,
        "macro_f1": macro_f1,
        "calibration_error": calibration_error,
    }
    if classes > MANY_CLASSES or (classes > 2 and len(truth) * classes > 2e5):
        functions.pop("auc")
    return functions if len(truth) else {}


def _area(score: Values, positive: Values) -> float:
    """Area under the ROC curve by ranks, ties counted half; NaN with one class only."""
    from scipy.stats import rankdata

    count = int(positive.sum())
    if count in (0, len(positive)):
        return math.nan
    ranks = rankdata(score)
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(positive) - count)))


def _trivial(classes: int, truth: Values, code: dict[Any, int], marginal: Values | None) -> dict[str, float]:
    """The metrics of the training rows' majority class and class shares."""
    if marginal is None or not len(truth):
        return {}
    seen = np.array([code.get(label, -1) for label in np.asarray(marginal).tolist()])
    share = np.bincount(seen[seen >= 0], minlength=classes) / max(1, (seen >= 0).sum())
    p = np.broadcast_to(share, (len(truth), classes))
    everything = np.arange(len(truth))
    functions = _functions(p, truth, np.full(len(truth), share.argmax()), p[everything, truth])
    return {name: function(everything) for name, function in functions.items() if name != "calibration_error"}


def _confusion(truth: Values, predicted: Values, labels: Values) -> dict[str, Any]:
    """Counts (true class, predicted class) of the most frequent classes."""
    classes = len(labels)
    counts = np.bincount(truth * classes + predicted, minlength=classes * classes).reshape(classes, classes)
    kept = np.sort(np.argsort(-counts.sum(axis=1), kind="stable")[:SHOWN_CLASSES])
    return {"labels": [str(labels[i]) for i in kept], "counts": counts[np.ix_(kept, kept)].tolist(), "classes": classes}


def _calibration(p: Values, hit: Values) -> dict[str, Any]:
    """Mean confidence, share right and count in bins of confidence."""
    confidence = p.max(axis=1) if len(p) else np.zeros(0)
    bin_of = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(bin_of, minlength=BINS)
    used = count > 0
    mean = np.bincount(bin_of, weights=confidence, minlength=BINS)[used] / count[used]
    right = np.bincount(bin_of, weights=hit, minlength=BINS)[used] / count[used]
    return {"confidence": mean.tolist(), "right": right.tolist(), "count": count[used].tolist()}


def _roc(score: Values, positive: Values) -> dict[str, Any] | None:
    from sklearn.metrics import roc_curve

    if positive.all() or not positive.any():
        return None
    false, true, _ = roc_curve(positive, score)
    some = np.unique(np.linspace(0, len(false) - 1, 200).round().astype(int))
    return {"false": false[some].tolist(), "true": true[some].tolist()}
