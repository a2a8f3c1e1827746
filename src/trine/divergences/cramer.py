"""Cramér: the squared distance of distribution functions; the energy score beyond one dimension."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, MixtureSameFamily, Normal

from trine.errors import ChoiceError
from trine.rules import OrderedCategorical

from ._base import Divergence, Value, check_shapes, divergences, over_members, refused
from ._crps import crps, normal_distance
from ._pairs import Pairs

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
    of Brier's score. Over vectors it is the energy score, with norms for absolute values, estimated by Monte Carlo.

    Between two distributions it is ∫ (F − G)² dt, half of the energy distance. Symmetric; its root is a metric; finite
    on disjoint supports. Its minibatch gradient is unbiased.

    Args:
        samples: pairs of samples that estimate the energy score of a vector, without bias.

    References:
        Gneiting and Raftery, `Strictly Proper Scoring Rules, Prediction, and Estimation`, 2007.
        Bellemare et al., `The Cramer Distance as a Solution to Biased Wasserstein Gradients`, 2017.
    """

    formula = "Cramér(data, q) = E ∫ (F_q(t | {x}, θ) − 1{{t ≥ {t}}})² dt"

    def __init__(self, samples: int = 32) -> None:
        super().__init__()
        if samples < 1:
            raise ChoiceError(f"samples is {samples}; the energy score needs at least 1 pair.")
        self.samples = samples

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        if isinstance(predicted, Distribution) and isinstance(target, Tensor):
            check_shapes(predicted, target)
            if predicted.event_shape and not _component(predicted).has_rsample:
                reason = "its values are sequences or sets, between which no distance is known. Choose divergence=kl."
                raise refused("Cramér's distance", predicted, target, reason)
            if predicted.event_shape:
                return over_members(energy_score(predicted, target, self.samples))
            return over_members(crps(predicted, target))
        if isinstance(predicted, Distribution) and isinstance(target, Distribution):
            form = between.find(predicted, target)
            if form is None:
                reason = "no closed form is known. Choose two of one family, e.g. normal and normal."
                raise refused("Cramér's distance", predicted, target, reason)
            return over_members(form(predicted, target))
        reason = "it needs a distribution of what is predicted. Predict one by a decision rule."
        raise refused("Cramér's distance", predicted, target, reason)

    def describe(self, predicted: str, target: str) -> str:
        """The CRPS for a field of the batch, ∫ (F − G)² for two outputs of the model."""
        side, _, column = target.partition(".")
        if side in ("x", "y"):
            return self.formula.format(p=predicted, t=column or side, x="x" if side == "y" else "z")
        return f"∫ (F_{predicted}(t) − F_{target}(t))² dt"


def energy_score(q: Distribution, y: Tensor, samples: int) -> Tensor:
    """E‖X − y‖ − ½ E‖X − X'‖ by pairs of reparameterised samples, without bias, of the batch shape of ``q``.

    Args:
        q: events of any shape; of a mixture every component is sampled, and weighed.
        y: one event for each example.
        samples: number of pairs.
    """
    events = tuple(range(-len(q.event_shape), 0))
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


def _component(q: Distribution) -> Distribution:
    return q.component_distribution if isinstance(q, MixtureSameFamily) else q


def _norm(difference: Tensor, events: tuple[int, ...]) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(difference, dim=events)
    return norm


@between.register(Normal, Normal)
def _(p: Normal, t: Normal) -> Tensor:
    apart = normal_distance(p.loc - t.loc, (p.scale**2 + t.scale**2).sqrt())
    return apart - (p.scale + t.scale) / math.sqrt(math.pi)


@between.register(OrderedCategorical, OrderedCategorical)
def _(p: OrderedCategorical, t: OrderedCategorical) -> Tensor:
    return ((p.probs - t.probs).cumsum(-1)[..., :-1] ** 2).sum(-1)
