"""Metrics of a y that is a set of labels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution

from trine.domains import Column, Labels
from trine.errors import DataError
from trine.evaluation._auc import MOST_WORK, right_side
from trine.evaluation._base import MISTAKES, Evaluation, Metric, Values, evaluate, row_numbers
from trine.evaluation._bootstrap import Floats, Score, average, intervals, values
from trine.evaluation.categories import mean_ratio

LABEL_METRICS = ("exact_match", "micro_f1", "macro_f1", "hamming_loss", "log_loss", "macro_auc")


@evaluate.register
def evaluate_labels(
    domain: Labels,
    y: Values,
    q: Distribution | Tensor | Values,
    *,
    weight: NDArray[np.float64] | None = None,
    marginal: Values | None = None,
    rows: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Evaluation:
    """Exact match, micro and macro F1, Hamming loss, log loss, mean AUC of the labels: :func:`label_scores`.

    ``y`` and ``marginal`` are (n,) texts as the domain writes them, or (n, labels) of 0 and 1; ``q`` is a distribution over
    sets, or (n, labels) probabilities. ``figures``: ``classes``, for each label its rows, recall, precision, F1 and AUC.
    """
    p = _probabilities(q)
    truth = _sets(domain, y)
    if truth.shape != p.shape:
        raise DataError(
            f"y has {truth.shape[0]:,} rows of {truth.shape[1]} labels and q {p.shape[0]:,} of {p.shape[1]}; one "
            "probability for each label of each row is expected."
        )
    each = None if weight is None else np.asarray(weight, dtype=np.float64)
    areas = label_areas(p, truth, each)
    scores = label_scores(p, truth, each, areas)
    trivial = _trivial(domain, truth, marginal, each)
    metrics = {
        name: Metric(*found, trivial.get(name), scores[name].higher_is_better, scores[name].unit)
        for name, found in intervals(scores, each, seed).items()
    }
    figures = {"labels": list(domain.labels), "classes": _by_label(domain, p, truth, areas)}
    return Evaluation(
        "labels", len(truth), metrics, figures, _mistakes(domain, p, truth, row_numbers(rows, len(truth)))
    )


def label_scores(
    p: Floats, truth: Values, weight: Floats | None, areas: list[tuple[float, Floats]] | None = None
) -> dict[str, Score]:
    r"""The metrics of label probabilities ``p`` (n, k) at true sets ``truth`` (n, k); none where there are no rows.

    A label is predicted where its probability exceeds ½.

    - exact_match: share of rows whose predicted set is the true one.
    - micro_f1: 2 TP / (2 TP + FP + FN) over all labels and rows. macro_f1: F1 of each label, averaged over those that occur
      or are predicted.
    - hamming_loss: share of labels that are wrong.
    - log_loss: mean of −log q(y), the sum over labels of −log of the probability that each is as it is.
    - macro_auc: area under the ROC curve of each label, averaged over those with rows for and against.
    """
    if not len(p):
        return {}
    predicted = p > 0.5
    wrong = predicted != truth
    hit = (predicted & truth).astype(np.float64)
    held = truth.astype(np.float64) + predicted
    least = np.finfo(np.float64).eps
    lost = -np.log(np.maximum(np.where(truth, p, 1 - p), least)).sum(axis=1)
    both = np.column_stack([hit.sum(axis=1), held.sum(axis=1)])
    k = p.shape[1]
    unit: dict[str, Any] = {"unit": "share", "bounds": (0.0, 1.0), "higher_is_better": True}

    def micro(sums: Floats) -> Floats:
        empty = np.full(sums.shape[:-1], np.nan)
        return np.asarray(np.divide(2 * sums[..., 1], sums[..., 2], out=empty, where=sums[..., 2] > 0))

    def macro(sums: Floats) -> Floats:
        return mean_ratio(2 * sums[..., 1 : 1 + k], sums[..., 1 + k :])

    sparse = scipy.sparse.hstack([scipy.sparse.csr_array(hit), scipy.sparse.csr_array(held)], format="csr")
    scores = {
        "exact_match": Score(*average(~wrong.any(axis=1)), share=True, **unit),
        "micro_f1": Score(both, micro, **unit),
        "macro_f1": Score(sparse, macro, **unit),
        "hamming_loss": Score(*average(wrong.mean(axis=1)), unit="share", bounds=(0.0, 1.0)),
        "log_loss": Score(*average(lost), unit="nats"),
    }
    found = [(area, part) for area, part in areas or [] if math.isfinite(area)]
    if found:
        mean, influence = float(np.mean([a for a, _ in found])), np.mean([part for _, part in found], axis=0)
        scores["macro_auc"] = Score(
            influence[:, None],
            lambda sums: np.clip(mean + sums[..., 1] / sums[..., 0], 0.0, 1.0),
            higher_is_better=True,
            bounds=(0.0, 1.0),
        )
    return scores


def label_areas(p: Floats, truth: Values, weight: Floats | None) -> list[tuple[float, Floats]]:
    """(area under the ROC curve, (n,) what each row contributes) of each label; NaN where all rows have it, or none.

    Contributions are those of DeLong et al. (1988), as in :func:`trine.evaluation._auc.auc`. Nothing where the work is too
    much.
    """
    n, k = p.shape
    if not n or n * k > MOST_WORK:
        return []
    each = np.ones(n) if weight is None else weight
    found = []
    for label in range(k):
        has = truth[:, label]
        ahead, behind = each[has].sum(), each[~has].sum()
        if not ahead or not behind:
            found.append((math.nan, np.zeros(n)))
            continue
        sides = right_side(p[:, label], has, each)
        area = float((each * sides)[has].sum() / ahead)
        found.append((area, (sides - area) * np.where(has, each.sum() / ahead, each.sum() / behind)))
    return found


def _probabilities(q: Distribution | Tensor | Values) -> Floats:
    given = q.mean if isinstance(q, Distribution) else q
    return np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given, dtype=np.float64)


def _sets(domain: Labels, y: Values) -> NDArray[np.bool_]:
    """(n, labels) bool, from such an array or from texts."""
    array = np.asarray(y)
    if array.ndim == 2:
        return array > 0.5
    texts, codes = np.unique(np.array([str(text) for text in array], dtype=object), return_inverse=True)
    # In front of each text stands a separator, so that an empty one is the empty set and not a missing value.
    levels = np.array([f"{domain.separator or ';'}{text}" for text in texts], dtype=object)
    column = Column("y", codes.reshape(-1).astype(np.int32), levels)
    known = Labels(labels=domain.labels, separator=domain.separator or ";")
    return known.encode(column) > 0


def _trivial(domain: Labels, truth: Values, marginal: Values | None, weight: Floats | None) -> dict[str, float]:
    """The metrics of predicting for every row the share of the training rows that have each label."""
    if marginal is None or not len(marginal) or not len(truth):
        return {}
    share = _sets(domain, marginal).mean(axis=0)
    p = np.broadcast_to(share, truth.shape)
    # Every area of a constant is one half.
    areas = [(0.5, np.zeros(len(truth)))]
    found = values(label_scores(p, truth, weight, areas), weight)
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _by_label(domain: Labels, p: Floats, truth: Values, areas: list[tuple[float, Floats]]) -> list[dict[str, Any]]:
    predicted = p > 0.5
    hit, true, held = (predicted & truth).sum(axis=0), truth.sum(axis=0), predicted.sum(axis=0)
    return [
        {
            "label": label,
            "rows": int(true[i]),
            "recall": float(hit[i] / true[i]) if true[i] else None,
            "precision": float(hit[i] / held[i]) if held[i] else None,
            "f1": float(2 * hit[i] / (true[i] + held[i])) if true[i] + held[i] else None,
            "auc": areas[i][0] if areas else None,
        }
        for i, label in enumerate(domain.labels)
    ]


def _mistakes(domain: Labels, p: Floats, truth: Values, numbers: Values) -> list[dict[str, Any]]:
    """The wrong rows whose true set was held least likely."""
    if not len(p):
        return []
    predicted = p > 0.5
    log_q = np.log(np.maximum(np.where(truth, p, 1 - p), np.finfo(np.float64).eps)).sum(axis=1)
    held = np.log(np.maximum(np.where(predicted, p, 1 - p), np.finfo(np.float64).eps)).sum(axis=1)
    wrong = np.flatnonzero((predicted != truth).any(axis=1))
    worst = wrong[np.argsort(log_q[wrong], kind="stable")[:MISTAKES]]
    true, given = domain.decode(truth[worst]), domain.decode(predicted[worst])
    return [
        {
            "row": int(numbers[i]),
            "truth": true[at] or "no label",
            "prediction": given[at] or "no label",
            "confidence": float(np.exp(held[i])),
            "likelihood": float(np.exp(log_q[i])),
        }
        for at, i in enumerate(worst)
    ]
