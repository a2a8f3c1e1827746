"""What every divergence with a critic shares: its registry, samples of what is compared, the penalty on real data."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from trine.divergences._base import LearnedDivergence, Value
from trine.registry import Registry

learned: Registry[type[LearnedDivergence]] = Registry("learned divergence", "trine.divergences.learned")
"""The learned forms, under the names of the divergences they estimate; each is built of a critic."""


def samples(value: Value, like: Tensor | None = None) -> Tensor:
    """Samples, (batch, ...), of what is compared: a tensor is its own samples, a distribution is sampled.

    A distribution without batch shape, such as a prior, gives as many samples as ``like`` has rows. Samples keep the
    gradient of their distribution where it is reparameterised.
    """
    if isinstance(value, Tensor):
        return value
    shape = (len(like),) if like is not None and not value.batch_shape else ()
    drawn: Tensor = value.rsample(shape) if value.has_rsample else value.sample(shape)
    return drawn


def pair(predicted: Value, target: Value) -> tuple[Tensor, Tensor]:
    """Samples of both sides, as many of a prior as there are of the other side."""
    if isinstance(predicted, Distribution) and not predicted.batch_shape:
        real = samples(target)
        return samples(predicted, real), real
    fake = samples(predicted)
    return fake, samples(target, fake)


def judge(critic: nn.Module, value: Tensor, given: Value | None) -> Tensor:
    """The critic's value of each sample, (batch, ...): one number, or one for each patch."""
    judged: Tensor = critic(value) if given is None else critic(value, given)
    return judged


def per_example(values: Tensor) -> Tensor:
    """(batch, ...) → (batch,): the mean over patches."""
    return values.flatten(1).mean(1) if values.dim() > 1 else values


def r1_penalty(critic: nn.Module, real: Tensor, given: Value | None) -> tuple[Tensor, Tensor]:
    """The critic's values on real data and ½‖∇ critic‖² there, (batch,) (Mescheder et al., 2018)."""
    real = real.detach().requires_grad_(True)
    values = judge(critic, real, given)
    (slope,) = torch.autograd.grad(per_example(values).sum(), real, create_graph=True)
    return values, 0.5 * slope.flatten(1).square().sum(1)
