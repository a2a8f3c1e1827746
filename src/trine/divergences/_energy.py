r"""The energy score of independent normals, E‖X − y‖ − ½ E‖X − X'‖, by one integral in one dimension, with its slopes.

.. math:: E\sqrt{Q} = \frac{1}{2 \sqrt\pi} \int_0^\infty (1 - E e^{-tQ}) \, t^{-3/2} dt, \qquad
          E e^{-t \|X - y\|^2} = \prod_i (1 + 2 t s_i^2)^{-1/2} \exp \frac{-t (y_i - m_i)^2}{1 + 2 t s_i^2}

The spread is the same integral without the exponential at t/2, so that both share their nodes. In v = log t the trapezoid
rule converges exponentially, to 2e-6 of the value with the step taken; what lies beyond the first node is a geometric
series, beyond the last the integral of a power.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

STEP, FIRST, LAST = 0.75, -9.0, 13.5
FARTHEST = 28.0
"""Most of what the last node is moved on: by log(‖y − m‖² / Σ s²), for the spread is seen where 2 t s² is 1."""
HALF = math.sqrt(0.5)


def normal_energy(wanted: list[bool], loc: Tensor, scale: Tensor, y: Tensor) -> tuple[Tensor, Sequence[Tensor | None]]:
    """Energy score of N(loc, scale²), independent over the last dimension, at y: (...,); slopes of shape (..., k)."""
    gap, scale = torch.broadcast_tensors((y - loc).movedim(-1, 0), scale.movedim(-1, 0))  # type: ignore[no-untyped-call]
    tiny = torch.finfo(gap.dtype).tiny
    size = gap.detach().abs().amax(0).clamp_min(scale.amax(0))  # squares in units of the largest: none overflows
    d, s = gap / size, scale / size
    d2, s2 = d * d, s * s
    within, beyond = s2.sum(0), d2.sum(0)
    tau = 0.5 / (within + beyond)
    further = float(torch.log1p(beyond / within.clamp_min(tiny)).max().clamp_max(FARTHEST))
    v = torch.arange(FIRST, LAST + further + STEP, STEP, dtype=gap.dtype, device=gap.device)
    root = torch.exp(0.5 * v)
    weight = STEP / root
    weight[0] *= 1 + 1 / math.expm1(STEP / 2)
    tail = STEP * (1 - HALF) / (float(root[-1]) * math.expm1(STEP / 2))
    t = root * root
    grown = torch.addcmul(torch.ones((), dtype=t.dtype, device=t.device), (2 * tau * s2).unsqueeze(-1), t)
    u = grown.reciprocal()
    spread = -0.5 * grown.log().sum(0)
    near = spread - ((tau * d2).unsqueeze(-1) * u).sum(0) * t
    less_near, less_spread = torch.expm1(near), torch.expm1(spread)
    factor = size / (2 * math.sqrt(math.pi)) * torch.rsqrt(tau)
    value = factor * ((HALF * less_spread - less_near) @ weight + tail)
    if not any(wanted):
        return value, [None, None, None]
    rise = weight * t
    a = (less_near + 1) * rise
    of_u = torch.linalg.vecdot(a, u)
    pull = (2 * factor / size * tau) * d * of_u
    both = torch.linalg.vecdot(a - HALF * (less_spread + 1) * rise, u)
    bend = torch.linalg.vecdot(a * t, u * u)
    in_scale = (2 * factor / size * tau) * s * (both - 2 * tau * d2 * bend)
    pull = pull.movedim(0, -1)
    return value, [-pull, in_scale.movedim(0, -1), pull]
