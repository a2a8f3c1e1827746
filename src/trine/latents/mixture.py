"""Codes that gather in groups: learned mixtures of normals."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal
from torch.nn.functional import softplus

from trine.divergences import Value
from trine.errors import ChoiceError

from ._base import Latent, latents
from .normal import LOG_SCALE, Gaussian


def parts(name: str, numbers: tuple[float, ...], usual: int) -> int:
    """How many parts a prior called ``name(k)`` has.

    Raises:
        ChoiceError: not one whole number, 1 or more.
    """
    if not numbers:
        return usual
    if len(numbers) != 1 or numbers[0] < 1 or numbers[0] != round(numbers[0]):
        raise ChoiceError(f"code_prior={name}(…) has one whole number, how many parts, e.g. {name}({usual}).")
    return int(numbers[0])


def mixed(logits: Tensor, mean: Tensor, scale: Tensor) -> Distribution:
    """Σ_k w_k N(mean_k, diag scale_k²) from (k,) logits and (k, width) parameters."""
    components = Independent(Normal(mean, scale, validate_args=False), 1, validate_args=False)
    return MixtureSameFamily(Categorical(logits=logits, validate_args=False), components, validate_args=False)


@latents.register("mixture")
class MixtureLatent(Latent):
    """p(z) = Σ_k w_k N(m_k, diag s_k²), learned with the rest by its density at the codes; by default of 10 parts.

    References:
        Dilokthanakul et al., `Deep Unsupervised Clustering with Gaussian Mixture VAEs`, 2016; Jiang et al., `VaDE`, 2017.
    """

    formula = "Σ_k w_k N(m_k, s_k²), learned"

    def __init__(self, features: int, code: int, stochastic: bool, numbers: tuple[float, ...] = ()) -> None:
        super().__init__(features, code, stochastic, numbers)
        k = parts("mixture", numbers, 10)
        if not stochastic:
            raise ChoiceError(
                "A mixture is learned by its density, and shapes that compare codes with draws of the prior teach it nothing: with "
                "code_prior=mixture choose shape=kl, or shape=none, where it is fitted to the codes afterwards."
            )
        self.head = Gaussian(features, code, True)
        self.logits = nn.Parameter(torch.zeros(k))
        self.mean = nn.Parameter(torch.randn(k, code))
        self.raw_scale = nn.Parameter(torch.full((k, code), 0.54))  # softplus gives 1

    def forward(self, features: Tensor) -> tuple[Value, Tensor]:
        found: tuple[Value, Tensor] = self.head(features)
        return found

    def prior(self) -> Distribution:
        return mixed(self.logits, self.mean, softplus(self.raw_scale) + 1e-3)


@latents.register("vamp")
class VampLatent(Latent):
    """p(z) = (1/k) Σ_k q(z given max(u_k, 0)), u_k learned: the prior that the encoder itself would give to k examples; by
    default 100.

    The u_k are learned as features of the encoder, not as x: so they serve x of any domain, categories and texts too, where the
    paper learns pictures. Rectified, they are such features as an encoder gives that ends in a ReLU.

    References:
        Tomczak and Welling, `VAE with a VampPrior`, 2018.
    """

    formula = "1/k Σ_k q(z | max(u_k, 0)), u_k learned"

    def __init__(self, features: int, code: int, stochastic: bool, numbers: tuple[float, ...] = ()) -> None:
        super().__init__(features, code, stochastic, numbers)
        if not stochastic:
            raise ChoiceError("The prior 'vamp' is made of codes that are distributions: choose shape=kl with it.")
        k = parts("vamp", numbers, 100)
        self.head = Gaussian(features, code, True)
        self.examples = nn.Parameter(torch.randn(k, features))

    def forward(self, features: Tensor) -> tuple[Value, Tensor]:
        found: tuple[Value, Tensor] = self.head(features)
        return found

    def prior(self) -> Distribution:
        mean, log_scale = self.head.linear(torch.relu(self.examples)).chunk(2, -1)
        return mixed(torch.zeros_like(mean[:, 0]), mean, log_scale.clamp(*LOG_SCALE).exp())
