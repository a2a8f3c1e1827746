"""Multi-label classification: y is a set of labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin

from trine.data import Table
from trine.domains import Domain, Labels
from trine.errors import SchemaError
from trine.estimators._estimator import estimators
from trine.estimators._supervised import Supervised
from trine.estimators.classification import _tag_inputs, check_target_given


@estimators.register("multilabel")
class MultiLabelClassifier(ClassifierMixin, Supervised):  # type: ignore[misc]
    """A network whose decision rule is a Bernoulli for each label: which of y's labels a row has.

    The parameters are those of :class:`~trine.estimators._supervised.Supervised`; all have defaults that are derived.

    Attributes (after ``fit``):
        classes_: (labels,) the user's own labels; of an array, the numbers of its columns as text.

    Example:
        >>> from sklearn.datasets import make_multilabel_classification
        >>> X, Y = make_multilabel_classification(random_state=0)
        >>> MultiLabelClassifier(random_state=0, epochs=5).fit(X, Y).predict(X).shape
        (100, 5)
    """

    kind = "multilabel"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        _tag_inputs(tags)
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.multi_class = False
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        return tags

    def _check_target(self, X: Any, y: ArrayLike) -> NDArray[Any]:
        from sklearn.utils.validation import check_consistent_length

        check_target_given(self, y)
        check_consistent_length(X, y)
        return np.asarray(y.toarray() if hasattr(y, "toarray") else y)

    def _target_domain(self, table: Table, name: str) -> str | Domain:
        return Labels()

    def _learn_schema(self) -> None:
        domain = self._target()
        if not isinstance(domain, Labels):
            raise SchemaError(f"Here y is a set of labels, and this one is {type(domain).__name__}; use Classifier.")
        self.classes_ = np.array(domain.labels, dtype=object)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(rows, labels) the probability of each label, in the order of ``classes_``."""
        return np.asarray(self.predict_distribution(X).mean.double().numpy())

    def predict(self, X: Any) -> NDArray[np.int64]:
        """(rows, labels) 1 where a label is likelier than not, in the order of ``classes_``."""
        return (self.predict_proba(X) > 0.5).astype(np.int64)

    def predict_labels(self, X: Any) -> NDArray[Any]:
        """(rows,) texts: the labels of each row, as they are written in the data."""
        return self._answers(X)[self.target_]
