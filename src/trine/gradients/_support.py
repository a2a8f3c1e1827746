"""Discrete distributions: their finite supports, and those whose values can be relaxed."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Binomial,
    Categorical,
    Distribution,
    Independent,
    OneHotCategorical,
)
from torch.nn import functional as F

MOST = 4096
"""Points of a support that enumeration goes through at most."""
MOST_COUNTS = 1 << 20
"""Counts that an infinite sum goes through at most."""
TAIL = 1e-13
"""Mass beyond the last count of an infinite sum."""


def base_of(q: Distribution) -> Distribution:
    """``q`` without the wrappers that declare dimensions to be one event."""
    while isinstance(q, Independent):
        q = q.base_dist
    return q


def points(q: Distribution) -> float:
    """Number of points of the support of one event; infinite where it is not finite, or not known."""
    base = base_of(q)
    if isinstance(base, Bernoulli):
        each = 2
    elif isinstance(base, (Categorical, OneHotCategorical)):
        each = base.logits.shape[-1]
    elif isinstance(base, Binomial) and bool((base.total_count == base.total_count.max()).all()):
        each = int(base.total_count.max()) + 1
    else:
        return math.inf
    sites = q.event_shape[:-1] if isinstance(base, OneHotCategorical) else q.event_shape
    # 2^1024 is no float, and such a support is not gone through anyway.
    return float(each ** sites.numel()) if sites.numel() * math.log(each) < 700 else math.inf


def support(q: Distribution) -> Tensor:
    """(points, *batch, *event): every value of a finite support; those of independent sites in all combinations."""
    base = base_of(q)
    one_hot = isinstance(base, OneHotCategorical)
    sites = q.event_shape[:-1] if one_hot else q.event_shape
    values = base.enumerate_support(expand=False)
    values = values.reshape(len(values), -1)  # (each, 1 or categories)
    index = torch.cartesian_prod(*[torch.arange(len(values), device=values.device)] * sites.numel())
    index = index.reshape(-1, sites.numel())
    x = values[index].reshape(len(index), *(1,) * len(q.batch_shape), *q.event_shape)
    return x.expand(len(index), *q.batch_shape, *q.event_shape)


def counts(q: Distribution) -> Tensor | None:
    """(points, *batch): 0, 1, … of one count, until next to no mass is left; None where q is no count, or they are too many."""
    bounds: Any = _bounds(q)
    if q.event_shape or bounds is None or not bounds.is_discrete or getattr(bounds, "lower_bound", None) != 0:
        return None
    if not bool(q.stddev.isfinite().all()):
        return None
    half = 32 + int((q.mean + 10 * q.stddev).max())
    while 2 * half <= MOST_COUNTS:
        x = torch.arange(2 * half, dtype=q.mean.dtype, device=q.mean.device).reshape(-1, *(1,) * len(q.batch_shape))
        if float(q.log_prob(x)[half:].detach().exp().sum(0).max()) < TAIL:
            return x.expand(len(x), *q.batch_shape)
        half *= 2
    return None


def moves(q: Distribution) -> bool:
    """Whether the support of ``q`` is between bounds that are its parameters, as a uniform's is."""
    bounds: Any = _bounds(base_of(q))
    ends = (getattr(bounds, "lower_bound", None), getattr(bounds, "upper_bound", None))
    return any(isinstance(end, Tensor) for end in ends) and not bounds.is_discrete


def continuous(q: Distribution) -> bool:
    """Whether ``q`` is of one number with a density."""
    bounds: Any = _bounds(q)
    return not q.event_shape and bounds is not None and not bounds.is_discrete


def _bounds(q: Distribution) -> Any:
    """The support, None where it is not said."""
    try:
        return q.support
    except NotImplementedError:
        return None


@dataclasses.dataclass(frozen=True)
class Relaxable:
    """Independent Bernoulli or one-hot sites, by their logits, in the operations that relaxations share.

    Attributes:
        logits: (*batch, *event): one a Bernoulli site, one a category of a one-hot site.
        one_hot: whether the last dimension is one site.
        event: number of event dimensions of q.
    """

    logits: Tensor
    one_hot: bool
    event: int

    def log_prob(self, x: Tensor, logits: Tensor) -> Tensor:
        """The log-probability of hard values, (n, *batch)."""
        each = x * F.log_softmax(logits, -1) if self.one_hot else x * logits - F.softplus(logits)
        return each.flatten(-self.event).sum(-1) if self.event else each

    def noise(self, samples: int) -> Tensor:
        """(n, *batch, *event) Logistic noise of Bernoulli, Gumbel noise of one-hot sites."""
        u = _uniform(self.logits, samples)
        return -torch.log(-torch.log(u)) if self.one_hot else torch.logit(u)

    def hard(self, z: Tensor) -> Tensor:
        """The value that relaxed scores z = logits + noise decide for."""
        if self.one_hot:
            return F.one_hot(z.argmax(-1), z.shape[-1]).to(z.dtype)
        return (z > 0).to(z.dtype)

    def soft(self, z: Tensor, temperature: Tensor | float) -> Tensor:
        """The relaxed value: softmax or sigmoid of z / temperature."""
        return F.softmax(z / temperature, -1) if self.one_hot else torch.sigmoid(z / temperature)

    def given(self, x: Tensor, logits: Tensor) -> Tensor:
        """Relaxed scores given the hard value they decided for, with fresh noise, differentiable in ``logits``.

        Tucker et al., `REBAR`, 2017, appendix B, for one-hot sites; there the kept site's score is that of the largest.
        """
        v = _uniform(logits, len(x))
        if not self.one_hot:
            p = torch.sigmoid(logits)
            v = torch.where(x > 0.5, (1 - p) + v * p, v * (1 - p))
            tiny = torch.finfo(v.dtype).eps
            return logits + torch.logit(v.clamp(tiny, 1 - tiny))
        wait = -torch.log(v)  # unit exponential
        first = (x * wait).sum(-1, keepdim=True)
        log_p = F.log_softmax(logits, -1)
        # Exponential races: the winner ends at `first`, the others that long after it.
        return torch.where(x > 0.5, -torch.log(first), -torch.logaddexp(torch.log(wait) - log_p, torch.log(first)))

    def normalised(self, logits: Tensor) -> Tensor:
        """Logits whose relaxed scores race as :meth:`given`'s do: log-probabilities of one-hot sites."""
        return F.log_softmax(logits, -1) if self.one_hot else logits


def relaxable(q: Distribution) -> Relaxable | None:
    """``q`` by its logits where its values are 0/1 vectors of independent sites, else None."""
    base = base_of(q)
    if isinstance(base, Bernoulli):
        return Relaxable(base.logits, False, len(q.event_shape))
    if isinstance(base, OneHotCategorical):
        return Relaxable(base.logits, True, len(q.event_shape))
    return None


def why_not_relaxed(q: Distribution) -> str:
    """Why the values of ``q`` have no relaxation; empty where they have one."""
    if relaxable(q) is not None:
        return ""
    if isinstance(base_of(q), Categorical):
        return "f takes codes, between which there is nothing. Use OneHotCategorical, whose corners f can leave."
    return "only Bernoulli and OneHotCategorical values are relaxed. Use pathwise or score."


def _uniform(like: Tensor, samples: int) -> Tensor:
    """(n, *shape) in the open interval (0, 1)."""
    tiny = torch.finfo(like.dtype).eps
    return torch.rand((samples, *like.shape), dtype=like.dtype, device=like.device).clamp(tiny, 1 - tiny)
