"""Tails and quantiles of any distribution: of a mixture from its components'."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from ._density import TINY, log_density
from ._empirical import Empirical
from ._parts import components, mixed, weights
from ._search import bisect
from ._tails import above, below, lower_quantile, upper_quantile


def tail(q: Distribution, x: Tensor, *, upper: bool) -> Tensor:
    """P(Y > x) if ``upper``, else P(Y ≤ x), of a mixture from its components'."""
    of = above if upper else below
    if not mixed(q):
        return of(q, x)
    each = torch.stack([of(part, x) for part in components(q)], -1)
    return (each * weights(q)).sum(-1)


def tail_quantile(q: Distribution, u: Tensor, *, upper: bool) -> Tensor:
    """The x whose lower or upper tail is u; of a mixture it lies between those of its components."""
    of = upper_quantile if upper else lower_quantile
    if not mixed(q):
        return of(q, u)
    each = torch.stack([of(part, u) for part in components(q)])
    low, high = each.amin(0), each.amax(0)
    return bisect(lambda x: (tail(q, x, upper=True) > u) if upper else (tail(q, x, upper=False) < u), low, high)


def apart(p: Distribution, q: Distribution, x: Tensor) -> Tensor:
    """The difference of both distribution functions at x, from the tails that have digits."""
    under, its = tail(p, x, upper=False), tail(q, x, upper=False)
    over = tail(q, x, upper=True) - tail(p, x, upper=True)
    return torch.where(under + its < 1, under - its, over)


def quantile(q: Distribution, u: Tensor, upper: Tensor) -> Tensor:
    """Quantiles of tails ``u``, upper ones where ``upper``; differentiable in the parameters, as −∂F / density."""
    with torch.no_grad():
        x = torch.where(upper, tail_quantile(q, u, upper=True), tail_quantile(q, u, upper=False))
    if not torch.is_grad_enabled() or isinstance(q, Empirical):
        return x
    under, over = tail(q, x, upper=False), tail(q, x, upper=True)
    moved = torch.where(upper, over - over.detach(), under.detach() - under)
    return x + moved / log_density(q, x).exp().detach().clamp_min(TINY)


def infinite_variance(q: Distribution) -> bool:
    """Whether a variance of ``q`` is infinite, or there is none."""
    return not isinstance(q, Empirical) and not bool(q.variance.isfinite().all())
