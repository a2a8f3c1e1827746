"""Wasserstein's W1, learned by a critic whose slope is held at one."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from trine.divergences._base import Statement, Value
from trine.errors import ChoiceError

from ._base import Dual, between, judge, learned, pair, slope, steepness

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@learned.register("wasserstein")
class Wasserstein(Dual):
    r"""W1(t, p) = sup E v(t) − E v(p) over critics whose slope is at most one.

    ``penalty``: the critic also descends weight · E max(‖∇v‖ − 1, 0)² between the samples (Petzka et al., 2018, one-sided
    after Gulrajani et al., 2017). The slope it ends with is not one: a shift by D under a linear critic has its optimum at
    1 + D/(2 weight), where the bound is D + D²/(2 weight). It is a bound on W1 only as the weight grows.

    ``spectral``: every linear or convolutional layer of the critic is divided by its largest singular value, found by a
    power iteration a step (Miyato et al., 2018), in place. With activations of slope at most one the critic's slope is
    too, and the bound is one on W1 (of a convolution the singular value is that of its kernel as a matrix: its own may be
    larger). Rectifiers lose slope; :class:`MaxMin` keeps it, so that W1 can be reached.

    Its value is no density ratio's: finite and informative where the samples are far apart.

    Args:
        critic: as of :class:`Dual`.
        constraint: ``penalty`` or ``spectral``.
        weight: of the penalty, positive.

    Raises:
        ChoiceError: another constraint, a weight that is not positive, or no layer to divide.
    """

    formula = "W₁({p}, {t}) = sup over ‖∇v‖ ≤ 1 of E v({t}) − E v({p})"
    statement = Statement("samples", symmetric=True, metric="itself", finite_on_disjoint=True, unbiased=True)
    optimum = "Kantorovich's potential"

    def __init__(
        self, critic: nn.Module, constraint: Literal["penalty", "spectral"] = "penalty", weight: float = 10.0
    ) -> None:
        super().__init__(critic)
        if constraint not in ("penalty", "spectral") or not weight > 0:
            raise ChoiceError(
                f"constraint is {constraint!r} and weight {weight}; the constraint is 'penalty' or 'spectral', "
                "the weight positive."
            )
        self.weight = weight if constraint == "penalty" else 0.0
        if constraint == "spectral":
            divide(critic)

    def penalised(self) -> str:
        """The penalty on slopes, or the constraint."""
        if not self.weight:
            return "each layer divided by its largest singular value"
        return f"it also descends {self.weight:g} E relu(‖∇v‖ − 1)² between the sides"

    def on_target(self, value: Tensor) -> Tensor:
        return -value

    def on_predicted(self, value: Tensor) -> Tensor:
        return value

    def descended(self, value: Tensor) -> Tensor:
        return -value

    def tighten(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        fake, real = (side.detach() for side in pair(predicted, target))
        values = super().tighten(fake, real, given)
        if not self.weight:
            return values
        points = between(fake, real)
        return values + self.weight * steepness(slope(judge(self.critic, points, given), points))


def divide(critic: nn.Module) -> None:
    """Spectral normalisation of every layer of ``critic`` that has not got it, in place."""
    layers = [layer for layer in critic.modules() if isinstance(layer, LAYERS)]
    if not layers:
        raise ChoiceError(
            f"The critic {type(critic).__name__} has no linear or convolutional layer to divide by its norm. Choose "
            "constraint='penalty'."
        )
    for layer in layers:
        if not parametrize.is_parametrized(layer, "weight"):
            spectral_norm(layer)


class MaxMin(nn.Module):
    """Neighbouring features, sorted: the rectifier that keeps the gradient's norm (Anil et al., 2019), (..., 2k)."""

    def forward(self, features: Tensor) -> Tensor:
        """(..., 2k) → (..., 2k)."""
        a, b = features.reshape(*features.shape[:-1], -1, 2).unbind(-1)
        return torch.stack([torch.maximum(a, b), torch.minimum(a, b)], -1).flatten(-2)
