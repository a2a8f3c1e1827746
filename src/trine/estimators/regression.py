"""Regression: y is a number, and q(y given x) is a distribution over y's own domain."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from torch.distributions import Distribution

from trine.data import Table, guess_target
from trine.domains import Category, Domain
from trine.errors import SchemaError
from trine.estimators._estimator import estimators
from trine.estimators._supervised import Supervised
from trine.estimators.classification import _tag_inputs, check_target_given
from trine.rules import parameters, point, quantile

INTERVAL = (0.05, 0.95)
"""Central 90 % interval that predictions carry."""


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
        return tags

    def _check_target(self, X: Any, y: ArrayLike) -> NDArray[Any]:
        from sklearn.utils.validation import _check_y, check_consistent_length

        check_target_given(self, y)
        check_consistent_length(X, y)
        return np.asarray(_check_y(y, y_numeric=True, estimator=self))

    def _target_domain(self, table: Table, name: str) -> str | Domain:
        guess = guess_target(table.column(name)).domain
        # Whole numbers with few values look like classes; who asks for regression means their size.
        return "real" if guess is None or isinstance(guess, Category) else guess

    def _learn_schema(self) -> None:
        domain = self._target()
        if isinstance(domain, Category):
            raise SchemaError("A regressor's y is a number, and this one is a category; use Classifier.")

    def predict(self, X: Any) -> NDArray[np.float64]:
        """(rows,) the mean of q(y given x), in the user's units."""
        with torch.inference_mode():
            return np.asarray(point(self.predict_distribution(X)).double().numpy())

    def predict_interval(self, X: Any, coverage: float = 0.9) -> NDArray[np.float64]:
        """(rows, 2) the central interval that holds y with probability ``coverage``, in (0, 1)."""
        if not 0.0 < coverage < 1.0:
            raise ValueError(f"coverage is {coverage}; it lies between 0 and 1.")
        q = self.predict_distribution(X)
        tail = (1.0 - coverage) / 2.0
        with torch.inference_mode():
            return np.stack([quantile(q, p).double().numpy() for p in (tail, 1.0 - tail)], axis=1)

    def _written(self, name: str, domain: Domain, q: Distribution) -> dict[str, NDArray[Any]]:
        low, high = INTERVAL
        with torch.inference_mode():
            return {
                name: point(q).double().numpy(),
                f"{name}_p{low * 100:02.0f}": quantile(q, low).double().numpy(),
                f"{name}_p{high * 100:02.0f}": quantile(q, high).double().numpy(),
                **_columns(name, {key: value.double().numpy() for key, value in parameters(q).items()}),
            }


def _columns(name: str, found: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Parameters as columns; those of a mixture's parts, (rows, parts), are numbered from 1."""
    columns = {}
    for key, value in found.items():
        if value.ndim == 1:
            columns[f"{name}_{key}"] = value
        else:
            columns |= {f"{name}_{key}_{part + 1}": value[:, part] for part in range(value.shape[1])}
    return columns
