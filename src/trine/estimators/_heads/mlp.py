"""A dense network on z."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Categorical, Distribution

from trine.errors import ChoiceError
from trine.estimators.classification import Classifier
from trine.estimators.regression import Regressor

from ._base import Head, Task, heads, spread_over


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
            verbose=task.verbose,
        )
        if task.classes is not None and len(np.unique(y)) < 2:
            raise ChoiceError("The rows hold one class only; a network needs two.")
        self.model._run = task.run
        try:
            self.model.fit(z, y)
        finally:
            self.model._run = None
        return self

    def distribution(self, z: NDArray[np.float32]) -> Distribution:
        q: Distribution = self.model.predict_distribution(z)
        if self.classes is None:
            return q
        assert isinstance(q, Categorical)
        return spread_over(q.probs.double().numpy(), self.model.classes_, self.classes)

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
