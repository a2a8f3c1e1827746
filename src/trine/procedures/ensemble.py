"""Descent of several networks at once, each as if it were alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trine.blocks.weights import decays
from trine.criterion import Criterion
from trine.errors import TrainingError
from trine.models import Ensemble
from trine.procedures._base import procedures
from trine.procedures._diagnosis import diagnose
from trine.procedures.descent import REMEDY, Descent, DescentState


@procedures.register("ensemble-descent")
class EnsembleDescent(Descent):
    """θ_m ← θ_m − α_t · direction_m for the members m of an :class:`~trine.models.Ensemble`.

    The criterion is a mean over members, so its gradient is a member's own divided by their number, which is taken back; the
    gradient of each is bounded by its own norm. So a member takes the very steps that it would take alone on these batches.
    """

    def __init__(self, **choices: Any) -> None:
        super().__init__(**choices)
        self.bound = self.clip
        # Always: the gradients are also put to scale there.
        self.clip = self.clip or math.inf

    def _clip(
        self,
        state: DescentState,
        model: nn.Module,
        criterion: Criterion,
        batch: Mapping[str, Tensor],
        noise: Tensor,
    ) -> Tensor:
        """Scale each member's gradient; the mean over members of their norms before."""
        assert isinstance(model, Ensemble)
        members = model.members
        gradients = [p.grad for p in state.parameters if p.grad is not None]
        squares = torch.stack([gradient.reshape(members, -1).square().sum(1) for gradient in gradients]).sum(0)
        norms = members * squares.sqrt()  # (members,)
        if state.device.type == "cpu" and not math.isfinite(norms.sum().item()):
            state.optimiser.zero_grad(set_to_none=True)
            where = diagnose(model, criterion, batch, noise)
            raise TrainingError(f"The loss is finite at step {state.t + 1} and its gradient is not: {where}. {REMEDY}")
        factor = members * (self.bound / norms.clamp_min(1e-30)).clamp_max(1.0) if self.bound else norms * 0 + members
        for gradient in gradients:
            gradient.mul_(factor.view(-1, *(1,) * (gradient.dim() - 1)))
        return norms.mean()

    def moving(self, module: nn.Module) -> list[tuple[nn.Parameter, bool]]:
        """The stacks that move, and whether each member's part of one is a weight."""
        if not isinstance(module, Ensemble):
            return super().moving(module)
        return [(p, decays(n, p[0])) for n, p in zip(module.names, module.stacks, strict=True) if p.requires_grad]

    def describe(self) -> str:
        """The procedure with its step sizes."""
        plain = self.clip, self.bound
        self.clip = self.bound
        try:
            text = super().describe()
        finally:
            self.clip = plain[0]
        return f"{text}\nof each network by itself, all in one pass"
