"""What an estimator of d/dθ E_{x ~ q(x | θ)} f(x) is, and the names a user writes."""

from __future__ import annotations

import abc
import re
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from trine.errors import ChoiceError
from trine.registry import Registry
from trine.rules import tensors_of

Integrand = Callable[[Tensor], Tensor]
"""f: (..., *batch, *event) → (..., *batch), of each event its number; the leading dimensions are draws."""

estimators: Registry[type[Estimator]] = Registry("gradient estimator", "trine.gradients")


class Estimator(nn.Module, abc.ABC):
    """E_{x ~ q} f(x) as a *surrogate*: its value is an estimate of the expectation, its gradient one of the gradient.

    So an expectation stands in a criterion as any other number does. The gradient is with respect to whatever q's
    parameters are computed from, and whatever f is: where f has parameters of its own, or refers to q's (log q(x)), those
    get their gradient along the same draws. Randomness is torch's generator's.

    What an estimator learns (a baseline, a control variate) are its own ``nn.Module`` parameters; their gradient comes out
    of the same surrogate, whose value it does not change: put the estimator into the model, and they learn in the same step.

    Class attributes:
        unbiased: whether the mean of the gradients is the gradient of E f. The value is unbiased where the draws are q's.
        needs: in words, what of q and f it needs.
    """

    unbiased: ClassVar[bool] = True
    needs: ClassVar[str]

    def forward(self, q: Distribution, f: Integrand, samples: int = 1) -> Tensor:
        """The surrogate, of the batch shape of ``q``.

        Args:
            q: any batch and event shape; one element of the batch is one expectation.
            f: of draws (n, *batch, *event) gives (n, *batch); vectorised, called a few times whatever ``samples`` is.
            samples: draws that are averaged, 1 or more.

        Raises:
            ChoiceError: q is not what this estimator can differentiate, too few samples, or f gives another shape.
        """
        if samples < 1:
            raise ChoiceError(f"samples is {samples}; an expectation is estimated by at least 1.")
        reason = self.refusal(q, samples)
        if reason:
            raise ChoiceError(
                f"The {self} estimator cannot differentiate an expectation under {described(q)}: {reason}"
            )
        return self.surrogate(q, f, samples)

    @abc.abstractmethod
    def refusal(self, q: Distribution, samples: int) -> str:
        """Why it cannot serve ``q`` and which estimator can, as a sentence; empty where it can."""

    @abc.abstractmethod
    def surrogate(self, q: Distribution, f: Integrand, samples: int) -> Tensor:
        """As :meth:`forward`, of a ``q`` that is not refused."""

    @classmethod
    def of(cls, argument: str | None, like: Distribution | None) -> Estimator:
        """The estimator of the name's argument in brackets, sized for distributions like ``like``.

        Raises:
            ChoiceError: an argument it does not know.
        """
        if argument is not None:
            raise ChoiceError(f"It takes nothing in brackets, and was given {argument!r}.")
        return cls()

    def __str__(self) -> str:
        return next((name for name, kind in estimators.items() if kind is type(self)), type(self).__name__)


def estimator(name: str | Estimator, like: Distribution | None = None) -> Estimator:
    """The estimator that ``name`` names, e.g. ``"pathwise"``, ``"score(leave-one-out)"``, ``"gumbel-softmax(0.5)"``.

    Args:
        name: a registered name, with its argument in brackets; an estimator is given back as it is.
        like: a distribution of the kind to come, of which estimators that learn take their sizes.

    Raises:
        ChoiceError: no such estimator, or an argument out of its range.
    """
    if isinstance(name, Estimator):
        return name
    match = re.fullmatch(r"\s*([a-z-]+)\s*(?:\(\s*([^()]*?)\s*\))?\s*", name)
    kind = estimators[match.group(1) if match else name]
    assert match is not None
    try:
        return kind.of(match.group(2), like)
    except ChoiceError as error:
        raise ChoiceError(f"The gradient estimator {name!r}: {error}") from None


def number(text: str | None, default: float, what: str) -> float:
    """A positive number in a name's brackets.

    Raises:
        ChoiceError: it is none.
    """
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    return positive(value, what, text)


def positive(value: float, what: str, text: str | None = None) -> float:
    """``value`` where it is positive and finite.

    Raises:
        ChoiceError: it is not.
    """
    if not 0 < value < float("inf"):
        raise ChoiceError(f"The {what} is {text or f'{value:g}'}; it is a positive number.")
    return value


def values_of(f: Integrand, x: Tensor, q: Distribution) -> Tensor:
    """f(x), (n, *batch).

    Raises:
        ChoiceError: f gives another shape, which would be averaged or broadcast over the wrong dimensions.
    """
    values = f(x)
    expected = (len(x), *q.batch_shape)
    if not isinstance(values, Tensor) or tuple(values.shape) != expected:
        given = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else f"a {type(values).__name__}"
        hint = " Wrap q in Independent if several of its dimensions are one event." if q.batch_shape else ""
        raise ChoiceError(
            f"f gives {given} of draws of shape {tuple(x.shape)}; it gives one number a draw and element of the batch, "
            f"{expected}.{hint}"
        )
    return values


def features_of(q: Distribution) -> Tensor:
    """(*batch, numbers): the parameters of each element of the batch side by side, detached."""
    parts = [v.detach().expand((*q.batch_shape, *v.shape[len(q.batch_shape) :])) for v in tensors_of(q)]
    return torch.cat([part.reshape(*q.batch_shape, -1) for part in parts], -1)


def through(direction: Tensor, parameter: Tensor) -> Tensor:
    """0 in value; ``direction`` is the gradient with respect to ``parameter``, element by element."""
    return direction.detach() * (parameter - parameter.detach())


def described(q: Any) -> str:
    """``q`` in a message."""
    base = getattr(q, "base_dist", None)
    inner = f" of {type(base).__name__}" if base is not None else ""
    return f"{type(q).__name__}{inner} (batch {tuple(q.batch_shape)}, event {tuple(q.event_shape)})"
