"""A share: a number from 0 to 1."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from ._base import domains
from ._numeric import Numeric


@domains.register("unit")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Unit(Numeric):
    """A number in [0, 1], encoded as itself."""

    kind: ClassVar[str] = "unit"
    outside: ClassVar[str] = "a number from 0 to 1 is expected"

    def _inside(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(~((values < 0) | (values > 1)))

    def _forward(self, values: np.ndarray) -> np.ndarray:
        return values

    def _backward(self, encoded: np.ndarray) -> np.ndarray:
        return encoded
