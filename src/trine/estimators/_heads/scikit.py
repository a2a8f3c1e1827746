"""Any estimator of scikit-learn's manner, and how those of a few arrays are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution

from trine.errors import ArtefactError, ChoiceError

from ._base import Head, Task, crossed, heads, normal, spread_over
from .boosting import booster_of, xgboost

KEPT: dict[str, tuple[str, ...]] = {
    "LogisticRegression": ("coef_", "intercept_", "classes_", "n_iter_"),
    "LinearDiscriminantAnalysis": ("coef_", "intercept_", "classes_"),
    "RidgeClassifier": ("coef_", "intercept_", "classes_"),
    "LinearSVC": ("coef_", "intercept_", "classes_"),
    "LinearRegression": ("coef_", "intercept_"),
    "Ridge": ("coef_", "intercept_"),
    "RidgeCV": ("coef_", "intercept_", "alpha_"),
    "Lasso": ("coef_", "intercept_"),
    "ElasticNet": ("coef_", "intercept_"),
    "BayesianRidge": ("coef_", "intercept_", "sigma_", "alpha_", "lambda_", "X_offset_", "X_scale_"),
    "StandardScaler": ("mean_", "scale_", "var_", "n_samples_seen_"),
    "GaussianNB": ("theta_", "var_", "classes_", "class_prior_", "class_count_", "epsilon_"),
}
"""scikit-learn's classes whose fitted state is a few arrays → their names; with those one is made again, nothing executed."""
BOOSTED = ("XGBClassifier", "XGBRegressor")


@heads.register("scikit-learn")
class ScikitHead(Head):
    """A clone of the user's own estimator, fitted on z as it is. Pipelines of what can be kept can be kept."""

    kind = "scikit-learn"

    def __init__(self, estimator: Any = None) -> None:
        self.estimator = estimator
        self.classes: int | None = None
        self.spread = 1.0

    def fit(self, z: NDArray[np.float32], y: NDArray[Any], task: Task) -> Self:
        from sklearn.base import clone, is_classifier

        if (task.classes is not None) != is_classifier(self.estimator):
            what, wanted = ("a number", "regressor") if task.classes is None else ("a category", "classifier")
            raise ChoiceError(f"The head is {type(self.estimator).__name__} and y is {what}; give a {wanted}.")
        self.classes = task.classes
        fitted = clone(self.estimator)
        if task.classes is None:

            def errors(train: NDArray[np.int64], test: NDArray[np.int64]) -> NDArray[Any]:
                found = clone(self.estimator).fit(z[train], y[train]).predict(z[test])
                return np.asarray(np.asarray(found).reshape(-1) - y[test])

            self.spread = crossed(errors, len(z), task.seed)
        self.estimator = fitted.fit(z, y)
        return self

    def distribution(self, z: NDArray[np.float32]) -> Distribution:
        if self.classes is None:
            return normal(np.asarray(self.estimator.predict(z)).reshape(-1), self.spread)
        if hasattr(self.estimator, "predict_proba"):
            found = np.asarray(self.estimator.predict_proba(z), dtype=np.float64)
        else:  # it says a class and not how sure it is
            found = (np.asarray(self.estimator.predict(z))[:, None] == self.estimator.classes_).astype(np.float64)
        return spread_over(found, self.estimator.classes_, self.classes)

    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        tensors: dict[str, Tensor] = {}
        data = _kept(self.estimator, "", tensors)
        return {"classes": self.classes, "spread": self.spread, "estimator": data}, tensors

    @classmethod
    def restore(cls, data: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        head = cls(_made(data["estimator"], "", tensors))
        head.classes, head.spread = data["classes"], data["spread"]
        return head

    def describe(self) -> str:
        return f"{' '.join(str(self.estimator).split())} on z"


def _kept(estimator: Any, at: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """JSON values of a fitted scikit-learn estimator; its arrays go to ``tensors`` under the prefix ``at``.

    Raises:
        ArtefactError: it cannot be kept without code that executes.
    """
    name, module = type(estimator).__name__, type(estimator).__module__
    if name in BOOSTED and module.startswith("xgboost."):
        raw = np.frombuffer(bytes(estimator.get_booster().save_raw("ubj")), dtype=np.uint8)
        tensors[f"{at}booster"] = torch.from_numpy(raw.copy())
        return {"kind": name, "classes": None if name == "XGBRegressor" else [int(c) for c in estimator.classes_]}
    if name == "Pipeline" and module.startswith("sklearn."):
        steps = [(str(key), _kept(step, f"{at}{i}.", tensors)) for i, (key, step) in enumerate(estimator.steps)]
        return {"kind": name, "steps": steps}
    if name not in KEPT or not module.startswith("sklearn."):
        raise ArtefactError(
            f"The head {name} cannot be kept without pickle, which can execute anything when it is opened. Take a head that "
            f"can be: 'linear', 'mlp', 'boosting', or of scikit-learn {', '.join(KEPT)} and pipelines of these; or keep "
            "z (represent) and the head apart."
        )
    for key in KEPT[name]:
        if (value := getattr(estimator, key, None)) is not None:
            tensors[f"{at}{key}"] = torch.from_numpy(np.array(value))
    return {"kind": name}


def _made(data: Mapping[str, Any], at: str, tensors: Mapping[str, Tensor]) -> Any:
    """The estimator that :func:`_kept` wrote; its class is found in a table of ours, never by a name from the file."""
    name = str(data["kind"])
    if name in BOOSTED:
        return _Boosted(booster_of(tensors[f"{at}booster"]), data["classes"])
    if name == "Pipeline":
        from sklearn.pipeline import Pipeline

        return Pipeline([(key, _made(step, f"{at}{i}.", tensors)) for i, (key, step) in enumerate(data["steps"])])
    from sklearn import discriminant_analysis, linear_model, naive_bayes, preprocessing, svm

    if name not in KEPT:
        raise ArtefactError(f"The file holds a head {name!r} that this trine does not know; a newer one wrote it.")
    homes = (linear_model, discriminant_analysis, svm, naive_bayes, preprocessing)
    found = next(getattr(home, name) for home in homes if hasattr(home, name))()
    for key in KEPT[name]:
        if f"{at}{key}" in tensors:
            value = tensors[f"{at}{key}"].numpy()
            setattr(found, key, value.item() if value.ndim == 0 else value)
    return found


class _Boosted:
    """A booster that answers as XGBoost's scikit-learn classes do."""

    def __init__(self, booster: Any, classes: list[int] | None) -> None:
        self.booster = booster
        if classes is not None:
            self.classes_ = np.array(classes)
            self.predict_proba = self._probabilities

    def _matrix(self, z: NDArray[Any]) -> Any:
        return xgboost().DMatrix(z)

    def _probabilities(self, z: NDArray[Any]) -> NDArray[Any]:
        found = np.asarray(self.booster.predict(self._matrix(z)))
        return np.stack([1 - found, found], axis=1) if found.ndim == 1 else found

    def predict(self, z: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(self.booster.predict(self._matrix(z)))
