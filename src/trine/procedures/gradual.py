"""Descent that lets a pretrained network loose from the top, with smaller steps the further down."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from trine.blocks.weights import decays
from trine.criterion import Criterion
from trine.procedures._base import State, Step, procedures
from trine.procedures.descent import OPTIMISERS, Descent

RATIO = 2.6
"""Between the step sizes of a group of layers and the one above it (Howard and Ruder, 2018, 3.2)."""
OPENED_BY = 0.5
"""Share of the steps after which all groups move."""


class Openable(Protocol):
    """A model whose layers are in groups, from the bottom to the top, of which the uppermost are open."""

    def parameter_groups(self) -> list[list[str]]: ...
    def open(self, count: int) -> None: ...


@procedures.register("gradual")
class Gradual(Descent):
    """Gradual unfreezing with discriminative step sizes (Howard and Ruder, Universal Language Model Fine-tuning, 2018).

    The head moves from the first step; the groups of layers join it one by one from the top, at equal distances over the first
    half of the steps, and a group's step size is 1/2.6 of that of the group above. Until it joins, a group keeps every parameter
    and running statistic. The parameters are those of :class:`Descent`; the model is :class:`trine.models.transfer.Tuned`.
    """

    def init(self, model: nn.Module, criterion: Criterion) -> Any:
        """The state before the first step; all parameters are in it, also those that join later."""
        openable: Any = model
        openable.open(len(openable.parameter_groups()))
        state = super().init(model, criterion)
        named = dict(model.named_parameters())
        # Descent's own parameters of the optimiser know no groups of layers.
        state.optimiser = OPTIMISERS[self.optimiser](self._groups(openable, named), self.betas)
        openable.open(0)
        return state

    def _groups(self, model: Openable, named: dict[str, nn.Parameter]) -> list[dict[str, Any]]:
        """The optimiser's groups: the head, then each group of layers, of weights that decay and of the others."""
        below = model.parameter_groups()
        taken = {name for group in below for name in group}
        layers = [[name for name in named if name not in taken], *reversed(below)]
        found = []
        for depth, names in enumerate(layers):
            for decaying in (True, False):
                chosen = [named[name] for name in names if decays(name, named[name]) == decaying]
                if chosen:
                    decay = self.weight_decay if decaying else 0.0
                    found.append({"params": chosen, "weight_decay": decay, "factor": RATIO ** -max(depth - 1, 0)})
        return found

    def step(self, state: State, model: nn.Module, criterion: Criterion, batch: Mapping[str, Tensor]) -> Step:
        """One step, with as many groups open as are due."""
        openable: Any = model
        openable.open(self.due(state.t, state.total, len(openable.parameter_groups())))
        return super().step(state, model, criterion, batch)

    @staticmethod
    def due(t: int, total: int, groups: int) -> int:
        """How many groups move at step ``t`` (from 0) of ``total``."""
        return min(math.floor(t * (groups + 1) / max(total * OPENED_BY, 1.0)), groups)

    @staticmethod
    def _move(optimiser: torch.optim.Optimizer, size: float) -> None:
        for group in optimiser.param_groups:
            group["lr"] = size * group.get("factor", 1.0)
        optimiser.step()
        for group in optimiser.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def describe(self) -> str:
        """The procedure with its step sizes."""
        return (
            f"{super().describe()}\nthe head first, then the layers from the top, all by step {OPENED_BY:g} T; each group with "
            f"1/{RATIO:g} of the step of the one above"
        )
