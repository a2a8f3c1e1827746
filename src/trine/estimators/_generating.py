"""What every generator shares: its network, what it makes in the user's units, and rows in the forms that they come in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trine.data import Table
from trine.domains import Domain, Image
from trine.errors import ChoiceError, DataError
from trine.estimators._estimator import Estimator
from trine.estimators._plan import Prepared
from trine.estimators._scored.samples import evaluate_samples
from trine.estimators._training import Fitted
from trine.estimators._x_given_z import cut, together
from trine.evaluation import Evaluation
from trine.models import Generator

AT_ONCE = 1024
"""Rows made at a time."""


class Generating(Estimator):
    """What every generator shares: its network, and what it makes in the user's units."""

    side = "x"

    @property
    def _network(self) -> Generator:
        network = self.derivation_.model
        assert isinstance(network, Generator)
        return network

    @property
    def made_(self) -> dict[str, Domain]:
        """Column → domain of what is made."""
        return self.schema_.x if self.side == "x" else self.schema_.y

    def _finish(self, prepared: Prepared, fitted: Fitted) -> Self:
        super()._finish(prepared, fitted)
        self.shown_rows_: NDArray[np.int64] | None = prepared.rows.held_out
        self.evaluations_: dict[str, Evaluation] = {}
        held = prepared.rows.held_out if len(prepared.rows.held_out) else prepared.rows.stop
        if len(held) > 1:
            self.evaluations_ = {self.side: evaluate_samples(self, prepared, held)}
            self.metrics_ = {name: value.to_json()["metrics"] for name, value in self.evaluations_.items()}
        return self

    def _in_units(self, seen: Tensor) -> dict[str, NDArray[Any]]:
        """Made rows, as a critic sees them → column → values in the user's units."""
        columns = self._network.made.columns(seen)
        return {name: domain.decode(cut(domain, columns[name].numpy())) for name, domain in self.made_.items()}

    def predictions(self, data: Any) -> dict[str, NDArray[Any]]:
        """Refused: a generator makes rows.

        Raises:
            ChoiceError: always; says what there is in its place.
        """
        raise ChoiceError("A generator has no y to predict; `trine sample` makes new rows.")

    def represent(self, data: Any) -> NDArray[np.float32]:
        """Refused: a generator goes from noise to rows, and has no way back.

        Raises:
            ChoiceError: always; says what there is in its place.
        """
        raise ChoiceError("A generator has no codes of rows; `trine fit DATA --method autoencoder` learns them.")

    def _as_given(self, columns: dict[str, NDArray[Any]]) -> Any:
        """Columns in the form that the rows had: one array, of pictures or of numbers; else the columns."""
        if not self._from_arrays():
            return columns
        only, values = next(iter(self.made_.values())), next(iter(columns.values()))
        if len(columns) == 1 and (isinstance(only, Image) or self.side == "y"):
            return values
        if self.side == "y" or getattr(self, "feature_names_in_", None) is not None:
            return columns
        if only.ragged:
            return together(only, values) if len(columns) == 1 else columns
        return np.stack(list(columns.values()), axis=1)


def unwrapped(data: Any) -> Any:
    """The tensors of a :class:`torch.utils.data.TensorDataset`, one by itself and several as a tuple; anything else as it is."""
    tensors = getattr(data, "tensors", None)
    if not isinstance(tensors, tuple) or not tensors:
        return data
    return tensors[0] if len(tensors) == 1 else tensors


def with_columns(table: Table, targets: Mapping[str, NDArray[Any]]) -> Table:
    """``table`` with more columns.

    Raises:
        DataError: they have another number of rows.
    """
    for name, values in targets.items():
        if not np.ndim(values):
            raise DataError(f"y is the single value {values}; give one for each row of X.")
        if table.rows != len(values):
            raise DataError(f"X has {table.rows} rows and y has {len(values)}; give them in pairs.")
        table = table.with_column(name, values)
    return table
