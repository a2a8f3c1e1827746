"""Several targets at once, of any domains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trine.data import Table, read
from trine.errors import DataError
from trine.estimators._estimator import estimators
from trine.estimators._supervised import Supervised


@estimators.register("several")
class MultiTarget(Supervised):
    """One network for several targets: one representation of x, and for each target its own rule, term and metrics.

    The parameters are those of :class:`~trine.estimators._supervised.Supervised`; ``rule`` may be a mapping from target to
    rule.

    Example:
        >>> import numpy as np
        >>> x = np.linspace(0, 1, 200)
        >>> y = {"size": 3 * x, "kind": np.where(x > 0.5, "large", "small")}
        >>> model = MultiTarget(random_state=0, epochs=20).fit({"x": x}, y)
        >>> sorted(model.predict({"x": np.array([0.0, 1.0])}))
        ['kind', 'size']
    """

    kind = "several"

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Derive model, criterion and procedure from (X, y) and train.

        Args:
            X: a table: a mapping of arrays, a data frame, a file.
            y: target → (rows,) values: a mapping or a data frame; or the names of those of X's columns that are targets.
            sample_weight: (rows,) non-negative weights.

        Raises:
            TrineError (a ValueError): what was wrong, where, and what to do.
        """
        table = X if isinstance(X, Table) else read(X)
        if isinstance(y, Mapping) or hasattr(y, "columns"):
            targets = read(y)
            table, names = table.beside(targets, targets=targets.names), targets.names
        elif isinstance(y, list | tuple) and all(isinstance(name, str) for name in y):
            names = list(y)
        else:
            raise DataError(
                "y is a mapping from target to values, a data frame, or a list of names of X's columns; "
                f"this is a {type(y).__name__}."
            )
        weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        return self._fit(self._plan(names, {}), table, weight)

    def predict(self, X: Any) -> dict[str, NDArray[Any]]:
        """Target → (rows, ...): the most probable class, the mean of a number, the likelier labels, the text."""
        return self._answers(X)
