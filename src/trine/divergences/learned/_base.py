"""What every divergence with a critic shares: its registry, samples of what is compared, the bound, the penalties."""

from __future__ import annotations

import abc
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from trine.blocks.counted import Count
from trine.divergences._base import LearnedDivergence, Value
from trine.errors import ChoiceError
from trine.registry import Registry

learned: Registry[type[LearnedDivergence]] = Registry("learned divergence", "trine.divergences.learned")
"""The learned forms, under the names of the divergences they estimate; each is built of a critic."""


class Penalised(LearnedDivergence):
    r"""A learned divergence with one critic, whose slope may be penalised on samples of either side.

    Args:
        critic: (batch, ...) → one number each, (batch,), or one for each patch, (batch, ...); takes the condition as a
            second argument where the term has one.
        r1, r2: weights of the penalty ½‖∇v‖² on the target's and on the predicted samples, that keep the game from circling
            (Mescheder et al., 2018); 0 leaves one out.
        every: steps of the critic from one look at the penalties to the next, at which they weigh as many times as much: alike in
            the mean, at a part of the cost (Karras et al., `Analyzing and Improving the Image Quality of StyleGAN`, 2020, app. B).

    Raises:
        ChoiceError: a weight below 0, or ``every`` below 1.
    """

    top: ClassVar[float] = 0.0
    share: ClassVar[float] = 1.0
    optimum: ClassVar[str]
    """The critic at which the bound is the divergence."""

    looked: Tensor

    def __init__(self, critic: nn.Module, r1: float = 0.0, r2: float = 0.0, every: int = 1) -> None:
        super().__init__()
        for name, weight in (("r1", r1), ("r2", r2)):
            if weight < 0:
                raise ChoiceError(f"{name} is {weight}; the weight of a penalty is at least 0.")
        if every < 1:
            raise ChoiceError(f"every is {every}; from one penalty to the next there is at least 1 step.")
        self.critic = critic
        self.r1, self.r2, self.every = r1, r2, every
        self._count = Count()
        self.register_buffer("looked", torch.zeros((), dtype=torch.int64), persistent=every > 1)

    @abc.abstractmethod
    def bound(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        """The bound on the divergence, without a penalty, in its units: (batch,), whose mean is to be taken."""

    def penalised(self) -> str:
        """The penalties on slopes, by side."""
        if not self.r1 and not self.r2:
            return ""
        if self.r1 == self.r2:
            told = f"{0.5 * self.r1:g} E‖∇v‖² on either side"
        else:
            told = f"{0.5 * self.r1:g} E‖∇v‖² on true and {0.5 * self.r2:g} E‖∇v‖² on made samples"
        return f"it also descends {told}" + (
            f", {self.every} times that every {self.every} steps" if self.every > 1 else ""
        )

    def _judged(self, fake: Tensor, real: Tensor, given: Value | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """The critic's values on both sides, and the penalties where they are looked at in this step, (batch,)."""
        weight = self._weight()
        on_real, steep_real = judged_with(self.critic, real, given, weight * self.r1)
        on_fake, steep_fake = judged_with(self.critic, fake, given, weight * self.r2)
        parts = [part for part in (steep_real, steep_fake) if part is not None]
        return on_real, on_fake, sum(parts[1:], parts[0]) if parts else None

    def _weight(self) -> float:
        """How many times as much a penalty weighs in this step of the critic: 0 where it is not looked at."""
        if self.every == 1:
            return 1.0
        number = (self._count.up if torch.is_grad_enabled() else self._count.of)(self.looked)
        return 0.0 if number % self.every else float(self.every)


class Dual(Penalised):
    r"""A divergence D(t ‖ p) as the supremum over critics v of a sum of two means,

    .. math:: D(t \| p) = \sup_v \; \mathrm{top} - \mathrm{share} \cdot
              \bigl(E_t \, \ell_t(v(x)) + E_p \, \ell_p(v(x))\bigr)

    The critic descends ℓ_t + ℓ_p (``tighten``) and the model what :meth:`descended` makes of the critic's values on its
    samples (``forward``). ``bound`` is the expression itself, without the penalty: below D, up to the error of the
    samples, whatever the critic is.

    Domain: samples, (batch, ...), or distributions, which are sampled; a prior without batch shape is sampled as often
    as the other side has rows. ``statement`` is about D, the supremum; its gradient is unbiased for the critic at hand.

    Arguments: as of :class:`Penalised`.
    """

    @abc.abstractmethod
    def on_target(self, value: Tensor) -> Tensor:
        """ℓ_t, element by element."""

    @abc.abstractmethod
    def on_predicted(self, value: Tensor) -> Tensor:
        """ℓ_p, element by element."""

    @abc.abstractmethod
    def descended(self, value: Tensor) -> Tensor:
        """What the model descends, element by element, of the critic's value on its own samples."""

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        fake, _ = pair(predicted, target)
        return per_example(self.descended(judge(self.critic, fake, given)))

    def tighten(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        fake, real = (side.detach() for side in pair(predicted, target))
        on_real, on_fake, penalty = self._judged(fake, real, given)
        values = per_example(self.on_target(on_real)) + per_example(self.on_predicted(on_fake))
        return values if penalty is None else values + penalty

    def bound(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        fake, real = pair(predicted, target)
        true = per_example(self.on_target(judge(self.critic, real, given)))
        return self.top - self.share * (true + per_example(self.on_predicted(judge(self.critic, fake, given))))


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


def slope(values: Tensor, at: Tensor) -> Tensor:
    """‖∇ values‖ with respect to each sample of ``at``, (batch,); differentiable in the critic, also at zero."""
    (each,) = torch.autograd.grad(per_example(values).sum(), at, create_graph=True)
    squares = each.flatten(1).square().sum(1) if each.dim() > 1 else each.square()
    return (squares + torch.finfo(squares.dtype).tiny).sqrt()


def steepness(norm: Tensor) -> Tensor:
    """How far a slope exceeds one, squared: the one-sided penalty (Petzka et al., 2018)."""
    return (norm - 1).clamp_min(0.0).square()


def between(fake: Tensor, real: Tensor) -> Tensor:
    """Points drawn uniformly on the lines from each fake to its real sample, with a gradient of their own."""
    along = torch.rand(len(real), *(1,) * (real.dim() - 1), dtype=real.dtype, device=real.device)
    return torch.lerp(fake.detach(), real.detach(), along).requires_grad_(True)


def judged_with(critic: nn.Module, at: Tensor, given: Value | None, weight: float) -> tuple[Tensor, Tensor | None]:
    """The critic's values at samples, and weight · ½‖∇ critic‖² there, (batch,); no penalty where its weight is 0."""
    if not weight:
        return judge(critic, at, given), None
    at = at.detach().requires_grad_(True)
    values = judge(critic, at, given)
    (rise,) = torch.autograd.grad(per_example(values).sum(), at, create_graph=True)
    return values, 0.5 * weight * rise.flatten(1).square().sum(1)
