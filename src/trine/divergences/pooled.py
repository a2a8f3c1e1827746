"""A critic that also sees what the model made some steps ago."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from trine import collective
from trine.blocks.counted import onto
from trine.divergences._base import LearnedDivergence, Value
from trine.divergences.learned._base import pair
from trine.errors import ChoiceError

SIZE = 50
"""Samples that a pool holds by default (Zhu et al., 2017, section 4)."""


class Pooled(LearnedDivergence):
    """A learned divergence whose critic is tightened on past samples of the model beside its present ones.

    A pool keeps ``size`` samples. Until it is full it takes samples in as they come, and the critic sees them as they are. Then
    every sample of a batch is, with probability ½, put into the pool in the place of a random other one, which the critic sees
    instead. So the critic does not forget what the model no longer does, and the two do not chase each other in circles. What the
    model descends is of its present samples alone.

    Of a batch, at most ``size`` rows meet the pool, each a place of its own. The pool, and how many samples it holds, are buffers
    of the criterion and so part of every checkpoint; what is drawn comes from torch's generator. Several processes have one pool:
    each puts in the rows of all, and sees what the pool gives for its own.

    Args:
        divergence: the learned divergence, with its critic.
        shape: of one sample, without the batch.
        size: samples in the pool, 1 or more.

    Raises:
        ChoiceError: a size below 1, or a condition, which a pool does not keep.

    References:
        Shrivastava et al., `Learning from Simulated and Unsupervised Images through Adversarial Training`, 2017, section 2.3.
        Zhu et al., `Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks`, 2017, section 4.
    """

    held: Tensor
    count: Tensor

    def __init__(self, divergence: LearnedDivergence, shape: Sequence[int], size: int = SIZE) -> None:
        super().__init__()
        if size < 1:
            raise ChoiceError(f"The history pool's size is {size}; it is at least 1, or leave the pool out.")
        self.divergence = divergence
        self.weighs = divergence.weighs
        self.register_buffer("held", torch.zeros(size, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self._full = False

    def _load_from_state_dict(self, *args: Any, **more: Any) -> None:
        super()._load_from_state_dict(*args, **more)
        self._full = False

    def forward(self, predicted: Value, target: Value, given: Value | None = None, **more: Tensor) -> Tensor:
        descended: Tensor = self.divergence(predicted, target, given, **more)
        return descended

    def tighten(self, predicted: Value, target: Value, given: Value | None = None, **more: Tensor) -> Tensor:
        if given is not None:
            raise ChoiceError("A history pool keeps samples without their condition; leave it out where there is one.")
        fake, real = pair(predicted, target)
        return self.divergence.tighten(self.mixed(fake.detach()), real, **more)

    @torch.no_grad()
    def mixed(self, samples: Tensor) -> Tensor:
        """The present samples, (batch, …), some of the pool's in the place of some; the pool takes those in."""
        every, mine = collective.gather(samples)
        with collective.drawing_alike():
            return self._mixed(every)[mine]

    def _mixed(self, samples: Tensor) -> Tensor:
        size = len(self.held)
        # Known without asking the device, which would wait for it at every step.
        full = size if self._full else int(self.count)
        self._full = full == size
        new = min(size - full, len(samples))
        if new:
            self.held[full : full + new] = samples[:new].to(self.held.dtype)
            self.count += new
        rest = samples[new:]
        if not len(rest):
            return samples
        meets = min(size, len(rest))
        # Drawn on the CPU, whose generator is the one that a run keeps on every machine.
        places = onto(torch.randperm(size)[:meets], samples.device)
        swapped = onto(torch.rand(meets) < 0.5, samples.device)
        past = self.held[places]
        own = rest[:meets]
        chosen = swapped.view(-1, *(1,) * (own.dim() - 1))
        self.held[places] = torch.where(chosen, own.to(past.dtype), past)
        return torch.cat([samples[:new], torch.where(chosen, past.to(own.dtype), own), rest[meets:]])

    def describe(self, predicted: str, target: str) -> str:
        """The divergence's own formula; the pool changes what its critic sees, not what it is."""
        return f"{self.divergence.describe(predicted, target)} (critic: also of {len(self.held)} past {predicted})"
