r"""The CRPS of a normal seen through a smooth map, Y = u g(X) with X ~ N(m, s), by one quadrature with its slopes.

.. math:: \mathrm{CRPS} = u \int (\Phi(z) - 1\{z \ge z_y\})^2 g'(m + s z) \, s \, dz

is smooth on either side of z_y, where Gauss-Legendre nodes are laid. g' has its bend at x = 0, of width about 1: no
hindrance while s ≤ 2. Where s is larger and the bend inside the normal's range, nodes are equal in asinh(x / 3) instead of
x, and more of them are taken as s grows. Beyond z_y, where Φ is 0 or 1, nothing is left but a difference of g.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

Found = tuple[Tensor, Sequence[Tensor | None]]
Map = Callable[[Tensor], Tensor]

REACH = 6.2
"""How many standard deviations from the middle Φ (1 − Φ) still counts: 3e-10."""
WIDTH = 3.0
FEW = ((1.0, 22), (2.0, 34))
"""Nodes on either side of z_y for s up to each limit, equal in x."""
MORE = ((4.0, 28), (16.0, 40), (256.0, 64), (math.inf, 96))
"""Likewise, equal in asinh(x / 3)."""
ROOT_HALF = math.sqrt(0.5)


@functools.cache
def _legendre(order: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Nodes and weights on (0, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    return torch.from_numpy((nodes + 1) / 2).to(device, dtype), torch.from_numpy(weights / 2).to(device, dtype)


@functools.cache
def _panels(order: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
    """Nodes z = a + c k and widths b + c w of [−REACH, k] and [k, REACH] for a break k, and the signs of F − 1{z ≥ k}."""
    t, w = _legendre(order, torch.float64, torch.device("cpu"))
    found = (
        torch.cat([-REACH * (1 - t), REACH * t]),
        torch.cat([t, 1 - t]),
        torch.cat([REACH * w, REACH * w]),
        torch.cat([w, -w]),
        torch.cat([torch.ones_like(w), -torch.ones_like(w)]),
    )
    return tuple(value.to(device, dtype) for value in found)


def warped_normal(
    g: Map, slope: Map, wanted: list[bool], loc: Tensor, scale: Tensor, unit: Tensor, x_y: Tensor, ratio: Tensor
) -> Found:
    """Value, and slopes in loc, scale, unit and y.

    Args:
        g: increasing. slope: g', analytic but near x = 0, at most 1, and far from it constant or falling as e^−|x|.
        x_y: g⁻¹(y / unit). ratio: y / unit.
    """
    z_y = ((x_y - loc) / scale).clamp(-1e18, 1e18)
    largest = float(scale.max())
    order = next((order for limit, order in FEW if largest <= limit), 0)
    if order:
        middle = z_y.clamp(-REACH, REACH)
        base, per, start, share, sign = _panels(order, loc.dtype, loc.device)
        z = torch.addcmul(base, middle.unsqueeze(-1), per)
        x = torch.addcmul(loc.unsqueeze(-1), scale.unsqueeze(-1), z)
        widths = torch.addcmul(start, middle.unsqueeze(-1), share)
        factor = unit * scale
    else:
        middle, z, x, widths, sign = _bent(loc, scale, z_y)
        factor = unit
    gap = torch.erfc(z * (sign * -ROOT_HALF)) * sign  # 2 (F − 1{z ≥ z_y})
    part = slope(x) * widths * gap
    inner = 0.25 * torch.linalg.vecdot(part, gap)
    edge = torch.where(z_y == middle, 0.0, (g(torch.addcmul(loc, scale, middle)) - ratio).abs())
    value = factor * inner + unit * edge
    lean = torch.erf(z_y * ROOT_HALF)  # 2 F(y) − 1
    if not any(wanted):
        return value, [None, None, None, lean]
    density = torch.exp(-0.5 * z * z)
    pull = factor / scale * (-1 / math.sqrt(2 * math.pi))
    in_loc = pull * torch.linalg.vecdot(part, density)
    in_scale = pull * torch.linalg.vecdot(part, density * z)
    return value, [in_loc, in_scale, value / unit - ratio * lean if wanted[2] else None, lean]


def _bent(loc: Tensor, scale: Tensor, z_y: Tensor) -> tuple[Tensor, ...]:
    """The break, nodes z, their x, their widths in x, and the signs of F − 1{z ≥ z_y}, for any scale."""
    bend = -loc / scale
    # Against Φ², which falls as e^(−z²), a slope that grows as e^(±sz) up to its bend has its weight at ±s/2.
    low = -REACH - torch.minimum(0.5 * scale, (-bend).clamp_min(0.0))
    high = REACH + torch.minimum(0.5 * scale, bend.clamp_min(0.0))
    z_y, low, high = (value.expand(torch.broadcast_shapes(z_y.shape, low.shape)) for value in (z_y, low, high))  # type: ignore[no-untyped-call]
    middle = torch.minimum(torch.maximum(z_y, low), high)
    ends = torch.stack([low, middle, high], -1)  # (*batch, 3)
    m, s = loc[..., None, None], scale[..., None, None]
    curved = (scale > 1) & (bend > low - REACH) & (bend < high + REACH)
    largest = float(torch.where(curved, scale, 0.0).max())
    order = next(order for limit, order in MORE if largest <= limit)
    places, weights = _legendre(order, loc.dtype, loc.device)
    span = ends.diff(dim=-1).unsqueeze(-1)
    straight = torch.addcmul(ends[..., :2].unsqueeze(-1), span, places)  # (*batch, 2, order)
    tau = torch.asinh(torch.addcmul(loc.unsqueeze(-1), scale.unsqueeze(-1), ends) / WIDTH)
    stretch = tau.diff(dim=-1).unsqueeze(-1)
    at = torch.addcmul(tau[..., :2].unsqueeze(-1), stretch, places)
    bent, where = WIDTH * at.sinh(), curved[..., None, None]
    x = torch.where(where, bent, torch.addcmul(m, s, straight))
    z = torch.where(where, (bent - m) / s, straight)
    widths = torch.where(where, WIDTH * at.cosh() * stretch, s * span) * weights
    sign = torch.ones(2 * order, dtype=loc.dtype, device=loc.device)
    sign[order:] = -1
    return middle, z.flatten(-2), x.flatten(-2), widths.flatten(-2), sign


def softplus_normal(wanted: list[bool], loc: Tensor, scale: Tensor, unit: Tensor, y: Tensor) -> Found:
    """Y = unit · log(1 + e^X); a y below 0 is as far from all of it as 0 is, and |y| more."""
    ratio = (y / unit).clamp_min(torch.finfo(loc.dtype).tiny)
    x_y = ratio + torch.log(-torch.expm1(-ratio))
    value, slopes = warped_normal(softplus, torch.sigmoid, wanted, loc, scale, unit, x_y, ratio)
    return value + (-y).clamp_min(0.0), slopes


def logit_normal(wanted: list[bool], loc: Tensor, scale: Tensor, y: Tensor) -> Found:
    """Y = σ(X), of 0 ≤ y ≤ 1."""
    limits = torch.finfo(loc.dtype)
    x_y = torch.logit(y.clamp(limits.tiny, 1 - limits.eps))
    one = loc.new_ones(())
    value, slopes = warped_normal(torch.sigmoid, _bell, [*wanted[:2], False], loc, scale, one, x_y, y)
    return value, [slopes[0], slopes[1], slopes[3]]


def _bell(x: Tensor) -> Tensor:
    p = torch.sigmoid(x)
    return torch.addcmul(p, p, p, value=-1)
