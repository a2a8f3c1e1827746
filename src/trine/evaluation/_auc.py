"""Area under the ROC curve, with what each row contributes to it."""

from __future__ import annotations

import numpy as np

from trine.evaluation._base import Values
from trine.evaluation._bootstrap import Floats, Score

MOST_WORK = 2e7
"""Rows times classes beyond which the area is not computed."""


def auc(p: Floats, truth: Values, weight: Floats | None) -> Score | None:
    r"""The area under the ROC curve, ties counted half; of several classes the mean over each against the rest.

    An area is a mean over pairs of rows, not over rows. Its draws are those of its linear part: with the structural
    components of DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988), V(i) being the share of the other kind that
    row i is on the right side of, a row contributes

    .. math:: \psi(i) = (V(i) - A) / \text{share of the rows of } i\text{'s kind}

    Args:
        p: (n, k) probabilities.
        truth: (n,) codes.
        weight: (n,) or None.

    Returns:
        None where no class has rows for and against it, or where the work is beyond :data:`MOST_WORK`.
    """
    n, classes = p.shape
    if n * classes > MOST_WORK:
        return None
    each = np.ones(n) if weight is None else weight
    total = each.sum()
    areas, influence = [], np.zeros(n)
    for c in range(1, 2) if classes == 2 else range(classes):
        positive = truth == c
        ahead, behind = each[positive].sum(), each[~positive].sum()
        if not ahead or not behind:
            continue
        sides = right_side(p[:, c], positive, each)
        area = float((each * sides)[positive].sum() / ahead)
        areas.append(area)
        influence += (sides - area) * np.where(positive, total / ahead, total / behind)
    if not areas:
        return None
    mean = float(np.mean(areas))
    return Score(
        (influence / len(areas))[:, None],
        lambda sums: np.clip(mean + sums[..., 1] / sums[..., 0], 0.0, 1.0),
        higher_is_better=True,
        bounds=(0.0, 1.0),
    )


def right_side(score: Floats, positive: Values, weight: Floats) -> Floats:
    """(n,) of a positive row the share of negative ones that score lower, of a negative row of positive ones higher."""
    _, place = np.unique(score, return_inverse=True)
    levels = int(place.max()) + 1
    for_it = np.bincount(place, weights=weight * positive, minlength=levels)
    against = np.bincount(place, weights=weight * ~positive, minlength=levels)
    lower = (np.cumsum(against) - against / 2) / against.sum()
    higher = 1 - (np.cumsum(for_it) - for_it / 2) / for_it.sum()
    return np.asarray(np.where(positive, lower[place], higher[place]))
