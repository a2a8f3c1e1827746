"""A number above zero: a price, a duration, a size."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Self

import numpy as np

from ._base import domains
from ._numeric import Numeric

_SMALLEST = 1e-30  # the least encoded value of a positive number, well inside float32


@domains.register("positive")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Positive(Numeric):
    """A number above zero, encoded as v / scale, which stays above zero.

    Attributes:
        scale: median of the training values.
    """

    kind: ClassVar[str] = "positive"
    outside: ClassVar[str] = "a number above 0 is expected"

    scale: float = 1.0

    def _located(self, sample: np.ndarray) -> Self:
        return dataclasses.replace(self, scale=float(np.clip(np.median(sample), 1e-300, 1e300)))

    def _inside(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(~(values <= 0))

    def _forward(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            encoded = values / self.scale
        return np.where(values > 0, np.maximum(encoded, _SMALLEST), encoded)

    def _backward(self, encoded: np.ndarray) -> np.ndarray:
        return np.asarray(encoded * self.scale)
