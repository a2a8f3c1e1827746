"""A distribution of numbers whose distribution function is mapped, so that its quantiles are right on rows held out."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, MixtureSameFamily, Normal, TransformedDistribution, constraints
from torch.special import log_ndtr, ndtr, ndtri

from ._cdf import _quantile, cdf, icdf
from ._mixture import spread
from ._parameters import map_arguments, parameters, point

EDGE = 1e-15
"""Levels of quantiles are kept this far from 0 and 1: float64 tells them apart up to there."""
ENDS = (-7.5, -5.0, -3.2, -2.0, -1.0, 0.0, 1.0, 2.0, 3.2, 5.0, 7.5)
"""Normal quantiles of each component between which moments are integrated."""
MOST_ENDS, ORDER = 48, 5
"""So many of these places are taken of many components, and so many nodes between two."""
HELD = 1 << 21
"""Values of a distribution function that are held at a time."""


class Recalibrated(Distribution):
    r"""Y whose distribution function is :math:`\Phi(g(\Phi^{-1}(F(y))))` for a base's F and an increasing piecewise linear g.

    g works on the scale of normal quantiles, where a factor narrows or widens every central interval alike, and keeps its slope
    beyond its knots. The support is the base's.

    Density and distribution function are exact at any distance for normals, what is a warped normal, and their mixtures
    (:func:`probit`). Quantiles reach as far as the base's at 1e-15, about eight standard deviations, which matters only where g
    widens q by more than a factor of two; so does the density of other families.

    Args:
        base: of numbers, batch shape (batch,).
        knots, values: (knots,) increasing, g at them; 2 or more.

    References:
        Kuleshov, Fenner and Ermon, `Accurate Uncertainties for Deep Learning Using Calibrated Regression`, 2018, arXiv 1807.00263
        (a map of the distribution function).
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 (torch's own form)

    def __init__(self, base: Distribution, knots: Tensor, values: Tensor) -> None:
        self.base, self.knots, self.values = base, knots.double(), values.double()
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """The base's."""
        found: constraints.Constraint = self.base.support  # type: ignore[assignment]
        return found

    @property
    def discrete(self) -> bool:
        """Whether the base gives counts."""
        part = self.base.component_distribution if isinstance(self.base, MixtureSameFamily) else self.base
        support: Any = part.support
        return bool(support.is_discrete)

    def cdf(self, value: Tensor) -> Tensor:
        """P(Y ≤ value)."""
        below: Tensor = ndtr(self._map(probit(self.base, value.double())))
        return below

    def icdf(self, value: Tensor) -> Tensor:
        """The quantile at probability ``value``; no gradient."""
        t = _piecewise(ndtri(value.double().clamp(EDGE, 1 - EDGE)), self.values, self.knots)[0]
        return _at_probit(self.base, t)

    def places(self, levels: Tensor) -> Tensor:
        """(levels, *batch[, components]) where the base, or each of its components, has what becomes ``levels`` under the map.

        Ends of panels for an integral over y, at less cost than a mixture's quantiles.
        """
        each = self.base.component_distribution if isinstance(self.base, MixtureSameFamily) else self.base
        t = _piecewise(ndtri(levels.double()), self.values, self.knots)[0]
        return _at_probit(each, t.view(-1, *(1,) * len(each.batch_shape))).double()

    def log_prob(self, value: Tensor) -> Tensor:
        """Log of the density, or of the probability of a count."""
        value = value.double()
        t = probit(self.base, value)
        if self.discrete:
            high, low = log_ndtr(self._map(t)), log_ndtr(self._map(probit(self.base, value - 1)))
            found: Tensor = high + torch.log1p(-(low - high).clamp_max(0.0).exp().clamp_max(1 - 1e-12))
            return found
        # Where the base's distribution function is 0 or 1 in float64, its density is all that is known.
        edge = float(ndtri(torch.tensor(1 - EDGE, dtype=torch.float64)))
        t = torch.where(t.isfinite(), t, edge * t.sign())
        g, slope = _piecewise(t, self.knots, self.values)
        density: Tensor = self.base.log_prob(value)
        return density + slope.log() + 0.5 * (t.square() - g.square())

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        raise NotImplementedError("a recalibrated distribution has no reparameterised samples; use sample")

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Samples by the quantile function."""
        shape = torch.Size(sample_shape) + self.batch_shape
        return self.icdf(torch.rand(shape, dtype=torch.float64).clamp(EDGE, 1 - EDGE))

    @functools.cached_property
    @torch.no_grad()
    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance, (batch,), by integrals of the distribution function around the base's mean, c.

        E Y − c = ∫ S − F and E (Y − c)² = 2 ∫ |y − c| (S + F), where F = P(Y ≤ y) below c and 0 above, S = 1 − P(Y ≤ y) above.
        """
        middle = self.base.mean.double()
        if self.discrete:
            # Jumps: of the quantiles at the middles of equal shares.
            levels = (torch.arange(200, dtype=torch.float64) + 0.5) / 200
            nodes = self.icdf(levels.view(-1, *(1,) * middle.dim()).to(middle.device)).double()
            return nodes.mean(0), nodes.var(0, correction=0)
        levels = ndtr(torch.tensor(ENDS, dtype=torch.float64, device=middle.device))
        ends = self.places(levels)
        members = math.prod(ends.shape[1 + len(self.batch_shape) :])
        ends = ends.reshape(len(ENDS), *self.batch_shape, members).movedim(-1, 1).reshape(-1, *self.batch_shape)
        if len(ends) > MOST_ENDS:
            some = torch.linspace(0, len(ends) - 1, MOST_ENDS, dtype=torch.float64).round().long()
            ends = ends.sort(0).values[some.to(ends.device)]
        ends = torch.cat([ends, middle.unsqueeze(0)]).sort(0).values
        at, weight = (torch.as_tensor(v, dtype=torch.float64) for v in np.polynomial.legendre.leggauss(ORDER))
        at, weight = (v.to(middle.device).view(-1, 1, *(1,) * middle.dim()) for v in ((at + 1) / 2, weight / 2))
        first, second = torch.zeros_like(middle), torch.zeros_like(middle)
        size = max(1, HELD // (len(at) * members * max(1, middle.numel())))
        for start in range(0, len(ends) - 1, size):
            some = ends[start : start + size + 1]
            widths = some.diff(dim=0)
            y = some[:-1] + at * widths
            t = self._map(probit(self.base, y))
            tail = torch.where(y > middle, ndtr(-t), -ndtr(t)) * weight * widths
            first = first + tail.sum((0, 1))
            second = second + 2 * ((y - middle) * tail).sum((0, 1))
        return middle + first, (second - first.square()).clamp_min(0.0)

    @property
    def mean(self) -> Tensor:
        """E Y."""
        return self._moments[0]

    @property
    def variance(self) -> Tensor:
        """Var Y."""
        return self._moments[1]

    def _map(self, t: Tensor) -> Tensor:
        return _piecewise(t, self.knots, self.values)[0]


@functools.singledispatch
def probit(q: Distribution, value: Tensor) -> Tensor:
    r""":math:`\Phi^{-1}(F(y))`, how many standard deviations a normal would lie off; open by ``probit.register(Family)``.

    For any normal, seen through an increasing transform or not, and for mixtures of them it holds at any distance, where F itself
    is 0 or 1 in floating point; of others it is then infinite.

    Args:
        q: of numbers. value: float64, broadcasts with its batch shape.
    """
    found: Tensor = ndtri(cdf(q, value).double())
    return found


@probit.register
def _(q: Normal, value: Tensor) -> Tensor:
    return (value - q.loc) / q.scale


@probit.register
def _(q: TransformedDistribution, value: Tensor) -> Tensor:
    below: Tensor = ndtri(cdf(q, value).double())
    if not isinstance(q.base_dist, Normal) or not all(part.bijective for part in q.transforms):
        return below
    x, sign = value, 1
    for part in reversed(q.transforms):
        x, sign = part.inv(x), sign * part.sign
    # Outside the support there is no x; what F says there is exact.
    t = sign * probit(q.base_dist, x)
    return torch.where(t.isfinite(), t, below)


@probit.register
def _(q: MixtureSameFamily, value: Tensor) -> Tensor:
    weight = q.mixture_distribution.logits.double().log_softmax(-1)
    each = probit(q.component_distribution, value.unsqueeze(-1))
    below, above = (weight + log_ndtr(each)).logsumexp(-1), (weight + log_ndtr(-each)).logsumexp(-1)
    return torch.where(below < above, _ndtri_of_log(below), -_ndtri_of_log(above))


def _ndtri_of_log(log_p: Tensor) -> Tensor:
    """The normal quantile at probability exp(log_p), of at most about 1/2, by Newton's method where exp underflows."""
    far = log_p < -30.0
    near: Tensor = ndtri(log_p.exp())
    if not bool(far.any()):
        return near
    goal = log_p.clamp(-1e300, -30.0)
    x = -(-2 * goal - (-4 * math.pi * goal).log()).sqrt()
    for _ in range(4):
        logs = log_ndtr(x)
        x = x - (logs - goal) * (logs + 0.5 * x.square() + 0.5 * math.log(2 * math.pi)).exp()
    return torch.where(far, torch.where(log_p.isinf(), log_p, x), near)


def _at_probit(q: Distribution, t: Tensor) -> Tensor:
    """The quantile of ``q`` at probability Φ(t)."""
    if isinstance(q, Normal):
        return q.loc + q.scale * t
    return icdf(q, ndtr(t).clamp(EDGE, 1 - EDGE))


def _piecewise(t: Tensor, knots: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """(g(t), g'(t)) of the linear interpolation, which goes on beyond the knots."""
    knots, values = knots.to(t), values.to(t)
    at = torch.searchsorted(knots, t.detach().contiguous()).clamp(1, len(knots) - 1)
    slope = (values[at] - values[at - 1]) / (knots[at] - knots[at - 1])
    return values[at - 1] + slope * (t - knots[at - 1]), slope


@map_arguments.register
def _(q: Recalibrated, change: Callable[[Tensor], Tensor]) -> Distribution:
    return Recalibrated(map_arguments(q.base, change), q.knots, q.values)


@parameters.register
def _(q: Recalibrated) -> dict[str, Tensor]:
    """None: the base's would tell of intervals that are not its own."""
    return {}


@point.register
def _(q: Recalibrated) -> Tensor:
    """The base's: what is mapped is how far around it y may lie."""
    return point(q.base)


@spread.register
def _(q: Recalibrated) -> tuple[Tensor, Tensor]:
    """The base's shares of the variance."""
    aleatoric, epistemic = spread(q.base)
    ratio = q.variance / (aleatoric + epistemic)
    return aleatoric * ratio, epistemic * ratio


@cdf.register
def _(q: Recalibrated, value: Tensor) -> Tensor:
    return q.cdf(value)


@_quantile.register
def _(q: Recalibrated, p: Tensor) -> Tensor:
    return q.icdf(p)
