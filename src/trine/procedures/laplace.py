"""Laplace's approximation: a normal about a mode of p(θ given X, Y), by its curvature there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from trine.criterion import Criterion
from trine.models import Draws
from trine.procedures._base import Feed, State, procedures
from trine.procedures._curvature import Factors, kronecker, last_layer, linear_of, rules_of
from trine.procedures.descent import Descent


@procedures.register("laplace")
class Laplace(Descent):
    r"""Descent to a mode θ\*; there, p(θ given X, Y) ≈ N(θ\*, (H + δ)⁻¹).

    H is the generalised Gauss-Newton matrix of −log p(Y given X, θ), a sum over the training rows, so that their number
    enters once; δ the precision of the prior N(0, 1/δ) of the weights. Without a chosen prior, δ of each layer is that of the
    normal under which weights of the size found are likeliest, number/‖θ\*‖². (MacKay's fixed point γ/‖θ\*‖², with γ the number of
    weights that the data determine, falls to 0 where a network separates its rows, as they seem to determine none then.)

    Args:
        curvature: ``last``: the last linear map of each decision rule, its H in full; ``kron``: every linear and convolutional
            layer, each H as a Kronecker product.
        precision: δ; None finds it.

    References:
        MacKay, `A Practical Bayesian Framework for Backpropagation Networks`, 1992. Ritter, Botev and Barber, `A Scalable
        Laplace Approximation for Neural Networks`, 2018. Daxberger et al., `Laplace Redux`, 2021, arXiv 2106.14806.
    """

    def __init__(self, *, curvature: str = "last", prior_precision: float | None = None, **choices: Any) -> None:
        super().__init__(**choices)
        self.curvature, self.prior_precision = curvature, prior_precision

    def conclude(self, state: State, model: nn.Module, criterion: Criterion, batches: Feed) -> None:
        """Measure the curvature over the training rows and draw θ's."""
        assert isinstance(model, Draws)
        network = model.base
        device = next(network.parameters()).device
        feed = (batch.to(device) for batch in batches.epoch(0))
        own = network.state_dict()
        drawn = {name: own[name].expand(model.draws, *own[name].shape).clone() for name in model.names}
        if self.curvature == "last":
            blocks, _ = last_layer(network, feed)
            layers = {target: linear_of(rule) for target, rule in rules_of(network).items()}
            thetas = {
                target: draw_full(block, matrix_of(layers[target]), model.draws, self.prior_precision)
                for target, block in blocks.items()
            }
        else:
            layers = {name: module for name, module in network.named_modules() if factored(module)}
            factors, _ = kronecker(network, layers, feed)
            thetas = {
                name: draw_factored(found, matrix_of(layers[name]), model.draws, self.prior_precision)
                for name, found in factors.items()
            }
        names = {id(module): name for name, module in network.named_modules()}
        for key, theta in thetas.items():
            prefix = names[id(layers[key])]
            weight = layers[key].weight
            inputs = weight[0].numel()
            drawn[f"{prefix}.weight"] = theta[..., :inputs].reshape(model.draws, *weight.shape)
            if layers[key].bias is not None:
                drawn[f"{prefix}.bias"] = theta[..., inputs]
        model.fill(torch.cat([drawn[name].flatten(1).to(model.theta) for name in model.names], 1))

    def describe(self) -> str:
        """The procedure with its step sizes."""
        what = "the last linear map" if self.curvature == "last" else "every linear and convolutional layer, factored"
        prior = "δ from the size of the weights" if self.prior_precision is None else f"δ = {self.prior_precision:.3g}"
        return (
            f"{super().describe()}\nthen p(θ | data) ≈ N(θ*, (H + δ)⁻¹), H the Gauss-Newton matrix of {what}, {prior}"
        )


def factored(module: nn.Module) -> bool:
    """Whether a layer has a Kronecker-factored block: linear, or a convolution of pictures in one group."""
    plain = isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)
    return plain and bool(module.weight.requires_grad) and not isinstance(getattr(module, "padding", None), str)


def matrix_of(layer: nn.Linear | nn.Conv2d | nn.Module) -> Tensor:
    """(out, in [+ 1]) float64: the layer's weights, a bias being the last column."""
    weight = layer.weight.detach().flatten(1).double()  # type: ignore[operator]
    bias = layer.bias
    return weight if bias is None else torch.cat([weight, bias.detach().double().unsqueeze(1)], 1)  # type: ignore[operator]


def draw_full(curve: Tensor, mean: Tensor, draws: int, precision: float | None) -> Tensor:
    """(draws, out, in) from N(mean, (curve + δ)⁻¹); ``curve`` (out·in, out·in) float64, ``mean`` (out, in)."""
    values, vectors = torch.linalg.eigh(curve)
    delta = likeliest(mean) if precision is None else precision
    noise = torch.randn(draws, mean.numel(), dtype=torch.float64, device=mean.device)
    drawn: Tensor = mean + ((noise / (values.clamp_min(0.0) + delta).sqrt()) @ vectors.mT).view(draws, *mean.shape)
    return drawn


def draw_factored(factors: Factors, mean: Tensor, draws: int, precision: float | None) -> Tensor:
    """(draws, out, in) from N(mean, (slopes ⊗ inputs + δ)⁻¹)."""
    a, inputs = torch.linalg.eigh(factors.inputs)
    g, slopes = torch.linalg.eigh(factors.slopes)
    values = g.clamp_min(0.0).unsqueeze(1) * a.clamp_min(0.0)  # (out, in)
    delta = likeliest(mean) if precision is None else precision
    noise = torch.randn(draws, *mean.shape, dtype=torch.float64, device=mean.device)
    drawn: Tensor = mean + slopes @ (noise / (values + delta).sqrt()) @ inputs.mT
    return drawn


def likeliest(mean: Tensor) -> float:
    """The precision of the centred normal under which the weights ``mean`` are likeliest."""
    return mean.numel() / float(mean.square().sum().clamp_min(1e-12))
