"""Heads: what answers from a fixed representation z, and how each is kept without anything that executes."""

from __future__ import annotations

import abc
import dataclasses
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Categorical, Distribution, Normal

from trine.data import split
from trine.errors import ArtefactError, ChoiceError
from trine.estimators._encoders import MissingLibrary
from trine.estimators.classification import Classifier
from trine.estimators.regression import Regressor
from trine.registry import Registry

Floats = NDArray[np.float64]

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Of the linear classifier, C: how little its weights are held back."""
UNTESTED = 0.1
"""C where there are too few rows of a class to choose it by."""
FOLDS, CHOOSERS = 5, 3000
"""Folds by which C is chosen, and most rows that take part in that."""
PENALTIES = tuple(np.logspace(-2, 5, 15))
"""Of ridge regression, chosen by its closed form of leaving one out."""
JUDGES = 50
"""Fewest rows held back that decide when boosting stops; with fewer their score is chance, and a fixed number is grown."""
TREES, MOST_TREES, PATIENCE = 100, 1000, 30


@dataclasses.dataclass(frozen=True)
class Task:
    """What is asked of a head.

    Attributes:
        classes: how many, or None where y is a number. seed: of all that is drawn. threads: that it may use.
        stop: share of the rows held back where a head needs some, to decide when to stop or to see how far it errs.
        types: of each number in z, ``"q"`` (a quantity) or ``"c"`` (a code), where some are codes; None: all are quantities.
    """

    classes: int | None
    seed: int = 0
    threads: int = 1
    stop: float = 0.1
    types: tuple[str, ...] | None = None


class Head(abc.ABC):
    """z → q(y given z): probabilities of classes, or a distribution of a number in y's own units.

    ``fit`` takes z, (rows, features), and y: (rows,) class codes from 0, or numbers.
    """

    kind: ClassVar[str]

    @abc.abstractmethod
    def fit(self, z: NDArray[np.float32], y: NDArray[Any], task: Task) -> Self:
        """Learn from all rows."""

    @abc.abstractmethod
    def distribution(self, z: NDArray[np.float32]) -> Distribution:
        """q(y given z) of each row."""

    @abc.abstractmethod
    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """JSON values and tensors from which :meth:`restore` makes it again."""

    @classmethod
    @abc.abstractmethod
    def restore(cls, data: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """The head that :meth:`parts` wrote."""

    @abc.abstractmethod
    def describe(self) -> str:
        """One line of the derivation."""


heads: Registry[type[Head]] = Registry("head", "trine.estimators")


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
        return Categorical(logits=found) if self.spread is None else _normal(found[:, 0].numpy(), self.spread)

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


@heads.register("mlp")
class NetHead(Head):
    """A dense network on z, trained by the one loop: :class:`~trine.Classifier` or :class:`~trine.Regressor` of z."""

    kind = "mlp"

    def __init__(self) -> None:
        self.model: Any = None
        self.classes: int | None = None

    def fit(self, z: NDArray[np.float32], y: NDArray[Any], task: Task) -> Self:
        kind: Any = Regressor if task.classes is None else Classifier
        self.classes = task.classes
        # z has been through a network: bins at its quantiles would undo what that made smooth.
        self.model = kind(
            hidden=(256,),
            numbers="plain",
            members=1,
            dropout=0.2,
            epochs=int(np.clip(round(100_000 / len(z)), 10, 150)),
            validation_fraction=task.stop,
            random_state=task.seed,
            threads=task.threads,
            calibration="none",
        )
        if task.classes is not None and len(np.unique(y)) < 2:
            raise ChoiceError("The rows hold one class only; a network needs two.")
        self.model.fit(z, y)
        return self

    def distribution(self, z: NDArray[np.float32]) -> Distribution:
        q: Distribution = self.model.predict_distribution(z)
        if self.classes is None:
            return q
        assert isinstance(q, Categorical)
        return _spread_over(q.probs.double().numpy(), self.model.classes_, self.classes)

    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return {"classes": self.classes, "model": self.model.manifest()}, self.model.tensors()

    @classmethod
    def restore(cls, data: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        head = cls()
        head.classes = data["classes"]
        kind: Any = Regressor if head.classes is None else Classifier
        head.model = kind._restore(data["model"], tensors, "the head")
        return head

    def describe(self) -> str:
        hidden = " × ".join(map(str, self.model.derivation_.choices.hidden))
        return f"dense network on z: {hidden} units, then {type(self.model).__name__.lower()}'s rule"


@heads.register("boosting")
class BoostingHead(Head):
    """Gradient-boosted trees (XGBoost; Chen and Guestrin, 2016), grown until rows held back are predicted no better.

    Depth 4, step size 0.1, 0.8 of the rows for each tree and some of the numbers for each split. With fewer than 50 rows to
    hold back, 100 trees on all of them.
    """

    kind = "boosting"

    def __init__(self) -> None:
        self.booster: Any = None
        self.classes: int | None = None
        self.spread = 1.0
        self.types: tuple[str, ...] | None = None
        self.stopped = False

    def fit(self, z: NDArray[np.float32], y: NDArray[Any], task: Task) -> Self:
        boost = xgboost()
        self.classes, self.types = task.classes, task.types
        strata = None if task.classes is None else y
        train, stop = split(len(z), task.stop, task.seed, strata)
        self.stopped = len(stop) >= JUDGES
        if not self.stopped:
            train = np.arange(len(z))
        goal = (
            {"objective": "reg:squarederror"}
            if task.classes is None
            else {"objective": "multi:softprob", "num_class": task.classes}
        )
        width = z.shape[1]
        settings = {
            **goal, "max_depth": 4, "eta": 0.1, "subsample": 0.8, "seed": task.seed, "nthread": task.threads,
            "tree_method": "hist", "verbosity": 0,
            # Each split looks at some 2·√width numbers: of hundreds that say much the same, a few labels pick any.
            "colsample_bynode": float(np.clip(2.0 * width**-0.5, 0.1, 1.0)),
            # A row counts p(1 − p) in a class: by the usual 1, a tree from 10 rows could not split at all.
            "min_child_weight": 1.0 if task.classes is None else 0.1,
        }  # fmt: skip
        known = self._matrix(z[train], y[train])
        if self.stopped:
            held = self._matrix(z[stop], y[stop])
            grown = boost.train(
                settings, known, MOST_TREES, evals=[(held, "stop")], early_stopping_rounds=PATIENCE, verbose_eval=False
            )
            self.booster = grown[: grown.best_iteration + 1]
        else:
            self.booster = boost.train(settings, known, TREES)
        if task.classes is None and self.stopped:
            self.spread = _size_of(self.booster.predict(self._matrix(z[stop])) - y[stop])
        elif task.classes is None:

            def errors(train: NDArray[np.int64], test: NDArray[np.int64]) -> NDArray[Any]:
                grown = boost.train(settings, self._matrix(z[train], y[train]), TREES)
                return np.asarray(grown.predict(self._matrix(z[test])) - y[test])

            self.spread = _crossed(errors, len(z), task.seed)
        return self

    def _matrix(self, z: NDArray[Any], y: NDArray[Any] | None = None) -> Any:
        coded = self.types is not None
        return xgboost().DMatrix(z, y, feature_types=list(self.types) if self.types else None, enable_categorical=coded)

    def distribution(self, z: NDArray[np.float32]) -> Distribution:
        found = self.booster.predict(self._matrix(z))
        if self.classes is None:
            return _normal(found, self.spread)
        return Categorical(probs=torch.from_numpy(found.astype(np.float64)))

    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        raw = np.frombuffer(bytes(self.booster.save_raw("ubj")), dtype=np.uint8)
        about = {"classes": self.classes, "spread": self.spread, "types": self.types, "stopped": self.stopped}
        return about, {"booster": torch.from_numpy(raw.copy())}

    @classmethod
    def restore(cls, data: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        head = cls()
        head.booster = booster_of(tensors["booster"])
        head.classes, head.spread, head.stopped = data["classes"], data["spread"], data["stopped"]
        head.types = None if data["types"] is None else tuple(data["types"])
        return head

    def describe(self) -> str:
        grown = self.booster.num_boosted_rounds()
        why = "by rows held back" if self.stopped else f"fixed, as fewer than {JUDGES} rows could decide"
        return f"XGBoost on z: {grown} rounds ({why}), depth 4, step size 0.1"


def xgboost() -> Any:
    """The library.

    Raises:
        ChoiceError: it is not installed; says what to install.
    """
    try:
        import xgboost as found
    except ImportError as error:
        raise MissingLibrary(
            f"Boosting needs XGBoost, which cannot be imported ({error}): pip install 'trine[boost]' (the CPU build, "
            "xgboost-cpu), or choose head='linear' or 'mlp'."
        ) from None
    return found


def booster_of(raw: Tensor) -> Any:
    """The booster whose UBJSON ``raw`` holds, (bytes,) uint8."""
    boost = xgboost()
    try:
        found = boost.Booster()
        found.load_model(bytearray(raw.numpy().tobytes()))
    except boost.core.XGBoostError as error:
        first = str(error).strip().splitlines()[0]
        raise ArtefactError(f"The boosted trees in the file cannot be read ({first}); it was altered.") from None
    return found


# Any scikit-learn estimator --------------------------------------------------------------------------------------

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

            self.spread = _crossed(errors, len(z), task.seed)
        self.estimator = fitted.fit(z, y)
        return self

    def distribution(self, z: NDArray[np.float32]) -> Distribution:
        if self.classes is None:
            return _normal(np.asarray(self.estimator.predict(z)).reshape(-1), self.spread)
        if hasattr(self.estimator, "predict_proba"):
            found = np.asarray(self.estimator.predict_proba(z), dtype=np.float64)
        else:  # it says a class and not how sure it is
            found = (np.asarray(self.estimator.predict(z))[:, None] == self.estimator.classes_).astype(np.float64)
        return _spread_over(found, self.estimator.classes_, self.classes)

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


def _crossed(errors: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[Any]], rows: int, seed: int) -> float:
    """Root mean square of ``errors(train, test)`` over folds, each row tested once by what was learned from the others."""
    order = np.random.default_rng(seed).permutation(rows)
    parts = np.array_split(order, min(FOLDS, rows))
    every = [errors(np.setdiff1d(order, part), np.sort(part)) for part in parts]
    return _size_of(np.concatenate(every))


def _size_of(errors: NDArray[Any]) -> float:
    return max(float(np.sqrt(np.mean(np.square(errors, dtype=np.float64)))), 1e-12)


def _normal(location: NDArray[Any], scale: float) -> Normal:
    where = torch.from_numpy(np.asarray(location, dtype=np.float64))
    return Normal(where, torch.full_like(where, scale))


def _spread_over(found: Floats, present: NDArray[Any], classes: int) -> Categorical:
    """Probabilities of the classes that were present, (rows, present), as those of all."""
    p = np.zeros((len(found), classes))
    p[:, np.asarray(present).astype(np.int64)] = found
    return Categorical(probs=torch.from_numpy(p))


def head_of(head: Any) -> Head:
    """A head that is not fitted, from what the user wrote.

    Raises:
        ChoiceError: it is no name of a head and no scikit-learn estimator.
    """
    if isinstance(head, str):
        if head == ScikitHead.kind:
            raise ChoiceError("head='scikit-learn' names no estimator; give the estimator itself, e.g. head=SVC().")
        return heads[head]()
    if hasattr(head, "fit") and hasattr(head, "predict") and hasattr(head, "get_params") and not isinstance(head, type):
        return ScikitHead(head)
    raise ChoiceError(
        f"The head is {head!r}; it is one of {', '.join(sorted(set(heads) - {ScikitHead.kind}))}, or a scikit-learn "
        "classifier or regressor (an instance, not its class)."
    )
