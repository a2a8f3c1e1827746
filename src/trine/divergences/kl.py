"""Kullback-Leibler: the log-likelihood at data, closed forms between distributions."""

from __future__ import annotations

import functools
from typing import Any

from torch import Tensor
from torch.distributions import Beta, Categorical, Distribution, Independent, kl_divergence

from trine.rules import LogitNormal

from ._base import Divergence, Value, check_shapes, divergences, over_members, refused

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
    code = y.long().expand(q.batch_shape).unsqueeze(-1)
    return -q.logits.gather(-1, code).squeeze(-1)


@log_score.register(Beta)
@log_score.register(LogitNormal)
def _(q: Beta | LogitNormal, y: Tensor) -> Tensor:
    inside: Tensor = q.log_prob(y.clamp(INSIDE, 1 - INSIDE))  # type: ignore[no-untyped-call]
    return -inside


@log_score.register(Independent)
def _(q: Independent[Any], y: Tensor) -> Tensor:
    values = log_score(q.base_dist, y)
    return values.flatten(values.dim() - q.reinterpreted_batch_ndims).sum(-1) if q.reinterpreted_batch_ndims else values


@divergences.register("kl")
class KL(Divergence):
    r"""Kullback-Leibler divergence of what is predicted from the target, KL(target ‖ predicted).

    At a data point it is the logarithmic score −log q(y): its mean over data differs from KL(data ‖ q) by the entropy
    of the data, which no parameter changes, so that descending it is maximum likelihood. It is the squared error when q
    is normal, the absolute error when q is Laplace, the cross-entropy when q is categorical.

    Between two distributions it is the closed form that ``torch.distributions`` knows,

    .. math:: \mathrm{KL}(t \| p) = \int t \log (t / p)

    Not symmetric, not a metric, infinite where the target has mass and the prediction none. Its minibatch gradient is
    unbiased.

    References:
        Kullback and Leibler, `On Information and Sufficiency`, 1951.
    """

    formula = "KL(data ‖ q) = E[−log q({t} | {x}, θ)] + const"

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        if isinstance(predicted, Distribution) and isinstance(target, Tensor):
            check_shapes(predicted, target)
            return over_members(log_score(predicted, target))
        if isinstance(predicted, Distribution) and isinstance(target, Distribution):
            try:
                values = kl_divergence(target, predicted)
            except NotImplementedError:
                reason = "no closed form is known. Choose two of one family, e.g. normal and normal."
                raise refused("KL", predicted, target, reason) from None
            return over_members(values)
        reason = "it needs a density of what is predicted. Predict a distribution, or learn the divergence by a critic."
        raise refused("KL", predicted, target, reason)

    def describe(self, predicted: str, target: str) -> str:
        """The log-likelihood for a field of the batch, KL(target ‖ predicted) for two outputs of the model."""
        side, _, column = target.partition(".")
        if side in ("x", "y"):
            return self.formula.format(p=predicted, t=column or side, x="x" if side == "y" else "z")
        return f"KL({target} ‖ {predicted})"
