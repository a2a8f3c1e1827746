"""Stochastic weight averaging, Gaussian: moments of the iterates, and draws of θ from them."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn

from trine.criterion import Criterion
from trine.models import Draws
from trine.procedures._base import Feed, State, endless, procedures
from trine.procedures.descent import Descent
from trine.procedures.schedules import Constant


@procedures.register("swag")
class SWAG(Descent):
    """Descent to a mode of −log p(θ given X, Y); from there on with a constant step, under which minibatches move θ about it.

    The iterates' mean, variances and last deviations make N(mean, ½ diag + ½ low rank), from which θ is drawn. The moments
    are taken of all floating tensors, running statistics too, so that no pass over the data is needed to make those fit a
    draw. The second part starts from the weights that the first kept, e.g. those of the best held-out score.

    Args:
        rank: deviations kept. collect: iterates taken in, evenly spread over the second part.
        wander: steps of the second part, as a share of those of the first; no fewer than iterates are taken in.
        level: its step, as a share of the schedule's peak.

    References:
        Maddox et al., `A Simple Baseline for Bayesian Uncertainty in Deep Learning`, 2019, arXiv 1902.02476.
    """

    def __init__(
        self, *, rank: int = 20, collect: int = 60, wander: float = 0.3, level: float = 0.25, **choices: Any
    ) -> None:
        super().__init__(**choices)
        self.rank, self.collect, self.wander, self.level = rank, collect, wander, level
        self._choices = choices

    def conclude(self, state: State, model: nn.Module, criterion: Criterion, batches: Feed) -> None:
        """Wander about the mode, put the iterates' mean into the network and draws around it beside it."""
        assert isinstance(model, Draws)
        steps = max(round(self.wander * state.t), self.collect)
        every = steps // self.collect
        wandering = Descent(
            **(self._choices | {"schedule": Constant(self.level * self.schedule.peak), "ema": 0.0, "compile": False})
        )
        own = wandering.init(model, criterion)
        mean, square = torch.zeros_like(model.flat()), torch.zeros_like(model.flat())
        deviations: list[Tensor] = []
        model.train()
        criterion.train()
        for batch in itertools.islice(endless(batches), self.collect * every):
            wandering.step(own, model, criterion, batch.to(own.device))
            if own.t % every == 0:
                flat, count = model.flat(), own.t // every
                mean += (flat - mean) / count
                square += (flat.square() - square) / count
                deviations = [*deviations, flat - mean][-self.rank :]
        model.eval()
        criterion.eval()
        std = (square - mean.square()).clamp_min(0.0).sqrt()
        noise = torch.randn(model.draws, len(std)).to(std)
        mixes = torch.randn(model.draws, len(deviations)).to(std) / (len(deviations) - 1) ** 0.5
        # Half of the variance each: their sum has the iterates'.
        theta = mean + (std * noise + mixes @ torch.stack(deviations)) / 2**0.5
        model.base.load_state_dict(model.base.state_dict() | model.unflat(mean))
        model.fill(_within(theta, model))

    def describe(self) -> str:
        """The procedure with its step sizes."""
        return (
            f"{super().describe()}\nthen {self.wander:.0%} as many steps at {self.level * self.schedule.peak:.3g}: "
            f"{self.collect} iterates give p(θ | data) ≈ N(mean, ½ (variances + last {self.rank} deviations))"
        )


def _within(theta: Tensor, model: Draws) -> Tensor:
    """Running variances of a draw are no less than a tenth of the mean's: a normal knows of no bound."""
    own = model.base.state_dict()
    least, place = torch.full_like(theta[0], -torch.inf), 0
    for name in model.names:
        size = own[name].numel()
        if name.endswith("running_var"):
            least[place : place + size] = 0.1 * own[name].flatten()
        place += size
    return torch.maximum(theta, least)
