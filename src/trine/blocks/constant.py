"""No x: one learned vector for every row."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

FEATURES = 16


class Constant(nn.Module):
    """The representation where x is empty, as when y alone is modelled: z is learned, and the same for every row.

    Args:
        features: width of z.
    """

    def __init__(self, features: int = FEATURES) -> None:
        super().__init__()
        self.features = features
        self.blocks = nn.ModuleList()
        self.z = nn.Parameter(torch.randn(features))

    def forward(self, batch: Mapping[str, Tensor], blank: bool = False) -> Tensor:
        """(batch, features); with ``blank`` one row more, which is known no less than any other."""
        rows = len(next(iter(batch.values())))
        return self.z.expand(rows + int(blank), -1)

    def encode(self, batch: Mapping[str, Tensor], blank: bool = False) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """(as :meth:`forward` gives it, a memory of nothing)."""
        return self(batch, blank), []
