"""Regression: y is a number, and q(y given x) is a distribution over y's own domain."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin

from trine.data import Table, guess_target
from trine.domains import Category, Domain, Labels
from trine.errors import SchemaError
from trine.estimators._estimator import estimators
from trine.estimators._supervised import Supervised
from trine.estimators.classification import _tag_inputs, check_target_given
from trine.rules import point, quantile


@estimators.register("regressor")
class Regressor(RegressorMixin, Supervised):  # type: ignore[misc]
    """A network whose decision rule follows from y's numbers: real, positive, in [0, 1], or counts.

    The parameters are those of :class:`~trine.estimators._supervised.Supervised`; all have defaults that are derived. A
    prediction outside y's domain cannot be.

    Example:
        >>> from sklearn.datasets import load_diabetes
        >>> X, y = load_diabetes(return_X_y=True)
        >>> bool((Regressor(random_state=0, epochs=5).fit(X, y).predict(X) > 0).all())
        True
    """

    kind = "regressor"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        _tag_inputs(tags)
        tags.target_tags.multi_output = True
        return tags

    def _check_target(self, X: Any, y: ArrayLike) -> NDArray[Any]:
        from sklearn.utils.validation import _check_y, check_consistent_length

        check_target_given(self, y)
        check_consistent_length(X, y)
        checked = np.asarray(_check_y(y, multi_output=True, y_numeric=True, estimator=self))
        # As others do: one column is one number a row, and several are a vector.
        return checked[:, 0] if checked.ndim == 2 and checked.shape[1] == 1 else checked

    def _target_domain(self, table: Table, name: str) -> str | Domain:
        guess = guess_target(table.column(name)).domain
        # Whole numbers with few values look like classes; who asks for regression means their size.
        return "real" if guess is None or isinstance(guess, Category) else guess

    def _learn_schema(self) -> None:
        domain = self._target()
        if isinstance(domain, Category | Labels):
            raise SchemaError("A regressor's y is a number, and this one is a category; use Classifier.")

    def predict(self, X: Any) -> NDArray[np.float64]:
        """(rows,) the mean of q(y given x), in the user's units; (rows, entries) where y is a vector."""
        with torch.inference_mode():
            return np.asarray(point(self.predict_distribution(X)).double().numpy())

    def predict_interval(self, X: Any, coverage: float = 0.9) -> NDArray[np.float64]:
        """(rows, 2) the central interval that holds y with probability ``coverage``, in (0, 1).

        Of a vector (rows, 2, entries), an interval for each entry by itself.
        """
        if not 0.0 < coverage < 1.0:
            raise ValueError(f"coverage is {coverage}; it lies between 0 and 1.")
        q = self.predict_distribution(X)
        tail = (1.0 - coverage) / 2.0
        with torch.inference_mode():
            return np.stack([quantile(q, p).double().numpy() for p in (tail, 1.0 - tail)], axis=1)
