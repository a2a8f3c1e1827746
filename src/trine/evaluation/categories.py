"""Metrics of a categorical y."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Self

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution

from trine.choices import Choices
from trine.domains import Category
from trine.errors import DataError
from trine.evaluation import _curves as curves
from trine.evaluation._auc import auc
from trine.evaluation._base import MISTAKES, Evaluation, Metric, Values, evaluate, reduced, row_numbers
from trine.evaluation._bootstrap import Floats, Score, average, intervals, values

CATEGORY_METRICS = (
    "accuracy",
    "top_3_accuracy",
    "top_5_accuracy",
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
MANY = 1000
"""Classes beyond which no row's probabilities are kept: what the metrics need of them is a few numbers a row."""
TOP = ((3, 10), (5, 100))
"""(k, classes from which it is of interest) of the shares of rows whose class is among the k likeliest."""
LISTED = 5
"""The likeliest classes that are kept of a row where there are many."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the metrics need of class probabilities, a few numbers a row.

    Attributes:
        classes: their number.
        right: (n,) probability of the true class. rank: (n,) int, how many classes are likelier than it.
        predicted, confidence: (n,) the likeliest class and its probability. squared: (n,) Σ_c p_c².
    """

    classes: int
    right: Floats
    rank: Values
    predicted: Values
    confidence: Floats
    squared: Floats

    @classmethod
    def of(cls, p: Floats, truth: Values) -> Self:
        """Of probabilities (n, k) at true codes (n,)."""
        right = p[np.arange(len(p)), truth]
        return cls(
            p.shape[1],
            right,
            (p > right[:, None]).sum(axis=1),
            p.argmax(axis=1) if len(p) else np.zeros(0, dtype=np.int64),
            p.max(axis=1, initial=0.0),
            np.square(p).sum(axis=1),
        )


@reduced.register
def _(domain: Category, q: Distribution, y: Tensor | None, choices: Choices) -> Distribution | dict[str, Values]:
    """Of many classes, what :class:`Outcome` holds, and the likeliest classes (``top``, ``top_probability``)."""
    if not isinstance(q, Categorical) or q.logits.shape[-1] <= MANY:
        return q
    top, codes = q.logits.topk(LISTED, -1)
    found = {
        "top": codes.numpy(),
        "top_probability": top.double().exp().numpy(),
        "squared": (2 * q.logits).logsumexp(-1).double().exp().numpy(),
        "classes": np.full(len(codes), q.logits.shape[-1]),
    }
    if y is not None:
        right = q.logits.gather(-1, y.long().clamp_min(0)[:, None])
        found |= {
            "right": right.squeeze(-1).double().exp().numpy(),
            "rank": (q.logits > right).sum(-1).numpy(),
        }
    return found


@evaluate.register
def evaluate_category(
    domain: Category,
    y: Values,
    q: Distribution | Tensor | Values | dict[str, Values],
    *,
    weight: NDArray[np.float64] | None = None,
    marginal: Values | None = None,
    rows: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Evaluation:
    """Accuracy, balanced accuracy, log loss, Brier score, AUC, macro F1, calibration error: :func:`category_scores`.

    Of many classes, ``q`` is what :func:`~trine.evaluation.reduced` gives.

    Rows of a class that the domain does not know are left out and counted (``unknown_classes``). ``figures``:
    ``labels``; ``confusion``, ``classes``, ``confused`` (see :mod:`trine.evaluation._curves`); ``calibration``; of two
    classes also ``roc`` and ``precision_recall``.
    """
    many = isinstance(q, dict)
    p = np.zeros((len(q["top"]), 0)) if isinstance(q, dict) else _probabilities(q)
    classes = len(domain.labels) if many else p.shape[1]
    labels = domain.decode(np.arange(classes))
    truth = _codes(labels, y)
    if len(truth) != len(p):
        raise DataError(
            f"There are {len(truth):,} values of y and {len(p):,} predictions; one for each row is expected."
        )
    known = truth >= 0
    numbers = row_numbers(rows, len(truth))[known]
    p, truth = p[known], truth[known]
    weight = None if weight is None else np.asarray(weight, dtype=np.float64)[known]
    if isinstance(q, dict):
        top, sure = q["top"][known, 0], q["top_probability"][known, 0]
        outcome = Outcome(classes, q["right"][known], q["rank"][known], top, sure, q["squared"][known])
        scores = outcome_scores(outcome, truth)
    else:
        outcome = Outcome.of(p, truth)
        scores = category_scores(p, truth, weight, ordered=domain.ordered)
    trivial = _trivial(classes, truth, marginal, labels, weight, ordered=domain.ordered)
    metrics = {
        name: Metric(*found, trivial.get(name), scores[name].higher_is_better, scores[name].unit)
        for name, found in intervals(scores, weight, seed).items()
    }
    names = [str(label) for label in labels]
    predicted = outcome.predicted
    hit = np.where(predicted == truth, 0, 1)
    figures: dict[str, Any] = {
        "labels": names,
        "unknown_classes": int((~known).sum()),
        **curves.confusions(truth, predicted, names),
        "calibration": curves.calibration(outcome.confidence[:, None], hit, names)
        if classes > 2
        else curves.calibration(p, truth, names),
    }
    if len(names) == 2:
        figures |= curves.thresholds(p[:, 1], truth == 1, names[1])
    return Evaluation("category", len(truth), metrics, figures, _mistakes(outcome, truth, names, numbers))


def category_scores(p: Floats, truth: Values, weight: Floats | None, *, ordered: bool = False) -> dict[str, Score]:
    r"""The metrics of class probabilities ``p`` (n, k) at true codes ``truth`` (n,); none where there are no rows.

    - accuracy: share of rows whose likeliest class is the true one. top_3_accuracy, from 10 classes on, top_5_accuracy, from
      100 on: share of rows that have fewer than 3, or 5, classes likelier than the true one.
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
    k = p.shape[1]
    scores = outcome_scores(Outcome.of(p, truth), truth)
    if (area := auc(p, truth, weight)) is not None:
        names = list(scores)
        scores["auc"] = area
        # In the order of the list above.
        scores = {name: scores[name] for name in (*names[: names.index("brier") + 1], "auc", *names[-2:])}
    if ordered and k > 2:
        step = (truth[:, None] <= np.arange(k - 1)).astype(np.float64)
        ranked = np.square(p.cumsum(axis=1)[:, :-1] - step).sum(axis=1) / (k - 1)
        scores["ranked_probability_score"] = Score(*average(ranked), bounds=(0.0, 1.0))
    return scores


def outcome_scores(outcome: Outcome, truth: Values) -> dict[str, Score]:
    """Those of :func:`category_scores` that a few numbers a row determine: all but the area and the ranked score."""
    n, k = len(truth), outcome.classes
    if not n:
        return {}
    hit = (outcome.predicted == truth).astype(np.float64)
    true_class, hit_class = _one_hot(truth, k), _one_hot(truth, k, hit)
    either = true_class + _one_hot(outcome.predicted, k)
    bins = np.minimum((outcome.confidence * BINS).astype(np.int64), BINS - 1)
    squared = outcome.squared - 2 * outcome.right + 1
    if k > MANY:
        # Of so many classes most do not occur; the others' sums are all that is drawn.
        there = np.flatnonzero(np.asarray(either.sum(axis=0)).ravel())
        true_class, hit_class, either = true_class[:, there], hit_class[:, there], either[:, there]
    held = true_class.shape[1]

    def recall(sums: Floats) -> Floats:
        return mean_ratio(sums[..., 1 + held :], sums[..., 1 : 1 + held])

    def f1(sums: Floats) -> Floats:
        return mean_ratio(2 * sums[..., 1 + held :], sums[..., 1 : 1 + held])

    def gap(sums: Floats) -> Floats:
        return np.asarray(np.abs(sums[..., 1:]).sum(axis=-1) / sums[..., 0])

    unit: dict[str, Any] = {"unit": "share", "bounds": (0.0, 1.0), "higher_is_better": True}
    among = {f"top_{top}_accuracy": outcome.rank < top for top, classes in TOP if k >= classes}
    return {
        "accuracy": Score(*average(hit), share=True, **unit),
        **{name: Score(*average(inside), share=True, **unit) for name, inside in among.items()},
        "balanced_accuracy": Score(scipy.sparse.hstack([true_class, hit_class], format="csr"), recall, **unit),
        "log_loss": Score(*average(-np.log(np.maximum(outcome.right, np.finfo(np.float64).eps))), unit="nats"),
        "brier": Score(*average(squared / 2 if k == 2 else squared), bounds=(0.0, 1.0 if k == 2 else 2.0)),
        "macro_f1": Score(scipy.sparse.hstack([either, hit_class], format="csr"), f1, **unit),
        "calibration_error": Score(
            _one_hot(bins, BINS, hit - outcome.confidence), gap, unit="share", bounds=(0.0, 1.0)
        ),
    }


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
    if classes > MANY:
        right = share[truth]
        outcome = Outcome(
            classes,
            right,
            classes - np.searchsorted(np.sort(share), right, side="right"),
            np.full(len(truth), share.argmax()),
            np.full(len(truth), share.max()),
            np.full(len(truth), np.square(share).sum()),
        )
        found = values(outcome_scores(outcome, truth), weight)
        found.pop("calibration_error", None)
        return {name: value for name, value in found.items() if math.isfinite(value)}
    p = np.broadcast_to(share, (len(truth), classes))
    found = values(category_scores(p, truth, weight, ordered=ordered), weight)
    found.pop("calibration_error", None)  # class shares are calibrated, and tell nothing
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _mistakes(outcome: Outcome, truth: Values, names: list[str], numbers: Values) -> list[dict[str, Any]]:
    """The wrong rows whose true class was held least likely; ``likelihood`` is its probability."""
    wrong = np.flatnonzero(outcome.predicted != truth)
    worst = np.argsort(outcome.right[wrong], kind="stable")[:MISTAKES]
    return [
        {
            "row": int(numbers[i]),
            "truth": names[truth[i]],
            "prediction": names[outcome.predicted[i]],
            "confidence": float(outcome.confidence[i]),
            "likelihood": float(outcome.right[i]),
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
