"""What any distribution is made of: its arguments, taken apart, changed and put together again."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    TransformedDistribution,
)


def arguments(q: Distribution) -> dict[str, Tensor]:
    """The tensors that ``type(q)`` is built from, of full batch shape; logits where a family also takes probabilities.

    ``type(q)(**arguments(q))`` is ``q`` again for every family that has parameters of its own.
    """
    names = list(q.arg_constraints)
    if "logits" in names and "probs" in names:
        names.remove("probs")
    return {name: getattr(q, name) for name in names}


def rebuilt(q: Distribution, values: dict[str, Tensor]) -> Distribution:
    """A distribution of the family of ``q`` with other arguments; they are not validated again."""
    family: Callable[..., Distribution] = type(q)
    return family(**values, validate_args=False)


@functools.singledispatch
def map_arguments(q: Distribution, change: Callable[[Tensor], Tensor]) -> Distribution:
    """``q`` with ``change`` applied to each of its arguments (moved, cast); open by ``map_arguments.register``."""
    return rebuilt(q, {name: change(value) for name, value in arguments(q).items()})


@map_arguments.register(Independent)
def _(q: Independent[Any], change: Callable[[Tensor], Tensor]) -> Distribution:
    return Independent(map_arguments(q.base_dist, change), q.reinterpreted_batch_ndims, validate_args=False)


@map_arguments.register
def _(q: MixtureSameFamily, change: Callable[[Tensor], Tensor]) -> Distribution:
    weights = map_arguments(q.mixture_distribution, change)
    assert isinstance(weights, Categorical)
    return type(q)(weights, map_arguments(q.component_distribution, change), validate_args=False)


@map_arguments.register
def _(q: TransformedDistribution, change: Callable[[Tensor], Tensor]) -> Distribution:
    if type(q) is TransformedDistribution:
        return TransformedDistribution(map_arguments(q.base_dist, change), q.transforms, validate_args=False)
    return rebuilt(q, {name: change(value) for name, value in arguments(q).items()})


@map_arguments.register
def _(q: MultivariateNormal, change: Callable[[Tensor], Tensor]) -> Distribution:
    return MultivariateNormal(change(q.loc), scale_tril=change(q.scale_tril), validate_args=False)


def tensors_of(q: Distribution) -> list[Tensor]:
    """The tensors that ``q`` is made of (logits, locations, scales …), in the order in which ``map_arguments`` visits them."""
    found: list[Tensor] = []

    def note(value: Tensor) -> Tensor:
        found.append(value)
        return value

    map_arguments(q, note)
    return found


def double(q: Distribution) -> Distribution:
    """``q`` in float64."""
    return map_arguments(q, Tensor.double)


@functools.singledispatch
def parameters(q: Distribution) -> dict[str, Tensor]:
    """Name → value of what determines ``q``, as a table of predictions shows it.

    Values are of batch (and event) shape; of a mixture over members they have one more, last, dimension, and its
    ``weight`` stands first. Discrete families give ``probs``: of a categorical one (..., categories).
    """
    values = arguments(q)
    if "logits" in values and hasattr(q, "probs"):
        values.pop("logits")
        values["probs"] = q.probs
    return values


@parameters.register(Independent)
def _(q: Independent[Any]) -> dict[str, Tensor]:
    return parameters(q.base_dist)


@parameters.register
def _(q: MixtureSameFamily) -> dict[str, Tensor]:
    return {"weight": q.mixture_distribution.probs, **parameters(q.component_distribution)}


@functools.singledispatch
def point(q: Distribution) -> Tensor:
    """The one value that stands for ``q``: its mean, or the code of the likeliest category (int64)."""
    return q.mean


@point.register
def _(q: Categorical) -> Tensor:
    return q.logits.argmax(-1)


@point.register
def _(q: Bernoulli) -> Tensor:
    return torch.sigmoid(q.logits)
