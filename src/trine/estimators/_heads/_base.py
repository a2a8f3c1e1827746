"""What a head is asked, what it gives, and how far it errs."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Categorical, Distribution, Normal

from trine.registry import Registry
from trine.training import Run

Floats = NDArray[np.float64]
FOLDS = 5
"""Parts of the rows, each of which is tested once by what was learned from the others."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What is asked of a head.

    Attributes:
        classes: how many, or None where y is a number. seed: of all that is drawn. threads: that it may use.
        stop: share of the rows held back where a head needs some, to decide when to stop or to see how far it errs.
        types: of each number in z, ``"q"`` (a quantity) or ``"c"`` (a code), where some are codes; None: all are quantities.
        run: where a head that the loop trains logs and keeps checkpoints. verbose: whether it shows progress.
    """

    classes: int | None
    seed: int = 0
    threads: int = 1
    stop: float = 0.1
    types: tuple[str, ...] | None = None
    run: Run | None = None
    verbose: bool = False


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


heads: Registry[type[Head]] = Registry("head", "trine.estimators._heads")


def crossed(errors: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[Any]], rows: int, seed: int) -> float:
    """Root mean square of ``errors(train, test)`` over folds, each row tested once by what was learned from the others."""
    order = np.random.default_rng(seed).permutation(rows)
    parts = np.array_split(order, min(FOLDS, rows))
    every = [errors(np.setdiff1d(order, part), np.sort(part)) for part in parts]
    return size_of(np.concatenate(every))


def size_of(errors: NDArray[Any]) -> float:
    """Root mean square, above 0."""
    return max(float(np.sqrt(np.mean(np.square(errors, dtype=np.float64)))), 1e-12)


def normal(location: NDArray[Any], scale: float) -> Normal:
    """Around each number, (rows,), with one standard deviation."""
    where = torch.from_numpy(np.asarray(location, dtype=np.float64))
    return Normal(where, torch.full_like(where, scale))


def spread_over(found: Floats, present: NDArray[Any], classes: int) -> Categorical:
    """Probabilities of the classes that were present, (rows, present), as those of all."""
    p = np.zeros((len(found), classes))
    p[:, np.asarray(present).astype(np.int64)] = found
    return Categorical(probs=torch.from_numpy(p))
