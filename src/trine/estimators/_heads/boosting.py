"""Boosted trees on z."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Categorical, Distribution

from trine.data import split
from trine.errors import ArtefactError
from trine.estimators._encoders import MissingLibrary

from ._base import Head, Task, crossed, heads, normal, size_of

JUDGES = 50
"""Fewest rows held back that decide when boosting stops; with fewer their score is chance, and a fixed number is grown."""
TREES, MOST_TREES, PATIENCE = 100, 1000, 30
"""Trees where nothing decides, at most where rows held back do, and without a better score before they do."""


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
            self.spread = size_of(self.booster.predict(self._matrix(z[stop])) - y[stop])
        elif task.classes is None:

            def errors(train: NDArray[np.int64], test: NDArray[np.int64]) -> NDArray[Any]:
                grown = boost.train(settings, self._matrix(z[train], y[train]), TREES)
                return np.asarray(grown.predict(self._matrix(z[test])) - y[test])

            self.spread = crossed(errors, len(z), task.seed)
        return self

    def _matrix(self, z: NDArray[Any], y: NDArray[Any] | None = None) -> Any:
        coded = self.types is not None
        return xgboost().DMatrix(z, y, feature_types=list(self.types) if self.types else None, enable_categorical=coded)

    def distribution(self, z: NDArray[np.float32]) -> Distribution:
        found = self.booster.predict(self._matrix(z))
        if self.classes is None:
            return normal(found, self.spread)
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
