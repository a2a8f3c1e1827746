"""Classification: y is a category."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from torch.distributions import Categorical

from trine.data import Table
from trine.domains import Category, Domain
from trine.errors import SchemaError
from trine.estimators._estimator import estimators
from trine.estimators._supervised import Supervised


@estimators.register("classifier")
class Classifier(ClassifierMixin, Supervised):  # type: ignore[misc]
    """A network whose decision rule is a softmax (or cumulative, for ordered classes) over y's categories.

    The parameters are those of :class:`~trine.estimators._supervised.Supervised`; all have defaults that are derived.

    Attributes (after ``fit``):
        classes_: (classes,) the user's own labels, sorted.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> bool(Classifier(random_state=0).fit(X, y).score(X, y) > 0.9)
        True
    """

    kind = "classifier"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        _tag_inputs(tags)
        return tags

    def _check_target(self, X: Any, y: ArrayLike) -> NDArray[Any]:
        from sklearn.utils.multiclass import check_classification_targets
        from sklearn.utils.validation import check_consistent_length, column_or_1d

        check_target_given(self, y)
        check_consistent_length(X, y)
        labels = column_or_1d(y, warn=True)
        check_classification_targets(labels)
        return np.asarray(labels)

    def _target_domain(self, table: Table, name: str) -> str | Domain:
        return "category"

    def _learn_schema(self) -> None:
        domain = self._target()
        if not isinstance(domain, Category):
            raise SchemaError(
                f"A classifier's y is a category, and this one is {type(domain).__name__}; use Regressor."
            )
        self.classes_ = np.array(domain.decode(np.arange(len(domain.labels))).tolist())

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(rows, classes) probabilities in the order of ``classes_``; each row sums to 1."""
        q = self.predict_distribution(X)
        assert isinstance(q, Categorical)
        probabilities = q.probs.double().numpy()
        return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))

    def predict(self, X: Any) -> NDArray[Any]:
        """(rows,) the most probable class, in the user's own labels."""
        return self._answers(X)[self.target_]


def check_target_given(estimator: Supervised, y: Any) -> None:
    """Refuse a missing y in scikit-learn's words."""
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
        )


def _tag_inputs(tags: Any) -> None:
    """Missing values and text are taken. The tag for categories is left out, as in scikit-learn's boosting: it would have
    the checks round their numbers.
    """
    tags.input_tags.allow_nan = True
    tags.input_tags.string = True
