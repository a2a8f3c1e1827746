"""Wasserstein: the least cost of moving one distribution's mass to where the other's is."""

from __future__ import annotations

import abc
import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
)

from trine.errors import ChoiceError
from trine.rules import OrderedCategorical

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
from ._densities import dtype_of, exact, kinds, log_masses, precise
from ._distance_to import distance_to, square_to
from ._pairs import Pairs
from ._transport_forms import first, second
from .two_sample import wasserstein_1d


class _Transport(Divergence):
    """What both orders share: closed form, else by dimension; E |Y − y|^order at a data point."""

    order: ClassVar[int]
    title: ClassVar[str]
    forms: ClassVar[Pairs]
    unbiased: ClassVar[bool] = False
    no_vectors: ClassVar[str]
    """Why samples of vectors are refused, and what serves them."""

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
    def _on_line(self, p: Distribution, q: Distribution) -> Estimate: ...

    @abc.abstractmethod
    def _on_counts(self, p: Distribution, q: Distribution) -> Estimate: ...

    @abc.abstractmethod
    def _of_vectors(self, p: Distribution, q: Distribution) -> Estimate: ...

    def _of_samples(self, x: Tensor, y: Tensor) -> Tensor:
        """The divergence of samples of numbers, from the two-sample estimators."""
        if x.dim() > 2 or y.dim() > 2 or x.shape[1:].numel() > 1 or y.shape[1:].numel() > 1:
            raise refused(self.title, x, y, self.no_vectors)
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
    no_vectors = (
        "of vectors W₁ is no sum. Choose cramer (the energy distance), wasserstein2, or trine.divergences.two_sample's "
        "sliced_wasserstein or sinkhorn."
    )
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
    no_vectors = (
        "of vectors W₂ is no sum. Choose cramer (the energy distance), or trine.divergences.two_sample's sliced_wasserstein or "
        "sinkhorn."
    )
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
