"""A distribution of numbers whose distribution function is mapped, so that its quantiles are right on rows held out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, MixtureSameFamily, constraints
from torch.special import log_ndtr, ndtr, ndtri

from ._cdf import _quantile, cdf, icdf
from ._mixture import spread
from ._parameters import map_arguments, parameters, point

EDGE = 1e-15
"""Probabilities are kept this far from 0 and 1: float64 tells them apart up to there."""


class Recalibrated(Distribution):
    r"""Y whose distribution function is :math:`\Phi(g(\Phi^{-1}(F(y))))` for a base's F and an increasing piecewise linear g.

    g works on the scale of normal quantiles, where a factor narrows or widens every central interval alike, and keeps its slope
    beyond its knots. The support is the base's.

    The base's distribution function tells probabilities apart down to 1e-15, about eight standard deviations; where g widens q by
    more than a factor of two, the tails beyond that, which then hold up to a thousandth of the mass, are too thin.

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
        below: Tensor = ndtr(self._map(_probit(cdf(self.base, value))))
        return below

    def icdf(self, value: Tensor) -> Tensor:
        """The quantile at probability ``value``; no gradient."""
        level = ndtr(_piecewise(_probit(value), self.values, self.knots)[0])
        return icdf(self.base, level.clamp(EDGE, 1 - EDGE))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log of the density, or of the probability of a count."""
        if self.discrete:
            above, below = self._map(_probit(cdf(self.base, value))), self._map(_probit(cdf(self.base, value - 1)))
            below = torch.where(value < 1, torch.full_like(below, -torch.inf), below)
            high, low = log_ndtr(above), log_ndtr(below)
            found: Tensor = high + torch.log1p(-(low - high).clamp_max(0.0).exp().clamp_max(1 - 1e-12))
            return found
        t = _probit(cdf(self.base, value))
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
    def _nodes(self) -> Tensor:
        """(nodes, batch) quantiles at the middles of equal shares."""
        levels = (torch.arange(200, dtype=torch.float64) + 0.5) / 200
        return self.icdf(levels.view(-1, *(1,) * len(self.batch_shape))).double()

    @property
    def mean(self) -> Tensor:
        """Of 200 quantiles."""
        return self._nodes.mean(0)

    @property
    def variance(self) -> Tensor:
        """Of 200 quantiles."""
        return self._nodes.var(0, correction=0)

    def _map(self, t: Tensor) -> Tensor:
        return _piecewise(t, self.knots, self.values)[0]


def _probit(p: Tensor) -> Tensor:
    found: Tensor = ndtri(p.double().clamp(EDGE, 1 - EDGE))
    return found


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
