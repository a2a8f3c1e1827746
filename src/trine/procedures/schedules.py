"""Step sizes α_t as pure functions of the step t and the number of steps in all."""

from __future__ import annotations

import abc
import dataclasses
import math

from trine.errors import ChoiceError
from trine.registry import Registry

schedules: Registry[type[Schedule]] = Registry("schedule", "trine.procedures")


@dataclasses.dataclass(frozen=True)
class Schedule(abc.ABC):
    """α_t for t = 0, 1, …, total − 1.

    Attributes:
        peak: the largest step size, positive and finite.

    Raises:
        ChoiceError: a peak, or another number of the schedule, out of its range.
    """

    peak: float

    def __post_init__(self) -> None:
        if not 0 < self.peak < math.inf:
            raise ChoiceError(f"The peak of a step-size schedule is {self.peak:g}; it is positive and finite.")

    @abc.abstractmethod
    def __call__(self, t: int, total: int) -> float:
        """The step size of step ``t`` (from 0) of ``total``."""

    @abc.abstractmethod
    def describe(self) -> str:
        """The formula, and what theory says of it."""


@schedules.register("constant")
@dataclasses.dataclass(frozen=True)
class Constant(Schedule):
    """α_t = α: fast at first, then wanders around the optimum with variance in proportion to α."""

    def __call__(self, t: int, total: int) -> float:
        return self.peak

    def describe(self) -> str:
        return f"α_t = {self.peak:g}"


@schedules.register("robbins-monro")
@dataclasses.dataclass(frozen=True)
class RobbinsMonro(Schedule):
    """α_t = a / (t₀ + t)^γ, scaled so that α_0 is the peak.

    With ½ < γ ≤ 1 the sum of α_t is infinite, so every point can be reached, and the sum of α_t² is finite, so the noise
    dies out: stochastic approximation then converges almost surely (Robbins and Monro, 1951).

    Attributes:
        exponent: γ. offset: t₀ ≥ 1; larger keeps the first steps near the peak for longer.

    Raises:
        ChoiceError: γ outside (½, 1], with the condition that fails; an offset below 1.
    """

    exponent: float = 0.75
    offset: float = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.exponent > 1:
            raise ChoiceError(
                f"A Robbins-Monro exponent of {self.exponent:g} makes Σ α_t finite: the iterates stop short of the optimum. "
                "Choose γ with ½ < γ ≤ 1."
            )
        if not self.exponent > 0.5:
            raise ChoiceError(
                f"A Robbins-Monro exponent of {self.exponent:g} makes Σ α_t² infinite: the iterates keep wandering. "
                "Choose γ with ½ < γ ≤ 1."
            )
        if not 1 <= self.offset < math.inf:
            raise ChoiceError(f"The Robbins-Monro offset is {self.offset:g}; it is at least 1, and finite.")

    def __call__(self, t: int, total: int) -> float:
        return float(self.peak * (self.offset / (self.offset + t)) ** self.exponent)

    def describe(self) -> str:
        a = self.peak * self.offset**self.exponent
        return (
            f"α_t = {a:.3g} / ({self.offset:g} + t)^{self.exponent:g}; "
            f"Σ α_t = ∞ and Σ α_t² < ∞, since ½ < {self.exponent:g} ≤ 1 (Robbins and Monro, 1951)"
        )


@schedules.register("cosine")
@dataclasses.dataclass(frozen=True)
class Cosine(Schedule):
    """Linear warm-up, then half a cosine down to zero (Loshchilov and Hutter, SGDR, 2017, without restarts).

    Attributes:
        warmup: share of the steps that warm up, in [0, 1).
    """

    warmup: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_share(self.warmup)

    def __call__(self, t: int, total: int) -> float:
        return _rise_and_fall(t, total, self.warmup, self.peak)

    def describe(self) -> str:
        return f"α_t rises to {self.peak:g} over {self.warmup:.0%} of the steps, then falls as half a cosine to 0"


@schedules.register("onecycle")
@dataclasses.dataclass(frozen=True)
class OneCycle(Cosine):
    """A long warm-up and a cosine descent (Smith and Topin, Super-Convergence, 2018).

    Attributes:
        warmup: share of the steps that warm up, in [0, 1).
    """

    warmup: float = 0.25

    def describe(self) -> str:
        return f"one cycle: {super().describe()}"


def _require_share(warmup: float) -> None:
    if not 0 <= warmup < 1:
        raise ChoiceError(f"The warm-up is {warmup:g} of the steps; it is a share, at least 0 and less than 1.")


def _rise_and_fall(t: int, total: int, warmup: float, peak: float) -> float:
    """Linear from near 0 to ``peak`` over the warm-up, then half a cosine, ending near 0; never 0, so no step is idle."""
    rise = warmup * total
    if t < rise:
        return peak * (t + 1) / (rise + 1)
    progress = min(1.0, (t - rise + 0.5) / max(total - rise, 1.0))
    return peak * 0.5 * (1.0 + math.cos(math.pi * progress))
