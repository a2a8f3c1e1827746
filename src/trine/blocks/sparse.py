"""Codes of which few numbers are not 0."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trine import collective
from trine.errors import ChoiceError


class TopK(nn.Module):
    """The k numbers of a code that are largest in size, the others 0: (batch, code) → the same.

    Args:
        k: 1 or more.

    References:
        Makhzani and Frey, `k-Sparse Autoencoders`, 2014.
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        if k < 1:
            raise ChoiceError(f"topk({k}) keeps nothing; k is 1 or more.")
        self.k = k

    def forward(self, z: Tensor) -> Tensor:
        if self.k >= z.shape[1]:
            return z
        kept = z.abs().topk(self.k, 1).indices
        return torch.zeros_like(z).scatter(1, kept, z.gather(1, kept))

    def title(self) -> str:
        """The row of the derivation."""
        return f"the {self.k} largest numbers of a code, the others 0"


class Lifetime(nn.Module):
    """Rectified codes; in training each number of a code is kept for the share of the batch's rows where it is largest.

    Winner takes all: a number that is never used has winners all the same, so none dies. In evaluation nothing is cut. A batch that
    several processes share is taken as a whole.
    (batch, code) → the same, 0 or more.

    Args:
        share: of the rows, in (0, 1].

    References:
        Makhzani and Frey, `Winner-Take-All Autoencoders`, 2015, section 2.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        if not 0.0 < share <= 1.0:
            raise ChoiceError(f"lifetime({share:g}): a share of the rows is above 0 and at most 1.")
        self.share = share

    def forward(self, z: Tensor) -> Tensor:
        z = torch.relu(z)
        if not self.training:
            return z
        every, _ = collective.gather(z.detach())
        winners = max(round(self.share * len(every)), 1)
        least = every.topk(winners, 0).values[-1:]
        return torch.where(z >= least, z, 0.0)

    def title(self) -> str:
        """The row of the derivation."""
        return f"each number of a code for the {self.share:.0%} of rows where it is largest (in training)"
