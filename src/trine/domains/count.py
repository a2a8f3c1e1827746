"""How many: 0, 1, 2, …"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from ._base import domains
from ._numeric import Numeric


@domains.register("count")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Count(Numeric):
    """A whole number, 0 or more, encoded as itself; exact up to 16,777,216, where float32 begins to have gaps."""

    kind: ClassVar[str] = "count"
    outside: ClassVar[str] = "a whole number, 0 or more, is expected"

    def _inside(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(np.isnan(values) | ((values >= 0) & (values == np.floor(values))))

    def _forward(self, values: np.ndarray) -> np.ndarray:
        return values

    def _backward(self, encoded: np.ndarray) -> np.ndarray:
        return encoded
