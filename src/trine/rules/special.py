"""Incomplete gamma and beta functions and Student's distribution function, differentiable in every argument.

PyTorch has no derivative of the incomplete gamma function in its shape (and computes it to 1e-10, far less for small
shapes), and neither an incomplete beta function nor Student's distribution function. Values are SciPy's, in float64 on
the CPU, returned in the dtype and on the device of the arguments. The derivative in the upper limit is the density. The
derivative in a shape a is the central difference of the function itself, (F(a(1 + h)) − F(a(1 − h))) / (2 a h) with
h = 1e-5: its truncation and rounding errors stay below 1e-5 of the derivative's scale for shapes up to 1e4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import scipy.special
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

STEP = 1e-5
_TINY = torch.finfo(torch.float64).tiny

Function = Callable[..., Tensor]


def gammainc(a: Tensor, x: Tensor) -> Tensor:
    """Regularised lower incomplete gamma function P(a, x), the distribution function at x of Gamma(a, 1).

    Args:
        a: shape, positive.
        x: upper limit; below 0 the value is 0. They broadcast.
    """
    return _apply(_Gammainc, a, x)


def betainc(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """Regularised incomplete beta function I_x(a, b), the distribution function at x of Beta(a, b).

    Args:
        a: first shape, positive.
        b: second shape, positive.
        x: upper limit, clamped to [0, 1]. They broadcast.
    """
    return _apply(_Betainc, a, b, x)


def stdtr(df: Tensor, t: Tensor) -> Tensor:
    """Distribution function at t of the standard Student distribution with ``df`` > 0 degrees of freedom."""
    return _apply(_Stdtr, df, t)


def lbeta(a: Tensor, b: Tensor) -> Tensor:
    """Logarithm of the beta function B(a, b)."""
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)


def scipy_elementwise(function: Callable[..., Any], *args: Tensor) -> Tensor:
    """A SciPy function of tensors, in float64 on the CPU and back on the device; it has no derivative."""
    values = function(*(arg.detach().cpu().double().numpy() for arg in args))
    return torch.as_tensor(values, dtype=torch.float64, device=args[0].device)


def _apply(function: type[_Shaped], *args: Tensor) -> Tensor:
    dtype = torch.result_type(args[0], args[-1])
    value: Tensor = function.apply(*torch.broadcast_tensors(*(arg.double() for arg in args)))  # type: ignore[no-untyped-call]
    return value.to(dtype)


class _Shaped(torch.autograd.Function):
    """F(shapes..., x), element by element, with the density as slope in x and central differences in the shapes."""

    @staticmethod
    def value(*args: Tensor) -> Tensor:
        raise NotImplementedError

    @staticmethod
    def slope(*args: Tensor) -> Tensor:
        raise NotImplementedError

    @classmethod
    def differentiate(cls, ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        args = ctx.saved_tensors
        grads: list[Tensor | None] = []
        for i, shape in enumerate(args[:-1]):
            if not ctx.needs_input_grad[i]:
                grads.append(None)
                continue
            above = cls.value(*args[:i], shape * (1 + STEP), *args[i + 1 :])
            below = cls.value(*args[:i], shape * (1 - STEP), *args[i + 1 :])
            grads.append(grad * (above - below) / (2 * STEP * shape))
        grads.append(grad * cls.slope(*args) if ctx.needs_input_grad[-1] else None)
        return tuple(grads)


class _Gammainc(_Shaped):
    @staticmethod
    def value(*args: Tensor) -> Tensor:
        a, x = args
        return scipy_elementwise(scipy.special.gammainc, a, x.clamp_min(0.0))

    @staticmethod
    def slope(*args: Tensor) -> Tensor:
        a, x = args
        inside = x.clamp_min(_TINY)
        return torch.where(x > 0, ((a - 1) * inside.log() - inside - torch.lgamma(a)).exp(), 0.0)

    @staticmethod
    def forward(ctx: Any, a: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(a, x)
        return _Gammainc.value(a, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return _Gammainc.differentiate(ctx, grads[0])


class _Betainc(_Shaped):
    @staticmethod
    def value(*args: Tensor) -> Tensor:
        a, b, x = args
        return scipy_elementwise(scipy.special.betainc, a, b, x.clamp(0.0, 1.0))

    @staticmethod
    def slope(*args: Tensor) -> Tensor:
        a, b, x = args
        inside = x.clamp(_TINY, 1 - 1e-16)
        density = ((a - 1) * inside.log() + (b - 1) * torch.log1p(-inside) - lbeta(a, b)).exp()
        return torch.where((x > 0) & (x < 1), density, 0.0)

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(a, b, x)
        return _Betainc.value(a, b, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return _Betainc.differentiate(ctx, grads[0])


class _Stdtr(_Shaped):
    @staticmethod
    def value(*args: Tensor) -> Tensor:
        return scipy_elementwise(scipy.special.stdtr, *args)

    @staticmethod
    def slope(*args: Tensor) -> Tensor:
        df, t = args
        log_norm = torch.lgamma((df + 1) / 2) - torch.lgamma(df / 2) - 0.5 * (df * torch.pi).log()
        return (log_norm - (df + 1) / 2 * torch.log1p(t * t / df)).exp()

    @staticmethod
    def forward(ctx: Any, df: Tensor, t: Tensor) -> Tensor:
        ctx.save_for_backward(df, t)
        return _Stdtr.value(df, t)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return _Stdtr.differentiate(ctx, grads[0])
