"""Cramér's distance in the space of a critic's features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trine import collective
from trine.divergences._base import LearnedDivergence, Statement, Value
from trine.errors import ChoiceError

from ._base import between, judge, learned, pair, slope, steepness

DIRECT = 16
"""Up to so many features a distance is a sum of squared differences; beyond, a matrix product."""
ROUNDING = 16 * torch.finfo(torch.float32).eps
"""Part of two rows' squared lengths below which a matrix product cannot tell how far they are apart."""


@learned.register("cramer")
class Cramer(LearnedDivergence):
    r"""Half the energy distance of the critic's features, E‖h(t) − h(p)‖ − ½ E‖h(t) − h(t')‖ − ½ E‖h(p) − h(p')‖.

    The model descends it, the critic h ascends it; both as U-statistics over the batch, so that the gradient over
    minibatches is unbiased for a given critic, as Wasserstein's is not. With h the identity it is Cramér's distance of the
    samples themselves, ∫ (F − G)² in one dimension. What the critic may gain is limited by its witness
    w(x) = ½ (E‖h(x) − h(p)‖ − E‖h(x) − h(t)‖), of which E w(t) − E w(p) is the distance:
    weight · E max(‖∇w‖ − 1, 0)² between the samples is added.

    Of rows that are weighed, expectations are weighed means: a pair counts by the product of its rows' weights. Of rows that
    several processes share, pairs are of the whole batch.

    Bellemare et al. replace the target's second sample by zero in the critic, to save samples; here all pairs of the
    batch are used instead, which is no approximation.

    Args:
        critic: (batch, ...) → features, (batch, features); takes the condition as a second argument where the term has one.
        weight: of the penalty, at least 0; 0 leaves it out.

    Raises:
        ChoiceError: ``weight`` below 0; a batch of fewer than two.

    References:
        Bellemare et al., `The Cramer Distance as a Solution to Biased Wasserstein Gradients`, 2017, section 4.
    """

    formula = (
        "Cramér({p}, {t}) = sup over ‖∇w‖ ≤ 1 of E‖h({t}) − h({p})‖ − ½ E‖h({t}) − h({t}')‖ − ½ E‖h({p}) − h({p}')‖"
    )
    weighs = True
    numbers = 16  # by one feature, rows that differ are alike too often
    statement = Statement("samples", symmetric=True, metric="root", finite_on_disjoint=True, unbiased=True)

    def __init__(self, critic: nn.Module, weight: float = 10.0) -> None:
        super().__init__()
        if weight < 0:
            raise ChoiceError(f"weight is {weight}; the weight of a penalty is at least 0.")
        self.critic = critic
        self.weight = weight

    def penalised(self) -> str:
        """The penalty on slopes."""
        return f"it also descends {self.weight:g} E relu(‖∇w‖ − 1)² between the sides" if self.weight else ""

    def forward(
        self, predicted: Value, target: Value, given: Value | None = None, weights: Tensor | None = None
    ) -> Tensor:
        return self.bound(predicted, target, given, weights)

    def tighten(
        self, predicted: Value, target: Value, given: Value | None = None, weights: Tensor | None = None
    ) -> Tensor:
        fake, real = (side.detach() for side in pair(predicted, target))
        h_fake, h_real = self._features(fake, given), self._features(real, given)
        every = _everywhere(h_fake, h_real, weights)
        values = -_half_energy(h_fake, h_real, *every)
        if not self.weight:
            return values
        points = between(fake, real)
        witness = self.witness(self._features(points, given), *every)
        return values + self.weight * steepness(slope(witness, points))

    def witness(self, values: Tensor, fake: Tensor, real: Tensor, weights: Tensor | None = None) -> Tensor:
        """How much nearer rows are to real ones than to fake ones by their features, w(x); ``weights``: of either side's rows."""
        values, fake, real = (part.flatten(1) if part.dim() > 1 else part.unsqueeze(1) for part in (values, fake, real))
        return 0.5 * (_mean(_distances(values, fake), weights) - _mean(_distances(values, real), weights))

    def bound(
        self, predicted: Value, target: Value, given: Value | None = None, weights: Tensor | None = None
    ) -> Tensor:
        """The distance under the present critic: (batch,), whose mean is the U-statistic."""
        fake, real = pair(predicted, target)
        h_fake, h_real = self._features(fake, given), self._features(real, given)
        return _half_energy(h_fake, h_real, *_everywhere(h_fake, h_real, weights))

    def _features(self, value: Tensor, given: Value | None) -> Tensor:
        features = judge(self.critic, value, given)
        return features.flatten(1) if features.dim() > 1 else features.unsqueeze(1)


def _everywhere(fake: Tensor, real: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Features and weights of all processes' rows."""
    every = None if weights is None else collective.gather(weights.to(fake.dtype))[0]
    return collective.gather(fake)[0], collective.gather(real)[0], every


def _half_energy(fake: Tensor, real: Tensor, every_fake: Tensor, every_real: Tensor, weights: Tensor | None) -> Tensor:
    """A value for each row, whose mean over all rows, by their weights, is the U-statistic of half the energy distance.

    Args:
        fake, real: features of these rows. every_fake, every_real, weights: of all rows.
    """
    if len(every_fake) < 2:
        raise ChoiceError("Cramér's distance of a batch of one sample has no pairs within; take batches of at least 2.")
    fakes, reals = torch.cdist(fake, every_fake), torch.cdist(real, every_real)
    if weights is None:
        within = (fakes.sum(1) + reals.sum(1)) / (len(every_fake) - 1)
    else:
        # The share of pairs of two rows: those of a row with itself are left out.
        pairs = 1 - (weights / _total(weights)).square().sum()
        within = _mean(fakes + reals, weights) / pairs.clamp_min(torch.finfo(pairs.dtype).eps)
    return _mean(torch.cdist(fake, every_real), weights) - 0.5 * within


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """(rows, columns) → (rows,): the mean over columns, by their weights."""
    return values.mean(1) if weights is None else values @ (weights / _total(weights))


def _total(weights: Tensor) -> Tensor:
    return weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """‖a_i − b_j‖, differentiable twice, as the penalty asks and ``torch.cdist`` is not; smooth where it is zero."""
    if a.shape[1] <= DIRECT:
        squares = (a.unsqueeze(1) - b.unsqueeze(0)).square().sum(-1)
    else:
        middle = b.detach().mean(0)
        a, b = a - middle, b - middle
        lengths = a.square().sum(1, keepdim=True) + b.square().sum(1)
        # The root's slope at what rounding leaves of two rows in one place would be as large as you please.
        squares = (lengths - 2 * a @ b.mT).clamp_min(ROUNDING * lengths.detach())
    return (squares + torch.finfo(squares.dtype).eps ** 2).sqrt()
