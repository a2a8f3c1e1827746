"""Several networks predicting as one, members that share weights or draws of θ: their equal mixture, and its spread."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, MixtureSameFamily
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from ._cdf import cdf, icdf
from ._parameters import map_arguments, parameters, tensors_of
from .cumulative import OrderedCategorical


class Mixture(MixtureSameFamily):
    """A mixture whose distribution function works for every family of components, and that has quantiles.

    In the manner of ``torch.distributions.MixtureSameFamily``: ``cdf`` is differentiable in the parameters, ``icdf`` is
    found by bisection and has no gradient.
    """

    def cdf(self, value: Tensor) -> Tensor:
        """P(Y ≤ value), of the batch (and event) shape."""
        return cdf(self, value)

    def icdf(self, value: Tensor) -> Tensor:
        """The quantile at probability ``value``, which broadcasts with the batch (and event) shape."""
        return icdf(self, value)


@functools.singledispatch
def mixture(q: Distribution) -> Distribution:
    """The equal-weight mixture over members of ``q``; open by ``mixture.register(Family)``.

    Args:
        q: batch shape (members, batch).

    Returns:
        Batch shape (batch,). Discrete families of finite support stay in their family, with mean probabilities; others
        give a :class:`Mixture` whose components are the members.
    """
    return _mixed(q, Mixture)


def _mixed(q: Distribution, kind: type[Mixture]) -> Mixture:
    members = q.batch_shape[0]
    last = len(q.batch_shape) - 1
    components = map_arguments(q, lambda value: value.movedim(0, last))
    example = next(iter(tensors_of(q)))
    weights = Categorical(logits=example.new_zeros(*q.batch_shape[1:], members), validate_args=False)
    return kind(weights, components, validate_args=False)


@mixture.register
def _(q: Categorical) -> Distribution:
    # Logits of the sum of the members' probabilities; the constructor normalises.
    return type(q)(logits=q.logits.logsumexp(0), validate_args=False)


@mixture.register
def _(q: Bernoulli) -> Distribution:
    one, zero = logsigmoid(q.logits).logsumexp(0), logsigmoid(-q.logits).logsumexp(0)
    return Bernoulli(logits=one - zero, validate_args=False)


# The mixture over draws of θ: as above, and its components stay known, of which the spread is made ------------------


class OverParameters:
    """Marks q(y given x) = mean over draws of θ of q(y given x, θ), so that its spread can be divided; see :func:`spread`."""


class ParameterMixture(OverParameters, Mixture):
    """The mixture over draws of θ of a family that is not closed under mixing."""


class _Kept(OverParameters):
    """A discrete family that stays itself when mixed, and keeps the logits under each draw: (batch, draws, ...)."""

    each: Tensor


class MixedCategorical(_Kept, Categorical):
    """Categorical, with the mean over draws of θ of the probabilities under each.

    Args:
        each: (batch, draws, categories) logits under each draw.
    """

    def __init__(self, each: Tensor, validate_args: bool | None = None) -> None:
        self.each = each
        super().__init__(logits=each.log_softmax(-1).logsumexp(-2), validate_args=validate_args)


class MixedOrderedCategorical(_Kept, OrderedCategorical):
    """As :class:`MixedCategorical`, of categories in order."""

    def __init__(self, each: Tensor, validate_args: bool | None = None) -> None:
        self.each = each
        super().__init__(logits=each.log_softmax(-1).logsumexp(-2), validate_args=validate_args)


class MixedBernoulli(_Kept, Bernoulli):
    """Bernoulli, with the mean over draws of θ of the probabilities under each.

    Args:
        each: (batch, draws) logits under each draw.
    """

    def __init__(self, each: Tensor, validate_args: bool | None = None) -> None:
        self.each = each
        one, zero = logsigmoid(each).logsumexp(-1), logsigmoid(-each).logsumexp(-1)
        super().__init__(logits=one - zero, validate_args=validate_args)


@map_arguments.register(MixedCategorical)
@map_arguments.register(MixedOrderedCategorical)
@map_arguments.register(MixedBernoulli)
def _(q: Any, change: Callable[[Tensor], Tensor]) -> Distribution:
    kind: Callable[..., Distribution] = type(q)
    return kind(change(q.each), validate_args=False)


@parameters.register
def _(q: ParameterMixture) -> dict[str, Tensor]:
    """None: a table of predictions has no column for each of many draws."""
    return {}


@functools.singledispatch
def over_parameters(q: Distribution) -> Distribution:
    """The equal-weight mixture over draws of θ, (draws, batch) → (batch,), that keeps what each draw says.

    Open by ``over_parameters.register(Family)``. As :func:`mixture`, and :func:`spread` can divide what it gives.
    """
    return _mixed(q, ParameterMixture)


@over_parameters.register
def _(q: Categorical) -> Distribution:
    return MixedCategorical(q.logits.movedim(0, -2), validate_args=False)


@over_parameters.register
def _(q: OrderedCategorical) -> Distribution:
    return MixedOrderedCategorical(q.logits.movedim(0, -2), validate_args=False)


@over_parameters.register
def _(q: Bernoulli) -> Distribution:
    return MixedBernoulli(q.logits.movedim(0, -1), validate_args=False)


@functools.singledispatch
def spread(q: Distribution) -> tuple[Tensor, Tensor]:
    """(aleatoric, epistemic): what of the spread of ``q`` the data leave open, and what θ leaves open.

    Of numbers by the law of total variance, E[Var(y | θ)] and Var(E[y | θ]), of batch (and event) shape, in squared units of
    y; they add up to the variance of ``q``. Of categories, E[H(y | θ)] and H(y) − E[H(y | θ)], the information that y and θ
    share, (batch,), in nats; they add up to the entropy of ``q``. Without a posterior the second is 0.

    References:
        Depeweg et al., `Decomposition of Uncertainty in Bayesian Deep Learning for Efficient and Risk-sensitive
        Learning`, 2018, arXiv 1710.07283.
    """
    variance = q.variance
    return variance, variance.new_zeros(variance.shape)


@spread.register
def _(q: Categorical) -> tuple[Tensor, Tensor]:
    each = q.each if isinstance(q, _Kept) else q.logits.unsqueeze(-2)
    return _divided(_entropy(q.logits), _entropy(each.log_softmax(-1)).mean(-1))


@spread.register
def _(q: Bernoulli) -> tuple[Tensor, Tensor]:
    each = q.each if isinstance(q, _Kept) else q.logits.unsqueeze(-1)
    return _divided(_bernoulli_entropy(q.logits), _bernoulli_entropy(each).mean(-1))


@spread.register
def _(q: ParameterMixture) -> tuple[Tensor, Tensor]:
    part = q.component_distribution
    weight = q.mixture_distribution.probs
    weight = weight.reshape(*weight.shape, *(1,) * len(part.event_shape))
    at = -1 - len(part.event_shape)
    mean = (weight * part.mean).sum(at, keepdim=True)
    return (weight * part.variance).sum(at), (weight * (part.mean - mean).square()).sum(at)


@spread.register(Independent)
def _(q: Independent[Any]) -> tuple[Tensor, Tensor]:
    return spread(q.base_dist)


def _divided(total: Tensor, within: Tensor) -> tuple[Tensor, Tensor]:
    return within, (total - within).clamp_min(0.0)


def _entropy(logits: Tensor) -> Tensor:
    return -(logits.exp() * logits.clamp_min(-1e30)).sum(-1)


def _bernoulli_entropy(logits: Tensor) -> Tensor:
    return binary_cross_entropy_with_logits(logits, logits.sigmoid(), reduction="none")
