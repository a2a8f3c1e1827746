"""Biased gradients of discrete values: relax them, or look through the step that made them discrete."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Distribution

from trine.errors import ChoiceError

from ._base import Estimator, Integrand, estimators, number, positive, values_of
from ._support import relaxable, why_not_relaxed


@estimators.register("gumbel-softmax")
class GumbelSoftmax(Estimator):
    r"""∇ E f(softmax((logits + Gumbel)/τ)): the pathwise gradient of a relaxed expectation.

    Biased: it is the gradient of another expectation, over the inside of the simplex, where f must be defined. The bias
    goes to 0 with the temperature τ, while the variance grows without bound. Its value is that of the relaxed
    expectation too; without gradients (validation) it is that of hard draws.

    Args:
        temperature: τ > 0.

    References:
        Jang et al., `Categorical Reparameterization with Gumbel-Softmax`, 2017. Maddison et al., `The Concrete
        Distribution`, 2017.
    """

    unbiased = False
    needs = "Bernoulli or one-hot values, f differentiable between them"

    def __init__(self, temperature: float = 0.5) -> None:
        super().__init__()
        self.temperature = positive(temperature, "temperature")

    @classmethod
    def of(cls, argument: str | None, like: Distribution | None) -> GumbelSoftmax:
        return cls(number(argument, 0.5, "temperature"))

    def __str__(self) -> str:
        return f"gumbel-softmax({self.temperature:g})"

    def refusal(self, q: Distribution, samples: int) -> str:
        return why_not_relaxed(q)

    def surrogate(self, q: Distribution, f: Integrand, samples: int) -> Tensor:
        sites = relaxable(q)
        assert sites is not None
        z = sites.logits + sites.noise(samples)
        x = sites.soft(z, self.temperature) if z.requires_grad else sites.hard(z)
        return values_of(f, x, q).mean(0)


@estimators.register("straight-through")
class StraightThrough(Estimator):
    r"""Hard draws forwards; backwards as if the draw had been a smooth function of the logits.

    ``mean`` takes the gradient of the probabilities (Bengio et al.), a temperature that of the Gumbel-softmax value of
    the same noise (ST-Gumbel). Biased, except ``mean`` where f is linear; f sees only hard values, and its value is unbiased.

    Args:
        through: ``"mean"``, or a temperature τ > 0.

    References:
        Bengio et al., `Estimating or Propagating Gradients Through Stochastic Neurons`, 2013. Jang et al., 2017, 2.2.
    """

    unbiased = False
    needs = "Bernoulli or one-hot values, f differentiable at them"

    def __init__(self, through: str | float = "mean") -> None:
        super().__init__()
        if isinstance(through, str) and through != "mean":
            raise ChoiceError(f"through is {through!r}; it is 'mean' or a temperature.")
        self.through = through if isinstance(through, str) else positive(through, "temperature")

    @classmethod
    def of(cls, argument: str | None, like: Distribution | None) -> StraightThrough:
        return cls("mean" if argument in (None, "mean") else number(argument, 0.5, "temperature"))

    def __str__(self) -> str:
        return "straight-through" if self.through == "mean" else f"straight-through({self.through:g})"

    def refusal(self, q: Distribution, samples: int) -> str:
        return why_not_relaxed(q)

    def surrogate(self, q: Distribution, f: Integrand, samples: int) -> Tensor:
        sites = relaxable(q)
        assert sites is not None
        z = sites.logits + sites.noise(samples)
        smooth = sites.soft(sites.logits, 1.0) if isinstance(self.through, str) else sites.soft(z, self.through)
        return values_of(f, sites.hard(z) + (smooth - smooth.detach()), q).mean(0)
