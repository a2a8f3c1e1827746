"""Many estimates at once: a distribution repeated along one more batch dimension, and its gradients."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Binomial, Distribution

from trine.rules import map_arguments

from ._support import base_of


def repeated(q: Distribution, repeats: int) -> tuple[Distribution, list[Tensor]]:
    """``q`` of batch shape (repeats, *batch), and its tensors, each repetition's its own; a count of trials is none of them."""
    made: list[Tensor] = []
    trials = getattr(base_of(q), "total_count", None) if isinstance(base_of(q), Binomial) else None

    def own(value: Tensor) -> Tensor:
        copy = value.detach().expand(repeats, *value.shape).clone()
        made.append(copy.requires_grad_(copy.is_floating_point() and value is not trials))
        return copy

    return map_arguments(q, own), [v for v in made if v.requires_grad]


def gradients(surrogate: Tensor, parameters: list[Tensor]) -> Tensor:
    """(repeats, P) of a surrogate of (repeats, *batch)."""
    found = torch.autograd.grad(surrogate.sum(), parameters, allow_unused=True)
    parts = [torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters, strict=True)]
    return torch.cat([part.reshape(len(part), -1) for part in parts], 1).double()
