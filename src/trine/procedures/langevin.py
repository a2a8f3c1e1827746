"""Langevin dynamics: noise in the steps of descent, so that they sample p(θ given X, Y)."""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trine.criterion import Criterion
from trine.data import Batch
from trine.errors import TrainingError, unknown
from trine.models import Chains
from trine.procedures._base import Feed, State, endless, procedures
from trine.procedures._diagnostics import effective_draws, split_r_hat
from trine.procedures.ensemble import EnsembleDescent
from trine.rules import point

SHARE = {"sghmc": 0.25, "psgld": 0.1, "sgld": 0.1}
"""Sampler → its step to begin with, as a share of the largest stable one."""
LEAST_STEPS = 2000
"""Of sampling, where none are chosen."""
MEASURE = (0.0, 0.05, 0.15, 0.3)
"""When curvature is measured, as shares of the steps; the first half is burn-in."""
SCORES, POWERS = 64, 12
"""Passes for the Fisher information, and iterations for its largest eigenvalue, a measurement."""
CHECK = 10
"""Steps of burn-in between looks whether a chain is within all bounds."""
BOUND = 1e6
"""Of any weight."""
JUDGED = 64
"""Rows whose predictions are followed, to judge convergence."""
CONVERGED = 1.1
"""Largest split R̂ of chains that are taken for converged."""


class Sampler:
    r"""Steps of chains whose iterates come from exp(−n U(θ)), U the mean loss that a batch estimates.

    C is a curvature of U for each parameter, so that 1/(n C) is about a variance of the posterior; ε ~ N(0, 1):

    ====== ================================================================================================
    sgld   θ ← θ − h ∇U/C + √(2h/nC) ε, C the same for all parameters of a chain (Welling and Teh, 2011)
    psgld  the same with C of each parameter, the diagonal of the Fisher information and the prior's precision over n (Ahn,
           Korattikara and Welling, 2012; Li et al., 2016, take its root)
    sghmc  v ← v − h ∇U √(n/C); θ ← θ + ½h v/√nC; v ← e⁻ʰ v + √(1 − e⁻²ʰ) ε; θ ← θ + ½h v/√nC (Chen, Fox and Guestrin, 2014, by
           the splitting BAOAB of Leimkuhler and Matthews, 2013, under which a normal's variance has no error by the step)
    ====== ================================================================================================

    Minibatches heat a chain; but those of an epoch add up to the whole gradient, and over times beyond an epoch their noise
    cancels. So h is at most ½ over the batches of an epoch, the time 1/h in which a chain forgets being longer.

    Args:
        name: which. rows: n. batches: an epoch's.

    Raises:
        ChoiceError: no such sampler.
    """

    def __init__(self, name: str, rows: int, batches: float = 1.0) -> None:
        if name not in SHARE:
            raise unknown("sampler", name, SHARE)
        self.name, self.rows, self.batches = name, rows, batches
        self.curvature: list[Tensor] = []
        self.velocity: list[Tensor] = []
        self.largest = self.caution = torch.ones(())

    def measured(self, curvature: list[Tensor], largest: Tensor) -> None:
        """Take C, of the parameters' shapes, and the largest eigenvalue of ∂²U/C of each chain, (chains,)."""
        self.curvature, self.largest = curvature, largest
        if not self.velocity:
            self.velocity = [torch.randn_like(values) for values in curvature]

    def size(self, share: float) -> Tensor:
        """(chains,) h of each: that share of the largest stable step, and no more than minibatches allow."""
        h = 2.0 * share / (self.largest.sqrt() if self.name == "sghmc" else self.largest)
        return self.caution * h.clamp_max(0.5 / max(self.batches - 1.0, 1e-6))

    def calm(self, rise: float) -> None:
        """Smaller steps for a chain whose momentum is hotter than 1, the sign of a step beyond what is stable; else up to those
        again by a factor of ``rise``. To be called in burn-in: a step that depends on θ would bend the distribution.
        """
        if self.name != "sghmc":
            return
        numbers = sum(v[0].numel() for v in self.velocity)
        heat = _norms(self.velocity).square() / numbers
        hot = ~(heat < 1.1 + 5.0 * (2.0 / numbers) ** 0.5)
        self.caution = torch.where(hot, (0.95 * self.caution).clamp_min(0.05), (rise * self.caution).clamp_max(1.0))
        cold = torch.where(hot, heat.nan_to_num(posinf=1e30).clamp_min(1.0).rsqrt(), 1.0)
        for velocity in self.velocity:
            velocity.mul_(cold.reshape(-1, *(1,) * (velocity.dim() - 1)))

    def step(self, parameters: list[Tensor], gradients: list[Tensor], share: float) -> None:
        """Move ``parameters``, (chains, ...), in place.

        Args:
            gradients: ∇U of each, of the mean loss and prior. share: of the largest stable step.
        """
        sizes = self.size(share)
        for i, (theta, slope) in enumerate(zip(parameters, gradients, strict=True)):
            curvature, noise = self.curvature[i], torch.randn_like(theta)
            h = sizes.to(theta).reshape(-1, *(1,) * (theta.dim() - 1))
            if self.name != "sghmc":
                theta.add_((2.0 * h / (self.rows * curvature)).sqrt() * noise - h * slope / curvature)
                continue
            velocity, keep = self.velocity[i], (-h).exp()
            half = 0.5 * h / (self.rows * curvature).sqrt()
            velocity.sub_(h * slope * (self.rows / curvature).sqrt())
            theta.addcmul_(half, velocity)
            velocity.mul_(keep).addcmul_((1.0 - keep.square()).sqrt(), noise)
            theta.addcmul_(half, velocity)


@procedures.register("langevin")
class Langevin(EnsembleDescent):
    """Several chains: each descends to a mode of its own, as the networks of an ensemble do; from there it samples.

    The first half of the sampling is burn-in, in which curvature is measured four times: the diagonal of the Fisher information
    by scores of drawn labels, and the largest eigenvalue by power iteration on differences of gradients one standard deviation
    apart. Steps are shares of the largest that is stable there, so that none need be tuned, and anneal as h (1 + t/b)^−⅓, b a
    tenth of the steps: Σ h infinite and ever finer, slower than noise dies out (Teh, Thiery and Vollmer, 2016). Of the second
    half every chain gives equally many draws, evenly spread. Convergence is judged by split R̂ and effective draws of the
    predictions of some training rows.

    Args:
        sampler: ``sghmc``, ``psgld`` or ``sgld``. sampling_step: h at the beginning, as a share of the largest stable one.
        steps: of sampling; None: as many as the descent took, and at least 2,000.
        rows: n, the number of training examples. width: standard deviation of the prior of a weight.
    """

    def __init__(
        self,
        *,
        sampler: str = "sghmc",
        sampling_step: float | None = None,
        steps: int | None = None,
        rows: int,
        width: float = 1.0,
        **choices: Any,
    ) -> None:
        super().__init__(**choices)
        Sampler(sampler, rows)
        self.sampler, self.steps, self.rows, self.width = sampler, steps, rows, width
        self.sampling_step = SHARE[sampler] if sampling_step is None else sampling_step

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
        measure = {round(share * steps) for share in MEASURE}
        parameters = [p for p in model.stacks if p.requires_grad]
        values = [p.data for p in parameters]
        sampler = Sampler(self.sampler, self.rows, self.rows / batches.batch_size)
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
        feed = (batch.to(parameters[0].device) for batch in endless(batches))
        safe = [value.clone() for value in model.floating().values()]
        for t in range(steps):
            if t <= steps // 2 and (t % CHECK == 0 or t in measure):
                self._back_to_safety(sampler, model, safe)
            if t in measure:
                self._measure(sampler, model, parameters, criterion, feed, batches.batch_size, steps)
            slopes = _slopes(model, parameters, criterion, next(feed))
            with torch.no_grad():
                sampler.step(values, slopes, self.sampling_step * (1.0 + 10.0 * t / steps) ** (-1 / 3))
                if t < steps // 2:
                    sampler.calm(1.02)
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
                "Chains of a network often do; more sampling_steps, a smaller network or more rows bring them together.",
                stacklevel=2,
            )
        model.fill(theta.transpose(0, 1).flatten(0, 1)[: model.draws], r_hat, effective)

    @staticmethod
    def _back_to_safety(sampler: Sampler, model: Chains, safe: list[Tensor]) -> None:
        """Put a chain that left all bounds where it last was within them, to go on by smaller steps; note where all are now."""
        now = list(model.floating().values())
        lost = torch.stack([~(p.reshape(len(p), -1).abs() < BOUND).all(1) for p in model.stacks]).any(0)
        sampler.caution = torch.where(lost, (0.5 * sampler.caution).clamp_min(0.05), sampler.caution)
        for index in lost.nonzero().flatten().tolist():
            for value, kept in zip(now, safe, strict=True):
                value.data[index] = kept[index]
            for velocity in sampler.velocity:
                velocity[index] = torch.randn_like(velocity[index])
        for value, kept in zip(now, safe, strict=True):
            kept.copy_(value)

    def _measure(
        self,
        sampler: Sampler,
        model: Chains,
        parameters: list[Tensor],
        criterion: Criterion,
        feed: Iterator[Batch],
        batch_size: int,
        steps: int,
    ) -> None:
        """The curvature of U where the chains are."""
        size = min(batch_size, self.rows)
        fisher = [torch.zeros_like(p) for p in parameters]
        passes = max(4, min(SCORES, steps // 8))
        for batch in itertools.islice(feed, passes):
            for total, score in zip(fisher, _scores(model, parameters, batch), strict=True):
                total.addcmul_(score, score, value=size / passes)
        if sampler.curvature and self.sampler != "sgld":
            # The information of a place changes as a chain moves; the posterior has it of all of them.
            fisher = [(new + old) / 2 for new, old in zip(fisher, sampler.curvature, strict=True)]
        least = 1.0 / (self.rows * self.width**2)
        flat = self.sampler == "sgld"
        curvature = [torch.ones_like(found) if flat else found + least for found in fisher]
        direction = [torch.randn_like(p) for p in parameters]
        largest = torch.ones(())
        for _, batch in zip(range(max(2, min(POWERS, steps // 16))), feed, strict=False):
            norm = _norms(direction)
            step = [_over(d, norm) / (self.rows * c).sqrt() for d, c in zip(direction, curvature, strict=True)]
            with _moved(parameters, step, 1.0):
                ahead = _slopes(model, parameters, criterion, batch)
            with _moved(parameters, step, -1.0):
                behind = _slopes(model, parameters, criterion, batch)
            direction = [
                0.5 * (a - b) * (self.rows / c).sqrt() for a, b, c in zip(ahead, behind, curvature, strict=True)
            ]
            largest = _norms(direction).clamp_min(1e-12)
        if flat:
            curvature = [c * largest.reshape(-1, *(1,) * (c.dim() - 1)) for c in curvature]
            largest = torch.ones_like(largest)
        sampler.measured(curvature, largest)

    def describe(self) -> str:
        """The procedure with its step sizes."""
        many = f"as many and at least {LEAST_STEPS:,}" if self.steps is None else f"{self.steps:,}"
        return (
            f"{super().describe()}\nthen {self.sampler} from there, {many} steps from {self.sampling_step:g} of the largest "
            f"stable one, annealed as t^−⅓: n U(θ) = −log p(θ, data), n = {self.rows:,}"
        )


def _slopes(model: Chains, parameters: list[Tensor], criterion: Criterion, batch: Batch) -> list[Tensor]:
    """∇U of each chain on ``batch``: the criterion is a mean over chains, so their number brings back each one's own."""
    loss = model.members * criterion(model(batch), batch).total
    # A parameter may have no part in it, as what stands for pictures that are missing where none is.
    return list(torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True))


def _scores(model: Chains, parameters: list[Tensor], batch: Batch) -> list[Tensor]:
    """The gradient of −log q(y given x, θ), the mean over rows, for y drawn from q: its variance is the Fisher information/rows.

    Where q cannot be drawn from, y are the rows' own.
    """
    outputs: Mapping[str, Any] = model(batch)
    total = torch.zeros(())
    for target in model.targets:
        q = outputs[f"y_hat.{target}"]
        try:
            y = q.sample()
        except NotImplementedError:
            y = batch[f"y.{target}"]
        total = total - q.log_prob(y).mean(-1).sum()
    found = torch.autograd.grad(total, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


@contextlib.contextmanager
def _moved(parameters: list[Tensor], step: list[Tensor], factor: float) -> Iterator[None]:
    """While open, the parameters are a step aside; then they are what they were, to the bit."""
    before = [p.detach().clone() for p in parameters]
    with torch.no_grad():
        torch._foreach_add_([p.data for p in parameters], step, alpha=factor)
    try:
        yield
    finally:
        for p, value in zip(parameters, before, strict=True):
            p.data.copy_(value)


def _norms(parts: list[Tensor]) -> Tensor:
    """(chains,) the length of each chain's vector."""
    return torch.stack([part.reshape(len(part), -1).square().sum(1) for part in parts]).sum(0).sqrt()


def _over(value: Tensor, norm: Tensor) -> Tensor:
    return value / norm.clamp_min(1e-30).reshape(-1, *(1,) * (value.dim() - 1))


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
