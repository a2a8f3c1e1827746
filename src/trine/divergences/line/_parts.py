"""What a distribution is mixed of, and where its support begins and ends."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, MixtureSameFamily, OneHotCategorical, constraints

from trine.rules import map_arguments


@functools.singledispatch
def components(q: Distribution) -> list[Distribution]:
    """What ``q`` is mixed of, each of the batch shape of ``q``; itself where it is no mixture."""
    return [q]


@components.register
def _(q: MixtureSameFamily) -> list[Distribution]:
    at, members = len(q.batch_shape), q.component_distribution.batch_shape[-1]

    def member(k: int) -> Distribution:
        return map_arguments(q.component_distribution, lambda value: value.select(at, k))

    return [part for k in range(members) for part in components(member(k))]


@functools.singledispatch
def weights(q: Distribution) -> Tensor:
    """Of the components, (*batch or (), components)."""
    return torch.ones(1, dtype=q.mean.dtype, device=q.mean.device)


@weights.register
def _(q: MixtureSameFamily) -> Tensor:
    return q.mixture_distribution.probs


def mixed(q: Distribution) -> bool:
    """Whether ``q`` has components other than itself."""
    return components(q)[0] is not q


def kind(q: Distribution) -> str:
    """``line`` (a density), ``counts`` (whole numbers), ``categories`` or ``vector``: how ``q`` is summed over."""
    if q.event_shape:
        return "categories" if isinstance(q, OneHotCategorical) else "vector"
    if isinstance(components(q)[0], Categorical):
        return "categories"
    return "counts" if _support(q).is_discrete else "line"


def ends(q: Distribution) -> tuple[Tensor | float, Tensor | float]:
    """Where the support begins and ends, infinite where it does not; of a mixture, of one component."""
    support = _support(q)
    if support is constraints.boolean:
        return 0.0, 1.0
    return getattr(support, "lower_bound", -math.inf), getattr(support, "upper_bound", math.inf)


def _support(q: Distribution) -> Any:
    return components(q)[0].support


def somewhere(q: Distribution, x: Tensor) -> Tensor:
    """A point of the support, for the arguments that are not."""
    low, high = (torch.as_tensor(end, dtype=x.dtype, device=x.device) for end in ends(q))
    if bool(torch.isinf(high).any()):
        return low + 1.0 if not bool(torch.isinf(low).any()) else torch.zeros_like(x)
    return 0.5 * (low + high) if not bool(torch.isinf(low).any()) else high - 1.0
