"""Real → logistic: between the squared error and the absolute one."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.distributions.utils import broadcast_all
from torch.nn.functional import softplus

from trine.domains import Real

from ._base import Linear, Rule, rules
from ._links import Head, inverse_softplus, positive, spread
from ._units import affine


class Logistic(Distribution):
    """The logistic distribution, F(y) = σ((y − loc)/scale), in the manner of ``torch.distributions``, which has none.

    Args:
        loc: mean and median. scale: positive; the standard deviation is π/√3 of it.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # noqa: RUF012
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Tensor | float, scale: Tensor | float, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Distribution:
        new = self._get_checked_instance(Logistic, _instance)  # type: ignore[no-untyped-call]
        shape = torch.Size(batch_shape)
        new.loc, new.scale = self.loc.expand(shape), self.scale.expand(shape)
        Distribution.__init__(new, shape, validate_args=False)
        new._validate_args = self._validate_args
        expanded: Distribution = new
        return expanded

    @property
    def mean(self) -> Tensor:
        """E Y."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The likeliest value."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """Var Y."""
        return self.scale**2 * (math.pi**2 / 3)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Samples with a gradient."""
        shape = self._extended_shape(torch.Size(sample_shape))
        uniform = torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device)
        limits = torch.finfo(self.loc.dtype)
        return self.loc + self.scale * torch.logit(uniform.clamp(limits.tiny, 1 - limits.eps / 2))

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        z = (value - self.loc) / self.scale
        return -softplus(z) - softplus(-z) - self.scale.log()

    def cdf(self, value: Tensor) -> Tensor:
        """P(Y ≤ value)."""
        return torch.sigmoid((value - self.loc) / self.scale)

    def icdf(self, value: Tensor) -> Tensor:
        """The quantile at probability ``value``."""
        return self.loc + self.scale * torch.logit(value)

    def entropy(self) -> Tensor:
        """In nats."""
        return self.scale.log() + 2.0


@affine.register
def _(q: Logistic, shift: float | Tensor, factor: float | Tensor) -> Distribution:
    return Logistic(shift + factor * q.loc, factor * q.scale, validate_args=False)


@rules.register("logistic")
class LogisticRule(Rule):
    r"""q(y given x) = Logistic(location(z), scale(z)), location linear and scale by softplus.

    .. math:: -\log q(y) = \log s + \log(1 + e^{(y - m)/s}) + \log(1 + e^{(m - y)/s})
    """

    serves = (Real,)
    formula = "linear, softplus → Logistic(location, scale)"
    identity = "2 log cosh((y − location) / (2 scale)) + log scale: squared error near, absolute error far out"

    def __init__(self, features: int, domain: Real, linear: Linear = nn.Linear) -> None:
        super().__init__(features, domain, linear)
        self.unit = spread(domain.std) * math.sqrt(3.0) / math.pi
        self.head = Head(features, [domain.mean, inverse_softplus(1.0)], linear)

    def forward(self, features: Tensor) -> Logistic:
        location, scale = self.head(features).unbind(-1)
        return Logistic(location, self.unit * positive(scale, low=-9.0), validate_args=False)
