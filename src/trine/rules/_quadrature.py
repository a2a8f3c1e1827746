"""Expectations under a normal that have no closed form."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Normal

NODES = 64


@functools.cache
def _gauss_hermite() -> tuple[Tensor, Tensor]:
    """Nodes and weights for the expectation under N(0, 1)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    return torch.from_numpy(nodes), torch.from_numpy(weights / math.sqrt(2 * math.pi))


def normal_mean(q: Normal, function: Callable[[Tensor], Tensor]) -> Tensor:
    """E f(X) for X ~ ``q``, of its batch shape, by Gauss-Hermite quadrature with 64 nodes.

    Args:
        q: a normal.
        function: elementwise; gets values of shape (*batch shape, nodes).
    """
    nodes, weights = (value.to(q.loc) for value in _gauss_hermite())
    return (weights * function(q.loc.unsqueeze(-1) + q.scale.unsqueeze(-1) * nodes)).sum(-1)
