"""A divergence of values that weight-sharing members give, of each member by itself."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from trine.divergences._base import Divergence, LearnedDivergence, Value
from trine.rules import map_arguments


class ByMember(Divergence):
    """The mean over members of a divergence that compares all rows of a batch, or has no form for members.

    What each member gives of a batch is compared by itself: two of its codes are of two rows, while two members' codes of one row
    are no two samples of anything.

    Values are (members, batch, ...) and distributions of batch shape (members, batch); one without batch shape, such as a prior,
    is every member's.

    Args:
        divergence: what compares a member's.
    """

    def __init__(self, divergence: Divergence) -> None:
        super().__init__()
        self.divergence = divergence
        self.weighs = divergence.weighs

    def forward(self, predicted: Value, target: Value, given: Value | None = None, **more: Tensor) -> Tensor:
        return torch.stack([self.divergence(*own, **more) for own in _each(predicted, target, given)]).mean(0)

    def describe(self, predicted: str, target: str) -> str:
        """The divergence's own formula."""
        return self.divergence.describe(predicted, target)


class LearnedByMember(ByMember, LearnedDivergence):
    """Likewise of a learned divergence, whose critic is every member's."""

    divergence: LearnedDivergence

    @property
    def critic(self) -> nn.Module:
        """The critic."""
        critic: nn.Module = self.divergence.critic  # type: ignore[assignment]
        return critic

    def tighten(self, predicted: Value, target: Value, given: Value | None = None, **more: Tensor) -> Tensor:
        return torch.stack([self.divergence.tighten(*own, **more) for own in _each(predicted, target, given)]).mean(0)


def by_member(divergence: Divergence) -> ByMember:
    """``divergence`` of each member by itself."""
    return LearnedByMember(divergence) if isinstance(divergence, LearnedDivergence) else ByMember(divergence)


def _each(predicted: Value, target: Value, given: Value | None) -> Iterator[tuple[Value, Value, Value | None]]:
    """The values of each member."""
    condition = itertools.repeat(None) if given is None else _apart(given)
    return zip(_apart(predicted), _apart(target), condition, strict=False)


def _apart(value: Value) -> Iterable[Value]:
    if isinstance(value, Tensor):
        return value.unbind()
    if not value.batch_shape:
        return itertools.repeat(value)
    return [map_arguments(value, partial(torch.select, dim=0, index=index)) for index in range(value.batch_shape[0])]
