"""Dense layers: linear maps and nonlinearities, with normalisation and residual paths by choice."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from .activations import activation_for
from .initialisation import Scheme, init_linear, scheme_for
from .normalisation import normalization_for


class Nonlinearity(nn.Module):
    """Normalisation, φ and dropout in this order, or φ, dropout and normalisation: (..., features) → the same."""

    def __init__(self, features: int, activation: str, normalization: str, dropout: float, *, norm_last: bool) -> None:
        super().__init__()
        self.norm = normalization_for(normalization, features) if normalization != "none" else None
        self.activation = activation_for(activation)
        self.dropout = nn.Dropout(dropout) if dropout else None
        self.norm_last = norm_last

    def forward(self, a: Tensor) -> Tensor:
        if self.norm is not None and not self.norm_last:
            a = self.norm(a)
        h = self.activation(a)
        if self.dropout is not None:
            h = self.dropout(h)
        if self.norm is not None and self.norm_last:
            h = self.norm(h)
        return h


class DenseLayer(nn.Module):
    """One map of a stack, from pre-activations to pre-activations: a ↦ [a +] W ψ(a) + b, then a norm in one order.

    Args:
        nonlinearity: ψ: activation with dropout, and normalisation where the order has it inside.
        linear: W, b.
        residual: whether a is added (equal widths).
        norm: applied to the sum, for the residual path with post-normalisation.
    """

    is_layer: ClassVar[bool] = True

    def __init__(
        self, nonlinearity: nn.Module, linear: nn.Linear, residual: bool = False, norm: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.nonlinearity = nonlinearity
        self.linear = linear
        self.residual = residual
        self.norm = norm

    def forward(self, a: Tensor) -> Tensor:
        out: Tensor = self.linear(self.nonlinearity(a))
        if self.residual:
            out = a + out
        if self.norm is not None:
            out = self.norm(out)
        return out


class Dense(nn.Module):
    """A stack of dense layers, (..., features_in) → (..., features).

    With pre-activations a₁ = W₁ x and output h_L, a layer is, for φ the activation (dropout follows it) and N the norm,

    ================  =============================  ===================
    choice            next pre-activation            output
    ================  =============================  ===================
    post-norm         W φ(N a)                       φ(N a_L)
    pre-norm          W N φ(a)                       φ(a_L)
    residual, pre     a + W φ(N a) / √L              φ(N a_L)
    residual, post    N(a + W φ(a) / √L)             φ(a_L)
    ================  =============================  ===================

    where the factor 1/√L (L residual layers) is in the initial weights only and keeps the variance of the sum bounded
    at any depth (Radford et al., `Language Models are Unsupervised Multitask Learners`, 2019, section 2.3; the orders:
    He et al., `Identity Mappings in Deep Residual Networks`, 2016). A residual path joins layers of equal width; where
    the width changes, the layer is the plain one. Without a residual path, a norm that subtracts a mean after a
    rectifier makes gradients grow by about 1.2 a layer (Yang et al., `A Mean Field Theory of Batch Normalization`,
    2019): deep stacks want the path. Inputs are expected to have second moment one; so have outputs, at initialisation.

    Args:
        features_in: width of the input.
        hidden: widths of the layers; none makes the identity.
        activation: name in ``activations``.
        normalization: ``none``, ``layer``, ``batch`` or ``rms``, over the last dimension.
        prenorm: whether the norm stands right before the linear map or residual branch.
        residual: whether layers of equal width add their input.
        dropout: share of units zeroed while training, in [0, 1).

    Raises:
        ChoiceError: an unknown activation or normalisation.
    """

    def __init__(
        self,
        features_in: int,
        hidden: Sequence[int],
        activation: str = "relu",
        normalization: str = "none",
        prenorm: bool = False,
        residual: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.features = hidden[-1] if hidden else features_in
        self.widths = (features_in, *hidden)
        self.words = [
            activation,
            *([] if normalization == "none" else [("pre" if prenorm else "post") + f"-norm {normalization}"]),
        ]
        self.words += ["residual"] * residual + [f"dropout {dropout:g}"] * bool(dropout)
        self.layers = nn.Sequential()
        if not hidden:
            return
        normed = normalization != "none"
        scheme = scheme_for(activation, depth=len(hidden), plain=not residual and not normed)
        joined = [residual and width == before for before, width in itertools.pairwise(hidden)]
        branch = 1.0 / math.sqrt(max(sum(joined), 1))
        sums_normed = residual and normed and not prenorm
        inside = "none" if sums_normed else normalization

        first = nn.Linear(features_in, hidden[0])
        init_linear(first, "linear", Scheme(_first(scheme, activation)))
        self.layers.append(
            first if not sums_normed else nn.Sequential(first, normalization_for(normalization, hidden[0]))
        )
        for before, width, joins in zip(hidden[:-1], hidden[1:], joined, strict=True):
            linear = nn.Linear(before, width)
            init_linear(linear, activation, scheme, scale=branch if joins else 1.0)
            nonlinearity = Nonlinearity(before, activation, inside, dropout, norm_last=prenorm and not residual)
            norm = normalization_for(normalization, width) if sums_normed else None
            self.layers.append(DenseLayer(nonlinearity, linear, joins, norm))
        last = "none" if prenorm and not residual else inside
        self.layers.append(Nonlinearity(hidden[-1], activation, last, dropout, norm_last=False))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out

    def title(self) -> str:
        """The row of the derivation, e.g. ``dense 8 → 256 → 256, relu``; equal widths in a row are counted; empty
        where there are no layers.
        """
        if len(self.widths) == 1:
            return ""  # no layers: it passes its input on
        runs = [(width, len(list(run))) for width, run in itertools.groupby(self.widths[1:])]
        path = [
            str(width) if count < 4 else f"{width} × {count}"
            for width, count in runs
            for _ in range(count if count < 4 else 1)
        ]
        return f"dense {' → '.join([str(self.widths[0]), *path])}, {', '.join(self.words)}"


def _first(scheme: Scheme, activation: str) -> float:
    """C_W of the first map: its inputs have second moment one, as activations have in the scheme of the gain."""
    return scheme.weight if scheme.first is None else scheme.first
