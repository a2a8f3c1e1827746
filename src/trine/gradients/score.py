"""The score-function gradient, REINFORCE, and its baselines."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from trine.errors import ChoiceError, nearest

from ._base import Estimator, Integrand, estimators, features_of, values_of
from ._support import moves

BASELINES = ("none", "mean", "leave-one-out", "learned")
DECAY = 0.9
"""Of the running mean of f, a call."""


@estimators.register("score")
class Score(Estimator):
    r"""∇ E f = E [(f(x) − b) ∇ log q(x | θ)] + E ∇_θ f(x): of f only its values are used, of q only its log-density.

    It serves any f, and any q whose support stays where it is (a uniform's moves with θ). Its variance is that of f times
    that of the score, which grows with the dimension; a baseline b that does not depend on x leaves it unbiased and takes
    out the part of f that is common to all draws:

    - ``none``: b = 0.
    - ``mean``: the mean of f over earlier calls, with a decay.
    - ``leave-one-out``: for each draw the mean of f over the other ones (samples ≥ 2).
    - ``learned``: b(parameters of q), a small network that learns f's mean by squared error, in the same step.
    - a number: that number.

    Args:
        baseline: one of these.
        features: numbers that parametrise one element of q's batch; ``learned`` alone needs it.
        width: hidden units of the learned baseline.

    References:
        Williams, `Simple Statistical Gradient-Following Algorithms`, 1992. Mnih and Gregor, `Neural Variational
        Inference and Learning`, 2014 (learned). Kool et al., `Buy 4 REINFORCE Samples, Get a Baseline for Free!`, 2019.
    """

    needs = "log q(x) differentiable in θ, on a support that does not move; f of any kind"
    average: Tensor
    calls: Tensor

    def __init__(self, baseline: str | float = "none", features: int | None = None, width: int = 32) -> None:
        super().__init__()
        if isinstance(baseline, str) and baseline not in BASELINES:
            hint = nearest(baseline, BASELINES)
            raise ChoiceError(f"There is no baseline {baseline!r}.{hint} Known: {', '.join(BASELINES)}, or a number.")
        self.baseline = baseline
        self.register_buffer("average", torch.zeros(()))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.net: nn.Module | None = None
        if baseline == "learned":
            if not features:
                raise ChoiceError("A learned baseline needs features=, the number of parameters of one element of q.")
            self.net = nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, 1))

    @classmethod
    def of(cls, argument: str | None, like: Distribution | None) -> Score:
        if argument == "learned":
            if like is None:
                raise ChoiceError("a learned baseline takes its size from a distribution; give like=q.")
            made = cls("learned", features_of(like).shape[-1])
            return made.to(features_of(like).dtype)
        try:
            return cls(float(argument or "none"))
        except ValueError:
            return cls(argument or "none")

    def __str__(self) -> str:
        return "score" if self.baseline == "none" else f"score({self.baseline})"

    def refusal(self, q: Distribution, samples: int) -> str:
        if self.baseline == "leave-one-out" and samples < 2:
            return "one draw leaves no other one to take the mean of. Give samples=2 or more, or use score(mean)."
        if moves(q):
            return "its support moves with its parameters, which log q(x) does not see. Use pathwise."
        return ""

    def surrogate(self, q: Distribution, f: Integrand, samples: int) -> Tensor:
        with torch.no_grad():
            x = q.sample((samples,))
        values = values_of(f, x, q)
        if not torch.is_grad_enabled():
            return values.mean(0)
        known, log_q = values.detach(), q.log_prob(x)
        b, lesson = self._baseline(q, known)
        credit = (known - b) * (log_q - log_q.detach())
        estimate: Tensor = (values + credit).mean(0) + lesson
        return estimate

    def _baseline(self, q: Distribution, f: Tensor) -> tuple[Any, Any]:
        """The baseline for each draw, and the surrogate of what it learns: 0 in value."""
        if not isinstance(self.baseline, str):
            return self.baseline, 0.0
        if self.baseline == "leave-one-out":
            return (f.sum(0) - f) / (len(f) - 1), 0.0
        if self.baseline == "mean":
            b = self.average.to(f, copy=True)
            if self.training:
                decay = min(DECAY, 1 - 1 / (1 + int(self.calls)))
                self.average.lerp_(f.mean().to(self.average), 1 - decay)
                self.calls += 1
            return b, 0.0
        if self.net is None:
            return 0.0, 0.0
        told: Tensor = self.net(features_of(q).to(next(self.net.parameters()).dtype)).squeeze(-1).to(f.dtype)
        loss = 0.5 * (f - told).square().mean(0)
        return told.detach(), loss - loss.detach()
