"""The exact gradient: the sum over a finite support."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Distribution

from ._base import Estimator, Integrand, estimators, values_of
from ._support import MOST, points, support


@estimators.register("exact")
class Exact(Estimator):
    """∇ Σ_x q(x | θ) f(x): every value is gone through, no draw is made, ``samples`` has no effect."""

    needs = f"a finite support of at most {MOST:,} points"

    def refusal(self, q: Distribution, samples: int) -> str:
        size = points(q)
        if size <= MOST:
            return ""
        why = f"its support has {size:,.0f} points" if size < 1e15 else "its support is not finite, or far too large"
        return f"{why}, and at most {MOST:,} are gone through. Use score(leave-one-out), rebar or pathwise."

    def surrogate(self, q: Distribution, f: Integrand, samples: int) -> Tensor:
        x = support(q)
        return (q.log_prob(x).exp() * values_of(f, x, q)).sum(0)
