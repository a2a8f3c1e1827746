"""The exact gradient that estimators are measured against."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution

from trine.errors import ChoiceError

from ._base import Integrand, described, values_of
from ._repeated import gradients, repeated
from ._support import MOST, continuous, counts, points, support


def exact_gradient(
    q: Distribution, f: Integrand, exact: Callable[[Distribution], Tensor] | None
) -> tuple[NDArray[np.float64], str]:
    """The gradient in all P numbers that q is made of, (P,), and where it is from.

    Args:
        exact: gives E f of a distribution like q, differentiable; None: a sum over the support or a quadrature.

    Raises:
        ChoiceError: no exact gradient is known, or ``exact`` gives another shape than the batch's.
    """
    single, parameters = repeated(q, 1)
    if exact is not None:
        value, method = exact(single), "given"
        if tuple(value.shape) != tuple(single.batch_shape):
            raise ChoiceError(
                f"exact gives shape {tuple(value.shape)} of a distribution of batch shape {tuple(single.batch_shape)}; "
                "it gives E f of each element of the batch."
            )
    elif points(q) <= MOST:
        x = support(single)
        value, method = (single.log_prob(x).exp() * values_of(f, x, single)).sum(0), f"sum of {len(x):,} points"
    elif (n := counts(single)) is not None:
        value, method = (single.log_prob(n).exp() * values_of(f, n, single)).sum(0), f"sum of {len(n):,} counts"
    elif continuous(q):
        value, method = _quadrature(single, f), "quadrature"
    else:
        raise ChoiceError(
            f"The exact gradient under {described(q)} is not known: it is neither over a support that can be summed "
            "over nor of one number with a density. Give exact=, a function that gives E f of a distribution like q."
        )
    return gradients(value, parameters)[0].cpu().numpy(), method


def _quadrature(q: Distribution, f: Integrand, panels: int = 512, order: int = 8) -> Tensor:
    """∫ q(x) f(x) dx over 745 standard deviations each way, within the support, by Gauss-Legendre panels.

    Panels are even in t, x = mean + ½ deviation · sinh t: fine where the mass is, wide in the tails.
    """
    nodes, weights = (torch.as_tensor(v, dtype=q.mean.dtype) for v in np.polynomial.legendre.leggauss(order))
    middle, spread = q.mean.detach(), q.stddev.detach()
    if not bool((middle.isfinite() & spread.isfinite()).all()):
        raise ChoiceError(f"{described(q)} has no finite variance, so no quadrature is tried. Give exact=.")
    bounds: Any = q.support

    def place(bound: str, beyond: float) -> Tensor:
        limit = torch.as_tensor(getattr(bounds, bound, beyond), dtype=middle.dtype)
        return torch.asinh((limit - middle) / (0.5 * spread)).clamp(-8.0, 8.0)

    left, right = place("lower_bound", -math.inf), place("upper_bound", math.inf)
    at = (torch.arange(panels, dtype=middle.dtype)[:, None] + 0.5 * (nodes + 1)).flatten() / panels
    at = at.reshape(-1, *(1,) * middle.dim())
    share = (0.5 * weights / panels).repeat(panels).reshape(at.shape)
    t = left + (right - left) * at
    width = share * (right - left) * 0.5 * spread * torch.cosh(t)
    x = middle + 0.5 * spread * torch.sinh(t)
    return (width * q.log_prob(x).exp() * values_of(f, x, q)).sum(0)
