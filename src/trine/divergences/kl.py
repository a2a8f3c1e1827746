"""Kullback-Leibler: the log-likelihood at data, closed forms between distributions."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Distribution,
    Independent,
    Laplace,
    LogNormal,
    Normal,
    Poisson,
    StudentT,
    kl_divergence,
)
from torch.nn.functional import binary_cross_entropy_with_logits, nll_loss

from trine.errors import ChoiceError
from trine.rules import Logistic, LogitNormal, SoftplusNormal

from ._base import Statement, Value, check_shapes, divergences, over_members, refused
from ._densities import DensityDivergence, ratio
from .line import relative_entropy

INSIDE = 1e-4
"""How far from 0 and 1 a share is kept, where the density there is zero or infinite."""


@functools.singledispatch
def log_score(q: Distribution, y: Tensor) -> Tensor:
    """−log q(y), of the batch shape of ``q``; open by ``log_score.register(Family)``.

    In nats; for a density in the units of y, so that it may be negative. Shares of exactly 0 or 1 under a family whose
    support is the open interval count as 1e-4 and 1 − 1e-4 (Smithson and Verkuilen, 2006, do so by the sample size).
    """
    return -q.log_prob(y)


@log_score.register
def _(q: Categorical, y: Tensor) -> Tensor:
    # One operation of torch's for the four of a gather: a small network's step is mostly such calls.
    code = y.long().expand(q.batch_shape)
    if len(q.batch_shape) == 1:
        return nll_loss(q.logits, code, reduction="none")
    return nll_loss(q.logits.flatten(0, -2), code.flatten(), reduction="none").view(q.batch_shape)


@log_score.register
def _(q: Bernoulli, y: Tensor) -> Tensor:
    # Bernoulli.log_prob is the negative of this one operation: of a picture's pixels, two passes forward and two back.
    logits = q.logits
    if y.shape != logits.shape or y.dtype != logits.dtype or q._validate_args:
        return -q.log_prob(y)  # type: ignore[no-untyped-call,no-any-return]
    return binary_cross_entropy_with_logits(logits, y, reduction="none")


@log_score.register(Beta)
@log_score.register(LogitNormal)
def _(q: Beta | LogitNormal, y: Tensor) -> Tensor:
    inside: Tensor = q.log_prob(y.clamp(INSIDE, 1 - INSIDE))  # type: ignore[no-untyped-call]
    return -inside


@log_score.register(Independent)
def _(q: Independent[Any], y: Tensor) -> Tensor:
    values = log_score(q.base_dist, y)
    return values.flatten(values.dim() - q.reinterpreted_batch_ndims).sum(-1) if q.reinterpreted_batch_ndims else values


@functools.singledispatch
def scale_of(q: Distribution) -> Tensor | None:
    """The scale of a location-scale family, also of one that is seen through a fixed map; None for any other."""
    return None


@scale_of.register(Normal)
@scale_of.register(Laplace)
@scale_of.register(Logistic)
@scale_of.register(StudentT)
@scale_of.register(LogNormal)
@scale_of.register(LogitNormal)
@scale_of.register(SoftplusNormal)
def _(q: Normal | Laplace | Logistic | StudentT | LogNormal | LogitNormal | SoftplusNormal) -> Tensor:
    return q.scale


@divergences.register("kl")
class KL(DensityDivergence):
    r"""Kullback-Leibler divergence of what is predicted from the target, KL(target ‖ predicted).

    At a data point it is the logarithmic score −log q(y): its mean over data differs from KL(data ‖ q) by the entropy
    of the data, which no parameter changes, so that descending it is maximum likelihood. It is the squared error when q
    is normal, the absolute error when q is Laplace, the cross-entropy when q is categorical.

    Between two distributions it is the closed form that ``torch.distributions`` knows, else quadrature, a sum or Monte
    Carlo, of

    .. math:: \mathrm{KL}(t \| p) = \int t \log (t / p)

    Not symmetric, not a metric, infinite where the target has mass and the prediction none. Its minibatch gradient is
    unbiased.

    With ``beta`` > 0 and in training mode, the score of a row under a location-scale family is weighed by its own
    predicted scale^(2 beta), without a gradient through the weight. Maximum likelihood learns a location by the squared
    error over scale²: a row that is called uncertain is no longer learned from, and so stays uncertain. At beta = ½ the
    location learns by the error over the scale; at 1 by the error itself, as in least squares. Where location and scale
    can be learned at all, the same ones are. Evaluation has the score as it is.

    Args:
        beta: exponent of the weight, in [0, 1]; other families, and pairs of distributions, are left as they are.

    Raises:
        ChoiceError: ``beta`` out of its range.

    References:
        Kullback and Leibler, `On Information and Sufficiency`, 1951.
        Seitzer et al., `On the Pitfalls of Heteroscedastic Uncertainty Estimation with Probabilistic Neural Networks`,
        2022, arXiv 2203.09168 (beta).
    """

    title = "KL"
    formula = "KL(data ‖ q) = E[−log q({t} | {x}, θ)] + const"
    statement = Statement(
        "data points; densities; masses", symmetric=False, metric="no", finite_on_disjoint=False, unbiased=True
    )
    unbiased = True

    def __init__(self, beta: float = 0.0) -> None:
        super().__init__()
        if not 0.0 <= beta <= 1.0:
            raise ChoiceError(f"beta is {beta}; the exponent of KL's weight is from 0 to 1.")
        self.beta = beta

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        if isinstance(predicted, Distribution) and isinstance(target, Tensor):
            check_shapes(predicted, target)
            values = log_score(predicted, target)
            scale = scale_of(predicted) if self.beta and self.training else None
            return over_members(values if scale is None else values * scale.detach() ** (2.0 * self.beta))
        if isinstance(predicted, Distribution):
            return super().forward(predicted, target, given)
        reason = "it needs a density of what is predicted. Predict a distribution, or learn the divergence by a critic."
        raise refused("KL", predicted, target, reason)

    def closed(self, p: Distribution, q: Distribution) -> Tensor | None:
        if isinstance(p, Poisson) and isinstance(q, Poisson):
            # Without torch's cancellation of large rates, 1 in a thousand of KL at 1e8 in float64.
            return relative_entropy(p.rate, q.rate)
        try:
            value: Tensor = kl_divergence(p, q)
        except NotImplementedError:
            return None
        return value

    def integrand(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        # p log(p/q) − p + q, nowhere below 0 and of second order where p is near q; p and q integrate to 1 each.
        r = ratio(log_p, log_q)
        near, tiny = r.abs() < 0.5, r.abs() < 1e-3
        small, least = torch.where(near, r, 0.0), torch.where(tiny, r, 0.0)
        series = least * least / 2 * (1 + least / 3 * (1 + least / 4 * (1 + least / 5)))
        close = log_p.exp() * torch.where(tiny, series, torch.expm1(small) - small)
        p = log_p.exp()
        far = log_q.exp() - p - p * torch.where(near | r.isinf(), 0.0, r)
        impossible = torch.isneginf(log_q) & (p > 0)
        return torch.where(impossible, math.inf, torch.where(near, close, far))

    def factors(self, each: Tensor, dimensions: tuple[int, ...]) -> Tensor | None:
        return each.sum(dimensions)

    def describe(self, predicted: str, target: str) -> str:
        """The log-likelihood for a field of the batch, KL(target ‖ predicted) for two outputs of the model."""
        side, _, column = target.partition(".")
        if side in ("x", "y"):
            column = column or side
            weight = f"scale^{2.0 * self.beta:g} · " if self.beta else ""
            if predicted.startswith("blank."):
                return f"E[−{weight}log q({column} | nothing known, θ)]"
            text = self.formula.format(p=predicted, t=column, x="x" if side == "y" else "z")
            return f"{text}, each row times its {weight.removesuffix(' · ')} while training" if weight else text
        return f"KL({target} ‖ {predicted})"


@divergences.register("reverse_kl")
class ReverseKL(KL):
    r"""Kullback-Leibler divergence of the target from what is predicted, KL(predicted ‖ target).

    It picks a mode where maximum likelihood covers all: infinite where the prediction has mass and the target none. It
    needs the target's density, as a posterior's that is known up to a constant; data points have none.
    """

    title = "Reverse KL"
    formula = "KL({q} ‖ {p})"
    statement = Statement("densities; masses", symmetric=False, metric="no", finite_on_disjoint=False, unbiased=False)
    unbiased = False

    def __init__(self) -> None:
        super().__init__()

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        return DensityDivergence.forward(self, predicted, target, given)

    def closed(self, p: Distribution, q: Distribution) -> Tensor | None:
        return super().closed(q, p)

    def integrand(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        return super().integrand(log_q, log_p)

    def describe(self, predicted: str, target: str) -> str:
        """The formula with the names of a term put in."""
        return DensityDivergence.describe(self, predicted, target)
