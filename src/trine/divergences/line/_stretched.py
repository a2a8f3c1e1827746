"""Stretched ends: a half-line or an interval seen as the whole line."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Beta, Distribution, Gamma, LogNormal, constraints
from torch.nn.functional import logsigmoid

from trine.rules import LogitNormal, special

from ._density import TINY, log_density, log_poisson
from ._parts import components, ends, mixed, weights
from ._tails import lower_quantile, upper_quantile


class Stretched(Distribution):
    """Y seen through log Y, or log Y / (1 − Y): the line in place of a half-line or an interval.

    Densities that are infinite at an end of their support have mass nearer to it than floating point can tell; here
    that end is far away. What is an integral of densities does not change with the coordinate.

    Args:
        q: over (0, ∞) or (0, 1), no mixture.
    """

    arg_constraints = {}  # noqa: RUF012
    support = constraints.real

    def __init__(self, q: Distribution, *, both: bool) -> None:
        super().__init__(q.batch_shape, validate_args=False)
        self.q = q
        self.both = both

    @property
    def mean(self) -> Tensor:
        """Of the device and dtype that the distribution has; not the mean in this coordinate."""
        return self.q.mean

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density in this coordinate."""
        if isinstance(self.q, Beta):
            a, b = self.q.concentration1, self.q.concentration0
            return a * logsigmoid(value) + b * logsigmoid(-value) - special.lbeta(a, b)
        if isinstance(self.q, Gamma):
            a, rate = self.q.concentration, self.q.rate
            near = value.abs() < 600
            inside = torch.where(near, value, 0.0)
            far = a * (value + rate.log()) - (value + rate.log()).clamp_max(700.0).exp() - torch.lgamma(a)
            return torch.where(near, log_poisson(a, rate * inside.exp()) + a.log(), far)
        if isinstance(self.q, LogNormal | LogitNormal):
            normal: Tensor = self.q.base_dist.log_prob(value)  # type: ignore[no-untyped-call]
            return normal
        # Densities without a spike have nothing to tell further out.
        inside = value.clamp(-700.0, 36.0 if self.both else 700.0)
        at = torch.sigmoid(inside) if self.both else inside.exp()
        slope = logsigmoid(inside) + logsigmoid(-inside) if self.both else inside
        return torch.where(value == inside, log_density(self.q, at) + slope, -math.inf)


def stretched(p: Distribution, q: Distribution) -> tuple[Distribution, Distribution]:
    """Both in a coordinate in which neither has an infinite density, where they are over one half-line or interval."""
    each = [*components(p), *components(q)]
    spans = {tuple(_same(end) for end in ends(part)) for part in each}
    spiked = any(isinstance(part, Gamma | Beta | LogitNormal) for part in each)
    if not spiked or spans not in ({(0.0, 1.0)}, {(0.0, math.inf)}):
        return p, q
    high = spans.pop()[1]
    return _stretched(p, both=high == 1.0), _stretched(q, both=high == 1.0)


def _same(end: Tensor | float) -> float:
    """An end as a number; not a number where it is not the same for all of a batch."""
    if not isinstance(end, Tensor):
        return float(end)
    first = end.flatten()[0]
    return first.item() if bool((end == first).all()) else math.nan


def _stretched(q: Distribution, *, both: bool) -> Distribution:
    return StretchedMixture(q, both=both) if mixed(q) else Stretched(q, both=both)


class StretchedMixture(Distribution):
    """A mixture of which every component is :class:`Stretched`."""

    arg_constraints = {}  # noqa: RUF012
    support = constraints.real

    def __init__(self, q: Distribution, *, both: bool) -> None:
        super().__init__(q.batch_shape, validate_args=False)
        self.parts = [Stretched(part, both=both) for part in components(q)]
        self.probs = weights(q)


@components.register
def _(q: StretchedMixture) -> list[Distribution]:
    return list(q.parts)


@weights.register
def _(q: StretchedMixture) -> Tensor:
    return q.probs


def unstretched(q: Distribution, y: Tensor) -> Tensor:
    """The value at ``y`` in the coordinate of ``q``."""
    part = components(q)[0]
    if not isinstance(part, Stretched):
        return y
    return torch.sigmoid(y) if part.both else y.clamp_max(300.0).exp()


def _logarithm(q: Distribution, u: Tensor, *, upper: bool) -> Tensor:
    """The logarithm of a quantile, also where the quantile is nearer to 0 than floating point can tell."""
    value = (upper_quantile if upper else lower_quantile)(q, u).clamp_min(TINY).log()
    if not isinstance(q, Gamma | Beta) or upper:
        return value
    # Near 0 the distribution function is c x^a.
    if isinstance(q, Gamma):
        a, log_c = q.concentration, q.concentration * q.rate.log() - torch.lgamma(q.concentration + 1)
    else:
        a = q.concentration1
        log_c = -special.lbeta(a, q.concentration0) - a.log()
    near = (u.log() - log_c) / a
    return torch.where(value < -600, torch.minimum(near, value), value)


@lower_quantile.register
def _(q: Stretched, u: Tensor) -> Tensor:
    value = _logarithm(q.q, u, upper=False)
    return value - torch.log1p(-value.exp().clamp_max(1 - 1e-16)) if q.both else value


@upper_quantile.register
def _(q: Stretched, u: Tensor) -> Tensor:
    if not q.both:
        return _logarithm(q.q, u, upper=True)
    if isinstance(q.q, Beta):
        return -lower_quantile(Stretched(Beta(q.q.concentration0, q.q.concentration1, False), both=True), u)
    value = upper_quantile(q.q, u).clamp(TINY, 1 - 2.0**-53)
    return value.log() - torch.log1p(-value)
