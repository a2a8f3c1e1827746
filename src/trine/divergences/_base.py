"""How far what a model gives is from its target."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.distributions import Distribution

from trine.data import Batch
from trine.errors import ChoiceError
from trine.registry import Registry

Value = Tensor | Distribution
"""What a divergence compares: a distribution, data points or samples."""

divergences: Registry[type[Divergence]] = Registry("divergence", "trine.divergences")


@dataclasses.dataclass(frozen=True)
class Statement:
    """What can be said of a divergence before any number is known; ``tests/divergences`` establishes it by numbers.

    Attributes:
        domain: what it compares.
        symmetric: whether D(p, q) = D(q, p).
        metric: whether the value itself, its square root, or neither keeps the triangle inequality.
        finite_on_disjoint: whether it is finite between distributions without common support.
        unbiased: whether the mean of its gradients over minibatches of data is the gradient over all data.
    """

    domain: str
    symmetric: bool
    metric: Literal["itself", "root", "no"]
    finite_on_disjoint: bool
    unbiased: bool

    def cells(self) -> dict[str, str]:
        """Property → word, as tables print it."""
        return {
            "symmetric": "yes" if self.symmetric else "no",
            "metric": {"itself": "yes", "root": "its root", "no": "no"}[self.metric],
            "finite on disjoint supports": "yes" if self.finite_on_disjoint else "no",
            "unbiased minibatch gradient": "yes" if self.unbiased else "no",
        }


@dataclasses.dataclass(frozen=True)
class Estimate:
    """The value of a divergence between two distributions or samples, and how it was found.

    Attributes:
        value: (batch,) or (); differentiable in the parameters.
        error: estimated absolute error of each value, of a Monte-Carlo estimate its standard error; None for a closed
            form and for samples, which are what they are.
        method: ``closed form``, ``quadrature``, ``sum``, ``Monte Carlo, 1,000 draws``, ``samples``.
    """

    value: Tensor
    error: Tensor | None
    method: str


class Divergence(nn.Module, abc.ABC):
    """How far what the model gives is from its target: one value an example.

    The same name serves whatever it is asked to compare: a distribution with data points (a proper scoring rule), two
    distributions (closed form), samples with samples (a two-sample estimate). What has no form is refused, with the
    reason.

    Class attributes:
        formula: how the derivation prints it, with ``{p}`` for the predicted and ``{t}`` for the target (and
            ``{x}`` for what is given, where a member puts it in).
        unbiased: whether its minibatch gradient is unbiased.
        weighs: whether an example's value depends on how much the others count: ``forward``, and ``tighten`` of a learned one, then
            take ``weights``, (batch,), which is left out where all count alike.
        statement: what holds of it between any two distributions.
    """

    formula: ClassVar[str]
    unbiased: ClassVar[bool] = True
    weighs: bool = False
    statement: ClassVar[Statement]

    @abc.abstractmethod
    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        """What the model descends, (batch,).

        A distribution with leading member dimensions, batch shape (members, batch), is compared member by member and
        the values are averaged over members.
        """

    def compare(self, p: Value, q: Value, draws: int = 1024) -> Estimate:
        """D(p ‖ q) between two distributions, or two sets of samples, (n,) or (n, k): value, error and method.

        In ``forward`` p is the target and q what is predicted. Distributions are of one batch shape or broadcast.

        Args:
            p, q: what is compared.
            draws: samples of each where nothing but Monte Carlo will do, from torch's generator.

        Raises:
            ChoiceError: there is no form for this pair; names one that has.
        """
        reason = "it is known between a distribution and data alone. Choose kl, cramer or wasserstein."
        raise refused(type(self).__name__, q, p, reason)

    def refresh(self, model: nn.Module, rows: Iterable[Batch]) -> None:
        """What is taken up from all training rows between two epochs; by default nothing.

        Args:
            model: in evaluation mode, with the solution so far. rows: all of them, a chunk at a time.
        """

    def describe(self, predicted: str, target: str) -> str:
        """The formula with the names of a term put in."""
        return self.formula.format(p=predicted, t=target)


class LearnedDivergence(Divergence):
    """A divergence known only as the supremum of a bound over critics: it owns a critic, built of its parameters.

    Attributes:
        numbers: that a critic of rows gives of each; above 1 where the divergence compares rows by several.
    """

    numbers: ClassVar[int] = 1

    def penalised(self) -> str:
        """What the critic descends beside the bound, in words and symbols; empty where there is nothing."""
        return ""

    @abc.abstractmethod
    def tighten(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        """What the critic descends, (batch,), so that the bound approaches the divergence."""

    def witness(self, values: Tensor, fake: Tensor, real: Tensor) -> Tensor:
        """What the critic's ``values`` of rows, (rows, ...), say of each: (rows,), of one side higher than of the other.

        Args:
            fake, real: its values of rows of either side, which a divergence that compares rows by several numbers needs.
        """
        return values.reshape(len(values), -1).mean(1)


def over_members(values: Tensor) -> Tensor:
    """(members..., batch) → (batch,): the mean over members."""
    return values.flatten(0, -2).mean(0) if values.dim() > 1 else values


def check_shapes(predicted: Distribution, target: Tensor) -> None:
    """Refuse a target that would silently broadcast against another shape of predictions.

    Of a distribution over sequences (``ragged``) a target has as many steps as the longest of its rows.

    Raises:
        ChoiceError: ``target`` is not one event for each example.
    """
    expected = (*predicted.batch_shape[-1:], *predicted.event_shape)
    if getattr(predicted, "ragged", False) and target.dim() == len(expected):
        expected = (expected[0], *target.shape[1:])
    if predicted.batch_shape and tuple(target.shape) != expected:
        raise ChoiceError(
            f"A target of shape {tuple(target.shape)} is compared with a {type(predicted).__name__} over values of "
            f"shape {expected} (batch, then one value); give one target for each example, of the same shape."
        )


def refused(divergence: str, predicted: Value, target: Value, reason: str) -> ChoiceError:
    """The error of a comparison that a divergence has no form for: what was compared, why not, what does."""
    return ChoiceError(f"{divergence} between {_kind(predicted)} and {_kind(target)} has no form here: {reason}")


def _kind(value: Value) -> str:
    return "samples" if isinstance(value, Tensor) else f"a {type(value).__name__} distribution"
