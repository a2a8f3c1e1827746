"""Cramér: the squared distance of distribution functions; the energy score beyond one dimension."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, Exponential, Independent, MixtureSameFamily, Normal

from trine.errors import ChoiceError
from trine.rules import OrderedCategorical

from . import line
from ._base import Divergence, Estimate, Statement, Value, check_shapes, divergences, over_members, refused
from ._between import counts, panels_of, quadrature
from ._crps import crps, normal_distance
from ._densities import dtype_of, exact, kinds, log_masses, precise
from ._energy import normal_energy
from ._pairs import Pairs
from ._sets import is_set, set_energy
from ._slopes import with_slopes
from .two_sample import energy_distance

between = Pairs()
"""(predicted family, target family) → closed form of ∫ (F − G)² dt; open by ``between.register(P, T)``."""


@divergences.register("cramer")
class Cramer(Divergence):
    r"""Cramér distance of what is predicted from the target.

    At a data point it is the continuous ranked probability score,

    .. math:: \int (F(t) - 1\{t \ge y\})^2 \, dt = E|X - y| - \tfrac12 E|X - X'|

    in closed form for every family a rule gives, in the units of y: proper, and gentler on outliers than the
    log-likelihood, for its gradient in the location is at most 1. Over categories in order it is the sum of the squared
    differences of cumulative probabilities; over categories without order the energy score in the metric 1{i ≠ j}, half
    of Brier's score. Over vectors it is the energy score, with norms for absolute values: of independent normals by one
    integral, of other families by Monte Carlo; over sets of independent labels it is exact.

    Between two distributions it is ∫ (F − G)² dt, half of the energy distance, in closed form between two normals or
    mixtures of them, two exponentials, or ordered categories; else by quadrature, a sum or, over vectors, Monte Carlo.
    Symmetric; its root is a metric; finite on disjoint supports. Its minibatch gradient is unbiased.

    Args:
        samples: pairs of samples that estimate the energy score of a vector, without bias.

    References:
        Gneiting and Raftery, `Strictly Proper Scoring Rules, Prediction, and Estimation`, 2007.
        Bellemare et al., `The Cramer Distance as a Solution to Biased Wasserstein Gradients`, 2017.
    """

    statement = Statement(
        "data points; samples; numbers, counts, categories, vectors",
        symmetric=True,
        metric="root",
        finite_on_disjoint=True,
        unbiased=True,
    )
    formula = "Cramér(data, q) = E ∫ (F_q(t | {x}, θ) − 1{{t ≥ {t}}})² dt"

    def __init__(self, samples: int = 32) -> None:
        super().__init__()
        if samples < 1:
            raise ChoiceError(f"samples is {samples}; the energy score needs at least 1 pair.")
        self.samples = samples

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        if isinstance(predicted, Distribution) and isinstance(target, Tensor):
            check_shapes(predicted, target)
            if is_set(predicted):
                return over_members(set_energy(predicted, target))
            if predicted.event_shape and not _component(predicted).has_rsample:
                reason = "its values are sequences, between which no distance is known. Choose divergence=kl."
                raise refused("Cramér's distance", predicted, target, reason)
            if predicted.event_shape:
                return over_members(energy_score(predicted, target, self.samples))
            return over_members(crps(predicted, target))
        if isinstance(predicted, Distribution) and isinstance(target, Distribution):
            closed = between.value(*precise(target, predicted))
            if closed is not None:
                return over_members(closed.to(dtype_of(predicted)))
            return over_members(self.compare(target, predicted, self.samples).value.to(dtype_of(predicted)))
        if isinstance(predicted, Tensor) and isinstance(target, Tensor):
            return 0.5 * energy_distance(predicted, target, unbiased=True).expand(len(predicted))
        reason = "samples are compared with samples. Draw samples of the target first."
        raise refused("Cramér's distance", predicted, target, reason)

    def compare(self, p: Value, q: Value, draws: int = 1024) -> Estimate:
        if isinstance(p, Tensor) and isinstance(q, Tensor):
            return Estimate(0.5 * energy_distance(p, q), None, "samples")
        if isinstance(p, Tensor) or isinstance(q, Tensor):
            return self._of_samples(p, q)
        p, q = exact(p), exact(q)
        kind = kinds("Cramér's distance", p, q)
        closed = between.value(p, q)
        if closed is not None:
            return Estimate(closed, None, "closed form")
        if kind == "categories":
            # Without an order all categories are equally far apart.
            value = 0.5 * ((log_masses(p).exp() - log_masses(q).exp()) ** 2).sum(0)
            return Estimate(value, torch.zeros_like(value).detach(), "sum")
        if kind == "vector":
            return energy_of_draws(p, q, draws)

        def gap(x: Tensor) -> Tensor:
            return line.apart(p, q, x) ** 2

        grid = quadrature(gap, panels_of(p, q)) if kind == "line" else counts(p, q, gap)
        return Estimate(grid.sum(gap(grid.at)), grid.error, grid.method)

    def _of_samples(self, p: Value, q: Value) -> Estimate:
        """∫ (F − Fₙ)² of a distribution and samples: the mean score of the samples less half of their spread."""
        known, samples = (p, q) if isinstance(p, Distribution) else (q, p)
        assert isinstance(known, Distribution)
        assert isinstance(samples, Tensor)
        if line.kind(known) == "vector" or known.batch_shape or samples[0].numel() > 1:
            reason = "of a distribution over vectors draw samples first, and compare two samples."
            raise refused("Cramér's distance", q, p, reason)
        y = samples.flatten().double().sort().values
        n = len(y)
        rank = torch.arange(1, n + 1, dtype=y.dtype, device=y.device)
        spread = 2 * ((2 * rank - n - 1) * y).sum() / n**2  # E |Y − Y'| over the samples
        value = crps(exact(known).expand(torch.Size([n])), y).mean() - 0.5 * spread
        return Estimate(value, None, "closed form" if type(known) in crps.registry else "quadrature")

    def describe(self, predicted: str, target: str) -> str:
        """The CRPS for a field of the batch, ∫ (F − G)² for two outputs of the model."""
        side, _, column = target.partition(".")
        if side in ("x", "y"):
            return self.formula.format(p=predicted, t=column or side, x="x" if side == "y" else "z")
        return f"∫ (F_{predicted}(t) − F_{target}(t))² dt"


def energy_score(q: Distribution, y: Tensor, samples: int) -> Tensor:
    """E‖X − y‖ − ½ E‖X − X'‖, of the batch shape of ``q``: of independent normals by one integral, to 1e-6 of its value.

    Of any other family by pairs of reparameterised samples, without bias.

    Args:
        q: events of any shape; of a mixture every component is sampled, and weighed.
        y: one event for each example.
        samples: number of pairs.
    """
    events = tuple(range(-len(q.event_shape), 0))
    if isinstance(q, Independent) and isinstance(q.base_dist, Normal) and len(q.event_shape) == 1:
        return with_slopes(normal_energy, q.base_dist.loc, q.base_dist.scale, y)
    if isinstance(q, MixtureSameFamily):
        weight, component = q.mixture_distribution.probs, q.component_distribution
        y = y.unsqueeze(events[0] - 1)
        first, second = component.rsample((samples,)), component.rsample((samples,))
        near = 0.5 * (_norm(first - y, events) + _norm(second - y, events))
        apart = _norm(first.unsqueeze(events[0] - 1) - second.unsqueeze(events[0] - 2), events)
        spread = (weight.unsqueeze(-1) * weight.unsqueeze(-2) * apart).sum((-2, -1))
        return ((weight * near).sum(-1) - 0.5 * spread).mean(0)
    first, second = q.rsample((samples,)), q.rsample((samples,))
    near = 0.5 * (_norm(first - y, events) + _norm(second - y, events))
    return (near - 0.5 * _norm(first - second, events)).mean(0)


def _listed(parts: list[Distribution], name: str) -> Tensor:
    return torch.stack([getattr(part, name) for part in parts], -1)


def energy_of_draws(p: Distribution, q: Distribution, draws: int) -> Estimate:
    """E‖X − Y‖ − ½ E‖X − X'‖ − ½ E‖Y − Y'‖ by ``draws`` draws of two of each, without bias, with its standard error."""
    events = tuple(range(-len(p.event_shape), 0))

    def two(d: Distribution) -> tuple[Tensor, Tensor]:
        draw = d.rsample if d.has_rsample else d.sample
        return draw((draws,)), draw((draws,))

    (x, x_), (y, y_) = two(p), two(q)
    across = 0.25 * (_norm(x - y, events) + _norm(x - y_, events) + _norm(x_ - y, events) + _norm(x_ - y_, events))
    each = across - 0.5 * _norm(x - x_, events) - 0.5 * _norm(y - y_, events)
    return Estimate(each.mean(0), each.detach().std(0) / draws**0.5, f"Monte Carlo, {draws:,} draws")


def _component(q: Distribution) -> Distribution:
    return q.component_distribution if isinstance(q, MixtureSameFamily) else q


def _norm(difference: Tensor, events: tuple[int, ...]) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(difference, dim=events)
    return norm


@between.register(Normal, Normal)
def _(p: Normal, t: Normal) -> Tensor:
    apart = normal_distance(p.loc - t.loc, (p.scale**2 + t.scale**2).sqrt())
    return apart - (p.scale + t.scale) / math.sqrt(math.pi)


@between.register(Exponential, Exponential)
def _(p: Exponential, t: Exponential) -> Tensor:
    return (p.rate - t.rate) ** 2 / (2 * p.rate * t.rate * (p.rate + t.rate))


@between.register(MixtureSameFamily, Normal)
def _(p: MixtureSameFamily, t: Normal) -> Tensor | None:
    return _of_mixtures(p, t)


@between.register(Normal, MixtureSameFamily)
def _(p: Normal, t: MixtureSameFamily) -> Tensor | None:
    return _of_mixtures(p, t)


@between.register(MixtureSameFamily, MixtureSameFamily)
def _(p: MixtureSameFamily, t: MixtureSameFamily) -> Tensor | None:
    return _of_mixtures(p, t)


def _of_mixtures(p: Distribution, t: Distribution) -> Tensor | None:
    """Of mixtures of normals: all pairs of components, by weight; None of other components."""
    parts = [line.components(d) for d in (p, t)]
    if not all(isinstance(part, Normal) for each in parts for part in each):
        return None
    weights = [line.weights(p), -line.weights(t)]
    locs, scales = ([_listed(part, name) for part in parts] for name in ("loc", "scale"))
    shape = torch.broadcast_shapes(p.batch_shape, t.batch_shape)  # type: ignore[no-untyped-call]
    w, m, s = (torch.cat([v.expand(*shape, v.shape[-1]) for v in each], -1) for each in (weights, locs, scales))
    apart = normal_distance(
        m.unsqueeze(-1) - m.unsqueeze(-2), (s.unsqueeze(-1) ** 2 + s.unsqueeze(-2) ** 2).sqrt()
    )  # E |X − X'| for each pair of components
    return -0.5 * (w.unsqueeze(-1) * w.unsqueeze(-2) * apart).sum((-2, -1))


@between.register(OrderedCategorical, OrderedCategorical)
def _(p: OrderedCategorical, t: OrderedCategorical) -> Tensor:
    return ((p.probs - t.probs).cumsum(-1)[..., :-1] ** 2).sum(-1)
