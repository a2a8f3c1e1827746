"""The pathwise gradient: through x = g(ε, θ), with ε free of θ."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Distribution, OneHotCategoricalStraightThrough

from ._base import Estimator, Integrand, estimators, values_of
from ._support import base_of


@estimators.register("pathwise")
class Pathwise(Estimator):
    r"""∇ E f = E ∇_θ f(g(ε, θ)), ε ~ p(ε): reparameterised draws; f is differentiable, and its gradient is used.

    Unbiased for f that is continuous, and differentiable almost everywhere. Its variance does not grow with the number
    of dimensions that f adds up.

    References:
        Kingma and Welling, `Auto-Encoding Variational Bayes`, 2014. Rezende et al., `Stochastic Backpropagation`, 2014.
        Figurnov et al., `Implicit Reparameterization Gradients`, 2018 (gamma, beta, Dirichlet, Student).
    """

    needs = "draws that move with θ (rsample), f differentiable"

    def refusal(self, q: Distribution, samples: int) -> str:
        if isinstance(base_of(q), OneHotCategoricalStraightThrough):
            return "its rsample is the straight-through estimate, which is biased. Use straight-through by name."
        return "" if q.has_rsample else "its draws do not move with its parameters. Use score(leave-one-out) or exact."

    def surrogate(self, q: Distribution, f: Integrand, samples: int) -> Tensor:
        return values_of(f, q.rsample((samples,)), q).mean(0)
