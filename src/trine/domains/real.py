"""Any real number."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Self

import numpy as np

from ._base import domains
from ._numeric import Numeric, robust


@domains.register("real")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Real(Numeric):
    """Any real number, encoded as (v − centre) / scale.

    Attributes:
        centre: median of the training values.
        scale: their robust scale, positive (interquartile range / 1.349): outliers do not move it.
    """

    kind: ClassVar[str] = "real"

    centre: float = 0.0
    scale: float = 1.0

    def _located(self, sample: np.ndarray) -> Self:
        centre, scale = robust(sample)
        return dataclasses.replace(self, centre=centre, scale=scale)

    def _forward(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.asarray((values - self.centre) / self.scale)

    def _backward(self, encoded: np.ndarray) -> np.ndarray:
        return np.asarray(encoded * self.scale + self.centre)
