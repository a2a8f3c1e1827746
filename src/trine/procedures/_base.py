"""How θ moves: the contract of every optimisation procedure."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from trine.criterion import Criterion
from trine.data import Batch
from trine.registry import Registry

procedures: Registry[type[Procedure]] = Registry("procedure", "trine.procedures")


@dataclasses.dataclass(frozen=True)
class Step:
    """What one step did; tensors are scalars, detached, and not yet synchronised with the host.

    Attributes:
        loss: the criterion's value on the batch.
        terms: name of term → value; a critic's are named ``"<term>.critic"``.
        grad_norm: norm of the model's gradient before clipping, or None.
        step_size: α_t.
    """

    loss: Tensor
    terms: Mapping[str, Tensor]
    grad_norm: Tensor | None
    step_size: float


class Feed(Protocol):
    """The training rows in batches, from any place in an epoch; :class:`trine.data.Batches` is one."""

    steps_per_epoch: int
    batch_size: int

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]: ...

    def index(self, epoch: int, start: int = 0) -> Iterator[Tensor]: ...


def endless(batches: Feed) -> Iterator[Batch]:
    """Batches of epoch after epoch, of epochs that training does not have."""
    for epoch in itertools.count(1_000_000):
        yield from batches.epoch(epoch)


class State(abc.ABC):
    """All that a procedure needs to go on, besides the model and the criterion themselves.

    ``t`` is the number of steps taken and ``total`` the number in all, which step-size schedules span; the training loop
    sets ``total``. ``state_dict`` gives nested dicts and lists of tensors and JSON scalars only, so
    that a checkpoint needs no pickle; loading it back continues bit for bit.
    """

    t: int
    total: int

    @abc.abstractmethod
    def state_dict(self) -> dict[str, Any]: ...

    @abc.abstractmethod
    def load_state_dict(self, data: dict[str, Any]) -> None: ...


class Procedure(abc.ABC):
    """The only thing that moves θ."""

    @abc.abstractmethod
    def init(self, model: nn.Module, criterion: Criterion) -> State:
        """The state before the first step."""

    @abc.abstractmethod
    def step(self, state: State, model: nn.Module, criterion: Criterion, batch: Mapping[str, Tensor]) -> Step:
        """Advance ``state``, the model and the critics by one step on ``batch``."""

    def solution(self, state: State, model: nn.Module) -> dict[str, Tensor]:
        """θ*: the model's state dict to predict with (an average of iterates, where the procedure keeps one)."""
        return model.state_dict()

    def conclude(self, state: State, model: nn.Module, criterion: Criterion, batches: Feed) -> None:  # noqa: B027
        """What is left to do once θ* is in the model, e.g. a curvature or draws of θ from around it; nothing by default.

        The loop calls it once, after the last step, with the model and the criterion in evaluation mode. It is not part of a
        checkpoint: a run that is resumed after it does it again, to the same end.

        Args:
            batches: the training rows, epoch by epoch.
        """

    def precision(self, device: torch.device) -> contextlib.AbstractContextManager[Any]:
        """The context in which the model runs, e.g. autocast."""
        return contextlib.nullcontext()

    @abc.abstractmethod
    def describe(self) -> str:
        """The procedure with its step sizes, as the derivation prints it."""
