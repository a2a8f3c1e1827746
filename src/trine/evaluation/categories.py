"""Metrics of a categorical y."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution

from trine.domains import Category
from trine.errors import DataError
from trine.evaluation import _curves as curves
from trine.evaluation._auc import auc
from trine.evaluation._base import MISTAKES, Evaluation, Metric, Values, evaluate, row_numbers
from trine.evaluation._bootstrap import Floats, Score, average, intervals, values

CATEGORY_METRICS = (
    "accuracy",
    "balanced_accuracy",
    "log_loss",
    "brier",
    "auc",
    "macro_f1",
    "calibration_error",
    "ranked_probability_score",
)
BINS = 15
"""Bins of confidence in the calibration error."""


@evaluate.register
def evaluate_category(
    domain: Category,
    y: Values,
    q: Distribution | Tensor | Values,
    *,
    weight: NDArray[np.float64] | None = None,
    marginal: Values | None = None,
    rows: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Evaluation:
    """Accuracy, balanced accuracy, log loss, Brier score, AUC, macro F1, calibration error: :func:`category_scores`.

    Rows of a class that the domain does not know are left out and counted (``unknown_classes``). ``figures``:
    ``labels``; ``confusion``, ``classes``, ``confused`` (see :mod:`trine.evaluation._curves`); ``calibration``; of two
    classes also ``roc`` and ``precision_recall``.
    """
    p = _probabilities(q)
    labels = domain.decode(np.arange(p.shape[1]))
    truth = _codes(labels, y)
    if len(truth) != len(p):
        raise DataError(
            f"There are {len(truth):,} values of y and {len(p):,} predictions; one for each row is expected."
        )
    known = truth >= 0
    numbers = row_numbers(rows, len(truth))[known]
    p, truth = p[known], truth[known]
    weight = None if weight is None else np.asarray(weight, dtype=np.float64)[known]

    scores = category_scores(p, truth, weight, ordered=domain.ordered)
    trivial = _trivial(p.shape[1], truth, marginal, labels, weight, ordered=domain.ordered)
    metrics = {
        name: Metric(*found, trivial.get(name), scores[name].higher_is_better, scores[name].unit)
        for name, found in intervals(scores, weight, seed).items()
    }
    names = [str(label) for label in labels]
    predicted = p.argmax(axis=1) if len(p) else np.zeros(0, dtype=np.int64)
    figures: dict[str, Any] = {
        "labels": names,
        "unknown_classes": int((~known).sum()),
        **curves.confusions(truth, predicted, names),
        "calibration": curves.calibration(p, truth, names),
    }
    if len(names) == 2:
        figures |= curves.thresholds(p[:, 1], truth == 1, names[1])
    return Evaluation("category", len(truth), metrics, figures, _mistakes(p, truth, predicted, names, numbers))


def category_scores(p: Floats, truth: Values, weight: Floats | None, *, ordered: bool = False) -> dict[str, Score]:
    r"""The metrics of class probabilities ``p`` (n, k) at true codes ``truth`` (n,); none where there are no rows.

    - accuracy: share of rows whose likeliest class is the true one.
    - balanced_accuracy: recall, averaged over the classes that occur.
    - log_loss: mean of −log p(true class), p bounded by the float64 epsilon.
    - brier: mean of Σ_c (p_c − 1{c = y})², in [0, 2]; of two classes half of it, (p_1 − y)², as is usual (Brier, 1950).
    - auc: area under the ROC curve; of several classes the mean over each against the rest.
    - macro_f1: F1, averaged over the classes that occur or are predicted.
    - calibration_error: Σ_bins share · \|accuracy − confidence\| over 15 bins of the greatest probability (Guo et al.,
      2017, section 2).
    - ranked_probability_score, where classes are ordered: mean of Σ_c (P(Y ≤ c) − 1{y ≤ c})² / (k − 1).
    """
    if not len(p):
        return {}
    n, k = p.shape
    predicted, confidence = p.argmax(axis=1), p.max(axis=1)
    hit = (predicted == truth).astype(np.float64)
    right = p[np.arange(n), truth]
    true_class, hit_class = _one_hot(truth, k), _one_hot(truth, k, hit)
    either = true_class + _one_hot(predicted, k)
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    squared = np.square(p).sum(axis=1) - 2 * right + 1

    def recall(sums: Floats) -> Floats:
        return mean_ratio(sums[..., 1 + k :], sums[..., 1 : 1 + k])

    def f1(sums: Floats) -> Floats:
        return mean_ratio(2 * sums[..., 1 + k :], sums[..., 1 : 1 + k])

    def gap(sums: Floats) -> Floats:
        return np.asarray(np.abs(sums[..., 1:]).sum(axis=-1) / sums[..., 0])

    unit: dict[str, Any] = {"unit": "share", "bounds": (0.0, 1.0), "higher_is_better": True}
    scores = {
        "accuracy": Score(*average(hit), share=True, **unit),
        "balanced_accuracy": Score(scipy.sparse.hstack([true_class, hit_class], format="csr"), recall, **unit),
        "log_loss": Score(*average(-np.log(np.maximum(right, np.finfo(np.float64).eps))), unit="nats"),
        "brier": Score(*average(squared / 2 if k == 2 else squared), bounds=(0.0, 1.0 if k == 2 else 2.0)),
    }
    if (area := auc(p, truth, weight)) is not None:
        scores["auc"] = area
    scores["macro_f1"] = Score(scipy.sparse.hstack([either, hit_class], format="csr"), f1, **unit)
    scores["calibration_error"] = Score(_one_hot(bins, BINS, hit - confidence), gap, unit="share", bounds=(0.0, 1.0))
    if ordered and k > 2:
        step = (truth[:, None] <= np.arange(k - 1)).astype(np.float64)
        ranked = np.square(p.cumsum(axis=1)[:, :-1] - step).sum(axis=1) / (k - 1)
        scores["ranked_probability_score"] = Score(*average(ranked), bounds=(0.0, 1.0))
    return scores


def _probabilities(q: Distribution | Tensor | Values) -> Floats:
    """(n, k) float64, each row summing to one."""
    if isinstance(q, Bernoulli):
        one = q.probs.detach().double().numpy()
        return np.stack([1 - one, one], axis=1)
    given = q.probs if isinstance(q, Categorical) else q
    if isinstance(given, Distribution):
        raise DataError(f"A categorical y needs class probabilities, and q is a {type(given).__name__}.")
    p = np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given, dtype=np.float64)
    if p.ndim != 2:
        raise DataError(f"Class probabilities are of shape (rows, classes), and these are of shape {p.shape}.")
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def _codes(labels: Values, y: Values) -> NDArray[np.int64]:
    """(n,) place of each label, −1 for one that the domain does not know."""
    place = {label: i for i, label in enumerate(labels.tolist())}
    return np.array([place.get(label, -1) for label in np.asarray(y).reshape(-1).tolist()], dtype=np.int64)


def _trivial(
    classes: int, truth: Values, marginal: Values | None, labels: Values, weight: Floats | None, *, ordered: bool
) -> dict[str, float]:
    """The metrics of the training rows' majority class and class shares."""
    if marginal is None:
        return {}
    seen = _codes(labels, marginal)
    if not (seen >= 0).any():
        return {}
    share = np.bincount(seen[seen >= 0], minlength=classes) / (seen >= 0).sum()
    p = np.broadcast_to(share, (len(truth), classes))
    found = values(category_scores(p, truth, weight, ordered=ordered), weight)
    found.pop("calibration_error", None)  # class shares are calibrated, and tell nothing
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _mistakes(p: Floats, truth: Values, predicted: Values, names: list[str], numbers: Values) -> list[dict[str, Any]]:
    """The wrong rows whose true class was held least likely; ``likelihood`` is its probability."""
    wrong = np.flatnonzero(predicted != truth)
    likelihood = p[wrong, truth[wrong]]
    worst = np.argsort(likelihood, kind="stable")[:MISTAKES]
    return [
        {
            "row": int(numbers[i]),
            "truth": names[truth[i]],
            "prediction": names[predicted[i]],
            "confidence": float(p[i, predicted[i]]),
            "likelihood": float(p[i, truth[i]]),
        }
        for i in wrong[worst]
    ]


def _one_hot(codes: Values, classes: int, value: Values | None = None) -> scipy.sparse.csr_array:
    """(n, classes) with ``value`` (1 by default) at each row's code."""
    n = len(codes)
    entries = np.ones(n) if value is None else value
    return scipy.sparse.csr_array((entries, (np.arange(n), codes)), shape=(n, classes))


def mean_ratio(above: Floats, below: Floats) -> Floats:
    """Mean over classes of above / below, over those where below is positive."""
    there = below > 0
    ratio = np.divide(above, below, out=np.zeros_like(above), where=there)
    count = there.sum(axis=-1)
    return np.asarray(np.divide(ratio.sum(axis=-1), count, out=np.full(count.shape, np.nan), where=count > 0))
