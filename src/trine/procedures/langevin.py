"""Langevin dynamics: noise in the steps of descent, so that they sample p(θ given X, Y)."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trine.criterion import Criterion
from trine.data import Batch
from trine.errors import ChoiceError, TrainingError, nearest
from trine.models import Chains
from trine.procedures._base import Feed, State, procedures
from trine.procedures._diagnostics import effective_draws, split_r_hat
from trine.procedures.ensemble import EnsembleDescent
from trine.rules import point

SAMPLERS = ("psgld", "sgld", "sghmc")
FRICTION = 0.1
"""Share of the momentum that each step of the Hamiltonian sampler loses."""
SMOOTHING, REGULARISER = 0.99, 1e-5
"""Of the preconditioner's mean of squares, and what keeps it finite."""
LEAST_STEPS = 2000
"""Of sampling, where none are chosen."""
JUDGED = 64
"""Rows whose predictions are followed, to judge convergence."""
CONVERGED = 1.1
"""Largest split R̂ of chains that are taken for converged."""


class Sampler:
    r"""Steps of a chain, or of several, whose iterates come from exp(−n U(θ)), U the mean loss that a batch estimates.

    With step h, noise ε ~ N(0, 1), n rows, and G = 1/(λ + √(running mean of (∇U)²)) for each parameter, in the units of a
    descent's step size:

    ====== ================================================================================================
    sgld   θ ← θ − h ∇U + √(2h/n) ε (Welling and Teh, 2011)
    psgld  θ ← θ − h G ∇U + √(2hG/n) ε (Li et al., 2016)
    sghmc  v ← (1 − a) v − h G ∇U + √(2ahG/n) ε, θ ← θ + v (Chen, Fox and Guestrin, 2014; Springenberg et al., 2016)
    ====== ================================================================================================

    G adapts during burn-in and stays from there on, so that no term is missing for its dependence on θ.

    Args:
        name: which. rows: n.

    Raises:
        ChoiceError: no such sampler.
    """

    def __init__(self, name: str, rows: int) -> None:
        if name not in SAMPLERS:
            hint = nearest(name, SAMPLERS)
            raise ChoiceError(f"There is no sampler called {name!r}.{hint} Known: {', '.join(SAMPLERS)}.")
        self.name, self.rows = name, rows
        self.squares: list[Tensor] = []
        self.momenta: list[Tensor] = []

    def step(self, parameters: list[Tensor], gradients: list[Tensor], size: float, adapt: bool = True) -> None:
        """Move ``parameters`` in place.

        Args:
            gradients: ∇U of each, of the mean loss and prior. size: h. adapt: whether G goes on adapting.
        """
        if not self.squares:
            self.squares = [slope.square() for slope in gradients]
            self.momenta = [torch.zeros_like(slope) for slope in gradients]
        for theta, slope, square, momentum in zip(parameters, gradients, self.squares, self.momenta, strict=True):
            noise = torch.randn_like(theta)
            if self.name == "sgld":
                theta.add_(slope, alpha=-size).add_(noise, alpha=math.sqrt(2 * size / self.rows))
                continue
            if adapt:
                square.mul_(SMOOTHING).addcmul_(slope, slope, value=1 - SMOOTHING)
            scale = size / (REGULARISER + square.sqrt())
            if self.name == "psgld":
                theta.addcmul_(scale, slope, value=-1.0).add_((2 * scale / self.rows).sqrt() * noise)
            else:
                momentum.mul_(1 - FRICTION).addcmul_(scale, slope, value=-1.0)
                momentum.add_((2 * FRICTION * scale / self.rows).sqrt() * noise)
                theta.add_(momentum)


@procedures.register("langevin")
class Langevin(EnsembleDescent):
    """Several chains: each descends to a mode of its own, as the networks of an ensemble do; from there it samples.

    The first half of the sampling is burn-in, in which the preconditioner adapts; of the second half every chain gives equally
    many draws, evenly spread. Steps anneal as h (1 + t/b)^−⅓, b a tenth of the steps: Σ h infinite and ever finer, slower than
    noise dies out (Teh, Thiery and Vollmer, 2016). Convergence is judged by split R̂ and effective draws of the predictions of
    some training rows.

    Args:
        sampler: ``psgld``, ``sgld`` or ``sghmc``. sampling_step: h at the beginning.
        steps: of sampling; None: as many as the descent took, and at least 2,000.
        rows: n, the number of training examples.
    """

    def __init__(
        self,
        *,
        sampler: str = "psgld",
        sampling_step: float = 1e-4,
        steps: int | None = None,
        rows: int,
        **choices: Any,
    ) -> None:
        super().__init__(**choices)
        Sampler(sampler, rows)
        self.sampler, self.sampling_step, self.steps, self.rows = sampler, sampling_step, steps, rows

    def conclude(self, state: State, model: nn.Module, criterion: Criterion, batches: Feed) -> None:
        """Sample, judge the chains, and keep their draws.

        Raises:
            TrainingError: a chain left all bounds.
        """
        assert isinstance(model, Chains)
        steps = max(LEAST_STEPS, state.t) if self.steps is None else self.steps
        each = -(-model.draws // model.members)
        keep = {steps - 1 - (steps // 2) * i // each for i in range(each)}
        followed = max(4, min(200, steps // 2))
        follow = {steps - 1 - (steps // 2) * i // followed for i in range(followed)}
        parameters = [p for p in model.stacks if p.requires_grad]
        sampler = Sampler(self.sampler, self.rows)
        judged = next(iter(batches.epoch(0))).to(parameters[0].device)
        judged = type(judged)({name: value[:JUDGED] for name, value in judged.items()})
        draws, seen = [], []
        # The prior is a term of training, and dropout's noise is none of the sampler's.
        criterion.train()
        model.train()
        quiet = [m for m in model.network.modules() if isinstance(m, nn.Dropout | nn.Dropout1d | nn.Dropout2d)]
        shares = [module.p for module in quiet]
        for module in quiet:
            module.p = 0.0
        for t, batch in enumerate(itertools.islice(_endless(batches), steps)):
            batch = batch.to(parameters[0].device)
            # A mean over chains: times their number, each has the slope of its own loss.
            slopes = torch.autograd.grad(model.members * criterion(model(batch), batch).total, parameters)
            with torch.no_grad():
                size = self.sampling_step * (1.0 + 10.0 * t / steps) ** (-1 / 3)
                sampler.step([p.data for p in parameters], list(slopes), size, adapt=t < steps // 2)
                if t in follow:
                    seen.append(_told(model, judged))
                if t in keep:
                    draws.append(model.flat())
        model.eval()
        criterion.eval()
        for module, share in zip(quiet, shares, strict=True):
            module.p = share
        theta = torch.stack(draws, 1)  # (chains, each, numbers)
        if not bool(theta.isfinite().all()):
            raise TrainingError(
                f"A chain of {self.sampler} left all bounds at sampling_step={self.sampling_step:g}; give a smaller one."
            )
        told = torch.stack(seen, 1)
        r_hat, effective = float(split_r_hat(told).max()), float(effective_draws(told).min())
        if r_hat > CONVERGED:
            warnings.warn(
                f"The {model.members} chains of posterior=langevin disagree in what they predict (split R̂ up to {r_hat:.2f}, where "
                f"{CONVERGED} is wanted): each stayed near the mode that it began from, and the mixture is of local posteriors. "
                "Chains of a network often do; a smaller network, more rows or a larger sampling_step brings them together.",
                stacklevel=2,
            )
        model.fill(theta.transpose(0, 1).flatten(0, 1)[: model.draws], r_hat, effective)

    def describe(self) -> str:
        """The procedure with its step sizes."""
        many = f"as many and at least {LEAST_STEPS:,}" if self.steps is None else f"{self.steps:,}"
        return (
            f"{super().describe()}\nthen {self.sampler} from there, {many} steps from {self.sampling_step:g} annealed as t^−⅓: "
            f"n U(θ) = −log p(θ, data), n = {self.rows:,}"
        )


def _told(model: Chains, batch: Mapping[str, Tensor]) -> Tensor:
    """(chains, numbers) what each chain predicts for some rows."""
    model.eval()
    found = []
    for target in model.targets:
        q: Any = model.apart(batch)[f"y_hat.{target}"]
        value = q.probs[..., 0] if hasattr(q, "probs") and q.probs.dim() > 2 else point(q)
        found.append(value.double().flatten(1))
    model.train()
    return torch.cat(found, 1)


def _endless(batches: Feed) -> Iterator[Batch]:
    """Batches of epochs that training did not have, one after the other."""
    for epoch in itertools.count(2_000_000):
        yield from batches.epoch(epoch)
