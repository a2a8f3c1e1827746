"""Wasserstein: the least cost of moving one distribution's mass to where the other's is."""

from __future__ import annotations

import abc
import functools
import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Exponential,
    Gamma,
    Geometric,
    Independent,
    Laplace,
    LogNormal,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    Poisson,
    Uniform,
)

from trine.errors import ChoiceError
from trine.rules import OrderedCategorical, special

from . import line
from ._base import (
    Divergence,
    Estimate,
    Statement,
    Value,
    check_shapes,
    divergences,
    over_members,
    refused,
)
from ._between import RELATIVE, Panels, counts, ladder, panels_of, quadrature
from ._crps import normal_distance
from ._densities import dtype_of, exact, kinds, log_masses, precise
from ._pairs import Pairs
from ._quadrature import absolute_continuous, absolute_counts
from .two_sample import wasserstein_1d

first = Pairs()
"""(family, family) → W₁ in closed form; open by ``first.register(P, Q)``."""
second = Pairs()
"""(family, family) → W₂² in closed form; open by ``second.register(P, Q)``."""


class _Transport(Divergence):
    """What both orders share: closed form, else by dimension; E |Y − y|^order at a data point."""

    order: ClassVar[int]
    title: ClassVar[str]
    forms: ClassVar[Pairs]
    unbiased: ClassVar[bool] = False

    def __init__(self, samples: int = 32) -> None:
        super().__init__()
        if samples < 1:
            raise ChoiceError(f"samples is {samples}; the distance of a vector needs at least 1.")
        self.samples = samples

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        if isinstance(predicted, Distribution) and isinstance(target, Tensor):
            check_shapes(predicted, target)
            return over_members(self._at(predicted, target))
        if isinstance(predicted, Distribution) and isinstance(target, Distribution):
            closed = self.forms.value(*precise(target, predicted))
            if closed is not None:
                return over_members(closed.to(dtype_of(predicted)))
            return over_members(self.compare(target, predicted).value.to(dtype_of(predicted)))
        if isinstance(predicted, Tensor) and isinstance(target, Tensor):
            value = self.compare(target, predicted).value
            return value.expand(len(predicted)).to(predicted.dtype)
        reason = "samples are compared with samples. Draw samples of the target first."
        raise refused(self.title, predicted, target, reason)

    @abc.abstractmethod
    def _at(self, q: Distribution, y: Tensor) -> Tensor:
        """The distance of ``q`` from a point, E |Y − y|^order, of the batch shape of ``q``."""

    def compare(self, p: Value, q: Value, draws: int = 1024) -> Estimate:
        if isinstance(p, Tensor) and isinstance(q, Tensor):
            return Estimate(self._of_samples(p, q), None, "samples")
        if isinstance(p, Tensor):
            p = line.Empirical(p)
        if isinstance(q, Tensor):
            q = line.Empirical(q)
        if isinstance(p, line.Empirical) or isinstance(q, line.Empirical):
            return self._empirical(exact(p), exact(q))
        p, q = exact(p), exact(q)
        kind = kinds(self.title, p, q)
        closed = self.forms.value(p, q)
        if closed is not None:
            return Estimate(closed, None, "closed form")
        if kind == "vector":
            return self._of_vectors(p, q)
        return self._on_line(p, q) if kind == "line" else self._on_counts(p, q)

    def _empirical(self, p: Distribution, q: Distribution) -> Estimate:
        """One of both are samples: quadrature between each two of them."""
        other = p if isinstance(q, line.Empirical) else q
        if line.kind(other) != "line":
            reason = "of a distribution over counts, categories or vectors draw samples first, and compare two samples."
            raise refused(self.title, q, p, reason)
        return self._on_line(p, q)

    @abc.abstractmethod
    def _of_samples(self, x: Tensor, y: Tensor) -> Tensor: ...

    @abc.abstractmethod
    def _on_line(self, p: Distribution, q: Distribution) -> Estimate: ...

    @abc.abstractmethod
    def _on_counts(self, p: Distribution, q: Distribution) -> Estimate: ...

    @abc.abstractmethod
    def _of_vectors(self, p: Distribution, q: Distribution) -> Estimate: ...

    def _samples_of(self, x: Tensor, y: Tensor) -> Tensor | None:
        """The divergence of samples of numbers, from the two-sample estimators; None where they are vectors."""
        if x.dim() > 2 or y.dim() > 2 or x.shape[1:].numel() > 1 or y.shape[1:].numel() > 1:
            return None
        return wasserstein_1d(x.flatten(), y.flatten(), float(self.order)) ** self.order


@divergences.register("wasserstein")
class Wasserstein(_Transport):
    r"""The first Wasserstein distance, in the units of the values:

    .. math:: W_1(p, q) = \inf_{\text{couplings}} E |X - Y| = \int |F - G| = \sup_{|f'| \le 1} E f(X) - E f(Y)

    A metric, finite on disjoint supports, where it grows with what lies between them. Over categories without an order,
    which are equally far apart, it is the total variation. In closed form between two normals, exponentials, Poissons or
    two of a family that differ in location alone; else by quadrature on the line and sums over counts. Over vectors only
    samples are compared.

    At a data point it is E |Y − y|, which is no proper score: it is least not for the distribution of the data but for
    a point at their median. Gradients of a distance to samples are biased likewise (Bellemare et al., 2017).

    Args:
        samples: draws that estimate E ‖Y − y‖ at a vector, without bias.

    References:
        Villani, `Optimal Transport, Old and New`, 2009. Bellemare et al., `The Cramer Distance as a Solution to Biased
        Wasserstein Gradients`, 2017.
    """

    title = "Wasserstein's distance"
    order = 1
    forms = first
    formula = "W₁(point at data, q) = E |Y − {t}|, Y ~ q(· | {x}, θ); no proper score: least for a point at the median"
    statement = Statement(
        "samples; numbers, counts, categories", symmetric=True, metric="itself", finite_on_disjoint=True, unbiased=False
    )

    def _at(self, q: Distribution, y: Tensor) -> Tensor:
        if not q.event_shape:
            return distance_to(q, y)
        component = q.component_distribution if isinstance(q, MixtureSameFamily) else q
        if not component.has_rsample:
            reason = "its values are sequences or sets, between which no distance is known. Choose divergence=kl."
            raise refused(self.title, q, y, reason)
        events = tuple(range(-len(q.event_shape), 0))
        if isinstance(q, MixtureSameFamily):
            apart = q.component_distribution.rsample((self.samples,)) - y.unsqueeze(events[0] - 1)
            norms: Tensor = torch.linalg.vector_norm(apart, dim=events)
            return (norms * q.mixture_distribution.probs).sum(-1).mean(0)
        norm: Tensor = torch.linalg.vector_norm(q.rsample((self.samples,)) - y, dim=events)
        return norm.mean(0)

    def _of_samples(self, x: Tensor, y: Tensor) -> Tensor:
        value = self._samples_of(x, y)
        if value is None:
            reason = (
                "of vectors W₁ is no sum. Choose cramer (the energy distance), wasserstein2, or "
                "trine.divergences.two_sample's sliced_wasserstein or sinkhorn."
            )
            raise refused(self.title, x, y, reason)
        return value

    def _on_line(self, p: Distribution, q: Distribution) -> Estimate:
        def gap(x: Tensor) -> Tensor:
            return line.apart(p, q, x).abs()

        grid = quadrature(gap, panels_of(p, q))
        return Estimate(grid.sum(gap(grid.at)), grid.error, grid.method)

    def _on_counts(self, p: Distribution, q: Distribution) -> Estimate:
        if line.kind(p) == "categories":
            apart = log_masses(p).exp() - log_masses(q).exp()
            if isinstance(p, OrderedCategorical) and isinstance(q, OrderedCategorical):
                value = apart.cumsum(0)[:-1].abs().sum(0)
            else:
                value = 0.5 * apart.abs().sum(0)
            return Estimate(value, torch.zeros_like(value).detach(), "sum")

        def gap(x: Tensor) -> Tensor:
            return line.apart(p, q, x).abs()

        grid = counts(p, q, gap)
        return Estimate(grid.sum(gap(grid.at)), grid.error, grid.method)

    def _of_vectors(self, p: Distribution, q: Distribution) -> Estimate:
        reason = "over vectors W₁ has no form. Choose wasserstein2 between normals, cramer, or compare samples."
        raise refused(self.title, q, p, reason)

    def describe(self, predicted: str, target: str) -> str:
        """The expected distance for a field of the batch, W₁ for two outputs of the model."""
        return _described(self.formula, "∫ |F_{p} − F_{t}|", predicted, target)


@divergences.register("wasserstein2")
class Wasserstein2(_Transport):
    r"""The squared second Wasserstein distance, in squared units of the values:

    .. math:: W_2^2(p, q) = \inf_{\text{couplings}} E \|X - Y\|^2 = \int_0^1 (F^{-1} - G^{-1})^2

    Its root is a metric; finite on disjoint supports. Between normals it is |d|² + tr(A + B − 2 (A^½ B A^½)^½)
    (Gelbrich), the Fréchet distance of image models; also closed between two of one location-scale family,
    exponentials and log-normals, and over independent parts the sum over them.

    At a data point it is E (Y − y)² = (E Y − y)² + Var Y, which is no proper score: it is least for a point at the mean.

    Args:
        samples: not used; here for the first distance's sake.

    References:
        Gelbrich, `On a Formula for the L² Wasserstein Metric between Measures on Euclidean and Hilbert Spaces`, 1990.
    """

    title = "Wasserstein's second distance"
    order = 2
    forms = second
    formula = "W₂²(point at data, q) = (E Y − {t})² + Var Y, Y ~ q(· | {x}, θ); no proper score: least for a point"
    statement = Statement(
        "samples; numbers, counts, categories, normals",
        symmetric=True,
        metric="root",
        finite_on_disjoint=True,
        unbiased=False,
    )

    def _at(self, q: Distribution, y: Tensor) -> Tensor:
        if isinstance(q, Categorical):
            return square_to(q, y)
        if q.event_shape and not (q.component_distribution if isinstance(q, MixtureSameFamily) else q).has_rsample:
            reason = "its values are sequences or sets, between which no distance is known. Choose divergence=kl."
            raise refused(self.title, q, y, reason)
        values = (q.mean - y) ** 2 + q.variance
        return values.flatten(len(q.batch_shape)).sum(-1) if q.event_shape else values

    def _of_samples(self, x: Tensor, y: Tensor) -> Tensor:
        value = self._samples_of(x, y)
        if value is None:
            reason = (
                "of vectors W₂ is no sum. Choose cramer (the energy distance), or trine.divergences.two_sample's "
                "sliced_wasserstein or sinkhorn."
            )
            raise refused(self.title, x, y, reason)
        return value

    def _on_line(self, p: Distribution, q: Distribution) -> Estimate:
        heavy = line.infinite_variance(p), line.infinite_variance(q)
        if all(heavy):
            reason = "both variances are infinite, and so may be the distance. Choose wasserstein or cramer."
            raise refused(self.title, q, p, reason)
        if any(heavy):
            shape = torch.broadcast_shapes(p.batch_shape, q.batch_shape)  # type: ignore[no-untyped-call]
            infinite = torch.full(shape, math.inf, dtype=torch.float64, device=p.mean.device)
            return Estimate(infinite, torch.zeros_like(infinite), "quadrature")

        def gap(v: Tensor) -> Tensor:
            u = torch.sigmoid(-v.abs())  # the smaller tail
            return (line.quantile(p, u, v > 0) - line.quantile(q, u, v > 0)) ** 2 * u * torch.sigmoid(v.abs())

        # Quantiles of counts are searched for, and carry the search's noise.
        grid = quadrature(gap, _levels(p, q), RELATIVE if line.kind(p) == "line" else 1e-8)
        return Estimate(grid.sum(gap(grid.at)), grid.error, grid.method)

    def _on_counts(self, p: Distribution, q: Distribution) -> Estimate:
        if line.kind(p) == "categories":
            if not (isinstance(p, OrderedCategorical) and isinstance(q, OrderedCategorical)):
                value = 0.5 * (log_masses(p).exp() - log_masses(q).exp()).abs().sum(0)
                return Estimate(value, torch.zeros_like(value).detach(), "sum")
            below = [log_masses(d).exp().cumsum(0) for d in (p, q)]
            value = _coupled(*torch.broadcast_tensors(*below))  # type: ignore[no-untyped-call]
            return Estimate(value, torch.zeros_like(value).detach(), "sum")
        grid = counts(p, q, lambda x: line.log_density(p, x).exp() + line.log_density(q, x).exp())
        if grid.method != "sum":
            return self._on_line(p, q)
        masses = [torch.where(grid.weight > 0, line.log_density(d, grid.at).exp(), 0.0) for d in (p, q)]
        value = _coupled(masses[0].cumsum(0), masses[1].cumsum(0))
        return Estimate(value, 1e-12 * value.detach(), "sum")

    def _of_vectors(self, p: Distribution, q: Distribution) -> Estimate:
        if isinstance(p, Independent) and isinstance(q, Independent) and not p.base_dist.event_shape:
            each = self.compare(p.base_dist, q.base_dist)
            axes = tuple(range(-p.reinterpreted_batch_ndims, 0))
            error = None if each.error is None else each.error.sum(axes)
            return Estimate(each.value.sum(axes), error, each.method)
        reason = (
            "over vectors W₂ is known between normals and between independent parts. Choose cramer, or compare samples."
        )
        raise refused(self.title, q, p, reason)

    def describe(self, predicted: str, target: str) -> str:
        """The expected square for a field of the batch, W₂² for two outputs of the model."""
        return _described(self.formula, "∫ (F_{p}⁻¹ − F_{t}⁻¹)²", predicted, target)


def _described(formula: str, between: str, predicted: str, target: str) -> str:
    side, _, column = target.partition(".")
    if side in ("x", "y"):
        return formula.format(p=predicted, t=column or side, x="x" if side == "y" else "z")
    return between.format(p=predicted, t=target)


def _levels(p: Distribution, q: Distribution) -> Panels:
    """Panels in v = log u / (1 − u) between the levels of both distributions' points."""
    shape = torch.broadcast_shapes(p.batch_shape, q.batch_shape)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        # Quantiles of many counts are smooth, and dear; else levels where densities change their course.
        points = [] if line.kind(p) == "counts" else _turns(p, q, shape)
        reach = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 690.0]
        device = line.components(p)[0].mean.device
        ends = torch.tensor([0.0, *reach, *(-v for v in reach)], dtype=torch.float64, device=device)
        points.append(ends.reshape(-1, *(1,) * len(shape)).expand(-1, *shape))
        nowhere = torch.full((1, *shape), math.inf, dtype=torch.float64, device=device)
        return Panels.between(torch.cat(points), nowhere)


def _turns(p: Distribution, q: Distribution, shape: torch.Size) -> list[Tensor]:
    points = []
    ladders = [ladder(d)[0] for d in (p, q)]
    for d in (p, q):
        for x in ladders:
            x = x.reshape(len(x), *(1,) * (len(shape) + 1 - x.dim()), *x.shape[1:]).expand(-1, *shape)
            under, over = (line.tail(d, x, upper=upper).clamp_min(line.TINY) for upper in (False, True))
            points.append((under.log() - over.log()).clamp(-690.0, 690.0))
    return points


def _coupled(below: Tensor, its: Tensor) -> Tensor:
    """∫ (F⁻¹ − G⁻¹)² du of distributions over 0, 1, … in order, of their cumulative probabilities (values, *batch)."""
    levels = torch.cat([below, its]).clamp_max(1.0).sort(0).values
    widths = levels.diff(dim=0, prepend=torch.zeros_like(levels[:1]))
    middle = (levels - 0.5 * widths).detach()

    def at(cumulative: Tensor) -> Tensor:
        rows = cumulative.detach().movedim(0, -1).contiguous()
        found: Tensor = torch.searchsorted(rows, middle.movedim(0, -1).contiguous())
        return found.movedim(-1, 0).clamp_max(len(cumulative) - 1).to(widths.dtype)

    return (widths * (at(below) - at(its)) ** 2).sum(0)


# At a data point ------------------------------------------------------------------------------------------------------


@functools.singledispatch
def distance_to(q: Distribution, y: Tensor) -> Tensor:
    """E |Y − y| for Y ~ ``q``, of its batch shape; open by ``distance_to.register(Family)``, else by quadrature."""
    return absolute_counts(q, y) if line.kind(q) == "counts" else absolute_continuous(q, y)


@distance_to.register
def _(q: Normal, y: Tensor) -> Tensor:
    return normal_distance(y - q.loc, q.scale)


@distance_to.register
def _(q: Laplace, y: Tensor) -> Tensor:
    d = (y - q.loc).abs()
    return d + q.scale * torch.exp(-d / q.scale)


@distance_to.register
def _(q: LogNormal, y: Tensor) -> Tensor:
    z = (y.clamp_min(torch.finfo(q.loc.dtype).tiny).log() - q.loc) / q.scale
    mean = (q.loc + q.scale**2 / 2).exp()
    return y * torch.erf(z / math.sqrt(2.0)) - mean * torch.erf((z - q.scale) / math.sqrt(2.0))


@distance_to.register
def _(q: Gamma, y: Tensor) -> Tensor:
    a, rate, y = q.concentration.double(), q.rate.double(), y.double()
    x, mean = (rate * y).clamp_min(line.TINY), a / rate
    step = torch.exp(a * x.log() - x - torch.lgamma(a + 1))  # P(a, x) − P(a + 1, x)
    return ((y - mean) * (2 * special.gammainc(a, x) - 1) + 2 * mean * step).to(q.rate.dtype)


@distance_to.register
def _(q: Bernoulli, y: Tensor) -> Tensor:
    return (torch.sigmoid(q.logits) - y).abs()


@distance_to.register
def _(q: Categorical, y: Tensor) -> Tensor:
    code = y.long().expand(q.batch_shape).unsqueeze(-1)
    return 1 - q.logits.softmax(-1).gather(-1, code).squeeze(-1)


@distance_to.register
def _(q: OrderedCategorical, y: Tensor) -> Tensor:
    codes = torch.arange(q.logits.shape[-1], device=y.device, dtype=q.logits.dtype)
    return (q.probs * (codes - y.unsqueeze(-1)).abs()).sum(-1)


@distance_to.register
def _(q: MixtureSameFamily, y: Tensor) -> Tensor:
    return (q.mixture_distribution.probs * distance_to(q.component_distribution, y.unsqueeze(-1))).sum(-1)


def square_to(q: Categorical, y: Tensor) -> Tensor:
    """E d(Y, y)² over categories: of their places where they have an order, else of the metric 1{i ≠ j}."""
    if not isinstance(q, OrderedCategorical):
        return distance_to(q, y)
    codes = torch.arange(q.logits.shape[-1], device=y.device, dtype=q.logits.dtype)
    return (q.probs * (codes - y.unsqueeze(-1)) ** 2).sum(-1)


# Closed forms ---------------------------------------------------------------------------------------------------------


@first.register(Normal, Normal)
def _(p: Normal, q: Normal) -> Tensor:
    d, s = p.loc - q.loc, (p.scale - q.scale).abs()
    z = (d / s.clamp_min(torch.finfo(s.dtype).tiny)).clamp(-1e3, 1e3)
    return d * torch.erf(z / math.sqrt(2.0)) + s * math.sqrt(2 / math.pi) * torch.exp(-0.5 * z * z)


@first.register(Exponential, Exponential)
@first.register(Poisson, Poisson)
@first.register(Geometric, Geometric)
@first.register(Bernoulli, Bernoulli)
def _(p: Distribution, q: Distribution) -> Tensor:
    return (p.mean - q.mean).abs()  # one lies above the other in every quantile


def _standard(d: Tensor, s: Tensor, variance: float | Tensor) -> Tensor:
    """W₂² of two of a location-scale family: locations ``d`` apart, scales ``s``, of variance ``variance`` at scale 1."""
    return d**2 + s**2 * variance


@second.register(Normal, Normal)
def _(p: Normal, q: Normal) -> Tensor:
    return _standard(p.loc - q.loc, p.scale - q.scale, 1.0)


@second.register(Laplace, Laplace)
def _(p: Laplace, q: Laplace) -> Tensor:
    return _standard(p.loc - q.loc, p.scale - q.scale, 2.0)


@second.register(Uniform, Uniform)
def _(p: Uniform, q: Uniform) -> Tensor:
    return _standard(0.5 * (p.low + p.high - q.low - q.high), p.high - p.low - q.high + q.low, 1 / 12)


@second.register(Exponential, Exponential)
def _(p: Exponential, q: Exponential) -> Tensor:
    return 2 * (p.mean - q.mean) ** 2


@second.register(Bernoulli, Bernoulli)
def _(p: Bernoulli, q: Bernoulli) -> Tensor:
    return (p.probs - q.probs).abs()


@second.register(LogNormal, LogNormal)
def _(p: LogNormal, q: LogNormal) -> Tensor:
    # E X² + E Y² − 2 E X Y with one normal behind both.
    a, b = p.loc + p.scale**2, q.loc + q.scale**2
    middle = p.loc + q.loc + 0.5 * (p.scale + q.scale) ** 2
    short = torch.expm1(2 * a - middle) + torch.expm1(2 * b - middle)
    return torch.where(short > 0, torch.exp(middle) * short, 0.0)


@second.register(MultivariateNormal, MultivariateNormal)
def _(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    d = p.loc - q.loc
    a, b = p.scale_tril, q.scale_tril
    cross = a.mT @ (b @ b.mT) @ a  # of the same eigenvalues as A^½ B A^½
    roots: Tensor = torch.linalg.eigvalsh(0.5 * (cross + cross.mT)).clamp_min(torch.finfo(d.dtype).tiny).sqrt()
    traces: Tensor = (a * a).sum((-2, -1)) + (b * b).sum((-2, -1))
    return (d * d).sum(-1) + traces - 2 * roots.sum(-1)
