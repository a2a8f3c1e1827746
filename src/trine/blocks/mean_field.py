"""Layers whose weights are independent normals, trained by their means and scales: mean-field variational inference.

References:
    Blundell et al., `Weight Uncertainty in Neural Networks`, 2015, arXiv 1505.05424. Kingma, Salimans and Welling, `Variational
    Dropout and the Local Reparameterization Trick`, 2015, arXiv 1506.02557 (noise drawn for the outputs, row by row, whose
    gradient varies far less than that of noise drawn for the weights).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn.functional import linear, softplus

START = 0.02
"""Scale of each weight to begin with: small against usual weights, so that training starts as that of one θ does."""
LEAST = 1e-16
"""Keeps the root of an output's variance differentiable where all inputs are 0."""


class MeanField(nn.Module):
    """What the layers share: ``weight`` and ``bias`` are means; ``rho`` and ``bias_rho`` give scales by softplus."""

    weight: Any
    bias: Any
    rho: nn.Parameter
    bias_rho: nn.Parameter | None

    def take(self, layer: nn.Linear | nn.Conv1d | nn.Conv2d, scale: float) -> None:
        """The means of ``layer``, and scales to begin with."""
        start = scale + math.log(-math.expm1(-scale))
        self.weight = nn.Parameter(layer.weight.detach().clone())
        self.rho = nn.Parameter(torch.full_like(self.weight, start))
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach().clone())
        self.bias_rho = None if self.bias is None else nn.Parameter(torch.full_like(self.bias, start))

    def variances(self) -> tuple[Tensor, Tensor | None]:
        """Of weights and biases."""
        return softplus(self.rho).square(), None if self.bias_rho is None else softplus(self.bias_rho).square()

    def posterior(self) -> list[tuple[Tensor, Tensor]]:
        """(mean, scale) of the weights and of the biases."""
        found: list[tuple[Tensor, Tensor]] = [(self.weight, softplus(self.rho))]
        if self.bias is not None and self.bias_rho is not None:
            found.append((self.bias, softplus(self.bias_rho)))
        return found


def _noisy(mean: Tensor, variance: Tensor) -> Tensor:
    return mean + (variance + LEAST).sqrt() * torch.randn_like(mean)


class MeanFieldLinear(nn.Linear, MeanField):
    """A linear map with independent normal weights; in evaluation that of the means."""

    def __init__(self, layer: nn.Linear, scale: float) -> None:
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None)
        self.take(layer, scale)

    def forward(self, x: Tensor) -> Tensor:
        mean = linear(x, self.weight, self.bias)
        return _noisy(mean, linear(x.square(), *self.variances())) if self.training else mean


class _MeanFieldConvolution(MeanField):
    """What convolutions share, whatever they go over."""

    _conv_forward: Any

    def __init__(self, layer: Any, scale: float) -> None:
        form = (layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.groups, layer.bias is not None)
        super().__init__(layer.in_channels, layer.out_channels, *form)
        self.take(layer, scale)

    def forward(self, x: Tensor) -> Tensor:
        mean: Tensor = self._conv_forward(x, self.weight, self.bias)
        return _noisy(mean, self._conv_forward(x.square(), *self.variances())) if self.training else mean


class MeanFieldConv2d(_MeanFieldConvolution, nn.Conv2d):
    """A two-dimensional convolution with independent normal weights; in evaluation that of the means."""


class MeanFieldConv1d(_MeanFieldConvolution, nn.Conv1d):
    """A convolution over time with independent normal weights; in evaluation that of the means."""


KINDS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: MeanFieldLinear,
    nn.Conv2d: MeanFieldConv2d,
    nn.Conv1d: MeanFieldConv1d,
}


def mean_field(network: nn.Module, scale: float = START) -> list[str]:
    """Replace each linear and convolutional layer of ``network`` by one of independent normal weights, in place.

    Layers of another type, embeddings and gains of norms keep one value each.

    Args:
        scale: of each weight, to begin with.

    Returns:
        Names of the layers that were replaced.
    """
    replaced = []
    for name, module in list(network.named_modules()):
        kind = KINDS.get(type(module))
        padding = getattr(module, "padding_mode", "zeros")
        if kind is None or padding != "zeros" or not module.weight.requires_grad:
            continue
        parent, _, last = name.rpartition(".")
        setattr(network.get_submodule(parent), last, kind(module, scale))
        replaced.append(name)
    return replaced


def weight_posterior(network: nn.Module) -> Normal:
    """q(θ) of all mean-field weights, end to end: batch shape (numbers,)."""
    parts = [part for module in network.modules() if isinstance(module, MeanField) for part in module.posterior()]
    means, scales = zip(*parts, strict=True)
    return Normal(
        torch.cat([mean.flatten() for mean in means]),
        torch.cat([scale.flatten() for scale in scales]),
        validate_args=False,
    )
