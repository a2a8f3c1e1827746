"""Members that share weights, predicting as one: their equal mixture."""

from __future__ import annotations

import functools

from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, MixtureSameFamily
from torch.nn.functional import logsigmoid

from ._cdf import cdf, icdf
from ._parameters import map_arguments


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
    members = q.batch_shape[0]
    last = len(q.batch_shape) - 1
    components = map_arguments(q, lambda value: value.movedim(0, last))
    example = next(iter(_tensors(q)))
    weights = Categorical(logits=example.new_zeros(*q.batch_shape[1:], members), validate_args=False)
    return Mixture(weights, components, validate_args=False)


@mixture.register
def _(q: Categorical) -> Distribution:
    # Logits of the sum of the members' probabilities; the constructor normalises.
    return type(q)(logits=q.logits.logsumexp(0), validate_args=False)


@mixture.register
def _(q: Bernoulli) -> Distribution:
    one, zero = logsigmoid(q.logits).logsumexp(0), logsigmoid(-q.logits).logsumexp(0)
    return Bernoulli(logits=one - zero, validate_args=False)


def _tensors(q: Distribution) -> list[Tensor]:
    found: list[Tensor] = []

    def see(value: Tensor) -> Tensor:
        found.append(value)
        return value

    map_arguments(q, see)
    return found
