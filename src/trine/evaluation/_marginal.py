"""The trivial prediction: the training rows' own distribution of y."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch.distributions import Bernoulli, Beta, Distribution, LogNormal, NegativeBinomial, Normal, Poisson

from trine.domains import Category, Count, Domain, Labels, Positive, Unit
from trine.evaluation._base import Values
from trine.evaluation._bootstrap import Floats

MOST = 1_000_000
"""Rows that shares are written as at most."""


@functools.singledispatch
def remembered(domain: Domain) -> Values | None:
    """The training rows' y in any order, as far as y's fitted domain tells it; open by ``remembered.register(DomainType)``.

    Returns:
        Of classes and of sets of labels rows with the shares that the training rows had; None of others, whose domain keeps too
        little of them.
    """
    return None


@remembered.register
def _(domain: Category) -> Values | None:
    labels = domain.decode(np.arange(len(domain.labels)))
    found: Values = np.repeat(labels, _counts(domain.shares, domain.rows))
    return found


@remembered.register
def _(domain: Labels) -> Values | None:
    """(rows, labels) of 0 and 1."""
    counts = _counts(domain.shares, domain.rows)
    return np.asarray(np.arange(min(domain.rows, MOST))[:, None] < counts, dtype=np.int64)


def _counts(shares: Sequence[float], rows: int) -> Values:
    return np.asarray(np.rint(np.asarray(shares) * min(rows, MOST)), dtype=np.int64)


@functools.singledispatch
def marginal_fit(domain: Domain, seen: Floats) -> Distribution | None:
    """A textbook family fitted to the training rows' y, by moments; open by ``marginal_fit.register(DomainType)``.

    Args:
        domain: y's: a real gives a normal.
        seen: (rows, entries).

    Returns:
        Batch shape (entries,), or None where the rows do not vary, or are not inside the family's support.
    """
    mean, std = _moments(seen)
    return Normal(mean, std) if bool((std > 0).all()) else None


@marginal_fit.register
def _(domain: Positive, seen: Floats) -> Distribution | None:
    if (seen <= 0).any():
        return None
    mean, std = _moments(np.log(seen))
    return LogNormal(mean, std) if bool((std > 0).all()) else None


@marginal_fit.register
def _(domain: Unit, seen: Floats) -> Distribution | None:
    mean, std = _moments(seen)
    if not bool(((mean > 0) & (mean < 1) & (std > 0)).all()):
        return None
    if np.isin(seen, (0.0, 1.0)).all():
        return Bernoulli(probs=mean)
    if ((seen <= 0) | (seen >= 1)).any():
        return None
    size = mean * (1 - mean) / std.square() - 1
    return Beta(mean * size, (1 - mean) * size, validate_args=False)


@marginal_fit.register
def _(domain: Count, seen: Floats) -> Distribution | None:
    mean, std = _moments(seen)
    if bool((mean <= 0).any()):
        return None
    extra = std.square() - mean
    if bool((extra <= 0).any()):
        return Poisson(mean)
    # Mean r p / (1 − p) and variance r p / (1 − p)².
    return NegativeBinomial(total_count=mean.square() / extra, probs=extra / std.square())


def empirical_crps(seen: Floats, truth: Floats) -> Floats:
    """(n,) CRPS at ``truth`` (n,) of the empirical distribution of ``seen`` (m,): E|X − y| − ½ E|X − X′|.

    It takes O((n + m) log m).
    """
    ordered = np.sort(seen)
    m = len(ordered)
    total = np.concatenate([[0.0], np.cumsum(ordered)])
    k = np.searchsorted(ordered, truth, side="right")
    distance = (truth * k - total[k] + (total[m] - total[k]) - truth * (m - k)) / m
    spread = 2 * np.sum(ordered * (2 * np.arange(1, m + 1) - m - 1)) / (m * m)
    return np.asarray(distance - 0.5 * spread)


def _moments(seen: Floats) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(seen.mean(axis=0)), torch.from_numpy(seen.std(axis=0))
