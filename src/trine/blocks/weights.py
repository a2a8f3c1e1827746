"""Which of a network's parameters are weights."""

from __future__ import annotations

from torch import Tensor, nn


def decays(name: str, parameter: Tensor) -> bool:
    """Whether a parameter is a weight, which a decay or a prior draws to 0: matrices and filters, not biases, gains and other
    lists of numbers.
    """
    gain = parameter.dim() < 2 or (parameter.dim() > 2 and parameter.numel() == parameter.shape[0])
    return not gain and not name.endswith("bias")


def weights(network: nn.Module) -> tuple[str, ...]:
    """Names of all weights that move."""
    return tuple(name for name, p in network.named_parameters() if p.requires_grad and decays(name, p))
