"""A linear map of z."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Categorical, Distribution

from trine.data import split

from ._base import FOLDS, Floats, Head, Task, heads, normal

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Of the linear classifier, C: how little its weights are held back."""
UNTESTED = 0.1
"""C where there are too few rows of a class to choose it by."""
CHOOSERS = 3000
"""Rows, at most, that take part in choosing C."""
PENALTIES = tuple(np.logspace(-2, 5, 15))
"""Of ridge regression, chosen by its closed form of leaving one out."""


@heads.register("linear")
class LinearHead(Head):
    """Softmax of a linear map of standardised z, by penalised likelihood; of a number ridge regression.

    The penalty is chosen within the training rows: by cross-validated log-likelihood, or by leaving one out in closed form
    (Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 7.10).
    """

    kind = "linear"

    def __init__(self) -> None:
        self.mean: Floats = np.zeros(0)
        self.weight: Floats = np.zeros((0, 0))
        self.bias: Floats = np.zeros(0)
        self.spread: float | None = None
        self.penalty = UNTESTED

    def fit(self, z: NDArray[np.float32], y: NDArray[Any], task: Task) -> Self:
        self.mean = z.mean(0, dtype=np.float64)
        scale = z.std(0, dtype=np.float64)
        # What never moves in training says nothing, and must not say much where it moves for the first time.
        scale = np.where(scale > 1e-6 * max(float(scale.max(initial=0.0)), 1e-12), scale, np.inf)
        x = (z - self.mean) / scale
        if task.classes is None:
            from sklearn.linear_model import RidgeCV

            ridge = RidgeCV(PENALTIES, store_cv_results=True).fit(x, y)
            places = list(PENALTIES).index(ridge.alpha_)
            self.penalty = float(ridge.alpha_)
            self.spread = max(float(np.sqrt(ridge.cv_results_[:, places].mean())), 1e-12)
            self.weight, self.bias = ridge.coef_[None] / scale, np.array([ridge.intercept_])
            return self
        codes = y.astype(np.int64)
        self.penalty = self._chosen(x, codes, task)
        weight, bias = _logistic(x, codes, self.penalty)
        present = np.unique(codes)
        # A class that is not among the rows is never said.
        self.weight, self.bias = np.zeros((task.classes, z.shape[1])), np.full(task.classes, -1e3)
        self.weight[present], self.bias[present] = weight / scale, bias
        return self

    def _chosen(self, x: Floats, codes: NDArray[np.int64], task: Task) -> float:
        """C by cross-validation."""
        from sklearn.model_selection import StratifiedKFold

        if len(codes) > CHOOSERS:
            some = split(len(codes), CHOOSERS / len(codes), task.seed, codes)[1]
            x, codes = x[some], codes[some]
        counts = np.bincount(codes)
        folds = min(FOLDS, int(counts[counts > 0].min()))
        if folds < 2 or len(np.unique(codes)) < 2:
            return UNTESTED
        loss = np.zeros(len(STRENGTHS))
        for train, test in StratifiedKFold(folds, shuffle=True, random_state=task.seed).split(x, codes):
            present, place = np.unique(codes[train], return_inverse=True)
            at = np.searchsorted(present, codes[test])
            for i, strength in enumerate(STRENGTHS):
                weight, bias = _logistic(x[train], place, strength)
                log_p = torch.from_numpy(x[test] @ weight.T + bias).log_softmax(1).numpy()
                loss[i] -= log_p[np.arange(len(test)), at].sum()
        return float(STRENGTHS[int(loss.argmin())])

    def distribution(self, z: NDArray[np.float32]) -> Distribution:
        found = torch.from_numpy((z - self.mean) @ self.weight.T + self.bias)
        return Categorical(logits=found) if self.spread is None else normal(found[:, 0].numpy(), self.spread)

    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        arrays = {"mean": self.mean, "weight": self.weight, "bias": self.bias}
        return {"spread": self.spread, "penalty": self.penalty}, {k: torch.from_numpy(v) for k, v in arrays.items()}

    @classmethod
    def restore(cls, data: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        head = cls()
        head.mean, head.weight, head.bias = (tensors[name].numpy() for name in ("mean", "weight", "bias"))
        head.spread, head.penalty = data["spread"], data["penalty"]
        return head

    def describe(self) -> str:
        if self.spread is None:
            return f"softmax(W z + b), z standardised; penalised likelihood, C = {self.penalty:g}"
        return f"N(w·z + b, {self.spread:.4g}²), z standardised; ridge regression, penalty {self.penalty:g}"


def _logistic(x: Floats, codes: NDArray[np.int64], strength: float) -> tuple[Floats, Floats]:
    """Weight (classes, features) and bias (classes,) of multinomial logistic regression on codes 0 … classes − 1."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(codes)) < 2:
        return np.zeros((1, x.shape[1])), np.zeros(1)
    with warnings.catch_warnings():  # of separable classes the likelihood has no maximum but the penalty's, far out
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = LogisticRegression(C=strength, max_iter=300, tol=1e-3).fit(x, codes)
    weight, bias = np.asarray(found.coef_), np.asarray(found.intercept_)
    return (
        (weight, bias)
        if len(weight) > 1
        else (np.concatenate([-weight, weight]) / 2, np.array([-bias[0], bias[0]]) / 2)
    )
