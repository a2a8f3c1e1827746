"""Integrals between two distributions where no closed form is known: quadrature, sums, Monte Carlo, each with its error."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution

from . import line

RELATIVE = 1e-11
"""Error of a panel, relative to the whole integral, above which it is halved."""
MOST_PANELS = 6000
MOST_ROUNDS = 60
MOST_COUNTS = 2**16
"""Counts that are summed one by one; beyond, the sum is the integral of its smooth continuation."""
DIVERGES = 1e-5
"""Share of an integral in its outermost panel, at the end of the line, from which it is taken for infinite."""
TAILS = (0.5, 0.25, 0.1, 0.03, 1e-2, 1e-3, 1e-5, 1e-8, 1e-12, 1e-16, 1e-24, 1e-40, 1e-70, 1e-120, 1e-200, 1e-300)


Integrand = Callable[[Tensor], Tensor]
"""(nodes, *batch) → values there, (nodes, *batch)."""


@functools.cache
def _rules() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Nodes and weights on (0, 1) of Gauss-Legendre's rules of order 16 and 8."""

    def rule(order: int) -> tuple[Tensor, Tensor]:
        nodes, weights = np.polynomial.legendre.leggauss(order)
        return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)

    return rule(16), rule(8)


@dataclasses.dataclass(frozen=True)
class Panels:
    """Pieces of the line, each in a coordinate of its own: x itself, or the logarithm of the distance from a centre.

    Attributes:
        centre, sign, low, high: (panels, *batch); x = t where ``sign`` is 0, else centre + sign · e^t, for t in (low,
            high).
    """

    centre: Tensor
    sign: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def between(cls, points: Tensor, centres: Tensor) -> Panels:
        """Panels between neighbouring ``points``, logarithmic where far ends are distant from the nearest centre.

        Args:
            points: (points, *batch), in any order. centres: (centres, *batch), where densities may be narrow.
        """
        ends = points.sort(0).values
        a, b = ends[:-1], ends[1:]
        left, right = a.unsqueeze(1) - centres, centres - b.unsqueeze(1)  # (panels, centres, *batch)
        outside = torch.where(left >= 0, left, torch.where(right >= 0, right, math.inf))
        near, which = outside.min(1)
        centre = centres.expand(len(a), *centres.shape).gather(1, which.unsqueeze(1)).squeeze(1)
        sign = torch.where(a >= centre, 1.0, -1.0)
        logarithmic = (near > 0) & near.isfinite() & ((b - a) > 2 * near)
        t_near = near.clamp(line.TINY, 1e300).log()
        t_far = (near + (b - a)).clamp(line.TINY, 1e300).log()
        return cls(
            centre,
            torch.where(logarithmic, sign, 0.0),
            torch.where(logarithmic, t_near, a),
            torch.where(logarithmic, t_far, b),
        )

    def nodes(self, rule: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Where to evaluate and how much it weighs, each (order, panels, *batch)."""
        at, weight = (v.to(self.low.device).reshape(-1, 1, *(1,) * (self.low.dim() - 1)) for v in rule)
        width = self.high - self.low
        t = self.low + at * width
        distance = torch.where(self.sign == 0, 0.0, t).exp()
        x = torch.where(self.sign == 0, t, self.centre + self.sign * distance)
        return x, weight * width * distance

    def halved(self, which: Tensor) -> Panels:
        """The panels of the indices ``which``, each as two."""
        middle = 0.5 * (self.low[which] + self.high[which])
        centre, sign = self.centre[which], self.sign[which]
        return Panels(
            torch.cat([centre, centre]),
            torch.cat([sign, sign]),
            torch.cat([self.low[which], middle]),
            torch.cat([middle, self.high[which]]),
        )

    def __getitem__(self, which: Tensor) -> Panels:
        return Panels(self.centre[which], self.sign[which], self.low[which], self.high[which])

    def joined(self, other: Panels) -> Panels:
        return Panels(
            torch.cat([self.centre, other.centre]),
            torch.cat([self.sign, other.sign]),
            torch.cat([self.low, other.low]),
            torch.cat([self.high, other.high]),
        )


@dataclasses.dataclass(frozen=True)
class Grid:
    """Where an integral or a sum is evaluated: Σ weight · f(at) over the first dimension.

    Attributes:
        at: (nodes, *batch[, *event]). weight: (nodes, *batch), at least 0; neither has a gradient.
        error: (*batch), of the quadrature; None where the nodes are draws, whose spread tells it.
        infinite: (*batch), whether the integral it was made for diverges.
        method: as of an :class:`Estimate`.
    """

    at: Tensor
    weight: Tensor
    error: Tensor | None
    infinite: Tensor | None
    method: str

    def sum(self, values: Tensor) -> Tensor:
        """Σ weight · values, (*batch), where a node of weight 0 counts nothing whatever its value."""
        total = torch.where(self.weight > 0, values * self.weight, 0.0).sum(0)
        return total if self.infinite is None else torch.where(self.infinite, math.inf, total)

    def error_of(self, values: Tensor) -> Tensor:
        """The estimated error of :meth:`sum`, (*batch)."""
        with torch.no_grad():
            if self.error is not None:
                return self.error
            terms = values * self.weight
            spread: Tensor = terms[0::2].var(0) + terms[1::2].var(0)  # draws of p and of q, turn by turn
            return (0.5 * len(terms) * spread).sqrt()


def quadrature(
    integrand: Integrand,
    panels: Panels,
    relative: float = RELATIVE,
    mass: Integrand | None = None,
    idle: bool = False,
) -> Grid:
    """The grid of adaptive Gauss-Legendre quadrature for ``integrand``; panels are halved where it is rough.

    The panels are chosen without a gradient: the value is then one weighted sum over fixed nodes, whose gradient is
    that of the integrand. An integrand that is infinite somewhere, or that has not fallen off at the ends of the line,
    has an infinite integral. Nodes that count nothing in it, nor in the integral of ``mass``, are left out unless
    ``idle``: so far out a parameter's slope may be no number.
    """
    with torch.no_grad():
        todo, done = panels, panels[torch.zeros(0, dtype=torch.long, device=panels.low.device)]
        kept: list[tuple[Tensor, Tensor, Tensor]] = []
        whole = torch.zeros_like(panels.low[0])
        for _ in range(MOST_ROUNDS):
            value, error, size = _panel(integrand, todo)
            scale = whole + value.abs().sum(0)
            rough = (error > relative * scale).reshape(len(error), -1).any(1)
            if len(done.low) + len(todo.low) + int(rough.sum()) > MOST_PANELS + len(panels.low):
                rough = torch.zeros_like(rough)
            good, bad = (~rough).nonzero().squeeze(1), rough.nonzero().squeeze(1)
            kept.append((value[good], error[good], size[good]))
            whole = whole + value[good].abs().sum(0)
            done = done.joined(todo[good])
            if not len(bad):
                break
            todo = todo.halved(bad)
        else:
            done = done.joined(todo)
            kept.append(_panel(integrand, todo))
        values, errors, sizes = (torch.cat(each) for each in zip(*kept, strict=True))
        x, weight = done.nodes(_rules()[0])
        # A panel at the end of the line that still counts: what lies beyond would count too.
        edge = torch.where(x.abs().amax(0) > 1e-10 * line.FARTHEST, values.abs(), 0.0).sum(0)
        infinite = ~values.isfinite().all(0) | (edge > DIVERGES * values.abs().sum(0))
        # What rounding leaves: each term is known to a few units in its last place.
        error = errors.sum(0) + edge + 4 * torch.finfo(torch.float64).eps * sizes.sum(0)
        at, weight = x.flatten(0, 1), weight.flatten(0, 1)
        at, weight = (at, weight) if idle else _without_idle(at, weight, integrand, mass)
        return Grid(at, weight, torch.where(infinite, 0.0, error), infinite, "quadrature")


def _without_idle(at: Tensor, weight: Tensor, integrand: Integrand, mass: Integrand | None) -> tuple[Tensor, Tensor]:
    """Nodes and weights, without the nodes that count less than 1e-30 of the sum, or moved to where they harm nothing."""
    part = torch.where(weight > 0, integrand(at).abs() * weight, 0.0)
    if mass is not None:
        part = part + torch.where(weight > 0, mass(at) * weight, 0.0)
    idle = ~(part > 1e-30 * part.sum(0))
    safe = at.gather(0, part.nan_to_num(0.0, 0.0).argmax(0, keepdim=True))
    keep = (~idle).reshape(len(idle), -1).any(1)
    keep[0] = True
    return torch.where(idle, safe, at)[keep], torch.where(idle, 0.0, weight)[keep]


def _panel(integrand: Integrand, panels: Panels) -> tuple[Tensor, Tensor, Tensor]:
    """Value, estimated error and absolute sum of each panel, (panels, *batch)."""
    fine, coarse = _rules()

    def terms(rule: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        x, weight = panels.nodes(rule)
        return torch.where(weight > 0, integrand(x.flatten(0, 1)).view(x.shape) * weight, 0.0), weight

    each, weight = terms(fine)
    value, size = each.sum(0), each.abs().sum(0)
    apart = (value - terms(coarse)[0].sum(0)).abs()
    # QUADPACK's estimate: the fine rule's error falls faster than its distance from the coarse one.
    spread = (each - weight * (value / weight.sum(0).clamp_min(line.TINY))).abs().sum(0)
    error = spread * (200 * apart / spread.clamp_min(line.TINY)).clamp_max(1.0) ** 1.5
    certain = (apart <= 16 * torch.finfo(torch.float64).eps * size) | ~value.isfinite()
    return value, torch.where(certain, 0.0, error), size


# The nodes that a pair of distributions asks for ---------------------------------------------------------------------


def ladder(q: Distribution) -> tuple[Tensor, Tensor]:
    """Points between which the density of ``q`` is smooth, (points, *batch), and its centres, (centres, *batch).

    Quantiles of each component down to tails of 1e-300, its ends, and from there to the end of the line.
    """
    if isinstance(q, line.Empirical):
        return q.samples, q.samples[[0, len(q.samples) // 2, -1]]
    device = _device(q)
    u = torch.tensor(TAILS, dtype=torch.float64, device=device)
    points, centres = [], []
    for part in line.components(q):
        shape = part.batch_shape
        levels = u.reshape(-1, *(1,) * len(shape)).expand(-1, *shape)
        under, over = line.lower_quantile(part, levels), line.upper_quantile(part, levels)
        middle = under[0]
        low, high = (torch.as_tensor(end, dtype=torch.float64, device=device).expand(shape) for end in line.ends(part))
        reach = torch.tensor(_reach(), dtype=torch.float64, device=device).reshape(-1, *(1,) * len(shape))
        width = (over[4] - under[4]).clamp_min(line.TINY)
        outside = torch.cat([middle - reach * width, middle + reach * width])
        each = torch.cat([under, over, outside, low[None], high[None]])
        each = torch.nan_to_num(each, nan=0.0, posinf=line.FARTHEST, neginf=-line.FARTHEST)
        each = each.clamp(-line.FARTHEST, line.FARTHEST)
        points.append(torch.maximum(torch.minimum(each, high), low))
        edges = [middle, *(end for end in (low, high) if bool(end.isfinite().all()))]
        centres += edges
    return torch.cat(points), torch.stack(centres)


@functools.cache
def _reach() -> tuple[float, ...]:
    return tuple(3.0**k for k in range(1, 9)) + tuple(10.0 ** (10 * k) for k in range(1, 16)) + (1e300,)


def _device(q: Distribution) -> torch.device:
    part = line.components(q)[0]
    return part.logits.device if isinstance(part, Categorical) else part.mean.device


def panels_of(p: Distribution, q: Distribution) -> Panels:
    """Panels for integrals over x of what is smooth where both densities are."""
    (mine, one), (its, other) = ladder(p), ladder(q)
    shape = torch.broadcast_shapes(p.batch_shape, q.batch_shape)  # type: ignore[no-untyped-call]

    def wide(values: Tensor) -> Tensor:
        missing = len(shape) + 1 - values.dim()
        return values.reshape(len(values), *(1,) * missing, *values.shape[1:]).expand(-1, *shape)

    return Panels.between(torch.cat([wide(mine), wide(its)]), torch.cat([wide(one), wide(other)]))


def counts(
    p: Distribution, q: Distribution, integrand: Integrand, mass: Integrand | None = None, *, idle: bool = False
) -> Grid:
    """The grid of Σ over whole numbers: each of them where they are few, else panels of the smooth continuation.

    Args:
        p, q: over whole numbers, in float64. integrand: what is summed, smooth between whole numbers.
        mass, idle: as of :func:`quadrature`.
    """
    shape = torch.broadcast_shapes(p.batch_shape, q.batch_shape)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        spans = [_span(part) for part in (*line.components(p), *line.components(q))]
        low = torch.stack([span[0].expand(shape) for span in spans]).amin(0)
        high = torch.stack([span[1].expand(shape) for span in spans]).amax(0)
        steps = int((high - low).max().clamp_max(MOST_COUNTS - 1)) + 1
        index = torch.arange(steps, dtype=torch.float64, device=low.device).reshape(-1, *(1,) * len(shape))
        at = low + index
        weight = (at <= high).double()
        if not bool((at[-1] < high).any()):
            values = torch.where(weight > 0, integrand(at), 0.0)
            infinite = ~values.isfinite().all(0)
            error = 8 * torch.finfo(torch.float64).eps * values.abs().sum(0)
            at, weight = (at, weight) if idle else _without_idle(at, weight, integrand, mass)
            return Grid(at, weight, torch.where(infinite, 0.0, error), infinite, "sum")
        start = at[-1] + 0.5
        points, centres = [start[None]], [start]
        for part in (*line.components(p), *line.components(q)):
            mean, width = part.mean.expand(shape), part.stddev.expand(shape)
            reach = torch.tensor(_steps(), dtype=torch.float64, device=low.device).reshape(-1, *(1,) * len(shape))
            each = torch.cat([mean[None], mean - reach * width, mean + reach * width])
            points.append(torch.maximum(each, start).clamp_max(1e15))
            centres.append(mean)
        rest = quadrature(integrand, Panels.between(torch.cat(points), torch.stack(centres)), mass=mass, idle=idle)
        assert rest.error is not None
        error = rest.error + 8 * torch.finfo(torch.float64).eps * integrand(at).abs().sum(0)
        at, weight = (at, weight) if idle else _without_idle(at, weight, integrand, mass)
        at, weight = torch.cat([at, rest.at]), torch.cat([weight, rest.weight])
        return Grid(at, weight, error, rest.infinite, "sum, in part quadrature")


@functools.cache
def _steps() -> tuple[float, ...]:
    return (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 18.0, 27.0, 40.0, 80.0, 160.0, 320.0, 640.0)


def _span(q: Distribution) -> tuple[Tensor, Tensor]:
    """Whole numbers beyond which ``q`` has less than 1e-100."""
    start, end = (
        torch.as_tensor(end, dtype=torch.float64, device=q.mean.device).expand(q.batch_shape) for end in line.ends(q)
    )
    mean = q.mean.floor()
    width = 4 * q.stddev + 10
    low, high = mean - width, mean + width
    for _ in range(64):
        out = (line.above(q, high) > 1e-100) & (high < end)
        if not bool(out.any()):
            break
        high = torch.where(out, mean + 2 * (high - mean), high)
    for _ in range(64):
        out = (line.below(q, low) > 1e-100) & (low > start)
        if not bool(out.any()):
            break
        low = torch.where(out, mean - 2 * (mean - low), low)
    return torch.maximum(low.floor(), start), torch.minimum(high.ceil(), end)


def draws(p: Distribution, q: Distribution, number: int) -> Grid:
    """The grid of Monte Carlo for integrals of densities: ``number`` draws of p and of q, weighed by ½p + ½q.

    Weighed so, an integrand that is at most a multiple of p + q has a bounded variance, wherever p and q lie.
    """
    with torch.no_grad():
        batch = torch.broadcast_shapes(p.batch_shape, q.batch_shape)  # type: ignore[no-untyped-call]
        each = [d.expand(batch).sample((number,)) for d in (p, q)]
        # Turn by turn, so that neighbouring pairs are draws of the mixture's two halves.
        at = torch.stack(each, 1).flatten(0, 1)
        mixed = torch.logaddexp(p.log_prob(at), q.log_prob(at)) - math.log(2.0)
        weight = torch.exp(-mixed) / (2 * number)
        return Grid(at, weight, None, None, f"Monte Carlo, {number:,} draws")
