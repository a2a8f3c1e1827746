"""Divergences that are an integral of a function of two densities: closed form, quadrature, sum or Monte Carlo."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
)

from trine.rules import double

from . import line
from ._base import Divergence, Estimate, Value, over_members, refused
from ._between import Grid, Integrand, counts, draws, panels_of, quadrature


def exact(q: Distribution) -> Distribution:
    """``q`` in float64, its arguments not checked again; itself where it cannot be taken apart."""
    try:
        return double(q)
    except (TypeError, ValueError, NotImplementedError):
        return q


def precise(p: Distribution, q: Distribution) -> tuple[Distribution, Distribution]:
    """Both in float64, but for families whose closed forms subtract no large numbers, which stay as they are."""
    plain = (Normal, Independent, MultivariateNormal, Categorical)
    return (p, q) if isinstance(p, plain) and isinstance(q, plain) else (exact(p), exact(q))


def dtype_of(q: Distribution) -> torch.dtype:
    """The dtype of the parameters of ``q``."""
    if isinstance(q, MixtureSameFamily):
        return dtype_of(q.component_distribution)
    if isinstance(q, Independent):
        return dtype_of(q.base_dist)
    if isinstance(q, Categorical | OneHotCategorical):
        return q.logits.dtype
    return q.mean.dtype


def log_masses(q: Distribution) -> Tensor:
    """The logarithms of a categorical distribution's probabilities, (categories, *batch)."""
    assert isinstance(q, Categorical | OneHotCategorical)
    return torch.log_softmax(q.logits, -1).movedim(-1, 0)


def kinds(name: str, p: Distribution, q: Distribution) -> str:
    """The kind that p and q share.

    Raises:
        ChoiceError: they are of two kinds, over vectors of two sizes, or over sets of categories of two sizes.
    """
    mine, its = line.kind(p), line.kind(q)
    if mine != its:
        what = {"line": "a density", "counts": "counts", "categories": "categories", "vector": "vectors"}
        reason = f"one is over {what[its]}, the other over {what[mine]}. Compare two over the same values."
        raise refused(name, q, p, reason)
    if mine == "categories" and log_masses(p).shape[0] != log_masses(q).shape[0]:
        reason = "they have different numbers of categories. Compare two over the same categories."
        raise refused(name, q, p, reason)
    if p.event_shape != q.event_shape:
        reason = (
            f"their values have shapes {tuple(p.event_shape)} and {tuple(q.event_shape)}. Compare two of one shape."
        )
        raise refused(name, q, p, reason)
    return mine


@dataclasses.dataclass(frozen=True)
class Densities:
    """Logarithms of two densities at the nodes of a grid, (nodes, *batch)."""

    grid: Grid
    p: Tensor
    q: Tensor


def densities(
    p: Distribution, q: Distribution, kind: str, integrand: Any, number: int, *, idle: bool = False
) -> Densities:
    """Both densities where ``integrand(log p, log q)`` is to be summed; ``idle`` keeps nodes that count nothing."""
    if kind == "categories":
        log_p, log_q = torch.broadcast_tensors(log_masses(p), log_masses(q))  # type: ignore[no-untyped-call]
        nodes = torch.zeros_like(log_p).detach()
        error = torch.zeros_like(log_p[0]).detach()
        return Densities(Grid(nodes, nodes + 1, error, None, "sum"), log_p, log_q)
    if kind == "vector":
        grid = draws(p, q, number)
        return Densities(grid, p.log_prob(grid.at), q.log_prob(grid.at))

    if kind == "line":
        p, q = line.stretched(p, q)

    def along(x: Tensor) -> Tensor:
        value: Tensor = integrand(line.log_density(p, x), line.log_density(q, x))
        return value

    def mass(x: Tensor) -> Tensor:
        return line.log_density(p, x).exp() + line.log_density(q, x).exp()

    function: Integrand = along
    if kind == "line":
        grid = quadrature(function, panels_of(p, q), mass=mass, idle=idle)
    else:
        grid = counts(p, q, function, mass, idle=idle)
    return Densities(grid, line.log_density(p, grid.at), line.log_density(q, grid.at))


class DensityDivergence(Divergence):
    r"""∫ f(p(x), q(x)) dx, or a function of that integral.

    Between distributions over the line the integral is by adaptive quadrature, over counts and categories a sum, over
    vectors Monte Carlo with draws of both, unless the pair has a closed form. Nodes are fixed, so that gradients of the
    parameters are those of the densities there. At a data point it has no form: a point has no density.
    """

    title: ClassVar[str]
    unbiased: ClassVar[bool] = False
    instead: ClassVar[str] = "Choose divergence=kl, the log-likelihood, or cramer."

    @abc.abstractmethod
    def integrand(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        """What is integrated, of the logarithms of both densities (either may be −∞); 0 where both are."""

    def closed(self, p: Distribution, q: Distribution) -> Tensor | None:
        """The closed form, (batch,), or None."""
        return None

    def finish(self, total: Tensor) -> Tensor:
        """The divergence of the integral."""
        return total

    def factors(self, each: Tensor, dimensions: tuple[int, ...]) -> Tensor | None:
        """The divergence of products of independent parts from that of the parts; None where it does not follow."""
        return None

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        if isinstance(predicted, Distribution) and isinstance(target, Distribution):
            closed = self.closed(*precise(target, predicted))
            if closed is not None:
                return over_members(closed.to(dtype_of(predicted)))
            return over_members(self.compare(target, predicted).value.to(dtype_of(predicted)))
        if isinstance(predicted, Distribution):
            reason = f"it compares densities, and a data point has none. {self.instead}"
            raise refused(self.title, predicted, target, reason)
        raise self._needs_densities(predicted, target)

    def compare(self, p: Value, q: Value, draws: int = 1024) -> Estimate:
        if not (isinstance(p, Distribution) and isinstance(q, Distribution)):
            raise self._needs_densities(q, p)
        p, q = exact(p), exact(q)
        kind = kinds(self.title, p, q)
        closed = self.closed(p, q)
        if closed is not None:
            return Estimate(closed.clamp_min(0.0), None, "closed form")  # rounding may leave −1e-17
        if isinstance(p, Independent) and isinstance(q, Independent):
            parts = self._of_parts(p, q, draws)
            if parts is not None:
                return parts
        found = densities(p, q, kind, self.integrand, draws)
        values = self.integrand(found.p, found.q)
        total = found.grid.sum(values)
        with torch.no_grad():
            error = found.grid.error_of(values) + self._missing(found)
            # A function of the integral is off by its own slope.
            beside = (self.finish(total + error) - self.finish(total)).abs()
            error = torch.where(total.isinf() | ~beside.isfinite(), 0.0, beside)
        return Estimate(self.finish(total), error, found.grid.method)

    def _of_parts(self, p: Independent[Any], q: Independent[Any], draws: int) -> Estimate | None:
        dims = p.reinterpreted_batch_ndims
        if dims != q.reinterpreted_batch_ndims or not dims or p.base_dist.event_shape:
            return None
        axes = tuple(range(-dims, 0))
        each = self.compare(p.base_dist, q.base_dist, draws)
        whole = self.factors(each.value, axes)
        if whole is None:
            return None
        if each.error is None:
            return Estimate(whole, None, each.method)
        with torch.no_grad():
            beside = self.factors(each.value + each.error, axes)
            assert beside is not None
            return Estimate(whole, (beside - whole).abs(), each.method)

    def _missing(self, found: Densities) -> Tensor | float:
        """How much probability the nodes of a quadrature or a sum leave out: as much may be missing of the value."""
        if found.grid.error is None:
            return 0.0
        left = torch.zeros_like(found.grid.error)
        for log_density in (found.p, found.q):
            mass = torch.where(found.grid.weight > 0, log_density.exp() * found.grid.weight, 0.0).sum(0)
            off = (1 - mass).abs()
            left = left + torch.where(off > 1e-13, off, 0.0)
        return left

    def _needs_densities(self, predicted: Value, target: Value) -> Exception:
        reason = (
            "samples alone have no density. Choose wasserstein, cramer or mmd, or learn it by a critic "
            "(trine.divergences.learned)."
        )
        return refused(self.title, predicted, target, reason)

    def describe(self, predicted: str, target: str) -> str:
        """The formula with the names of a term put in."""
        return self.formula.format(p=target, q=predicted)


def ratio(log_p: Tensor, log_q: Tensor) -> Tensor:
    """The logarithm of q / p, of either sign and infinite where one of them is 0; 0 where both are."""
    neither = torch.isneginf(log_p) & torch.isneginf(log_q)
    a, b = torch.where(neither, 0.0, log_p), torch.where(neither, 0.0, log_q)
    return torch.where(neither, 0.0, b - a)


def larger(log_p: Tensor, log_q: Tensor) -> Tensor:
    """The larger of both densities."""
    return torch.maximum(log_p, log_q).exp()
