"""q(y given x) carried from the encoded units of y's domain to the user's own."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    AffineTransform,
    Distribution,
    Gamma,
    Independent,
    Laplace,
    LogNormal,
    MixtureSameFamily,
    Normal,
    StudentT,
    TransformedDistribution,
)

from trine.domains import Positive, Real, Vector

from ._base import in_units
from ._parameters import double


@functools.singledispatch
def affine(q: Distribution, shift: float | Tensor, factor: float | Tensor) -> Distribution:
    """The distribution of ``shift + factor · Y`` for Y ~ ``q`` and factor > 0; open by ``affine.register(Family)``.

    Families that are closed under it stay themselves, so that mean, variance, cdf and quantiles stay available.
    """
    shift, factor = (torch.as_tensor(value, dtype=torch.float64) for value in (shift, factor))
    return TransformedDistribution(q, AffineTransform(shift, factor, event_dim=len(q.event_shape)), validate_args=False)


@affine.register(Normal)
@affine.register(Laplace)
def _(q: Normal | Laplace, shift: float | Tensor, factor: float | Tensor) -> Distribution:
    return type(q)(shift + factor * q.loc, factor * q.scale, validate_args=False)


@affine.register
def _(q: StudentT, shift: float | Tensor, factor: float | Tensor) -> Distribution:
    return StudentT(q.df, shift + factor * q.loc, factor * q.scale, validate_args=False)


@affine.register
def _(q: LogNormal, shift: float | Tensor, factor: float | Tensor) -> Distribution:
    _no_shift(q, shift)
    return LogNormal(q.loc + torch.as_tensor(factor).log(), q.scale, validate_args=False)


@affine.register
def _(q: Gamma, shift: float | Tensor, factor: float | Tensor) -> Distribution:
    _no_shift(q, shift)
    return Gamma(q.concentration, q.rate / factor, validate_args=False)


@affine.register(Independent)
def _(q: Independent[Any], shift: float | Tensor, factor: float | Tensor) -> Distribution:
    return Independent(affine(q.base_dist, shift, factor), q.reinterpreted_batch_ndims, validate_args=False)


@affine.register
def _(q: MixtureSameFamily, shift: float | Tensor, factor: float | Tensor) -> Distribution:
    return type(q)(q.mixture_distribution, affine(q.component_distribution, shift, factor), validate_args=False)


def _no_shift(q: Distribution, shift: float | Tensor) -> None:
    if bool((torch.as_tensor(shift) != 0).any()):
        raise ValueError(f"a {type(q).__name__} that is shifted is none")


@in_units.register
def _(domain: Real, q: Distribution) -> Distribution:
    return affine(double(q), domain.centre, domain.scale)


@in_units.register
def _(domain: Positive, q: Distribution) -> Distribution:
    return affine(double(q), 0.0, domain.scale)


@in_units.register
def _(domain: Vector, q: Distribution) -> Distribution:
    device = q.mean.device
    centre, scale = (
        torch.tensor(values, dtype=torch.float64, device=device) for values in (domain.centre, domain.scale)
    )
    return affine(double(q), centre, scale)
