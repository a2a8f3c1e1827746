"""What each divergence sees of two distributions over numbers, point by point: the numbers behind a figure."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from trine.errors import ChoiceError
from trine.rules import OrderedCategorical

from . import line
from ._base import Value, divergences
from ._densities import DensityDivergence, exact, kinds, log_masses
from .mmd import median_distance

MOST_COUNTS = 400


@dataclasses.dataclass(frozen=True)
class Profile:
    """Two distributions over numbers, counts or categories, along their values.

    Attributes:
        kind: ``line``, ``counts`` or ``categories``; samples are on the ``line``.
        x: (n,) increasing values.
        p, q: (n,) densities, or masses, there; of samples a histogram's.
        below_p, below_q: (n,) distribution functions there.
        levels, at_p, at_q: (m,) probabilities, and both quantile functions there.
        sees: divergence → (n,) what it integrates there, for those that integrate over x.
        ordered: whether values have an order, and so distances and a distribution function.
        witness: (n,) MMD's witness E k(X, x) − E k(Y, x).
    """

    kind: str
    x: np.ndarray
    p: np.ndarray
    q: np.ndarray
    below_p: np.ndarray
    below_q: np.ndarray
    levels: np.ndarray
    at_p: np.ndarray
    at_q: np.ndarray
    sees: dict[str, np.ndarray]
    ordered: bool
    witness: np.ndarray


@torch.no_grad()
def profile(p: Value, q: Value, alpha: float = 0.5, points: int = 1201) -> Profile:
    """The profile of two distributions, or of samples of numbers, without batch shape.

    Args:
        p, q: what is compared.
        alpha: the order of Rényi's divergence.
        points: of the line, at least.

    Raises:
        ChoiceError: distributions over vectors, or with a batch shape; more counts than can be drawn.
    """
    sampled = isinstance(p, Tensor) or isinstance(q, Tensor)
    one, other = (line.Empirical(_numbers(d)) if isinstance(d, Tensor) else exact(d) for d in (p, q))
    kind = "line" if sampled else kinds("A profile", one, other)
    if kind == "vector" or one.batch_shape or other.batch_shape:
        raise ChoiceError("A profile is of two distributions over single numbers, counts or categories.")
    if kind == "categories":
        x = torch.arange(log_masses(one).shape[0], dtype=torch.float64)
        log_p, log_q = log_masses(one), log_masses(other)
        below = [values.exp().cumsum(0) for values in (log_p, log_q)]
    else:
        x = _values(one, other, kind, points)
        log_p, log_q = (_log_density(d, x) for d in (one, other))
        below = [line.tail(d, x, upper=False) for d in (one, other)]
    levels = torch.linspace(0.0005, 0.9995, 1000, dtype=torch.float64)
    if kind == "categories":
        at = [torch.searchsorted(b.contiguous(), levels).clamp_max(len(x) - 1).double() for b in below]
    else:
        at = [line.quantile(d, torch.minimum(levels, 1 - levels), levels > 0.5) for d in (one, other)]
        at = [values.ceil() for values in at] if kind == "counts" else at
    gap = below[0] - below[1]
    sees = {"cramer": gap**2, "wasserstein": gap.abs()}
    if not sampled:
        for name, family in divergences.items():
            if issubclass(family, DensityDivergence):
                sees[name] = family().integrand(log_p, log_q)
        # KL's integrand as the textbook writes it, below 0 where the first is the smaller.
        for name, (a, b) in {"kl": (log_p, log_q), "reverse_kl": (log_q, log_p)}.items():
            sees[name] = torch.where(torch.isneginf(a), 0.0, a.exp() * (a - b))
        sees["renyi"] = torch.exp(alpha * log_p + (1 - alpha) * log_q)
    ordered = kind != "categories" or (isinstance(one, OrderedCategorical) and isinstance(other, OrderedCategorical))
    if kind == "categories":
        masses = log_p.exp() - log_q.exp()
        if not ordered:
            sees["cramer"], sees["wasserstein"] = 0.5 * masses**2, 0.5 * masses.abs()
            sees["wasserstein2"] = sees["wasserstein"]
        witness = masses
    else:
        witness = _witness(one, other, x, kind)
    return Profile(
        kind,
        x.numpy(),
        log_p.exp().numpy(),
        log_q.exp().numpy(),
        below[0].numpy(),
        below[1].numpy(),
        levels.numpy(),
        at[0].numpy(),
        at[1].numpy(),
        {name: values.numpy() for name, values in sees.items()},
        ordered,
        witness.numpy(),
    )


def _numbers(samples: Tensor) -> Tensor:
    if samples.numel() != len(samples):
        raise ChoiceError("A profile is of samples of single numbers, not of vectors.")
    return samples


def _values(p: Distribution, q: Distribution, kind: str, points: int) -> Tensor:
    """Where to look: evenly over both, and densely where either is narrow."""
    tail = torch.tensor([1e-3], dtype=torch.float64)
    upper = torch.tensor([True])
    spans = [_span(d, tail, upper) for d in (p, q)]
    lows, highs = [low for low, _ in spans], [high for _, high in spans]
    if kind == "counts":
        low, high = max(0.0, math.floor(min(lows)) - 1.0), math.ceil(max(highs)) + 1.0
        if high - low > MOST_COUNTS:
            return torch.from_numpy(np.unique(np.linspace(low, high, MOST_COUNTS).round()))
        return torch.arange(low, high + 1, dtype=torch.float64)
    low, high = min(lows), max(highs)
    middle = 0.06 * (high - low)
    even = torch.linspace(low - middle, high + middle, points, dtype=torch.float64)
    u = torch.linspace(1e-3, 0.5, points // 4, dtype=torch.float64)
    dense = [line.quantile(d, u, torch.full(u.shape, side)) for d in (p, q) for side in (False, True)]
    ends = [
        torch.as_tensor(end).double().reshape(1) for d in (p, q) for end in line.ends(d) if math.isfinite(float(end))
    ]
    beside = [end + off for end in ends for off in (-1e-9, 1e-9)]
    x = torch.from_numpy(np.unique(torch.cat([even, *dense, *beside]).numpy()))
    return x[(x >= even[0]) & (x <= even[-1])]


def _span(q: Distribution, tail: Tensor, upper: Tensor) -> tuple[float, float]:
    """Nearly all of ``q``, but of heavy tails no more than a few times its middle half."""
    quarter = torch.full_like(tail, 0.25)
    low, high = (line.quantile(q, quarter, side).item() for side in (~upper, upper))
    least, most = (line.quantile(q, tail, side).item() for side in (~upper, upper))
    return max(least, low - 6 * (high - low)), min(most, high + 6 * (high - low))


def _log_density(q: Distribution, x: Tensor) -> Tensor:
    if not isinstance(q, line.Empirical):
        return line.log_density(q, x)
    bins = max(8, min(60, int(2 * len(q.samples) ** (1 / 3))))
    counts, edges = np.histogram(q.samples.numpy(), bins=bins, density=True)
    at = np.clip(np.searchsorted(edges, x.numpy(), side="right") - 1, 0, bins - 1)
    inside = (x.numpy() >= edges[0]) & (x.numpy() <= edges[-1])
    return torch.from_numpy(np.where(inside, counts[at], 0.0)).log()


def _witness(p: Distribution, q: Distribution, x: Tensor, kind: str) -> Tensor:
    """E k(X, x) − E k(Y, x) by quantiles of both as even as can be."""
    h = median_distance(p, q, kind)
    levels = (torch.arange(512, dtype=torch.float64) + 0.5) / 512
    at = [line.quantile(d, torch.minimum(levels, 1 - levels), levels > 0.5) for d in (p, q)]
    mean = [torch.exp(-0.5 * ((x[:, None] - a[None, :]) / h) ** 2).mean(1) for a in at]
    return mean[0] - mean[1]
