"""Codes towards the standard normal."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from trine.divergences import Value
from trine.errors import ChoiceError

from ._base import Latent, latents

LOG_SCALE = (-7.0, 3.0)
"""Bounds of the logarithm of a code's scale: beyond, neither the divergence nor a gradient is of use."""


class Gaussian(nn.Module):
    """Features → q(z given x) = N(μ, diag σ²), or μ alone: (batch, features) → (code, z) as :class:`Latent` has it.

    Args:
        features: width of what comes in. code: numbers in μ. stochastic: whether there is a σ.
    """

    def __init__(self, features: int, code: int, stochastic: bool) -> None:
        super().__init__()
        self.stochastic = stochastic
        self.linear = nn.Linear(features, code * (1 + stochastic))
        nn.init.xavier_uniform_(self.linear.weight[:code])
        nn.init.zeros_(self.linear.bias)
        if stochastic:  # σ starts near 1 for every x
            nn.init.xavier_uniform_(self.linear.weight[code:], gain=0.1)

    def forward(self, features: Tensor) -> tuple[Value, Tensor]:
        raw = self.linear(features)
        if not self.stochastic:
            return raw, raw
        location, log_scale = raw.chunk(2, -1)
        scale = log_scale.clamp(*LOG_SCALE).exp()
        code = Independent(Normal(location, scale, validate_args=False), 1, validate_args=False)
        return code, location + scale * torch.randn_like(location) if self.training else location


@latents.register("normal")
class NormalLatent(Latent):
    """p(z) = N(0, I); q(z given x) a normal with a diagonal covariance (Kingma and Welling, 2014)."""

    formula = "N(0, I)"

    zero: Tensor
    one: Tensor

    def __init__(self, features: int, code: int, stochastic: bool, numbers: tuple[float, ...] = ()) -> None:
        super().__init__(features, code, stochastic, numbers)
        if numbers:
            raise ChoiceError("The prior 'normal' is N(0, I) and has no numbers: code_prior=normal.")
        self.head = Gaussian(features, code, stochastic)
        self.register_buffer("zero", torch.zeros(code), persistent=False)
        self.register_buffer("one", torch.ones(code), persistent=False)

    def forward(self, features: Tensor) -> tuple[Value, Tensor]:
        found: tuple[Value, Tensor] = self.head(features)
        return found

    def prior(self) -> Distribution:
        return Independent(Normal(self.zero, self.one, validate_args=False), 1, validate_args=False)


class AfterwardsLatent(NormalLatent):
    """Codes that nothing shapes: numbers, to which a mixture of normals is fitted once training is over (the estimator does)."""

    formula = "Σ_k w_k N(m_k, S_k), fitted to the codes afterwards"
